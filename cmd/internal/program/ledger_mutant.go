//go:build mutant_cursor

package program

import (
	"context"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/ledger"
)

// planted is a bug on purpose, for the test that proves the crash test can fail: the cursor and the window of a job are committed
// in a transaction of their own, before the counts.
func planted(e ledger.Engine) ledger.Engine {
	return &cursorFirst{Engine: e, last: map[collector.Key]*collector.Job{}}
}

type cursorFirst struct {
	ledger.Engine
	last map[collector.Key]*collector.Job
}

func (c *cursorFirst) Load(ctx context.Context) (collector.State, error) {
	s, err := c.Engine.Load(ctx)
	for _, j := range s.Jobs {
		c.last[j.Key] = j
	}
	return s, err
}

func (c *cursorFirst) Commit(ctx context.Context, b *collector.Batch) error {
	early := &collector.Batch{}
	for _, j := range b.Jobs {
		if before := c.last[j.Key]; before != nil {
			moved := *before
			moved.Cursor, moved.Window = j.Cursor, j.Window
			early.Jobs = append(early.Jobs, &moved)
		}
		c.last[j.Key] = j
	}
	if err := c.Engine.Commit(ctx, early); err != nil {
		return err
	}
	return c.Engine.Commit(ctx, b)
}
