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
	s.purse.polled(out.cost)
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
	s.weigh(it, j, every)
	now := time.Now()
	it.due, it.early = now.Add(s.wait(it, j, out, every)), time.Time{}
	if !out.failed && !j.Done() {
		it.early = now.Add(every)
	}
	it.again = false
	heap.Push(&s.queue, it)
}

func (s *Scheduler) wait(it *item, j *Job, out outcome, every time.Duration) time.Duration {
	if out.failed {
		it.fails++
		limit := min(max(every, time.Second)<<min(it.fails-1, 8), max(maxRetry, every))
		return limit/2 + rand.N(limit/2+1)
	}
	it.fails = 0
	if out.more || it.again {
		return 0
	}
	if !j.Done() {
		every = s.stretch(every)
	}
	return every
}

// weigh adds to the demand what a job asks for. A job that is done is asked a few times more, and adds nothing.
func (s *Scheduler) weigh(it *item, j *Job, every time.Duration) {
	if !j.Done() {
		it.rate = 1 / max(every, time.Millisecond).Seconds()
		s.demand += it.rate
	}
}

// stretch lengthens intervals together when the polls that are due would use up the budget.
func (s *Scheduler) stretch(every time.Duration) time.Duration {
	return time.Duration(float64(every) * max(1, s.purse.load(s.demand, s.listEvery())))
}

// listEvery is how long to wait between listings: they may take half of the budget, or all of it where nothing else is asked.
func (s *Scheduler) listEvery() time.Duration {
	share := 0.5
	if s.follower == nil {
		share = 1
	}
	return max(s.cadence.List, s.purse.listing(share))
}

// interval is how long a job can wait from one poll to the next; false if it need not be asked again.
func (s *Scheduler) interval(j *Job) (time.Duration, bool) {
	switch {
	case j.Gone && j.Missing >= goneAfter:
		return s.lost(j), true
	case j.Gone: // off the list: asked again when it is listed again
		return 0, false
	case j.Phase.Ended() && j.Trace.Open: // the end is not explained yet
		return s.cadence.Running, true
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

// reportDemand tells what polling as often as is wanted would cost, as a share of the budget.
func (s *Scheduler) reportDemand() {
	if p, ok := s.source.(Paced); ok {
		s.purse.rate = p.Cadence().Rate
	}
	if s.purse.rate > 0 {
		s.health.Demand(s.purse.wanted(max(s.demand, 0), s.cadence.List) / s.purse.rate)
	}
}

// tellBudget logs that jobs do not fit the budget, once, and again when it gets twice as bad or passes.
func (s *Scheduler) tellBudget() {
	if s.purse.rate <= 0 {
		return
	}
	wanted := s.purse.wanted(max(s.demand, 0), s.cadence.List)
	ratio := wanted / s.purse.rate
	switch {
	case ratio > 1 && ratio >= 2*s.told:
		s.log.log.Warn("the jobs do not fit the request budget: they are asked less often than configured",
			"jobs", len(s.items), "requests_per_second_wanted", wanted, "requests_per_second_allowed", s.purse.rate,
			"running_interval", s.stretch(s.cadence.Running).Round(time.Second), "configured", s.cadence.Running,
			"list_interval", s.listEvery().Round(time.Second))
		s.told = ratio
	case ratio <= 1 && s.told > 0:
		s.log.log.Info("the jobs fit the request budget again", "jobs", len(s.items))
		s.told = 0
	}
}
