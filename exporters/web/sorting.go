package web

import (
	"cmp"
	"math"
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// place is where a job stands in an order.
type place struct {
	job    *collector.Job
	text   string
	first  float64
	second int64
	known  bool
}

func comparePlaces(down bool) func(a, b place) int {
	sign := 1
	if down {
		sign = -1
	}
	return func(a, b place) int {
		if a.known != b.known {
			if a.known {
				return -1
			}
			return 1
		}
		if c := cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.second, b.second)); c != 0 {
			return sign * c
		}
		if a.text != b.text {
			return sign * cmp.Compare(a.text, b.text)
		}
		return compareKeys(a.job, b.job)
	}
}

// smallest are the n smallest, in no order: a heap of them with the largest on top takes each once.
func smallest[T any](all []T, n int, compare func(a, b T) int) []T {
	if n >= len(all) {
		return all
	}
	heap := make([]T, 0, n)
	heap = append(heap, all[:n]...)
	for i := n/2 - 1; i >= 0; i-- {
		sink(heap, i, compare)
	}
	for _, p := range all[n:] {
		if n > 0 && compare(p, heap[0]) < 0 {
			heap[0] = p
			sink(heap, 0, compare)
		}
	}
	return heap
}

func sink[T any](heap []T, i int, compare func(a, b T) int) {
	for {
		largest := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(heap); c++ {
			if compare(heap[c], heap[largest]) > 0 {
				largest = c
			}
		}
		if largest == i {
			return
		}
		heap[i], heap[largest] = heap[largest], heap[i]
		i = largest
	}
}

func (o *overview) place(column string, j *collector.Job) place {
	p := place{job: j, known: true}
	switch column {
	case "name":
		p.text = displayName(j)
	case "source":
		p.text = j.Key.Source
	case "phase":
		p.first = float64(slices.Index(collector.Phases(), j.Phase))
	case "progress":
		p.first, p.known = progressOf(j)
	case "loss":
		_, p.first, p.known = lossOf(j)
		if p.known && math.IsNaN(p.first) {
			p.first = math.Inf(1)
		}
	case "rate":
		p.first, _, p.known = rateOf(j)
	case "step":
		p.second, p.known = int64(j.LastStep), j.LastStep.Known()
	case "cost":
		p.first, _, p.known = costOf(j)
	case "began":
		began := firstKnown(j.Started, j.Created, j.FirstSeen)
		p.second, p.known = int64(began), began.Known()
	default:
		p.first, p.second = o.rank(j)
	}
	return p
}

// rank puts what is wrong now first, then what has failed within the hour, warnings, what runs, what waits, and what ended last; the
// newest first in each.
func (o *overview) rank(j *collector.Job) (class float64, newest int64) {
	switch m := o.marks[j]; {
	case m.now && m.level == critical:
		return 0, -int64(j.LastStep)
	case m.level == critical:
		return 0.25, -int64(endOf(j))
	case m.now:
		return 0.5, -int64(j.Updated)
	case m.level > fine:
		return 0.75, -int64(endOf(j))
	}
	switch j.Phase {
	case collector.Running, collector.Initializing, collector.Stopping:
		return 2, -int64(firstKnown(j.Started, j.Since))
	case collector.Pending, collector.Paused:
		return 3, -int64(j.Since)
	case collector.Unknown:
		return 4, -int64(j.Updated)
	}
	return 5, -int64(endOf(j))
}

func firstKnown(times ...collector.Time) collector.Time {
	for _, t := range times {
		if t.Known() {
			return t
		}
	}
	return 0
}
