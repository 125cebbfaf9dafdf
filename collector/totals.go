package collector

import (
	"cmp"
	"slices"
)

// Totals are a source's counts since the bridge first read it. They outlive jobs and restarts: they are committed together
// with the jobs they count. Values are immutable once published. The identity Read = counted + Duplicate + Quarantined holds
// in every commit.
type Totals struct {
	Source string     `cbor:"1,keyasint"`
	Birth  Time       `cbor:"2,keyasint"`
	Events []EventSum `cbor:"3,keyasint,omitempty"` // sorted by type and reason
	Ended  []EndedSum `cbor:"4,keyasint,omitempty"` // sorted by result and error type

	Read        uint64 `cbor:"5,keyasint,omitempty"` // items in pages
	Duplicate   uint64 `cbor:"6,keyasint,omitempty"` // seen before
	Quarantined uint64 `cbor:"7,keyasint,omitempty"` // could not be read
	Late        uint64 `cbor:"8,keyasint,omitempty"` // shown by a full count but never by the pages read
	Gaps        uint64 `cbor:"9,keyasint,omitempty"` // times the provider had pruned unread events
	Mismatches  uint64 `cbor:"10,keyasint,omitempty"`

	Unknown   []Count     `cbor:"11,keyasint,omitempty"` // fields not understood, by name
	Durations []ResultSum `cbor:"12,keyasint,omitempty"` // of ended jobs
	Queues    []ResultSum `cbor:"13,keyasint,omitempty"` // time before the start, of ended jobs
	LastEvent Time        `cbor:"14,keyasint,omitempty"`
	Held      uint64      `cbor:"15,keyasint,omitempty"` // values of free-form names beyond the limit of a job
}

// EventSum counts events of one type and reason.
type EventSum struct {
	Type   EventType `cbor:"1,keyasint"`
	Reason string    `cbor:"2,keyasint,omitempty"`
	N      uint64    `cbor:"3,keyasint"`
}

// EndedSum counts jobs that ended one way.
type EndedSum struct {
	Result    Result `cbor:"1,keyasint"`
	ErrorType string `cbor:"2,keyasint,omitempty"`
	N         uint64 `cbor:"3,keyasint"`
}

// ResultSum is a distribution over jobs that ended one way.
type ResultSum struct {
	Result    Result     `cbor:"1,keyasint"`
	Histogram *Histogram `cbor:"2,keyasint"`
}

// Tally is what one reduction adds to the totals of the source.
type Tally struct {
	Events      []EventSum
	Ended       []EndedSum // of jobs, at most one
	Read        uint64
	Duplicate   uint64
	Quarantined uint64
	Late        uint64
	Gaps        uint64
	Mismatches  uint64
	Held        uint64
	Unknown     []string
	LastEvent   Time
}

// with returns t plus a tally and, where the job just ended, its durations.
func (t *Totals) with(a Tally, ended *Job) *Totals {
	next := *t
	next.Events = slices.Clone(t.Events)
	for _, e := range a.Events {
		next.Events = addEvents(next.Events, e)
	}
	next.Read += a.Read
	next.Duplicate += a.Duplicate
	next.Quarantined += a.Quarantined
	next.Late += a.Late
	next.Gaps += a.Gaps
	next.Mismatches += a.Mismatches
	next.Held += a.Held
	next.LastEvent = max(t.LastEvent, a.LastEvent)
	next.Unknown = slices.Clone(t.Unknown)
	for _, name := range a.Unknown {
		next.Unknown = bump(next.Unknown, name, maxUnknown)
	}
	next.Ended = slices.Clone(t.Ended)
	for _, e := range a.Ended {
		next.Ended = addEnded(next.Ended, e)
		next.Durations, next.Queues = withTimes(t.Durations, t.Queues, e.Result, ended)
	}
	return &next
}

// maxUnknown bounds the names of fields that were not understood; further ones are counted together.
const maxUnknown = 64

// bump adds one to a named counter of a sorted list of at most limit names, of which the last is [OtherClass].
func bump(counts []Count, name string, limit int) []Count {
	i, found := slices.BinarySearchFunc(counts, name, func(c Count, n string) int { return cmp.Compare(c.Name, n) })
	switch {
	case found:
		counts[i].N++
	case len(counts) < limit || name == OtherClass:
		counts = slices.Insert(counts, i, Count{name, 1})
	default:
		counts = bump(counts, OtherClass, limit)
	}
	return counts
}

// maxReasons bounds the pairs of event type and reason of a source; further reasons are counted together.
const maxReasons = 256

func addEvents(sums []EventSum, e EventSum) []EventSum {
	i, found := slices.BinarySearchFunc(sums, e, func(a, b EventSum) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Reason, b.Reason))
	})
	if found {
		sums[i].N += e.N
		return sums
	}
	if len(sums) >= maxReasons && e.Reason != OtherClass && e.Reason != "" {
		e.Reason = OtherClass
		return addEvents(sums, e)
	}
	return slices.Insert(sums, i, e)
}

func addEnded(sums []EndedSum, e EndedSum) []EndedSum {
	i, found := slices.BinarySearchFunc(sums, e, func(a, b EndedSum) int {
		return cmp.Or(cmp.Compare(a.Result, b.Result), cmp.Compare(a.ErrorType, b.ErrorType))
	})
	if found {
		sums[i].N += e.N
		return sums
	}
	return slices.Insert(sums, i, e)
}

// withTimes adds how long an ended job waited and ran, where both moments are known to better than the backlog.
func withTimes(durations, queues []ResultSum, r Result, j *Job) (d, q []ResultSum) {
	if j.Started.Known() && j.Ended > j.Started {
		durations = observeResult(durations, r, j.Ended.Sub(j.Started).Seconds())
	}
	if j.Created.Known() && j.Started >= j.Created {
		queues = observeResult(queues, r, j.Started.Sub(j.Created).Seconds())
	}
	return durations, queues
}

func observeResult(sums []ResultSum, r Result, seconds float64) []ResultSum {
	sums = slices.Clone(sums)
	i, found := slices.BinarySearchFunc(sums, r, func(s ResultSum, r Result) int { return cmp.Compare(s.Result, r) })
	if !found {
		sums = slices.Insert(sums, i, ResultSum{Result: r})
	}
	sums[i].Histogram = sums[i].Histogram.With(seconds)
	return sums
}
