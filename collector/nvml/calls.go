package nvml

import (
	"math"
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// Bounds of what is shown of calls. A helper has fewer of each.
const (
	maxGroups = 32
	maxErrors = 64 // codes of a group
)

// addCalls is the sum of calls of two helpers. The longest call is the second one's, if it made any.
func addCalls(past, now []collector.CallCost) []collector.CallCost {
	out := slices.Clone(past)
	for i := range out {
		out[i].Errors = slices.Clone(out[i].Errors)
	}
	for _, c := range now {
		i := slices.IndexFunc(out, func(o collector.CallCost) bool { return o.Group == collector.Clean(c.Group) })
		if i < 0 {
			if len(out) >= maxGroups {
				continue
			}
			i = len(out)
			out = append(out, collector.CallCost{Group: collector.Clean(c.Group)})
		}
		o := &out[i]
		o.N += c.N
		if finite(c.Seconds) && c.Seconds > 0 {
			o.Seconds += c.Seconds
		}
		if finite(c.Max) {
			o.Max = c.Max
		}
		for _, e := range c.Errors {
			o.Errors = addCount(o.Errors, collector.Clean(e.Name), e.N)
		}
	}
	return out
}

func addCount(to []collector.Count, name string, n uint64) []collector.Count {
	i := slices.IndexFunc(to, func(c collector.Count) bool { return c.Name == name })
	if i < 0 {
		if len(to) >= maxErrors {
			return to
		}
		i = len(to)
		to = append(to, collector.Count{Name: name})
	}
	to[i].N += n
	return to
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
