package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// poll asks about one job and records the answer.
func (s *Scheduler) poll(ctx context.Context, k Key, asked Time) (out outcome) {
	out.key = k
	ctx, cost := withCost(ctx)
	defer func() { out.cost = cost.Load() }()
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
	s.tell(j, s.store.Job(k))
	return out
}

// tell logs what an operator should not have to find out from a graph.
func (s *Scheduler) tell(before, after *Job) {
	switch {
	case after == nil:
	case after.Gone && !before.Gone:
		s.log.warn("gone", "the service no longer knows a job: its phase is unknown until it is found again", "job", after.Key.ID)
	case before.Gone && !after.Gone:
		s.log.warn("back", "a job was found again", "job", after.Key.ID)
	case after.Phase == Failed && !after.Trace.Open && (before.Phase != Failed || before.Trace.Open):
		s.log.warn("failed/"+after.ErrorType, "a job failed", "job", after.Key.ID, "name", after.Info.Name, "group", after.Info.Group,
			"owner", after.Info.Owner, "error_type", after.ErrorType, "message", after.Message)
	}
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
	u.At, u.Began = TimeOf(now), TimeOf(start)
	s.price(&u)
	return u, err
}

// price adds what the source's configuration says about costs to what the source says of a job.
func (s *Scheduler) price(u *Update) { u.Budget, u.Currency, u.HasBudget = s.budget, s.currency, true }

func (s *Scheduler) list(ctx context.Context) (soon []Key) {
	soon, err := s.listOnce(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.warn("list/"+ClassOf(err), "listing jobs failed", "err", err)
	}
	s.probeIdle(ctx)
	return soon
}

// probeIdle asks a service that has no jobs to ask about, so that a source that would not work is down before its first job
// comes, and not only after.
func (s *Scheduler) probeIdle(ctx context.Context) {
	p, ok := s.source.(Prober)
	start := time.Now()
	if !ok || s.store.tracked(s.name) > 0 || start.Sub(s.probed) < probeEvery {
		return
	}
	s.probed = start
	within, cancel := context.WithTimeout(ctx, pollWithin)
	defer cancel()
	err := p.Probe(within)
	if ctx.Err() != nil {
		return
	}
	s.health.Polled(start, time.Now(), err)
	if err != nil {
		s.log.warn("probe/"+ClassOf(err), "the source has no jobs, and would not work if it had", "err", err)
	}
}

// listOnce records a listing and returns the jobs that it had news of.
func (s *Scheduler) listOnce(ctx context.Context) (soon []Key, err error) {
	s.lookAtCredential()
	start := time.Now()
	within, cancel := context.WithTimeout(ctx, listWithin)
	defer cancel()
	l, err := s.source.List(within)
	now := time.Now()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.health.Listed(start, now, l.Local, err)
	if l.Unchanged {
		return nil, err
	}
	if !l.Local && err == nil {
		s.probed = start // a listing proves as much
	}
	for updates := s.listing(l, start, now, err != nil); len(updates) > 0; {
		n := min(len(updates), maxBatch)
		before := s.known(updates[:n])
		if err := s.recorder.Apply(ctx, updates[:n]...); err != nil {
			if r, ok := s.source.(Relister); ok {
				r.Relist()
			}
			return soon, fmt.Errorf("record the listing: %w", err)
		}
		soon = append(soon, s.news(updates[:n], before)...)
		updates = updates[n:]
	}
	return soon, err
}

// lookAtCredential comes with every listing, whether it asks the service or not: files may have been replaced.
func (s *Scheduler) lookAtCredential() {
	if e, ok := s.source.(Expiring); ok {
		s.health.Expiry(e.CredentialExpiry())
	}
}

// known are the jobs of updates, nil where they are new.
func (s *Scheduler) known(updates []Update) []*Job {
	jobs := make([]*Job, len(updates))
	for i := range updates {
		jobs[i] = s.store.Job(updates[i].Key)
	}
	return jobs
}

// news are the jobs that a listing tells to poll, or whose end it told of. What the listing completes is logged.
func (s *Scheduler) news(updates []Update, before []*Job) (soon []Key) {
	for i, after := range s.known(updates) {
		if after == nil {
			continue
		}
		justEnded := after.Trace.Open && before[i] != nil && !before[i].Phase.Ended()
		if s.follower != nil && (updates[i].Soon || justEnded) {
			soon = append(soon, after.Key)
		}
		if before[i] != nil && before[i] != after {
			s.tell(before[i], after)
		}
	}
	return soon
}

// listing completes the updates of a listing, with those for jobs that it lacks.
func (s *Scheduler) listing(l Listing, start, end time.Time, failed bool) []Update {
	now := TimeOf(end)
	seen := make(map[Key]bool, len(l.Jobs))
	for i := range l.Jobs {
		u := &l.Jobs[i]
		u.Key.Source, u.At, u.Began, u.Origin = s.name, now, TimeOf(start), Listed
		u.Polled = s.follower == nil
		s.price(u)
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
	_, err := s.listOnce(ctx)
	errs := []error{err}
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
					errs = append(errs, err)
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
