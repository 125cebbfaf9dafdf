package runai

import (
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// memo is what is known of a job besides its record, until the program ends. None of it is needed for correct counts.
// It is guarded by the source's lock.
type memo struct {
	listed  time.Time      // when a listing last had it
	mark    string         // its phase and when that began, by the listing
	updated collector.Time // updatedAt, by the listing
	running bool

	rows    int       // of events that the last poll had in its window
	metrics time.Time // when they were last asked for
	oddities

	historyFails int       // in a row
	historyAfter time.Time // not read before

	allocated bool     // the listing says how many GPUs it holds
	pods      bool     // and how many pods
	gave      []string // names of numbers that the listing gave
	podsGiven []string // labels of pods that run, sorted

	revisions     []workload // of an inference workload, by the last answer
	revisionsMark collector.Time
	revisionsAt   time.Time
}

// oddities are names of fields that were not understood, each told once for a job.
type oddities struct{ told []string }

// fresh are those of the names that were not told yet.
func (o *oddities) fresh(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(o.told, n) {
			o.told = append(o.told, n)
			out = append(out, n)
		}
	}
	return out
}

// with calls do with what is known of a job.
func (s *Source) with(id string, do func(m *memo)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memos[id]
	if m == nil {
		m = &memo{}
		s.memos[id] = m
	}
	do(m)
}

// look is a copy of what is known of a job.
func (s *Source) look(id string) memo {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.memos[id]; m != nil {
		return *m
	}
	return memo{}
}

// forgetAfter is how long a job that is listed no more is remembered.
const forgetAfter = 2 * time.Hour

// forget drops the jobs that no listing had for a while.
func (s *Source) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, m := range s.memos {
		if now.Sub(m.listed) > forgetAfter {
			delete(s.memos, id)
		}
	}
}
