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

// memory is what outlives helpers, and goes from a monitor to the one that replaces it.
type memory struct {
	began  collector.Time
	gpus   map[string]*account
	taken  time.Time // when the last frame came
	starts uint64
	exits  map[string]uint64
	calls  []collector.CallCost // of helpers that are gone
	spent  map[string]float64   // what was last shown of their time, by group
}

func newMemory(now time.Time) *memory {
	return &memory{began: collector.TimeOf(now), gpus: map[string]*account{}, exits: map[string]uint64{}, spent: map[string]float64{}}
}

// take takes over a frame.
func (m *memory) take(f *helper.Frame, s sight) {
	now := s.now
	seen := make(map[string]bool, len(f.GPUs))
	settled := len(f.GPUs) > 0
	shut := map[string]bool{} // by index
	for i := range f.GPUs {
		g := &f.GPUs[i]
		g.ID = collector.Clean(g.ID)
		if g.ID == "" {
			settled = settled && unopened(g)
			shut[strconv.Itoa(g.Index)] = true
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
		a.take(g, s)
	}
	for id, a := range m.gpus {
		switch {
		case seen[id]:
		case settled && a.info.Parent == "":
			a.gone, a.shut = true, shut[a.info.Index]
		case a.info.Parent != "" && seen[a.info.Parent] && divided(m.gpus[a.info.Parent]):
			a.hidden = true
		}
	}
	m.taken = now
	m.forget(now)
}

// unopened reports whether a GPU could not be opened, as against one that was not opened yet: whether it is one that was seen
// before can be found out no more.
func unopened(g *helper.GPU) bool {
	return g.ID == "" && g.State != helper.Slow && g.State != helper.OK
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

// rising lets no sum of seconds fall where the same numbers are added in another order.
func (m *memory) rising(calls []collector.CallCost) []collector.CallCost {
	for i := range calls {
		c := &calls[i]
		c.Seconds = max(c.Seconds, m.spent[c.Group])
		m.spent[c.Group] = c.Seconds
	}
	return calls
}

// shown are the accounts by id.
func (m *memory) shown() []*account {
	all := slices.SortedFunc(maps.Values(m.gpus), func(a, b *account) int { return cmp.Compare(a.id, b.id) })
	return slices.DeleteFunc(all, func(a *account) bool { return a.hidden })
}

// known is how many GPUs there are or were.
func (m *memory) known() (n int) {
	for _, a := range m.gpus {
		if a.info.Parent == "" {
			n++
		}
	}
	return n
}

// numbers are the indices and the device files' numbers of GPUs, with when their owners were last in a frame.
type numbers struct{ index, minor map[string]time.Time }

// owners are those whose numbers they are now: the driver gives those of a GPU that is gone to another.
func (m *memory) owners() numbers {
	o := numbers{map[string]time.Time{}, map[string]time.Time{}}
	for _, a := range m.gpus {
		if a.info.Parent == "" {
			o.index[a.info.Index] = later(o.index[a.info.Index], a.present)
			o.minor[a.info.Minor] = later(o.minor[a.info.Minor], a.present)
		}
	}
	return o
}

// number takes numbers that are another GPU's now off what is shown of one. An instance has its GPU's.
func (m *memory) number(a *account, i *collector.GPUInfo, o numbers) {
	whole := a
	if p := m.gpus[a.info.Parent]; p != nil {
		whole = p
	}
	if i.Minor != "" && whole.present.Before(o.minor[i.Minor]) {
		i.Index, i.Minor = "", ""
	}
	if whole.present.Before(o.index[i.Index]) {
		i.Index = ""
	}
}
