package collector

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
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

	queue  queue
	items  map[Key]*item
	demand float64 // polls per second of all items
	listed bool    // the latest listing was recorded whole; owned by the one listing under way
}

const (
	pollWithin   = 45 * time.Second
	listWithin   = 5 * time.Minute
	maxRetry     = 5 * time.Minute
	lostInterval = 10 * time.Minute // of a job that polls do not find
	// fullAt is the share of the budget at which intervals are stretched.
	fullAt = 0.8
)

// NewScheduler returns the scheduler of one source, which polls with the source's cadence if it is [Paced].
func NewScheduler(name string, src Source, r *Recorder, s *Store, h *Health, log *slog.Logger) *Scheduler {
	c := DefaultCadence()
	if p, ok := src.(Paced); ok {
		c = c.with(p.Cadence())
	}
	f, _ := src.(Follower)
	return &Scheduler{
		name: name, source: src, follower: f, cadence: c, recorder: r, store: s, health: h,
		log: newLimitedLog(log.With("source", name)), items: map[Key]*item{},
	}
}

func (c Cadence) with(o Cadence) Cadence {
	c.List = cmp.Or(o.List, c.List)
	c.Queued = cmp.Or(o.Queued, c.Queued)
	c.Running = cmp.Or(o.Running, c.Running)
	c.Paused = cmp.Or(o.Paused, c.Paused)
	c.Rate = cmp.Or(o.Rate, c.Rate)
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
}

// Run polls until ctx ends and returns when nothing it started is left.
func (s *Scheduler) Run(ctx context.Context) error {
	work, done := make(chan *item), make(chan outcome)
	listed := make(chan struct{}, 1)
	wake, added := s.store.Added(s.name)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(work)
	for range s.cadence.Workers {
		wg.Go(func() { s.worker(ctx, work, done) })
	}
	s.resume()
	listing := s.startList(ctx, &wg, listed)
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
				listing = s.startList(ctx, &wg, listed)
			}
		case <-listed:
			listing, nextList = false, time.Now().Add(s.cadence.List)
		case <-wake:
			s.admit(added())
		case out := <-done:
			idle++
			s.reschedule(out)
		}
	}
}

