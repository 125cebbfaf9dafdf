package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// RecorderOptions are the choices of a Recorder. Zero durations take the defaults.
type RecorderOptions struct {
	Reduce         ReduceOptions
	EncodeSpan     func(Span) []byte // for the ledger's outbox; nil makes no spans
	Retention      time.Duration     // how long an ended job keeps its series, default 1 h
	GroupRetention time.Duration     // how long a group without jobs keeps its series, default 24 h
	Log            *slog.Logger
}

// Recorder folds updates into jobs, commits them and then publishes them, so that nothing is exposed that a crash could
// take back. One goroutine, Run, owns all state; the other methods may be called from any goroutine while it runs.
type Recorder struct {
	ledger  Ledger
	store   *Store
	o       RecorderOptions
	inbox   chan *request
	stopped chan struct{}
	retired map[Key]bool     // listed jobs known to have a tombstone; owned by Run
	idle    map[string]Tally // duplicates read by polls that changed nothing, by source; owned by Run
	refused bool             // the newest commit failed
	stale   bool             // the store may be behind the ledger: load again before anything else
}

// request is one Apply on its way.
type request struct {
	updates []Update
	done    chan error
}

const (
	maxBatch     = 256              // jobs committed together
	sweepEvery   = 15 * time.Second // looks for jobs whose series are due to leave
	commitWithin = 5 * time.Second
	// forgetAfter is how long a job that is gone without an end is kept, in case it comes back.
	forgetAfter = 7 * 24 * time.Hour
	// countWithin is how long an ended job waits for its full counts, without series, before it becomes a tombstone.
	countWithin = 24 * time.Hour
	// fullCounts is how many looks after the end are enough.
	fullCounts = 2
)

// ErrRetired is returned by Register for a job that was counted and forgotten.
var ErrRetired = errors.New("the job was counted already, and ended or was not found for a week")

// ErrStopped is returned for updates that come after the recorder stopped.
var ErrStopped = errors.New("the recorder has stopped")

// NewRecorder returns a recorder over a ledger and the store it publishes to.
func NewRecorder(l Ledger, s *Store, o RecorderOptions) *Recorder {
	o.Retention = cmp.Or(o.Retention, time.Hour)
	o.GroupRetention = cmp.Or(o.GroupRetention, 24*time.Hour)
	o.Reduce.Spans = o.EncodeSpan != nil
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Recorder{
		ledger: l, store: s, o: o, inbox: make(chan *request, maxBatch), stopped: make(chan struct{}),
		retired: map[Key]bool{}, idle: map[string]Tally{},
	}
}

// Load reads the ledger into the store. Call it once, before Run.
func (r *Recorder) Load(ctx context.Context) error {
	state, err := r.ledger.Load(ctx)
	if err != nil {
		return fmt.Errorf("load the ledger: %w", err)
	}
	r.store.replace(state)
	return nil
}

// Run commits updates until ctx ends, then those already accepted. Stop whatever calls Apply first: later updates are
// refused with ErrStopped.
func (r *Recorder) Run(ctx context.Context) error {
	defer close(r.stopped)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.drain(ctx)
			return nil
		case first := <-r.inbox:
			r.handle(ctx, r.gather(first))
		case now := <-tick.C:
			if err := r.sweep(ctx, TimeOf(now)); err != nil {
				r.o.Log.Error("retiring ended jobs failed; their series stay until it works", "err", err)
			}
		}
	}
}

// gather takes what else is waiting, so that one fsync serves many polls.
func (r *Recorder) gather(first *request) []*request {
	batch, n := []*request{first}, len(first.updates)
	for n < maxBatch {
		select {
		case next := <-r.inbox:
			batch = append(batch, next)
			n += len(next.updates)
		default:
			return batch
		}
	}
	return batch
}

func (r *Recorder) drain(ctx context.Context) {
	for {
		select {
		case next := <-r.inbox:
			r.handle(ctx, r.gather(next))
		default:
			return
		}
	}
}

