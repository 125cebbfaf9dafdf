package nvml

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/assign"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// onceInterval is between the ticks of Once.
const onceInterval = model.Duration(time.Second)

// show publishes a view.
func (m *Monitor) show(now time.Time) {
	m.memory.forget(now)
	h := m.host(now)
	v := &collector.GPUView{Host: h}
	owners := m.memory.owners()
	for _, a := range m.memory.shown() {
		g := m.gpu(a, h.Up, now)
		m.memory.number(a, &g.Info, owners)
		if g.Up && g.Info.Parent == "" {
			h.Seen++
		}
		v.GPUs = append(v.GPUs, g)
	}
	if m.config.DCGMNames != dcgmOff {
		m.dcgm = collector.NextDCGMViews(m.dcgm, h, v.GPUs, m.config.DCGMNames == dcgmRenamed)
		v.DCGM = m.dcgm
	}
	m.sayHost(h)
	m.sayShut()
	for _, g := range v.GPUs {
		m.sayGPU(m.memory.gpus[g.ID], g.Up, now)
	}
	m.lookSoon(v.GPUs)
	m.env.Publish(v)
}

func (m *Monitor) host(now time.Time) *collector.GPUHost {
	h := &collector.GPUHost{
		Name: m.env.Hostname, Up: m.readable(now), Versions: m.versions,
		Helpers: int(m.alive.Load()), Starts: m.memory.starts, Began: m.memory.began, Calls: m.memory.calls,
		Assigned: m.looking.result.Sources,
	}
	if n := m.config.Expected; n != nil {
		expected := *n
		h.Expected = &expected
	}
	if m.current != nil {
		if m.coming != nil {
			h.Calls = addCalls(h.Calls, m.coming.calls)
		}
		h.Calls = addCalls(h.Calls, m.current.calls)
	}
	h.Calls = m.memory.rising(slices.Clone(h.Calls))
	for _, why := range endings() {
		h.Exits = append(h.Exits, collector.Count{Name: why, N: m.memory.exits[why]})
	}
	if h.Up {
		h.Listed = listed(m.frame)
	} else {
		h.Fault, h.Detail = m.whyNot(now)
	}
	return h
}

// readable reports whether GPUs are read.
func (m *Monitor) readable(now time.Time) bool {
	return !m.good.IsZero() && now.Sub(m.good) <= m.config.stale()
}

// whyNot is why GPUs are not read.
func (m *Monitor) whyNot(now time.Time) (fault, detail string) {
	switch {
	case m.fault != "":
		return m.fault, m.detail
	case m.current != nil && !m.current.answered.IsZero():
		return endedSilent, "the helper has said nothing for " + now.Sub(m.current.heard).Round(time.Second).String()
	default:
		return helper.Starting, "the driver is being initialised"
	}
}

func (m *Monitor) gpu(a *account, hostUp bool, now time.Time) *collector.GPU {
	up := hostUp && a.up(now, m.config.stale())
	return &collector.GPU{
		ID: a.id, Info: a.info, Up: up, ReadAt: a.readAt, Values: a.values(up, m.config.Processes), Resets: a.resets, Since: a.since,
		Jobs: m.looking.result.Jobs[a.id], Pods: m.looking.result.Pods[a.id],
	}
}

// complete reports whether there is nothing to wait for: every GPU was read, twice where a first sample alone tells nothing, or does
// not answer; or no GPU can be read.
func (m *Monitor) complete() bool {
	if m.fault != "" {
		return true
	}
	if m.good.IsZero() {
		return false
	}
	need := uint64(1)
	if *m.config.Profiling {
		need = 2
	}
	for i := range m.frame.GPUs {
		g := &m.frame.GPUs[i]
		if g.State == helper.Slow || g.State == helper.OK && g.Rounds < need {
			return false
		}
	}
	return m.lookedSince()
}

func cleanVersions(v collector.DriverVersions) collector.DriverVersions {
	return collector.DriverVersions{Driver: collector.Clean(v.Driver), NVML: collector.Clean(v.NVML), CUDA: collector.Clean(v.CUDA)}
}

// known is a fault of the closed set.
func known(fault string) string {
	if slices.Contains(collector.GPUFaults(), fault) {
		return fault
	}
	return collector.OtherClass
}

// assignable are GPUs as package assign asks for them.
func (m *Monitor) assignable(gpus []*collector.GPU) []assign.GPU {
	out := make([]assign.GPU, len(gpus))
	for i, g := range gpus {
		out[i] = assign.GPU{
			ID: g.ID, Index: g.Info.Index, Minor: g.Info.Minor, Parent: g.Info.Parent, Instance: g.Info.Instance,
		}
		if g.Up {
			out[i].PIDs = m.memory.gpus[g.ID].pids
		}
	}
	return out
}
