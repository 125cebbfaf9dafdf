package collector

import (
	"context"
	"errors"
)

// Ledger keeps what must survive a crash. Implementations are safe for concurrent use.
type Ledger interface {
	// Load returns everything that was committed.
	Load(ctx context.Context) (State, error)
	// Commit makes a batch durable, all or nothing, before it returns nil. After an error nothing of the batch counts;
	// if the outcome is unknown the error wraps ErrUnknownOutcome and the caller must Load again.
	Commit(ctx context.Context, b *Batch) error
	// Retired reports whether a job was counted to its end and forgotten but for a tombstone.
	Retired(key Key) (bool, error)
}

// ErrUnknownOutcome is wrapped by a Commit that may or may not have happened.
var ErrUnknownOutcome = errors.New("the outcome of the commit is unknown")

// State is what a ledger holds, but for tombstones and spans on their way out.
type State struct {
	Jobs   []*Job
	Groups []*Group
	Totals []*Totals
}

// Batch is one transaction. Slices hold the new version of each entry; an entry stands at most once.
type Batch struct {
	Jobs   []*Job
	Retire []*Job // become tombstones
	Groups []*Group
	Totals []*Totals
	Spans  [][]byte // rows for the outbox, in order, as the exporter encoded them
}

// Empty reports whether there is nothing to commit.
func (b *Batch) Empty() bool {
	return len(b.Jobs)+len(b.Retire)+len(b.Groups)+len(b.Totals)+len(b.Spans) == 0
}

// Shards is the fixed number of virtual shards that state is divided in. Jobs never move between shards; with several
// replicas, shards move between replicas.
const Shards = 64

// ShardOf is the shard of a job.
func ShardOf(key Key) int {
	return int(hashParts("trainbridge/shard/1", key.Source, key.ID)[0]) % Shards
}
