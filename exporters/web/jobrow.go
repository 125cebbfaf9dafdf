package web

import (
	"fmt"
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// jobRow is a job in the table.
type jobRow struct {
	Link          string
	Name          label
	ID            label
	Source        label
	Group         label
	GroupLink     string
	Phase         sign
	Status        string
	Percent       string // of the progress, empty if not known
	Steps         string
	Loss          string
	LossBad       bool
	Split         string
	Spark         *spark
	Rate, Unit    string
	Step          moment
	Cost          string
	Level         sign
	Why           label
	Trace, Trace8 string
}

func (s *site) jobRow(o *overview, q query, j *collector.Job, c clock) jobRow {
	i := j.Info
	r := jobRow{
		Link: jobLink(j.Key), Name: nameOf(j), ID: labelOf(j.Key.ID, 40), Source: labelOf(j.Key.Source, 24), Group: labelOf(i.Group, 32),
		Phase: phaseSign(j.Phase), Status: clean(j.Status), Step: c.moment(j.LastStep), Trace: j.TraceID().String(),
	}
	r.Trace8 = r.Trace[:8]
	if i.Name == "" {
		r.ID = label{}
	}
	if i.Group != "" {
		r.GroupLink = query{Group: i.Group, Source: j.Key.Source, Page: 1, Rows: q.Rows, Sort: "trouble"}.link("jobs")
	}
	if p, ok := progressOf(j); ok {
		r.Percent = fmt.Sprintf("%.0f", 100*p)
	}
	if j.Steps > 0 {
		r.Steps = plural(int(j.Steps), "step", "steps")
	}
	if split, v, ok := lossOf(j); ok {
		r.Loss, r.LossBad, r.Split = number(v), !isFinite(v), short(clean(split), 12)
	} else if slices.ContainsFunc(j.Readings, func(r collector.Reading) bool { return r.Metric == collector.Loss && r.Null }) {
		r.Loss, r.LossBad = "not finite", true
	}
	if r.Split == "train" {
		r.Split = ""
	}
	r.Spark = sparkOf(s.o.History.lossOf(j.Key))
	if v, unit, ok := rateOf(j); ok {
		r.Rate, r.Unit = number(v), unit
	}
	if v, currency, ok := costOf(j); ok {
		r.Cost = money(v, currency)
	}
	if found := o.findingsOf(j); len(found) > 0 {
		r.Level = levelSigns[found[0].level]
		why := o.checks.why(found[0])
		if f := found[0].kind; f != jobFailed {
			why = kindWords[f].what + ": " + why
		}
		r.Why = label{short(why, 120), why}
		if slices.ContainsFunc(found, func(f finding) bool { return f.kind == jobStalled || f.kind == jobSpins }) {
			r.Rate, r.Unit = "", "" // it was so fast once
		}
	} else if j.Phase == collector.Failed {
		r.Why = label{short(failureOf(j), 120), failureOf(j)}
	}
	return r
}
