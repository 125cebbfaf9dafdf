package collector

import (
	"container/heap"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

func spread(k Key, every time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(k.ID))
	return time.Duration(h.Sum64() % uint64(max(every, 1)))
}

// reschedule decides when a job that was just asked is due again.
func (s *Scheduler) reschedule(out outcome) {
	defer s.reportDemand()
	it, j := s.items[out.key], s.store.Job(out.key)
	s.demand -= it.rate
	it.rate = 0
	every, ok := time.Duration(0), false
	if j != nil {
		every, ok = s.interval(j)
	}
	if !ok {
		delete(s.items, out.key)
		return
	}
	it.asked = max(it.asked, out.asked)
	it.due = time.Now().Add(s.wait(it, j, out, every))
	heap.Push(&s.queue, it)
}

func (s *Scheduler) wait(it *item, j *Job, out outcome, every time.Duration) time.Duration {
	if out.failed {
		it.fails++
		limit := min(max(every, time.Second)<<min(it.fails-1, 8), max(maxRetry, every))
		return limit/2 + rand.N(limit/2+1)
	}
	it.fails = 0
	if out.more {
		return 0
	}
	if !j.Done() {
		it.rate = 1 / max(every, time.Millisecond).Seconds()
		s.demand += it.rate
		every = s.stretch(every)
	}
	return every
}

// stretch lengthens intervals together when the polls that are due would use up the budget.
func (s *Scheduler) stretch(every time.Duration) time.Duration {
	if s.cadence.Rate <= 0 {
		return every
	}
	ratio := s.demand / s.cadence.Rate
	return time.Duration(float64(every) * max(1, ratio/fullAt))
}

// interval is how long a job can wait from one poll to the next; false if it need not be asked again.
func (s *Scheduler) interval(j *Job) (time.Duration, bool) {
	switch {
	case j.Gone && j.Missing >= goneAfter:
		return s.lost(j), true
	case j.Gone: // off the list: asked again when it is listed again
		return 0, false
	case j.Phase.Ended():
		if int(j.Reconciled) >= len(s.cadence.Reconcile) {
			return 0, false
		}
		return max(time.Until(j.Since.Add(s.cadence.Reconcile[j.Reconciled]).Std()), 0), true
	case j.Phase == Running, j.Phase == Stopping:
		return s.cadence.Running, true
	case j.Phase == Paused:
		return s.cadence.Paused, true
	}
	return s.cadence.Queued, true
}

// lost is how long to wait for a job that polls do not find: half as long as it has been away, so that a router's bad minute
// costs a minute, and a job that is really gone costs little.
func (s *Scheduler) lost(j *Job) time.Duration {
	away := time.Since(j.Since.Std())
	if j.Hidden {
		return hiddenInterval
	}
	return min(max(away/2, s.cadence.Running), lostInterval)
}

func (s *Scheduler) reportDemand() {
	if s.cadence.Rate > 0 {
		s.health.Demand(max(s.demand, 0) / s.cadence.Rate)
	}
}
