package collector

import (
	"cmp"
	"container/heap"
	"context"
	"log/slog"
	"sync"
	"time"
)

// Scheduler owns the time of one source: when to list it and when to follow each job. Jobs are polled in the order in which
// they are due, by a bounded number of workers, so that no job starves and a slow source delays only itself.
type Scheduler struct {
	name     string
	source   Source
	follower Follower // nil if the source has only a listing
	cadence  Cadence
	recorder *Recorder
	store    *Store
	health   *Health
	log      *limitedLog
	budget   Money  // of jobs that say nothing themselves
	currency string // of budgets that name none

	queue  queue
	items  map[Key]*item
	demand float64   // polls per second of all items
	purse  purse     // what polls and listings may cost
	told   float64   // the demand ratio that the log was told of
	probed time.Time // when a source without jobs was last asked; owned by the listing under way
}

const (
	pollWithin     = 45 * time.Second
	listWithin     = 5 * time.Minute
	maxRetry       = 5 * time.Minute
	lostInterval   = 10 * time.Minute // the longest wait for a job that polls do not find
	hiddenInterval = time.Hour        // of a job that was not found for so long that its series left
	probeEvery     = time.Minute      // of a source without jobs
)

// NewScheduler returns the scheduler of one source, which polls with the source's cadence if it is [Paced].
func NewScheduler(name string, src Source, r *Recorder, s *Store, h *Health, log *slog.Logger) *Scheduler {
	c := DefaultCadence()
	if p, ok := src.(Paced); ok {
		c = c.with(p.Cadence())
	}
	f, _ := src.(Follower)
	out := &Scheduler{
		name: name, source: src, follower: f, cadence: c, recorder: r, store: s, health: h,
		log: newLimitedLog(log.With("source", name)), items: map[Key]*item{}, purse: newPurse(c.Rate, c.Burst),
	}
	if b, ok := src.(Budgeted); ok {
		out.budget, out.currency = b.Budget()
	}
	return out
}

func (c Cadence) with(o Cadence) Cadence {
	c.List = cmp.Or(o.List, c.List)
	c.Queued = cmp.Or(o.Queued, c.Queued)
	c.Running = cmp.Or(o.Running, c.Running)
	c.Paused = cmp.Or(o.Paused, c.Paused)
	c.Rate = cmp.Or(o.Rate, c.Rate)
	c.Burst = cmp.Or(o.Burst, c.Burst)
	c.Workers = cmp.Or(o.Workers, c.Workers)
	if o.Reconcile != nil {
		c.Reconcile = o.Reconcile
	}
	return c
}

// outcome is what a worker reports about one poll.
type outcome struct {
	key    Key
	asked  Time // when the answer came; unknown if there was none
	more   bool
	failed bool
	cost   int64 // requests made
}

// listDone is what a listing leaves for the queue.
type listDone struct {
	soon []Key // jobs with news that only a poll tells
	cost int64 // requests made
}

// Run polls until ctx ends and returns when nothing it started is left.
func (s *Scheduler) Run(ctx context.Context) error {
	work, done := make(chan *item), make(chan outcome)
	lists := make(chan listDone, 1)
	wake, added := s.store.Added(s.name)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(work)
	for range s.cadence.Workers {
		wg.Go(func() { s.worker(ctx, work, done) })
	}
	added() // what is known already is taken up by resume
	s.resume()
	listing := s.startList(ctx, &wg, lists)
	nextList := time.Time{}
	idle := s.cadence.Workers
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		idle -= s.dispatch(work, idle)
		timer.Reset(s.untilNext(idle, listing, nextList))
		select {
		case <-ctx.Done():
			return s.await(done, s.cadence.Workers-idle)
		case <-timer.C:
			if !listing && !time.Now().Before(nextList) {
				listing = s.startList(ctx, &wg, lists)
			}
		case l := <-lists:
			s.admit(added())
			s.hurry(l.soon)
			s.purse.listed(l.cost)
			listing, nextList = false, time.Now().Add(s.listEvery())
			s.reportDemand()
			s.tellBudget()
		case <-wake:
			s.admit(added())
		case out := <-done:
			idle++
			s.reschedule(out)
		}
	}
}

