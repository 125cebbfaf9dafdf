package web

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

// otherProblems are those that no job has: of the program, of sources and of GPUs.
func (s *site) otherProblems(o *overview, c clock) []problem {
	var found []problem
	base := problem{What: "trainbridge", Name: label{"this bridge", "this bridge"}, Link: "-/ready", Source: "trainbridge"}
	if s.o.Warnings != nil {
		for _, w := range s.o.Warnings() {
			p, l := base, warning
			if w.Critical {
				l = critical
			}
			p.Why, p.Do, p.Alert, p.at, p.When = clean(w.Why), clean(w.Do), w.Alert, collector.TimeOf(w.At), w.When
			found = append(found, p.with(l, c))
		}
	}
	if at := o.checks.troubles.spans; at.Known() {
		p := base
		p.Why, p.Alert, p.at, p.When = "The outbox is full, and new spans are dropped.", "TrainbridgeOtlpDataLost", at, "last dropped"
		p.Do = "See whether the OTLP receiver runs and takes what it is sent; a larger outbox only bridges a longer outage."
		found = append(found, p.with(warning, c))
	}
	if s.o.History.young(c.now) {
		p := base
		p.Why = "Not all sources have been watched for ten minutes: of their jobs that stall, wait or idle nothing is said yet."
		found = append(found, p.with(note, c))
	}
	if !s.o.Durable() {
		base.Why, base.Alert = "Its state is in memory: a restart loses it and starts counting anew.", "TrainbridgeStateNotDurable"
		base.Do = "Set state.directory to a folder that outlives the process, unless this is meant so."
		found = append(found, base.with(note, c))
	}
	found = append(found, sourceProblems(o, c)...)
	return append(found, gpuProblems(o, c)...)
}

// judge fills in what needs attention.
func (s *site) judge(v *statusView, sel *selection, c clock) {
	others := s.otherProblems(sel.overview, c)
	n := tally{critical: sel.count[critical], warning: sel.count[warning] + sel.lost, failed: sel.failed}
	for _, p := range others {
		switch p.level {
		case critical:
			n.critical++
		case warning:
			n.warning++
		}
	}
	v.Verdict, v.Title = n.verdict(), n.title()
	found := slices.Concat(others, sel.fold(sel.findings, c))
	order(found)
	pick := func(most int, wanted func(problem) bool) []problem {
		some := slices.DeleteFunc(slices.Clone(found), func(p problem) bool { return !wanted(p) })
		if sel.query.All == "attention" {
			return some
		}
		return some[:min(len(some), most)]
	}
	v.Now = pick(problemsFew, func(p problem) bool { return placeOf(p.level, p.past) == placeNow })
	v.Past = pick(pastFew, func(p problem) bool { return placeOf(p.level, p.past) == placePast })
	v.Warnings = pick(problemsFew, func(p problem) bool { return placeOf(p.level, p.past) == placeWarnings })
	v.PastText = n.past(sel.lost)
	v.rest(sel, n)
}

// The places of the page where problems stand, from its top.
const (
	placeNow = iota
	placePast
	placeWarnings
)

func placeOf(l level, past bool) int {
	switch {
	case past:
		return placePast
	case l == critical:
		return placeNow
	}
	return placeWarnings
}

// rest says how much is not shown.
func (v *statusView) rest(sel *selection, n tally) {
	more := n.critical + n.warning + n.failed
	for _, p := range slices.Concat(v.Now, v.Past, v.Warnings) {
		if p.level > note {
			more -= p.n
		}
	}
	if more <= 0 {
		return
	}
	v.More = plural(more, "more problem", "more problems")
	if sel.query.All != "attention" {
		all := sel.query
		all.All = "attention"
		v.MoreLink = all.link("attention")
	}
}

// tally is how much is wrong.
type tally struct{ critical, warning, failed int }

func (n tally) verdict() sign {
	var parts []string
	if n.critical > 0 {
		parts = append(parts, plural(n.critical, "problem needs", "problems need")+" attention")
	}
	if n.failed > 0 {
		parts = append(parts, plural(n.failed, "job", "jobs")+" failed within the last hour")
	}
	if n.warning > 0 {
		parts = append(parts, plural(n.warning, "warning", "warnings"))
	}
	text := strings.Join(parts, ", ")
	switch {
	case n.critical+n.failed > 0:
		return sign{text, "✖", "bad"}
	case n.warning > 0:
		return sign{text, "▲", "warn"}
	}
	return sign{"Nothing needs attention", "✓", "good"}
}

// past is what there was within the last hour.
func (n tally) past(lost int) string {
	var parts []string
	if n.failed > 0 {
		parts = append(parts, plural(n.failed, "job", "jobs")+" failed")
	}
	if lost > 0 {
		parts = append(parts, plural(lost, "job", "jobs")+" lost")
	}
	return strings.Join(parts, ", ")
}

func (n tally) title() string {
	if all := n.critical + n.warning + n.failed; all > 0 {
		return fmt.Sprintf("(%d) trainbridge", all)
	}
	return "trainbridge"
}