func (r *Recorder) handle(ctx context.Context, batch []*request) {
	err := r.record(ctx, batch)
	for _, req := range batch {
		req.done <- err
	}
}

// Apply folds updates and returns when they are durable and published, or with the reason why not; then they do not count.
func (r *Recorder) Apply(ctx context.Context, updates ...Update) error {
	req := &request{updates: updates, done: make(chan error, 1)}
	select {
	case r.inbox <- req:
	case <-r.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select { // accepted: the outcome is worth waiting for even if ctx ends
	case err := <-req.done:
		return err
	case <-r.stopped:
	}
	select {
	case err := <-req.done:
		return err
	default:
		return ErrStopped
	}
}

// Register makes a job known, durably, before it returns. Registering a known job again updates its info.
func (r *Recorder) Register(ctx context.Context, reg Registration) error {
	if r.store.Job(reg.Key) == nil {
		retired, err := r.ledger.Retired(reg.Key)
		if err != nil {
			return fmt.Errorf("register job %s: %w", reg.Key, err)
		}
		if retired {
			return fmt.Errorf("register job %s: %w", reg.Key, ErrRetired)
		}
	}
	u := Update{Key: reg.Key, At: TimeOf(time.Now()), Info: reg.Info, Origin: Registered, Fresh: reg.Fresh}
	if err := r.Apply(ctx, u); err != nil {
		return fmt.Errorf("register job %s: %w", reg.Key, err)
	}
	return nil
}

// record is the commit order: fold, commit, then publish.
func (r *Recorder) record(ctx context.Context, batch []*request) error {
	if err := r.refresh(ctx); err != nil {
		return err
	}
	d := newDraft(r)
	for _, req := range batch {
		for _, u := range req.updates {
			if err := d.fold(u); err != nil {
				return err
			}
		}
	}
	return r.commit(ctx, d)
}

func (r *Recorder) commit(ctx context.Context, d *draft) error {
	b := d.batch()
	if b.Empty() {
		d.keepIdle()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
	defer cancel()
	if err := r.ledger.Commit(ctx, b); err != nil {
		r.stale = errors.Is(err, ErrUnknownOutcome)
		r.trouble(err)
		return fmt.Errorf("commit %d jobs to the ledger: %w", len(b.Jobs), err)
	}
	r.trouble(nil)
	d.keepIdle()
	r.store.publish(b)
	return nil
}

// trouble logs when the ledger stops taking commits, and when it takes them again.
func (r *Recorder) trouble(err error) {
	switch {
	case err != nil && !r.refused:
		r.o.Log.Error("the state cannot be written: nothing new is counted or shown until it can", "err", err)
	case err == nil && r.refused:
		r.o.Log.Info("the state can be written again")
	}
	r.refused = err != nil
}

// refresh loads the ledger again after a commit of unknown outcome.
func (r *Recorder) refresh(ctx context.Context) error {
	if !r.stale {
		return nil
	}
	if err := r.Load(ctx); err != nil {
		return err
	}
	r.stale = false
	return nil
}

// sweep retires jobs that ended long enough ago, and hides those that are gone and groups that are empty.
func (r *Recorder) sweep(ctx context.Context, now Time) error {
	if err := r.refresh(ctx); err != nil {
		return err
	}
	d := newDraft(r)
	for _, j := range r.store.done() {
		age := now.Sub(max(j.Since, j.Updated)) // the provider may date the end long before the bridge heard of it
		counted := j.Phase.Ended() && (j.Reconciled >= fullCounts || age > r.o.Retention+countWithin)
		switch {
		case counted && age > r.o.Retention, age > forgetAfter:
			d.retire(j)
		case !j.Hidden && age > r.o.Retention:
			hidden := *j
			hidden.Hidden = true
			d.put(j, &hidden)
		}
	}
	for _, g := range r.store.idleGroups(now.Add(-r.o.GroupRetention)) {
		hidden := *g
		hidden.Hidden, hidden.Readings = true, nil // a group that comes back has new ones
		d.groups[g.Key] = &hidden
	}
	return r.commit(ctx, d)
}
