package nvmltest

import (
	"maps"
	"math"
	"time"
)

// now is the GPU at t.
func (v *virtual) now(t time.Time) *moment {
	return v.at(v.g.spell(t), math.Max(0, t.Sub(v.s.Epoch).Seconds()))
}

// totals are what the GPU has counted until t, and how warm it is then.
func (v *virtual) totals(t time.Time) Totals {
	n := v.now(t)
	sum := n.counted()
	sum.Celsius = n.celsius()
	return sum
}

// counted is the base of the spell and what came since.
func (n *moment) counted() Totals {
	sum := func(s signal) float64 { return n.rhythm.sum(s, n.from, n.x) }
	d := n.x - n.from
	t := n.sp.Base
	t.Throttled = maps.Clone(t.Throttled)
	t.Energy += sum(n.power) * n.m.power
	t.PCIeReceived += sum(n.pcieReceive)
	t.PCIeSent += sum(n.pcieSend)
	t.NVLinkReceived += sum(n.nvlink)
	t.NVLinkSent += sum(n.nvlink)
	t.Replays += d * n.replays
	for reason, rate := range n.throttle {
		if t.Throttled == nil {
			t.Throttled = map[string]float64{}
		}
		t.Throttled[reason] += d * rate
	}
	if n.faults {
		// One at once and then one in a minute; each makes the driver remap a row.
		errors := 1 + math.Floor(d/60)
		t.Uncorrected += errors
		t.RemappedRows += errors
	}
	return t
}
