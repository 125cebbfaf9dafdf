package web

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

// groupsView is the table of groups.
type groupsView struct {
	Rows     []rowOf[groupRow]
	Count    string
	More     string
	MoreLink string
}

type groupRow struct {
	Name                            label
	Source                          label
	Link                            string
	Running, Waiting, Failed, Ended string
	Steps, Loss                     string
	LossBad                         bool
	Step                            moment
}

func groupsOf(o *overview, q query, c clock) groupsView {
	all := slices.Collect(o.snap.Groups.All)
	slices.SortFunc(all, func(a, b *collector.Group) int {
		return cmp.Or(cmp.Compare(b.Jobs[collector.Running], a.Jobs[collector.Running]), cmp.Compare(b.Updated, a.Updated),
			cmp.Compare(a.Key.Source, b.Key.Source), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	most := groupsFew
	if q.All == "groups" {
		most = groupsMost
	}
	v := groupsView{Count: plural(len(all), "group", "groups")}
	if more := len(all) - most; more > 0 {
		v.More = plural(more, "more group", "more groups")
		if q.All != "groups" {
			next := q
			next.All = "groups"
			v.MoreLink = next.link("groups")
		}
		all = all[:most]
	}
	for _, g := range all {
		v.Rows = append(v.Rows, rowOf[groupRow]{ID: domID("r", g.Key.Source, g.Key.Name), Row: groupRowOf(g, q, c)})
	}
	return v
}

func groupRowOf(g *collector.Group, q query, c clock) groupRow {
	r := groupRow{
		Name: labelOf(g.Key.Name, 48), Source: labelOf(g.Key.Source, 24), Step: c.moment(g.LastStep),
		Link:    query{Group: g.Key.Name, Source: g.Key.Source, Page: 1, Rows: q.Rows, Sort: "trouble"}.link("jobs"),
		Running: grouped(int(g.Jobs[collector.Running])),
		Waiting: grouped(int(g.Jobs[collector.Pending] + g.Jobs[collector.Initializing])),
		Failed:  grouped(int(g.Jobs[collector.Failed])),
	}
	var ended uint64
	for _, n := range g.Ended {
		ended += n
	}
	r.Ended = grouped(int(ended))
	if g.Stepped || g.Steps > 0 {
		r.Steps = grouped(int(g.Steps))
	}
	for _, reading := range g.Readings {
		if reading.Metric == collector.Loss && (r.Loss == "" || reading.Label == "train") {
			r.Loss, r.LossBad = number(reading.Value), isBad(reading)
			if reading.Null {
				r.Loss = "not finite"
			}
		}
	}
	return r
}

// sourceRow is a source in its table.
type sourceRow struct {
	Name     label
	Kind     string
	State    sign
	Why      string
	LastPoll moment
	Success  moment
	Budget   string // requests left
	Percent  string
	Demand   string
	Jobs     []phaseCount
	All      string
	Held     string
	Probe    string // address of its metrics
	JobsLink string
}

type phaseCount struct {
	Sign sign
	N    string
}

func sourcesOf(o *overview, c clock) (rows []rowOf[sourceRow]) {
	for _, s := range o.snap.Sources {
		kind, configured := o.kinds[s.Name]
		rows = append(rows, rowOf[sourceRow]{ID: domID("s", s.Name), Row: sourceRowOf(s, kind, configured, c)})
	}
	return rows
}

func sourceRowOf(s *collector.SourceView, kind string, configured bool, c clock) sourceRow {
	h := s.Health
	r := sourceRow{
		Name: labelOf(s.Name, 32), Kind: clean(kind), LastPoll: c.moment(h.LastPoll), State: sourceSign(h, configured),
		JobsLink: query{Source: s.Name, Page: 1, Rows: rowsUsual, Sort: "trouble"}.link("jobs"),
	}
	if h.LastError != "" {
		r.Why = clean(h.LastError) + ": " + faultWord(h.LastError)
		r.Success = c.moment(h.LastSuccess)
	}
	if configured {
		r.Probe = probeLink(s.Name)
	}
	if h.BudgetLimit != nil && h.BudgetRemaining != nil {
		r.Budget = number(max(0, *h.BudgetRemaining)) + " of " + number(*h.BudgetLimit)
		if *h.BudgetLimit > 0 {
			r.Percent = percent(*h.BudgetRemaining / *h.BudgetLimit)
		}
	}
	if h.DemandRatio != nil {
		r.Demand = number(100**h.DemandRatio) + " %"
	}
	var all int64
	for _, p := range collector.Phases() {
		if n := s.Jobs[p]; n > 0 {
			all += n
			r.Jobs = append(r.Jobs, phaseCount{phaseSign(p), grouped(int(n))})
		}
	}
	r.All = grouped(int(all))
	if s.Suppressed > 0 {
		r.Held = grouped(int(s.Suppressed)) + " not shown: over a limit, or still being read"
	}
	return r
}

func sourceSign(h collector.HealthView, configured bool) sign {
	switch {
	case !configured:
		return sign{"no longer configured", "⊘", "quiet"}
	case !h.Known:
		return sign{"not asked yet", "○", "quiet"}
	case h.Up:
		return sign{"up", "✓", "good"}
	}
	return sign{"down", "✖", "bad"}
}

// percent is a share for a bar: between 0 and 100, without digits.
func percent(share float64) string {
	if !(share >= 0) {
		share = 0
	}
	return fmt.Sprintf("%.0f", 100*min(share, 1))
}

// gpuHost is the machine whose GPUs are read, as the page shows it.
type gpuHost struct {
	State        sign
	Text, Detail string
	GPUs         []rowOf[gpuRow]
	More         string
}

type gpuRow struct {
	Index string
	Name  label
	ID    label
	State sign
	Marks []sign // what is wrong though it answers
	Bars  []bar  // busy, SMs, memory, power
	Heat  string
	Hot   bool
	Jobs  []jobRef
	More  string
}

// bar is a number with a length.
type bar struct{ Name, Text, Percent string }

type jobRef struct {
	Name label
	Link string
}

func gpuView(o *overview) *gpuHost {
	v := o.snap.GPUs
	if v == nil || v.Host == nil {
		return nil
	}
	h := &gpuHost{State: sign{"up", "✓", "good"}}
	h.Text = plural(v.Host.Seen, "GPU answers", "GPUs answer")
	if n := v.Host.Expected; n != nil {
		h.Text = fmt.Sprintf("%d of %d GPUs answer", v.Host.Seen, *n)
		if v.Host.Seen < *n {
			h.State = sign{"not all answer", "✖", "bad"}
		}
	}
	if !v.Host.Up {
		h.State, h.Detail = sign{"down", "✖", "bad"}, clean(v.Host.Detail)
	}
	if d := v.Host.Versions.Driver; d != "" {
		h.Text += ", driver " + clean(d)
	}
	if v.Host.Name != "" {
		h.Text += ", on " + clean(v.Host.Name)
	}
	for _, g := range byIndex(v.GPUs) {
		if len(h.GPUs) == gpusMost {
			h.More = plural(len(v.GPUs)-gpusMost, "more GPU is not shown", "more GPUs are not shown")
			break
		}
		h.GPUs = append(h.GPUs, rowOf[gpuRow]{ID: domID("g", g.ID), Row: gpuRowOf(g, o)})
	}
	return h
}

// byIndex orders GPUs as the driver numbers them, instances after the GPU that they are a part of.
func byIndex(gpus []*collector.GPU) []*collector.GPU {
	sorted := slices.Clone(gpus)
	slices.SortFunc(sorted, func(a, b *collector.GPU) int {
		return cmp.Or(cmp.Compare(len(a.Info.Index), len(b.Info.Index)), cmp.Compare(a.Info.Index, b.Info.Index),
			cmp.Compare(a.Info.Parent, b.Info.Parent), cmp.Compare(a.Info.Instance, b.Info.Instance), cmp.Compare(a.ID, b.ID))
	})
	return sorted
}

// jobsOfGPU is how many jobs of one GPU are named.
const jobsOfGPU = 3

func gpuRowOf(g *collector.GPU, o *overview) gpuRow {
	r := gpuRow{
		Index: clean(g.Info.Index), Name: labelOf(strings.TrimSpace(g.Info.Name+" "+g.Info.Profile), 40), ID: labelOf(g.ID, 16),
		State: sign{"up", "✓", "good"},
	}
	for i, k := range g.Jobs {
		if i == jobsOfGPU {
			r.More = "and " + plural(len(g.Jobs)-i, "more", "more")
			break
		}
		r.Jobs = append(r.Jobs, jobRef{labelOf(o.names[k], 32), jobLink(k)})
	}
	if !g.Up {
		r.State = sign{"does not answer", "✖", "bad"}
		r.Bars = make([]bar, 4)
		return r
	}
	r.Marks = o.checks.troubles.gpus[g.ID].signs()
	r.Bars = []bar{
		share(g, "Busy", collector.DeviceUtilization, "general"), share(g, "SMs active", collector.DeviceSMUtilization, ""),
		used(g, "Memory", collector.DeviceMemoryUsage, collector.DeviceMemoryLimit, 1<<30, "GiB"),
		used(g, "Power", collector.DevicePower, collector.DevicePowerLimit, 1, "W"),
	}
	if v, ok := g.Value(collector.DeviceTemperature, "gpu"); ok {
		r.Heat, r.Hot = fmt.Sprintf("%.0f °C", v), v >= hotAt
	}
	return r
}

// hotAt is the temperature from which on it is pointed out.
const hotAt = 85

// share is a ratio as a bar; one that is not known is empty.
func share(g *collector.GPU, name string, m collector.GPUMetric, label string) bar {
	v, ok := g.Value(m, label)
	if !ok {
		return bar{Name: name}
	}
	return bar{name, fmt.Sprintf("%.0f %%", 100*v), percent(v)}
}

// used is a part of a limit as a bar.
func used(g *collector.GPU, name string, m, limit collector.GPUMetric, unit float64, unitName string) bar {
	v, ok := g.Value(m, "")
	if !ok {
		return bar{Name: name}
	}
	b := bar{Name: name, Text: fmt.Sprintf("%.0f %s", v/unit, unitName)}
	if most, ok := g.Value(limit, ""); ok && most > 0 {
		b.Text, b.Percent = fmt.Sprintf("%.0f / %.0f %s", v/unit, most/unit, unitName), percent(v/most)
	}
	return b
}

// probeLink is the address of the metrics of one source.
func probeLink(source string) string { return "probe?" + url.Values{"source": {source}}.Encode() }
