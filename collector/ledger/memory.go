package ledger

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Mem is the engine that forgets everything with the process.
type Mem struct {
	o    Options
	wake chan struct{}

	mu      sync.Mutex // guards all below
	jobs    map[collector.Key]*collector.Job
	groups  map[collector.GroupKey]*collector.Group
	totals  map[string]*collector.Totals
	retired map[collector.Key]struct{}
	rows    []Row
	stats   OutboxStats
	nextSeq uint64
	written time.Time
	closed  bool
}

var _ Engine = (*Mem)(nil)

// Memory is an empty ledger in memory.
func Memory(o Options) *Mem {
	return &Mem{
		o: o.withDefaults(), wake: make(chan struct{}, 1),
		jobs: map[collector.Key]*collector.Job{}, groups: map[collector.GroupKey]*collector.Group{},
		totals: map[string]*collector.Totals{}, retired: map[collector.Key]struct{}{},
	}
}

// Load returns what was committed.
func (m *Mem) Load(ctx context.Context) (collector.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return collector.State{}, err
	}
	return collector.State{
		Jobs:   slices.Collect(maps.Values(m.jobs)),
		Groups: slices.Collect(maps.Values(m.groups)),
		Totals: slices.Collect(maps.Values(m.totals)),
	}, nil
}

func (m *Mem) usable(ctx context.Context) error {
	if m.closed {
		return ErrClosed
	}
	return ctx.Err()
}

// Commit keeps the batch; it fails only if ctx has ended or the ledger is closed.
func (m *Mem) Commit(ctx context.Context, b *collector.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return err
	}
	for _, j := range b.Jobs {
		m.jobs[j.Key] = j
		delete(m.retired, j.Key)
	}
	for _, j := range b.Retire {
		delete(m.jobs, j.Key)
		m.retired[j.Key] = struct{}{}
	}
	for _, g := range b.Groups {
		m.groups[g.Key] = g
	}
	for _, t := range b.Totals {
		m.totals[t.Source] = t
	}
	m.queue(b.Spans)
	m.written = time.Now()
	return nil
}

func (m *Mem) queue(spans [][]byte) {
	for _, span := range spans {
		m.stats.Produced++
		if !m.o.fits(m.stats, span) {
			m.stats.Dropped++
			continue
		}
		m.rows = append(m.rows, Row{Seq: m.nextSeq, Span: slices.Clone(span)})
		m.nextSeq++
		m.stats.Queued++
		m.stats.Bytes += uint64(len(span))
	}
	if len(spans) > 0 {
		signal(m.wake)
	}
}

// fits reports whether the outbox has room for one more span.
func (o *Options) fits(s OutboxStats, span []byte) bool {
	return s.Queued < uint64(o.MaxOutboxRows) && s.Bytes+uint64(len(span)) <= uint64(o.MaxOutboxBytes)
}

func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// Retired reports whether a job was retired.
func (m *Mem) Retired(key collector.Key) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.retired[key]
	return ok, nil
}

// Peek returns the oldest spans.
func (m *Mem) Peek(ctx context.Context, maxRows, maxBytes int) ([]Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	bytes := 0
	for i, r := range m.rows {
		bytes += len(r.Span)
		if i >= maxRows || i > 0 && bytes > maxBytes {
			return slices.Clone(m.rows[:i]), nil
		}
	}
	return slices.Clone(m.rows), nil
}

// Remove takes delivered spans out.
func (m *Mem) Remove(ctx context.Context, seqs []uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return err
	}
	gone := make(map[uint64]bool, len(seqs))
	for _, s := range seqs {
		gone[s] = true
	}
	m.rows = slices.DeleteFunc(m.rows, func(r Row) bool {
		if !gone[r.Seq] {
			return false
		}
		m.stats.Sent++
		m.stats.Queued--
		m.stats.Bytes -= uint64(len(r.Span))
		return true
	})
	return nil
}

// Wake receives after spans were added.
func (m *Mem) Wake() <-chan struct{} { return m.wake }

// OutboxStats counts spans since the start.
func (m *Mem) OutboxStats() OutboxStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// Writable is always true.
func (m *Mem) Writable() (bool, error) { return true, nil }

// LastWrite is when the last batch was committed.
func (m *Mem) LastWrite() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.written
}

// Recovered is always empty.
func (m *Mem) Recovered() string { return "" }

// Quarantined is always 0.
func (m *Mem) Quarantined() uint64 { return 0 }

// Run has nothing to do and waits for ctx.
func (m *Mem) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Close ends the use of the ledger.
func (m *Mem) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
