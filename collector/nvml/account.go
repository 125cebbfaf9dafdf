package nvml

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// Bounds of what is remembered.
const (
	rememberFor  = 24 * time.Hour // a GPU that is gone
	maxVanished  = 256
	maxCounters  = helper.MaxValues // of a GPU
	maxXIDCodes  = 64               // of a GPU; the rest is collector.OtherClass
	resetsWithin = time.Minute      // counters that fall so soon after another fell for the same reason, if the slow interval is no longer
)

// account is what is known of a GPU or MIG instance, through the lives of helpers.
type account struct {
	id       string
	info     collector.GPUInfo
	since    collector.Time
	present  time.Time // when it was last in a frame
	gone     bool      // a frame that lists all GPUs does not list it
	hidden   bool      // a MIG instance that its GPU is not divided into any more
	state    helper.State
	readAt   collector.Time
	read     time.Time
	gauges   []collector.GPUValue
	pids     []int
	counters map[valueKey]*counter
	resets   uint64
	epoch    uint64 // of the last reset
	resetAt  time.Time
	xids     map[string]*xid
	said     bool // that it does not answer
	told     bool // and the log has it
}

type valueKey struct {
	metric collector.GPUMetric
	label  string
}

// counter goes on where the driver's begins anew.
type counter struct {
	base, raw float64
	fell      uint64 // epoch in which it last fell
}

type xid struct {
	n    uint64
	last collector.Time
}

// xidKey is what a helper counts XIDs by.
type xidKey struct{ id, code string }

func newAccount(id string, now time.Time) *account {
	return &account{id: id, since: collector.TimeOf(now), counters: map[valueKey]*counter{}, xids: map[string]*xid{}}
}

// take takes over what a frame says of the GPU. together is how far apart counters may fall for one reason.
func (a *account) take(g *helper.GPU, now time.Time, together time.Duration, isCounter map[collector.GPUMetric]bool) {
	a.info, a.present, a.state, a.pids = clean(g), now, g.State, g.PIDs
	a.gone, a.hidden = false, false
	if g.State != helper.OK && g.State != helper.Slow {
		a.gauges = nil
		return
	}
	if !g.ReadAt.Known() {
		return
	}
	a.readAt, a.read, a.gauges = g.ReadAt, now.Add(-g.Age), nil
	for _, v := range g.Values {
		switch {
		case v.Metric == collector.DeviceXIDErrors, v.Metric == collector.DeviceXIDLast, !finite(v.Value):
		case !isCounter[v.Metric]:
			a.gauges = append(a.gauges, v)
		default:
			a.count(valueKey{v.Metric, v.Label}, v.Value, now, together)
		}
	}
}

// count takes a counter as the driver has it.
func (a *account) count(k valueKey, raw float64, now time.Time, together time.Duration) {
	c := a.counters[k]
	if c == nil {
		if raw >= 0 && len(a.counters) < maxCounters {
			a.counters[k] = &counter{raw: raw}
		}
		return
	}
	if raw < 0 {
		return
	}
	if raw < c.raw {
		if a.epoch == 0 || c.fell == a.epoch || now.Sub(a.resetAt) > together {
			a.epoch++
			a.resets++
			a.resetAt = now
		}
		c.base += c.raw
		c.fell = a.epoch
	}
	c.raw = raw
}

// observe adds XIDs.
func (a *account) observe(code string, n uint64, last collector.Time) {
	x := a.xids[code]
	if x == nil {
		if len(a.xids) >= maxXIDCodes && code != collector.OtherClass {
			a.observe(collector.OtherClass, n, last)
			return
		}
		x = &xid{}
		a.xids[code] = x
	}
	x.n += n
	x.last = max(x.last, last)
}

// up reports whether the GPU answers.
func (a *account) up(now time.Time, stale time.Duration) bool {
	return !a.gone && (a.state == helper.OK || a.state == helper.Slow) && !a.read.IsZero() && now.Sub(a.read) <= stale
}

// values are sorted; those that do not last are left out unless the GPU is up.
func (a *account) values(up, processes bool) []collector.GPUValue {
	var out []collector.GPUValue
	if up {
		for _, v := range a.gauges {
			if processes || v.Metric != collector.ProcessMemoryUsage && v.Metric != collector.ProcessUtilization {
				out = append(out, v)
			}
		}
	}
	for k, c := range a.counters {
		out = append(out, collector.GPUValue{Metric: k.metric, Label: k.label, Value: c.base + c.raw})
	}
	for code, x := range a.xids {
		out = append(out,
			collector.GPUValue{Metric: collector.DeviceXIDErrors, Label: code, Value: float64(x.n)},
			collector.GPUValue{Metric: collector.DeviceXIDLast, Label: code, Value: x.last.Seconds()})
	}
	collector.SortGPUValues(out)
	return slices.CompactFunc(out, func(a, b collector.GPUValue) bool { return a.Metric == b.Metric && a.Label == b.Label })
}

