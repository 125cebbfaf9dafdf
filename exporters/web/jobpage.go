package web

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// jobView is what the templates of a job's page read.
type jobView struct {
	shell

	Name     label
	Phase    sign
	Status   string
	Problems []problem
	Failure  string
	Facts    []fact
	Charts   []chart
	NoCharts string
	Timeline []stretch
	Scale    [2]string // of the timeline
	Values   []fact
	GPUs     []rowOf[gpuRow]
	Memory   string
	Back     string
	Gone     string // why there is no such job
}

// fact is a name and a value, which may have an address or be a time.
type fact struct {
	Name  string
	Value label
	Link  string // within the page's own site
	URL   string // elsewhere; http or https
	Time  moment
	Code  bool
}

// stretch is a line of the timeline: from a place to another, in thousandths of its length.
type stretch struct {
	Sign       sign
	From, Long string // SVG numbers
	When       string
	Took       string
	Text       string
	at         collector.Time
}

// job makes the view of one job; found is false if nobody knows it.
func (s *site) job(o *overview, k collector.Key, c clock) (v *jobView, found bool) {
	v = &jobView{shell: s.shell(c), Back: "./"}
	v.Ready = true
	var j *collector.Job
	for other := range o.snap.Jobs.All {
		if other.Key == k {
			j = other
			break
		}
	}
	if j == nil {
		v.Title, v.Name = "no such job · trainbridge", labelOf(k.ID, 80)
		v.Gone = "No job of that name is shown. It may have ended so long ago that it was forgotten, its first events may still be being read, or its source is no longer configured."
		return v, false
	}
	v.Name, v.Phase, v.Status = labelOf(displayName(j), 120), phaseSign(j.Phase), clean(j.Status)
	v.Title = v.Phase.Symbol + " " + short(v.Name.Full, 60) + " · trainbridge"
	v.Stream = "api/v1/events?" + url.Values{"job": {k.ID}, "source": {k.Source}}.Encode()
	for _, f := range o.checks.job(nil, j) {
		v.Problems = append(v.Problems, o.checks.problem(f, c))
	}
	if o.snap.GPUs != nil && !j.Done() {
		for _, g := range byIndex(o.snap.GPUs.GPUs) {
			if slices.Contains(g.Jobs, k) {
				v.Problems = append(v.Problems, gpuFaults(g, o, c)...)
			}
		}
	}
	if len(v.Problems) == 0 && j.Phase == collector.Failed {
		v.Failure = failureOf(j)
	}
	v.Facts = facts(j, c)
	all, phases := s.o.History.of(k)
	v.Charts, v.Memory = charts(all), s.memory()
	if len(v.Charts) == 0 {
		v.NoCharts = s.noCharts(j)
	}
	v.Timeline, v.Scale = timeline(j, phases, c.now)
	v.Values = valuesOf(j, c)
	if o.snap.GPUs != nil {
		for _, g := range byIndex(o.snap.GPUs.GPUs) {
			if slices.Contains(g.Jobs, k) && len(v.GPUs) < gpusMost {
				v.GPUs = append(v.GPUs, rowOf[gpuRow]{ID: domID("g", g.ID), Row: gpuRowOf(g, o)})
			}
		}
	}
	return v, true
}

// noCharts says why a job has no curves.
func (s *site) noCharts(j *collector.Job) string {
	switch {
	case s.o.History == nil:
		return "No curves are drawn here."
	case j.Done():
		return "No curves: it ended before they could be drawn."
	}
	return "No curves yet: the numbers of jobs are looked at every " + span(s.o.History.o.Every) + "."
}

