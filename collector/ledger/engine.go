package ledger

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Engine is what both engines are. Methods may be called from several goroutines.
type Engine interface {
	collector.Ledger
	// Peek returns the oldest spans of the outbox, in order: at most maxRows, and at most maxBytes together unless
	// the first alone is larger. No span waiting is no error and no rows.
	Peek(ctx context.Context, maxRows, maxBytes int) ([]Row, error)
	// Remove takes spans that were delivered out of the outbox and counts them as sent. Unknown numbers are ignored.
	Remove(ctx context.Context, seqs []uint64) error
	// Wake receives after spans were added. One signal may stand for several commits.
	Wake() <-chan struct{}
	OutboxStats() OutboxStats
	// Writable is the outcome of the last write: false with its error if it failed.
	Writable() (bool, error)
	// LastWrite is when the last write succeeded, the zero time if none ever did.
	LastWrite() time.Time
	// Recovered says what took the place of a state that could not be used: "" if nothing had to.
	Recovered() string
	// Quarantined is the number of records set aside because they were damaged or could not be understood.
	Quarantined() uint64
	// Run does the upkeep until ctx ends, and returns nil then.
	Run(ctx context.Context) error
	Close() error
}

// What [Engine.Recovered] can say.
const (
	// FromPrevious is the same file, but perhaps without its last commit: the page that named it is damaged.
	FromPrevious = "previous"
	// FromCheckpoint is the last checkpoint.
	FromCheckpoint = "checkpoint"
	// Rebuilt is an empty state, which the sources fill again.
	Rebuilt = "rebuilt"
)

// Row is a span in the outbox, as the exporter encoded it.
type Row struct {
	Seq  uint64 // ascending in the order of commits; never used twice
	Span []byte
}

// OutboxStats count spans: Produced = Sent + Queued + Dropped.
type OutboxStats struct {
	Queued   uint64
	Bytes    uint64 // of the spans queued
	Produced uint64
	Sent     uint64
	Dropped  uint64 // because the outbox was full or the row was damaged
}

// Options of both engines. The zero value is ready to use.
type Options struct {
	Log            *slog.Logger  // nil discards
	MaxOutboxRows  int           // default 1,000,000
	MaxOutboxBytes int64         // of spans, without overhead; default 256 MiB
	ReserveBytes   int64         // size of the reserve file; default 16 MiB, negative for none
	CheckpointEach time.Duration // default 1 h
	LockTimeout    time.Duration // how long Open waits for another bridge; default 5 s

	// Hook is called at named points of each write, for tests that kill the process there.
	Hook func(point string)

	noSync bool // for the test that proves that fsync matters
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxOutboxRows == 0 {
		o.MaxOutboxRows = 1_000_000
	}
	if o.MaxOutboxBytes == 0 {
		o.MaxOutboxBytes = 256 << 20
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = 16 << 20
	}
	if o.CheckpointEach == 0 {
		o.CheckpointEach = time.Hour
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = 5 * time.Second
	}
	if o.Hook == nil {
		o.Hook = func(string) {}
	}
	return o
}

var (
	// ErrNewer is wrapped when state was written by a newer version of the bridge. Nothing was changed.
	ErrNewer = errors.New("the state was written by a newer version of trainbridge")
	// ErrDamaged is wrapped when stored bytes are not what was written.
	ErrDamaged = errors.New("the state is damaged")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the ledger is closed")
)
