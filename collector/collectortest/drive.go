package collectortest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// maxPolls is how many polls in a row a backlog may take.
const maxPolls = 300

// Drive asks a source as the scheduler does and folds what it says with [collector.Reduce], without a scheduler, a ledger or a
// clock of its own. It is safe for concurrent use, but for one job at a time.
type Drive struct {
	// Heard, if it is set, is called with every update before it is folded. It must not ask the Drive.
	Heard func(collector.Update)

	name   string
	source collector.Source

	mu     sync.Mutex
	jobs   map[string]*collector.Job
	asked  map[string]collector.Time
	broken []string
}

// NewDrive drives a source whose Env has this name.
func NewDrive(name string, s collector.Source) *Drive {
	return &Drive{name: name, source: s, jobs: map[string]*collector.Job{}, asked: map[string]collector.Time{}}
}

// Reopen goes on with the same jobs and another source, as a restarted program does.
func (d *Drive) Reopen(s collector.Source) { d.source = s }

// Source is the source that is driven.
func (d *Drive) Source() collector.Source { return d.source }

// Jobs are all jobs by id. The map is a copy.
func (d *Drive) Jobs() map[string]*collector.Job {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.jobs)
}

// Broken says where the accounting did not add up: every event that was read must be counted, a duplicate or quarantined, and
// no count may fall.
func (d *Drive) Broken() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.broken)
}

// List finds the jobs. Those that a whole listing lacks are absent; a listing that is partial or failed removes none.
func (d *Drive) List(ctx context.Context) (collector.Listing, error) {
	l, err := d.source.List(ctx)
	if l.Unchanged || ctx.Err() != nil {
		return l, err
	}
	_, follows := d.source.(collector.Follower)
	now := collector.TimeOf(time.Now())
	seen := make(map[string]bool, len(l.Jobs))
	for _, u := range l.Jobs {
		u.Key.Source, u.At, u.Origin, u.Polled = d.name, now, collector.Listed, !follows
		seen[u.Key.ID] = true
		d.price(&u)
		d.apply(u)
	}
	if l.Partial || err != nil {
		return l, err
	}
	for id, j := range d.Jobs() {
		if !seen[id] && !j.Done() {
			d.apply(collector.Update{Key: j.Key, At: now, Absent: true})
		}
	}
	return l, nil
}

// Follow polls one job once. With an error nothing is taken from the answer.
func (d *Drive) Follow(ctx context.Context, id string) (collector.Update, error) {
	f, ok := d.source.(collector.Follower)
	d.mu.Lock()
	job, asked := d.jobs[id], d.asked[id]
	d.mu.Unlock()
	if !ok || job == nil {
		return collector.Update{}, nil
	}
	u, err := f.Follow(ctx, job)
	if err != nil {
		return u, err
	}
	u.Key, u.Polled, u.Asked, u.At = job.Key, true, asked, collector.TimeOf(time.Now())
	d.price(&u)
	d.apply(u)
	return u, nil
}

// Drain polls one job to the end of its backlog.
func (d *Drive) Drain(ctx context.Context, id string) error {
	for range maxPolls {
		u, err := d.Follow(ctx, id)
		if err != nil || !u.More {
			return err
		}
	}
	return fmt.Errorf("job %s: more after %d polls", id, maxPolls)
}

// Due are the ids of the jobs to poll: all but those that ended and were counted twice since.
func (d *Drive) Due() []string {
	if _, ok := d.source.(collector.Follower); !ok {
		return nil
	}
	var ids []string
	for id, j := range d.Jobs() {
		if !j.Phase.Ended() || j.Reconciled < 2 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Round lists, and polls every job to the end of its backlog.
func (d *Drive) Round(ctx context.Context) error {
	_, err := d.List(ctx)
	errs := []error{err}
	for _, id := range d.Due() {
		errs = append(errs, d.Drain(ctx, id))
	}
	return errors.Join(errs...)
}

// price adds what the configuration of the source says about costs.
func (d *Drive) price(u *collector.Update) {
	if b, ok := d.source.(collector.Budgeted); ok {
		u.Budget, u.Currency = b.Budget()
	}
	u.HasBudget = true
}

func (d *Drive) apply(u collector.Update) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := u.Key.ID
	before := d.jobs[id]
	if d.Heard != nil {
		d.Heard(u)
	}
	r := collector.Reduce(before, u, collector.ReduceOptions{Spans: true})
	d.audit(id, before, u, r)
	d.jobs[id] = r.Job
	if u.Polled {
		d.asked[id] = u.At
	}
}

func (d *Drive) audit(id string, before *collector.Job, u collector.Update, r collector.Reduced) {
	t, counted := r.Tally, uint64(0)
	for _, e := range t.Events {
		counted += e.N
	}
	read := uint64(len(u.Events))
	if u.Observed && t.Read == read+1 { // a change of phase that was seen is an event, too
		read++
	}
	if t.Read != read || t.Read != counted+t.Duplicate+t.Quarantined {
		d.broken = append(d.broken, fmt.Sprintf("job %s: %d events read, %d in the update, %d counted, %d duplicates, %d quarantined",
			id, t.Read, len(u.Events), counted, t.Duplicate, t.Quarantined))
	}
	grown := r.Job.EventCount()
	if before != nil {
		grown -= before.EventCount()
	}
	if fresh := t.Read - t.Duplicate; grown != fresh {
		d.broken = append(d.broken, fmt.Sprintf("job %s: %d new events, but its count went up by %d", id, fresh, int64(grown)))
	}
}
