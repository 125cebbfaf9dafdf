package web

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

// failureOf is the class of a failure and the service's words.
func failureOf(j *collector.Job) string {
	class := strings.ReplaceAll(clean(j.ErrorType), "_", " ")
	if j.ErrorType == collector.OtherClass || class == "unspecified" {
		class = ""
	}
	message := clean(j.Message)
	switch {
	case class == "" && message == "":
		return "The service gives no reason."
	case message == "":
		return class
	case class == "":
		return message
	}
	return class + ": " + message
}

func badValues(j *collector.Job) string {
	var losses, names []string
	for _, r := range j.Readings {
		if r.Metric == collector.Loss && isBad(r) {
			losses = append(losses, clean(r.Label))
		}
	}
	for _, n := range j.NonFinite {
		names = append(names, short(clean(n.Name), 40)+" ("+grouped(int(min(n.N, math.MaxInt32)))+"×)")
	}
	if len(names) > 6 {
		names = append(names[:6], "…")
	}
	text := "A value came as NaN, infinity or null."
	if len(losses) > 0 {
		text = strings.TrimSpace("The loss of "+strings.Join(losses, ", ")) + " is no number: the run has probably diverged."
	}
	if len(names) > 0 {
		text += " Counted so far: " + strings.Join(names, ", ") + "."
	}
	return text
}

// fold makes one problem of failures of one source with the same words, and of jobs of one source with the same trouble, newest
// first: thirty jobs that fail of one cause are one thing to mend, and thirty that wait must not hide the one that hangs. Numbers and
// ids in the words do not count.
func (o *overview) fold(found []finding, at clock) []problem {
	var all []problem
	places := map[alike]int{}
	for _, f := range found {
		k := alike{f.kind, f.job.Key.Source, ""}
		if f.kind == jobFailed {
			k.words = masked(failureOf(f.job))
		}
		i, known := places[k]
		if !known {
			places[k] = len(all)
			all = append(all, o.told(f, at))
			continue
		}
		p := &all[i]
		p.n++
		p.First = at.moment(f.at)
		if len(p.Jobs) < alikeMost {
			p.Jobs = append(p.Jobs, jobRef{distinct(p, f.job), jobLink(f.job.Key)})
		}
	}
	for k, i := range places {
		if k.kind != jobFailed {
			all[i].n = o.alike[k]
		}
		all[i].several(k.kind)
	}
	return all
}

// alike is what findings have in common that are shown as one.
type alike struct {
	kind   kind
	source string
	words  string // of a failure
}

// several says how many findings a problem stands for.
func (p *problem) several(k kind) {
	if p.n == 1 {
		return
	}
	p.What += " · " + grouped(p.n) + " jobs"
	if k == jobFailed {
		p.What, p.When = grouped(p.n)+" jobs failed alike", "last failed"
	}
	p.Lead = "Also"
	if more := p.n - 1 - len(p.Jobs); more > 0 {
		p.More = "and " + plural(more, "other", "others")
	}
}

const alikeMost = 4 // jobs that are named beside the newest

// distinct is the name of a job, or its id where another one of that name is there already.
func distinct(p *problem, j *collector.Job) label {
	name := nameOf(j)
	if name.Full == p.Name.Full || slices.ContainsFunc(p.Jobs, func(r jobRef) bool { return r.Name.Full == name.Full }) {
		return labelOf(j.Key.ID, 24)
	}
	return name
}

// masked replaces words with digits, such as ids and sizes, but for plain numbers.
func masked(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if w = strings.Trim(w, ".,:;()"); strings.ContainsAny(w, "0123456789") && strings.Trim(w, "0123456789") != "" {
			words[i] = "#"
		}
	}
	return strings.Join(words, " ")
}

// told is a finding in words; a failed job that is one of many of its project says so.
func (o *overview) told(f finding, at clock) problem {
	p := o.checks.problem(f, at)
	if f.kind != jobFailed {
		return p
	}
	if n := o.storms[storm{f.job.Key.Source, f.job.Info.Project}]; n >= stormFrom && o.checks.stormy(f.job) {
		of := "this source"
		if f.job.Info.Project != "" {
			of = "this source and project"
		}
		p.Alert += " TrainingJobFailureStorm"
		p.Do = fmt.Sprintf("%d jobs of %s failed within half an hour: look for one cause before you restart any. Then: ", n, of) + p.Do
	}
	return p
}

// storm is whose jobs fail together.
type storm struct{ source, project string }

// stormy: the failure is as new as those that make a storm.
func (c *checks) stormy(j *collector.Job) bool {
	return j.Ended.Known() && c.now.Sub(j.Since) < stormFor
}