func (s *Scheduler) startList(ctx context.Context, wg *sync.WaitGroup, lists chan<- listDone) bool {
	wg.Go(func() {
		counted, cost := withCost(ctx)
		soon := s.list(counted)
		lists <- listDone{soon: soon, cost: cost.Load()}
	})
	return true
}

// await takes the outcomes of polls under way, so that their workers can leave.
func (s *Scheduler) await(done <-chan outcome, busy int) error {
	for range busy {
		<-done
	}
	return nil
}

func (s *Scheduler) worker(ctx context.Context, work <-chan *item, done chan<- outcome) {
	for it := range work {
		done <- s.poll(ctx, it.key, it.asked)
	}
}

// dispatch hands due polls to idle workers and returns how many.
func (s *Scheduler) dispatch(work chan<- *item, idle int) (n int) {
	now := time.Now()
	for n < idle && len(s.queue) > 0 && !now.Before(s.queue[0].next(&s.purse, now)) && s.purse.take(now) {
		it := heap.Pop(&s.queue).(*item)
		work <- it
		n++
	}
	lag := time.Duration(0)
	if len(s.queue) > 0 {
		lag = now.Sub(s.queue[0].due)
	}
	s.health.Lag(lag)
	return n
}

func (s *Scheduler) untilNext(idle int, listing bool, nextList time.Time) time.Duration {
	wait := time.Hour
	if !listing {
		wait = time.Until(nextList)
	}
	if idle > 0 && len(s.queue) > 0 {
		now := time.Now()
		wait = min(wait, max(s.queue[0].next(&s.purse, now).Sub(now), s.purse.wait(now)))
	}
	return max(wait, 0)
}

// resume takes up the jobs that the ledger knows, spread over one interval so that a restart is no stampede.
func (s *Scheduler) resume() {
	now := time.Now()
	for _, j := range s.store.JobsOf(s.name) {
		s.add(j, now)
	}
	for _, it := range s.queue {
		if every, ok := s.interval(s.store.Job(it.key)); ok {
			it.due = now.Add(spread(it.key, s.stretch(every)))
		}
	}
	heap.Init(&s.queue)
}

// admit asks new jobs, and those that came back, at once.
func (s *Scheduler) admit(added []Key) {
	now := time.Now()
	for _, k := range added {
		it, j := s.items[k], s.store.Job(k)
		switch {
		case j == nil:
		case it == nil && j.Phase.Ended(): // what runs is more urgent than how something ended before we looked
			s.add(j, now.Add(s.cadence.Running))
		case it == nil:
			s.add(j, now)
		default:
			s.advance(it, now)
		}
	}
}

// hurry asks jobs of which a listing had news before their time. Those that ended come before all others: what a listing shows
// of an end is half of it.
func (s *Scheduler) hurry(keys []Key) {
	now := time.Now()
	for _, k := range keys {
		it, j := s.items[k], s.store.Job(k)
		switch {
		case j == nil:
			continue
		case it == nil:
			s.add(j, now)
			it = s.items[k]
		}
		if it != nil {
			s.advance(it, now)
		}
		if it != nil && it.place > 0 && it.fails == 0 && j.Trace.Open {
			it.due = s.queue[0].due.Add(-1)
			heap.Fix(&s.queue, it.place)
		}
	}
}

// advance makes a job due now, or again once the poll that is under way has returned.
func (s *Scheduler) advance(it *item, now time.Time) {
	if it.place < 0 {
		it.again = true
		return
	}
	if it.due.After(now) {
		it.due = now
		heap.Fix(&s.queue, it.place)
	}
}

func (s *Scheduler) add(j *Job, due time.Time) {
	if s.follower == nil || s.items[j.Key] != nil {
		return
	}
	every, wanted := s.interval(j)
	if !wanted {
		return
	}
	it := &item{key: j.Key, due: due}
	s.items[j.Key] = it
	s.weigh(it, j, every)
	heap.Push(&s.queue, it)
}
