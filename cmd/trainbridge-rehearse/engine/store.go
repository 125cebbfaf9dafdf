package engine

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/prometheus/tsdb"
)

// openStore opens Prometheus' storage in a folder. All stays in its head, without a log of writes and, for the next days, without blocks:
// nobody will start it again.
func openStore(folder string, log *slog.Logger) (*tsdb.DB, error) {
	opts := tsdb.DefaultOptions()
	opts.WALSegmentSize = -1
	opts.NoLockfile = true
	opts.RetentionDuration = 0
	opts.MinBlockDuration = (30 * 24 * time.Hour).Milliseconds()
	opts.MaxBlockDuration = opts.MinBlockDuration
	opts.StripeSize = 1 << 10
	opts.SamplesPerChunk = 30 // rules want the newest sample, and a chunk is read from its beginning
	store, err := tsdb.Open(folder, log, nil, opts, nil)
	if err != nil {
		return nil, fmt.Errorf("open the storage: %w", err)
	}
	return store, nil
}