// clean makes a helper's strings safe to show.
func clean(g *helper.GPU) collector.GPUInfo {
	i := g.Info
	i.Index = cmp.Or(i.Index, strconv.Itoa(g.Index))
	for _, s := range []*string{&i.Index, &i.Name, &i.Serial, &i.VBIOS, &i.PCIBusID, &i.Minor, &i.Parent, &i.Profile, &i.Instance} {
		*s = collector.Clean(*s)
	}
	return i
}

// memory is what outlives helpers, and goes from a monitor to the one that replaces it.
type memory struct {
	began  collector.Time
	gpus   map[string]*account
	taken  time.Time // when the last frame came
	starts uint64
	exits  map[string]uint64
	calls  []collector.CallCost // of helpers that are gone
}

func newMemory(now time.Time) *memory {
	return &memory{began: collector.TimeOf(now), gpus: map[string]*account{}, exits: map[string]uint64{}}
}

// take takes over a frame.
func (m *memory) take(f *helper.Frame, now time.Time, together time.Duration, isCounter map[collector.GPUMetric]bool) {
	seen := make(map[string]bool, len(f.GPUs))
	settled := len(f.GPUs) > 0
	for i := range f.GPUs {
		g := &f.GPUs[i]
		g.ID = collector.Clean(g.ID)
		if g.ID == "" {
			settled = settled && g.State == helper.Lost
			continue
		}
		if seen[g.ID] {
			continue
		}
		seen[g.ID] = true
		a := m.gpus[g.ID]
		if a == nil {
			a = newAccount(g.ID, now)
			m.gpus[g.ID] = a
		}
		a.take(g, now, together, isCounter)
	}
	for id, a := range m.gpus {
		switch {
		case seen[id]:
		case settled && a.info.Parent == "":
			a.gone = true
		case a.info.Parent != "" && seen[a.info.Parent] && divided(m.gpus[a.info.Parent]):
			a.hidden = true
		}
	}
	m.taken = now
	m.forget(now)
}

// divided reports whether a GPU's list of instances can be relied upon.
func divided(parent *account) bool {
	return parent.state == helper.OK && parent.readAt.Known()
}

// forget drops GPUs that have been gone for a day, and the oldest of too many.
func (m *memory) forget(now time.Time) {
	var vanished []*account
	for id, a := range m.gpus {
		switch age := now.Sub(a.present); {
		case age > rememberFor:
			delete(m.gpus, id)
		case a.present.Before(m.taken):
			vanished = append(vanished, a)
		}
	}
	if len(vanished) <= maxVanished {
		return
	}
	slices.SortFunc(vanished, func(a, b *account) int { return a.present.Compare(b.present) })
	for _, a := range vanished[:len(vanished)-maxVanished] {
		delete(m.gpus, a.id)
	}
}

// xids adds what a helper has counted beyond what was taken over before. taken is changed.
func (m *memory) xids(f *helper.Frame, taken map[xidKey]uint64, note func(a *account, code string, n uint64)) {
	for _, x := range f.XIDs {
		a := m.gpus[collector.Clean(x.ID)]
		if a == nil { // of a GPU that was not seen yet: the next frame tells once more
			continue
		}
		code := codeOf(x.Code)
		k := xidKey{a.id, code}
		if x.N <= taken[k] || len(taken) >= 2*helper.MaxXIDs {
			continue
		}
		n := x.N - taken[k]
		taken[k] = x.N
		a.observe(code, n, x.Last)
		note(a, code, n)
	}
}

// codeOf is the label of an XID.
func codeOf(s string) string {
	if n, err := strconv.ParseUint(s, 10, 16); err == nil {
		return strconv.FormatUint(n, 10)
	}
	return collector.OtherClass
}

// spend adds the calls of a helper that is gone.
func (m *memory) spend(calls []collector.CallCost) { m.calls = addCalls(m.calls, calls) }

// shown are the accounts by id.
func (m *memory) shown() []*account {
	all := slices.SortedFunc(maps.Values(m.gpus), func(a, b *account) int { return cmp.Compare(a.id, b.id) })
	return slices.DeleteFunc(all, func(a *account) bool { return a.hidden })
}

// known is how many GPUs there were, and whether one of them is missing.
func (m *memory) known() (n int, missing bool) {
	for _, a := range m.gpus {
		if a.info.Parent == "" {
			n++
			missing = missing || a.gone || a.state == helper.Lost
		}
	}
	return n, missing
}
