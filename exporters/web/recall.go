package web

import (
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// series is a copy of a curve.
type series struct {
	metric collector.Metric
	label  string
	points []point
}

// of is all that is remembered of a job. A nil History remembers nothing.
func (h *History) of(k collector.Key) (all []series, phases []step) {
	if h == nil {
		return nil, nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	t := h.tracks[k]
	if t == nil {
		return nil, nil
	}
	for _, c := range t.curves {
		all = append(all, series{c.metric, c.label, c.points()})
	}
	return all, slices.Clone(t.phases)
}

// lossOf is the curve of a job's loss: that of training, or the first there is.
func (h *History) lossOf(k collector.Key) []point {
	if h == nil {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	t := h.tracks[k]
	if t == nil {
		return nil
	}
	if c := t.curve(collector.Loss, "train"); c != nil {
		return c.points()
	}
	for _, c := range t.curves {
		if c.metric == collector.Loss {
			return c.points()
		}
	}
	return nil
}

// changes tells drawings of a job apart.
func (h *History) changes(k collector.Key) uint64 {
	if h == nil {
		return 0
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if t := h.tracks[k]; t != nil {
		return t.changes
	}
	return 0
}

// homeless is how many running jobs found no room.
func (h *History) homeless() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.full
}
