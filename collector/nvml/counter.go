package nvml

import (
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

const (
	maxCounters  = helper.MaxValues // of a GPU
	resetsWithin = time.Minute      // counters that fall so soon after another fell for the same reason, if the slow interval is no longer
	nearZero     = 0.1              // of what a counter was: what fell below began anew
)

type valueKey struct {
	metric collector.GPUMetric
	label  string
}

// counter goes on where the driver's begins anew.
//
// A driver may give a wrong number once. So a fall is not believed before another reading is below what the counter was, too; and
// then only if it looks like a beginning: other counters of the GPU fell with it, or a new helper saw it first, or it is near 0. A
// counter that fell a little stays as it is until the driver's is beyond that.
type counter struct {
	base, raw float64 // what is shown is the sum
	fell      uint64  // epoch in which it last began anew

	last  float64 // as the driver had it last
	life  uint64  // the helper that told so
	doubt *doubt  // of a fall; nil without
}

type doubt struct {
	since   time.Time
	raw     float64 // what it fell to
	anew    bool    // a new helper saw it first
	several bool    // others fell with it
}

func (c *counter) value() float64 { return c.base + c.raw }

// count takes counters as the driver has them.
func (a *account) count(vs []collector.GPUValue, s sight) {
	falls := 0
	for _, v := range vs {
		if c := a.counters[valueKey{v.Metric, v.Label}]; c != nil && v.Value < c.last {
			falls++
		}
	}
	for _, v := range vs {
		k := valueKey{v.Metric, v.Label}
		c := a.counters[k]
		switch {
		case c != nil:
			if c.take(v.Value, falls > 1, a.began(s), s) {
				a.anew(c, v.Value, s)
			}
		case len(a.counters) < maxCounters:
			a.counters[k] = &counter{raw: v.Value, last: v.Value, life: s.life}
		}
	}
}

// began reports whether a counter of the GPU began anew lately.
func (a *account) began(s sight) bool { return a.epoch > 0 && s.now.Sub(a.resetAt) <= s.together }

// take takes a reading and reports whether the counter began anew: others fell just now, or began anew lately.
func (c *counter) take(raw float64, several, began bool, s sight) bool {
	d, last, life := c.doubt, c.last, c.life
	c.last, c.life = raw, s.life
	switch {
	case raw >= c.raw:
		c.raw, c.doubt = raw, nil
	case d == nil && raw < last:
		c.doubt = &doubt{since: s.now, raw: raw, anew: life != s.life, several: several || began}
	case d == nil: // a little less for some time
	case raw == d.raw && s.now.Sub(d.since) <= s.slow: // the same reading, perhaps
	default: // the second one
		c.doubt = nil
		return d.anew || life != s.life && raw < last || d.several || began || raw < nearZero*c.raw
	}
	return false
}

// anew goes on from what a counter was.
func (a *account) anew(c *counter, raw float64, s sight) {
	if c.fell == a.epoch || !a.began(s) {
		a.epoch++
		a.resets++
		a.resetAt = s.now
	}
	c.base += c.raw
	c.raw = raw
	c.fell = a.epoch
}