// facts are who a job is and where it stands.
func facts(j *collector.Job, c clock) []fact {
	i := j.Info
	list := []fact{
		{Name: "Source", Value: labelOf(j.Key.Source, 60), Link: query{Source: j.Key.Source, Page: 1, Rows: rowsUsual, Sort: "trouble"}.link("jobs")},
		{Name: "Job id", Value: labelOf(j.Key.ID, 256), Code: true},
		{Name: "Trace id", Value: labelOf(j.TraceID().String(), 64), Code: true},
	}
	add := func(name, value string) {
		if value != "" {
			list = append(list, fact{Name: name, Value: labelOf(value, 80)})
		}
	}
	if i.Group != "" {
		list = append(list, fact{Name: "Group", Value: labelOf(i.Group, 80),
			Link: query{Group: i.Group, Source: j.Key.Source, Page: 1, Rows: rowsUsual, Sort: "trouble"}.link("jobs")})
	}
	add("Project", i.Project)
	add("Owner", i.Owner)
	add("Kind", i.Kind)
	add("Base model", i.BaseModel)
	add("Framework", i.Framework)
	add("GPU model", i.GPUModel)
	if u := webAddress(i.URL); u != "" {
		list = append(list, fact{Name: "At the service", Value: labelOf(u, 80), URL: u})
	} else {
		add("At the service", i.URL)
	}
	if j.Attempt > 1 {
		add("Attempt", fmt.Sprint(j.Attempt))
	}
	for _, t := range []struct {
		name string
		at   collector.Time
	}{{"Created", j.Created}, {"Started", j.Started}, {"Last step", j.LastStep}, {"Ended", j.Ended}, {"Last news", j.Updated}} {
		if t.at.Known() {
			list = append(list, fact{Name: t.name, Value: label{date(t.at), date(t.at)}, Time: c.moment(t.at)})
		}
	}
	return list
}

// webAddress is the address if a browser may be sent there: nothing but http and https, without a password.
func webAddress(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}

// valueNames are the readings that stand among the values; those with curves are there too.
var valueNames = map[collector.Metric]struct{ name, unit string }{
	collector.Progress: {"Progress", "%"}, collector.Epoch: {"Epoch", ""}, collector.EpochLimit: {"Planned epochs", ""},
	collector.Step: {"Step", ""}, collector.StepLimit: {"Planned steps", ""}, collector.Loss: {"Loss", ""},
	collector.Accuracy: {"Accuracy", "%"}, collector.LearningRate: {"Learning rate", ""}, collector.GradientNorm: {"Gradient norm", ""},
	collector.FreeForm: {"", ""}, collector.SamplesPerSecond: {"Samples per second", ""}, collector.TokensPerSecond: {"Tokens per second", ""},
	collector.LastStepDuration: {"Last step took", "s"}, collector.PodsRunning: {"Pods running", ""}, collector.PodsRequested: {"Pods requested", ""},
	collector.GPURequested: {"GPUs requested", ""}, collector.GPUUtilization: {"GPU utilisation", "%"},
	collector.GPUMemoryUsage: {"GPU memory", "B"}, collector.MemoryUsage: {"Memory", "B"}, collector.StorageUsage: {"Storage", "B"},
	collector.Cost: {"Cost", "$"}, collector.CostEstimated: {"Estimated cost", "$"}, collector.Budget: {"Budget", "$"},
	collector.CheckpointAvailable: {"Checkpoints", ""}, collector.CheckpointLastStep: {"Step of the newest checkpoint", ""},
	collector.CheckpointLastCreated: {"Newest checkpoint", "at"}, collector.CheckpointInterval: {"Time between checkpoints", "s"},
	collector.CheckpointLastSize: {"Size of the newest checkpoint", "B"}, collector.EstimatedEnd: {"Expected end", "at"},
	collector.CPUUsage: {"CPU cores in use", ""}, collector.GPUAllocated: {"GPUs held", ""}, collector.GPUIdle: {"GPUs held and idle", ""},
	collector.CPUAllocated: {"CPU cores held", ""}, collector.MemoryAllocated: {"Memory held", "B"},
}

// valuesOf are the job's numbers.
func valuesOf(j *collector.Job, c clock) []fact {
	var list []fact
	if j.Steps > 0 {
		list = append(list, fact{Name: "Gradient steps", Value: label{Text: grouped(int(j.Steps))}})
	}
	if m, ok := median(j.Intervals); ok && !j.Done() {
		list = append(list, fact{Name: "Time between steps", Value: label{Text: seconds(m)}})
	}
	if j.Restarts > 0 {
		list = append(list, fact{Name: "Restarts", Value: label{Text: grouped(int(j.Restarts))}})
	}
	for _, r := range j.Readings {
		n, known := valueNames[r.Metric]
		if !known {
			continue
		}
		f := fact{Name: strings.TrimSpace(n.name + " " + labelOf(strings.ReplaceAll(r.Label, "\x1f", " "), 60).Text), Time: c.moment(r.At)}
		switch {
		case r.Null:
			f.Value.Text = "not finite"
		case n.unit == "$":
			f.Name, f.Value.Text = n.name, money(r.Value, r.Label)
		case n.unit == "B":
			f.Value.Text = bytes2(r.Value)
		case n.unit == "%":
			f.Value.Text = number(100*r.Value) + " %"
		case n.unit == "s":
			f.Value.Text = seconds(r.Value)
		case n.unit == "at":
			f.Value.Text = date(collector.TimeOf(time.Unix(int64(r.Value), 0)))
		default:
			f.Value.Text = number(r.Value)
		}
		list = append(list, f)
	}
	for _, n := range j.NonFinite {
		list = append(list, fact{Name: "Not finite: " + labelOf(n.Name, 60).Text, Value: label{Text: grouped(int(n.N)) + "×"}})
	}
	return list
}

