package program

import (
	"context"
	"fmt"
	"syscall"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/ledger"
)

// fullDisk is a state on a disk that can be full.
type fullDisk struct {
	ledger.Engine
	full func() bool
}

// Commit implements [collector.Ledger].
func (d fullDisk) Commit(ctx context.Context, b *collector.Batch) error {
	if d.full() {
		return errFull()
	}
	return d.Engine.Commit(ctx, b)
}

// Writable implements [ledger.Engine].
func (d fullDisk) Writable() (bool, error) {
	if d.full() {
		return false, errFull()
	}
	return d.Engine.Writable()
}

func errFull() error { return fmt.Errorf("write the state: %w", syscall.ENOSPC) }
