package web

import (
	"fmt"
	"slices"
	"strings"
)

// otherProblems are those that no job has: of the program, of sources and of GPUs.
func (s *site) otherProblems(o *overview, c clock) []problem {
	var found []problem
	base := problem{What: "trainbridge", Name: label{"this bridge", "this bridge"}, Link: "-/ready", Source: "trainbridge"}
	if s.o.Warnings != nil {
		for _, w := range s.o.Warnings() {
			p := base
			p.Why = clean(w)
			found = append(found, p.with(critical, c))
		}
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
	now := slices.IndexFunc(sel.findings, func(f finding) bool { return f.kind.past() })
	if now < 0 {
		now = len(sel.findings)
	}
	found := others
	for _, f := range sel.findings[:now] {
		found = append(found, sel.checks.problem(f, c))
	}
	found = append(found, sel.fold(sel.findings[now:], c)...)
	order(found)
	split := slices.IndexFunc(found, func(p problem) bool { return p.past })
	if split < 0 {
		split = len(found)
	}
	v.Now, v.Past = found[:split], found[split:]
	if sel.query.All != "attention" {
		v.Now, v.Past = v.Now[:min(len(v.Now), problemsFew)], v.Past[:min(len(v.Past), pastFew)]
	}
	v.PastText = n.past(sel.lost)
	v.rest(sel, n)
}

// rest says how much is not shown.
func (v *statusView) rest(sel *selection, n tally) {
	more := n.critical + n.warning + n.failed
	for _, p := range slices.Concat(v.Now, v.Past) {
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
