package program

import (
	"context"
)

// task is a goroutine that can be asked to end and waited for.
type task struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // read it after done
}

// start runs a function that ends when its context does. It does not end with the caller's context: what depends on it must be
// stopped first.
func start(run func(context.Context) error) *task {
	ctx, cancel := context.WithCancel(context.Background())
	t := &task{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		t.err = run(ctx)
	}()
	return t
}

// stop asks the task to end and waits until it has, or ctx ends. A nil task has ended.
func (t *task) stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	t.cancel()
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