func (s *Scheduler) startList(ctx context.Context, wg *sync.WaitGroup, listed chan<- struct{}) bool {
	wg.Go(func() {
		s.list(ctx)
		listed <- struct{}{}
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
	for n < idle && len(s.queue) > 0 && !s.queue[0].due.After(now) {
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
		wait = min(wait, time.Until(s.queue[0].due))
	}
	return max(wait, 0)
}

// resume takes up the jobs that the ledger knows, spread over one interval so that a restart is no stampede.
func (s *Scheduler) resume() {
	now := time.Now()
	for _, j := range s.store.JobsOf(s.name) {
		if every, ok := s.interval(j); ok {
			s.add(j, now.Add(spread(j.Key, every)))
		}
	}
}

func spread(k Key, every time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(k.ID))
	return time.Duration(h.Sum64() % uint64(max(every, 1)))
}

// admit asks new jobs at once.
func (s *Scheduler) admit(added []Key) {
	now := time.Now()
	for _, k := range added {
		if j := s.store.Job(k); j != nil && s.items[k] == nil {
			s.add(j, now)
		}
	}
}

func (s *Scheduler) add(j *Job, due time.Time) {
	if s.follower == nil || s.items[j.Key] != nil {
		return
	}
	it := &item{key: j.Key, due: due}
	s.items[j.Key] = it
	heap.Push(&s.queue, it)
}

// reschedule decides when a job that was just asked is due again.
func (s *Scheduler) reschedule(out outcome) {
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
	s.health.Demand(ratio)
	return time.Duration(float64(every) * max(1, ratio/fullAt))
}

// interval is how long a job can wait from one poll to the next; false if it need not be asked again.
func (s *Scheduler) interval(j *Job) (time.Duration, bool) {
	switch {
	case j.Gone && j.Missing >= goneAfter:
		return lostInterval, !j.Hidden
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

// poll asks about one job and records the answer.
func (s *Scheduler) poll(ctx context.Context, k Key, asked Time) outcome {
	out := outcome{key: k}
	j := s.store.Job(k)
	if j == nil {
		return out
	}
	if _, wanted := s.interval(j); !wanted { // left the list since it was queued
		return out
	}
	u, err := s.follow(ctx, j)
	if err != nil {
		out.failed = true
		if ctx.Err() == nil {
			s.log.warn(ClassOf(err), "polling a job failed", "job", k.ID, "err", err)
		}
		return out
	}
	u.Key, u.Polled, u.Asked = k, true, asked
	if err := s.recorder.Apply(ctx, u); err != nil {
		out.failed = true
		if ctx.Err() == nil {
			s.log.warn("record", "recording a poll failed; the events will be read again", "job", k.ID, "err", err)
		}
		return out
	}
	out.asked, out.more = u.At, u.More
	return out
}

func (s *Scheduler) follow(ctx context.Context, j *Job) (Update, error) {
	start := time.Now()
	within, cancel := context.WithTimeout(ctx, pollWithin)
	defer cancel()
	u, err := s.follower.Follow(within, j)
	now := time.Now()
	if ctx.Err() == nil {
		s.health.Polled(start, now, err)
	}
	u.At = TimeOf(now)
	return u, err
}

func (s *Scheduler) list(ctx context.Context) {
	err := s.listOnce(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.warn("list/"+ClassOf(err), "listing jobs failed", "err", err)
	}
}

func (s *Scheduler) listOnce(ctx context.Context) error {
	start := time.Now()
	within, cancel := context.WithTimeout(ctx, listWithin)
	defer cancel()
	l, err := s.source.List(within)
	now := time.Now()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.health.Listed(start, now, l.Local, err)
	if l.Unchanged && err == nil && s.listed {
		return nil
	}
	s.listed = false
	updates := s.listing(l, TimeOf(now), err != nil)
	for len(updates) > 0 {
		n := min(len(updates), maxBatch)
		if err := s.recorder.Apply(ctx, updates[:n]...); err != nil {
			return errors.Join(err, fmt.Errorf("record the listing: %w", err))
		}
		updates = updates[n:]
	}
	s.listed = err == nil && !l.Partial
	return err
}

// listing completes the updates of a listing, with those for jobs that it lacks.
func (s *Scheduler) listing(l Listing, now Time, failed bool) []Update {
	seen := make(map[Key]bool, len(l.Jobs))
	for i := range l.Jobs {
		u := &l.Jobs[i]
		u.Key.Source, u.At, u.Origin = s.name, now, Listed
		u.Polled = s.follower == nil
		seen[u.Key] = true
	}
	if l.Partial || failed {
		return l.Jobs
	}
	for _, j := range s.store.JobsOf(s.name) {
		if j.Origin == Listed && !j.Done() && !seen[j.Key] {
			l.Jobs = append(l.Jobs, Update{Key: j.Key, At: now, Absent: true})
		}
	}
	return l.Jobs
}

// Once makes one round: a listing, and every job followed to the end of its backlog. It returns what went wrong, one error of
// each class.
func (s *Scheduler) Once(ctx context.Context) error {
	errs := []error{s.listOnce(ctx)}
	if s.follower == nil {
		return errors.Join(errs...)
	}
	var mu sync.Mutex
	classes := map[string]bool{}
	jobs := make(chan Key)
	var wg sync.WaitGroup
	for range s.cadence.Workers {
		wg.Go(func() {
			for k := range jobs {
				err := s.drainJob(ctx, k)
				mu.Lock()
				if err != nil && !classes[ClassOf(err)] {
					classes[ClassOf(err)] = true
					errs = append(errs, fmt.Errorf("job %s: %w", k.ID, err))
				}
				mu.Unlock()
			}
		})
	}
	for _, j := range s.store.JobsOf(s.name) {
		jobs <- j.Key
	}
	close(jobs)
	wg.Wait()
	return errors.Join(errs...)
}

func (s *Scheduler) drainJob(ctx context.Context, k Key) error {
	for {
		j := s.store.Job(k)
		if j == nil {
			return nil
		}
		u, err := s.follow(ctx, j)
		if err != nil {
			return err
		}
		u.Key, u.Polled = k, true
		if err := s.recorder.Apply(ctx, u); err != nil || !u.More {
			return err
		}
	}
}
