package nvml

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// Bounds of what is remembered.
const (
	rememberFor = 24 * time.Hour // a GPU that is gone
	maxVanished = 256
	maxXIDCodes = 64 // of a GPU; the rest is collector.OtherClass
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
	shut     bool // its index cannot be opened
	said     bool // that it does not answer
	told     bool // and the log has it
	hung     bool // and that it hangs
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

// sight is the circumstances of a frame.
type sight struct {
	now       time.Time
	life      uint64        // number of the helper that sent it
	slow      time.Duration // what is the same after this long was read again
	together  time.Duration // how far apart counters may fall for one reason
	isCounter map[collector.GPUMetric]bool
}

// take takes over what a frame says of the GPU.
func (a *account) take(g *helper.GPU, s sight) {
	now := s.now
	a.info, a.present, a.state, a.pids = clean(g), now, g.State, g.PIDs
	a.gone, a.hidden, a.shut = false, false, false
	if g.State != helper.OK && g.State != helper.Slow {
		a.gauges = nil
		return
	}
	if !g.ReadAt.Known() {
		return
	}
	again := g.ReadAt == a.readAt
	a.readAt, a.read, a.gauges = g.ReadAt, now.Add(-g.Age), nil
	var counters []collector.GPUValue
	for _, v := range g.Values {
		switch {
		case v.Metric == collector.DeviceXIDErrors, v.Metric == collector.DeviceXIDLast, !finite(v.Value):
		case !s.isCounter[v.Metric]:
			a.gauges = append(a.gauges, v)
		case v.Value >= 0:
			counters = append(counters, v)
		}
	}
	if !again { // it is no other reading
		a.count(counters, s)
	}
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
		out = append(out, collector.GPUValue{Metric: k.metric, Label: k.label, Value: c.value()})
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
