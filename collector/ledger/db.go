package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/trainbridge/trainbridge/collector"
)

// DB is the engine that keeps state in a directory. One process can use a directory at a time.
type DB struct {
	dir   folder
	o     Options
	codec *codec
	lock  *os.File
	wake  chan struct{}

	writing sync.Mutex // held by whoever writes or reopens

	mu        sync.RWMutex                     // guards all below; held for writing only for moments and while reopening
	bolt      *bolt.DB                         // nil while it cannot be used
	update    func(func(*bolt.Tx) error) error // bolt.Update, but in tests
	tally     tally                            // as of the last commit
	bytes     uint64                           // of the spans in the outbox
	loaded    *collector.State                 // read by open, for the first Load
	unknown   error                            // why nobody knows what the disk holds; Load finds out
	failed    error                            // the outcome of the last write
	recovered string
	closed    bool
}

var _ Engine = (*DB)(nil)

// recovered turns a panic of bbolt into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: bbolt gave up: %v", ErrDamaged, p)
	}
}

// Load returns everything that was committed. After a commit of unknown outcome it opens the file anew.
func (d *DB) Load(ctx context.Context) (collector.State, error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	if err := d.reopen(ctx); err != nil {
		return collector.State{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := *d.loaded
	d.loaded = nil
	return s, nil
}

// reopen makes sure that what open read is still there.
func (d *DB) reopen(ctx context.Context) error {
	d.mu.Lock()
	closed, fresh, old := d.closed, d.loaded != nil && d.unknown == nil, d.bolt
	if !closed && !fresh {
		d.bolt, d.loaded = nil, nil
		d.unknown = errors.Join(d.unknown, errors.New("the state is being read again"))
	}
	d.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if fresh {
		return nil
	}
	if err := closeBolt(old); err != nil {
		return err
	}
	if err := d.open(ctx); err != nil {
		return fmt.Errorf("read the state again: %w", err)
	}
	d.mu.Lock()
	d.unknown = nil
	d.mu.Unlock()
	return nil
}

// closeBolt does not wait forever for a lock that a panic left behind.
func closeBolt(b *bolt.DB) error {
	if b == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- b.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		return errors.New("close the state: bbolt does not answer; restart the bridge")
	}
}

// view runs fn on the last commit.
func (d *DB) view(ctx context.Context, fn func(*bolt.Tx) error) (err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	switch {
	case d.closed:
		return ErrClosed
	case d.bolt == nil:
		return errors.New("the state could not be opened again")
	case ctx.Err() != nil:
		return ctx.Err()
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a bad sector of a mapped file
	defer recovered(&err)
	return d.bolt.View(fn)
}

// Retired reports whether a job was retired.
func (d *DB) Retired(key collector.Key) (bool, error) {
	found := false
	err := d.view(context.Background(), func(tx *bolt.Tx) error {
		k := keyOfJob(key)
		rec := tx.Bucket([]byte(tombstoneKind.String())).Get(k)
		if rec == nil {
			return nil
		}
		found = true
		_, err := body(tombstoneKind, k, rec)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for the tombstone of job %s: %w", key, err)
	}
	return found, nil
}

// Writable is the outcome of the last write.
func (d *DB) Writable() (bool, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.failed == nil, d.failed
}

// LastWrite is when the last commit succeeded, be it of an earlier process.
func (d *DB) LastWrite() time.Time {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.tally.Written.Std()
}

// Recovered says what took the place of a state that could not be used since the process began.
func (d *DB) Recovered() string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.recovered
}

// Quarantined is the number of records set aside since the state was made.
func (d *DB) Quarantined() uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.tally.Quarantined
}

// Close waits for a running commit and gives the directory free.
func (d *DB) Close() error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	old, again := d.bolt, d.closed
	d.closed, d.bolt, d.loaded = true, nil, nil
	d.mu.Unlock()
	if again {
		return nil
	}
	if err := errors.Join(closeBolt(old), d.lock.Close()); err != nil {
		return fmt.Errorf("close the state: %w", err)
	}
	return nil
}