// timeline is what is known of a job's past: its phases, and what happened in them.
func timeline(j *collector.Job, phases []step, now time.Time) (lines []stretch, scale [2]string) {
	phases = slices.DeleteFunc(phases, func(s step) bool { return s.attempt != j.Attempt })
	// It ends with the minute, or every moment would be an update.
	end := max(collector.TimeOf(now.Truncate(time.Minute)), j.Updated, j.LastStep, j.Since)
	if j.Done() {
		end = cmp.Or(endOf(j), end)
	}
	if len(phases) == 0 {
		phases = []step{{phase: j.Phase, status: j.Status, attempt: j.Attempt, since: j.Since}}
	}
	began := phases[0].since
	for _, t := range []collector.Time{j.Created, j.Started} {
		if t.Known() {
			began = min(began, t)
		}
	}
	d := dial{began, max(end, began+1)}
	if j.Created.Known() && j.Started > j.Created && phases[0].since > j.Created {
		lines = append(lines, d.stretch(sign{"waiting", "○", "quiet"}, j.Created, min(j.Started, phases[0].since), "from its creation to its start"))
	}
	if j.Started.Known() && phases[0].since > j.Started {
		lines = append(lines, d.stretch(sign{"at work", "▶", "busy"}, j.Started, phases[0].since, "since its start; the phases in between were not seen"))
	}
	for i, p := range phases {
		to := end
		if i+1 < len(phases) {
			to = phases[i+1].since
		}
		text := clean(p.status)
		if p.phase.Ended() {
			if p.phase == collector.Failed {
				text = failureOf(j)
			}
			lines = append(lines, d.point(phaseSign(p.phase), cmp.Or(j.Ended, p.since), text))
			continue
		}
		lines = append(lines, d.stretch(phaseSign(p.phase), p.since, max(to, p.since), text))
	}
	lines = append(lines, d.happenings(j)...)
	slices.SortStableFunc(lines, func(a, b stretch) int { return cmp.Compare(a.at, b.at) })
	return lines, [2]string{date(d.from), date(d.to)}
}

// dial turns times into places.
type dial struct{ from, to collector.Time }

func (d dial) at(t collector.Time) float64 {
	return max(0, min(1000*float64(t-d.from)/float64(d.to-d.from), 1000))
}

func (d dial) stretch(s sign, from, to collector.Time, text string) stretch {
	x := min(d.at(from), 997)
	return stretch{
		Sign: s, From: coordinate(x), Long: coordinate(max(d.at(to)-x, 3)), When: date(from), Took: span(to.Sub(from)), Text: text, at: from,
	}
}

func (d dial) point(s sign, at collector.Time, text string) stretch {
	return stretch{Sign: s, From: coordinate(min(d.at(at), 994)), Long: "6", When: date(at), Text: text, at: at}
}

// happenings are moments in a job's life.
func (d dial) happenings(j *collector.Job) (lines []stretch) {
	if j.LastStep.Known() {
		lines = append(lines, d.point(sign{"newest step", "•", "busy"}, j.LastStep, plural(int(j.Steps), "step", "steps")+" so far"))
	}
	if v, ok := j.Reading(collector.CheckpointLastCreated, ""); ok && v > 0 {
		lines = append(lines, d.point(sign{"newest checkpoint", "◆", "busy"}, collector.TimeOf(time.Unix(int64(v), 0)), ""))
	}
	if j.NonFiniteAt.Known() {
		lines = append(lines, d.point(sign{"not finite", "✖", "bad"}, j.NonFiniteAt, "a value came as NaN, infinity or null"))
	}
	for _, n := range j.Trace.Notes {
		lines = append(lines, d.point(sign{labelOf(cmp.Or(n.Name, "notice"), 40).Text, "▲", "warn"}, n.At, clean(n.Message)))
	}
	return lines
}
