package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/trainbridge/trainbridge/collector"
)

// The points of a commit at which Options.Hook is called, in this order. "put:" is followed by the name of the bucket.
const (
	PointBegin        = "begin"
	PointPut          = "put:"
	PointBeforeCommit = "before commit"
	PointAfterCommit  = "after commit"
)

// write is a write transaction. It keeps the tally while it writes.
type write struct {
	codec *codec
	tx    *bolt.Tx
	tally tally
	bytes uint64
}

func (w *write) put(k kind, key, rec []byte) error {
	b := w.tx.Bucket([]byte(k.String()))
	if old := b.Get(key); old != nil {
		w.tally.Kinds[k].sub(old)
	}
	if k == outboxKind {
		b.FillPercent = 0.95 // rows come in order
	}
	if err := b.Put(key, rec); err != nil {
		return fmt.Errorf("write to bucket %q: %w", k, err)
	}
	w.tally.Kinds[k].add(rec)
	return nil
}

// remove returns the size of the record that it removed, 0 if there was none.
func (w *write) remove(k kind, key []byte) (int, error) {
	b := w.tx.Bucket([]byte(k.String()))
	old := b.Get(key)
	if old == nil {
		return 0, nil
	}
	size := len(old)
	w.tally.Kinds[k].sub(old)
	if err := b.Delete(key); err != nil {
		return 0, fmt.Errorf("delete from bucket %q: %w", k, err)
	}
	return size, nil
}

// record is an encoded entry of a batch.
type record struct {
	kind     kind
	key, rec []byte
}

// encode does the work of a commit that needs no transaction.
func (d *DB) encode(b *collector.Batch) ([]record, error) {
	records := make([]record, 0, len(b.Jobs)+len(b.Retire)+len(b.Groups)+len(b.Totals))
	add := func(k kind, key []byte, v any) error {
		rec, err := d.codec.seal(k, key, v)
		records = append(records, record{k, key, rec})
		return err
	}
	for _, j := range b.Jobs {
		if err := add(jobKind, keyOfJob(j.Key), j); err != nil {
			return nil, fmt.Errorf("job %s: %w", j.Key, err)
		}
	}
	for _, j := range b.Retire {
		if err := add(tombstoneKind, keyOfJob(j.Key), tombstoneOf(j)); err != nil {
			return nil, fmt.Errorf("job %s: %w", j.Key, err)
		}
	}
	for _, g := range b.Groups {
		if err := add(groupKind, keyOfGroup(g.Key), g); err != nil {
			return nil, fmt.Errorf("group %s/%s: %w", g.Key.Source, g.Key.Name, err)
		}
	}
	for _, t := range b.Totals {
		if err := add(totalsKind, keyOfTotals(t.Source), t); err != nil {
			return nil, fmt.Errorf("totals of %s: %w", t.Source, err)
		}
	}
	return records, nil
}

// Commit makes a batch durable in one transaction.
func (d *DB) Commit(ctx context.Context, b *collector.Batch) error {
	if b.Empty() {
		return ctx.Err()
	}
	records, err := d.encode(b)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	err = d.transact(ctx, func(w *write) error {
		if err := w.apply(records, d.o.Hook); err != nil {
			return err
		}
		err := w.queue(b.Spans, &d.o)
		d.o.Hook(PointPut + outboxKind.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if len(b.Spans) > 0 {
		signal(d.wake)
	}
	return nil
}

// apply writes the records of a batch. A job that is written is no longer retired, and one that is retired no longer a job.
func (w *write) apply(records []record, hook func(string)) error {
	for i, r := range records {
		if err := w.put(r.kind, r.key, r.rec); err != nil {
			return err
		}
		var err error
		switch r.kind {
		case jobKind:
			_, err = w.remove(tombstoneKind, r.key)
		case tombstoneKind:
			_, err = w.remove(jobKind, r.key)
		}
		if err != nil {
			return err
		}
		if i+1 == len(records) || records[i+1].kind != r.kind {
			hook(PointPut + r.kind.String())
		}
	}
	return nil
}

// transact runs fn in a transaction that is durable when it returns nil.
func (d *DB) transact(ctx context.Context, fn func(*write) error) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.RLock()
	closed, unknown := d.closed, d.unknown
	d.mu.RUnlock()
	switch {
	case closed:
		return ErrClosed
	case unknown != nil:
		return fmt.Errorf("%w; load the state again: %w", collector.ErrUnknownOutcome, unknown)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return d.write(fn)
}

// write is transact for who holds d.writing. If the disk is full it gives the reserve away and tries once more.
func (d *DB) write(fn func(*write) error) error {
	w, err := d.try(fn)
	if err != nil && outOfSpace(err) && !errors.Is(err, collector.ErrUnknownOutcome) && d.giveReserve() {
		w, err = d.try(fn)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = err
	switch {
	case err == nil:
		d.tally, d.bytes, d.loaded = w.tally, w.bytes, nil
	case errors.Is(err, collector.ErrUnknownOutcome):
		d.unknown = err
	}
	return err
}

// try makes one attempt at a transaction.
func (d *DB) try(fn func(*write) error) (*write, error) {
	w := &write{codec: d.codec}
	id := 0
	d.o.Hook(PointBegin)
	err := d.guarded(func(tx *bolt.Tx) error {
		id = tx.ID()
		w.tx, w.tally, w.bytes = tx, d.tally, d.bytes
		w.tally.Commits++
		w.tally.Written = collector.TimeOf(time.Now())
		if err := fn(w); err != nil {
			return err
		}
		rec, err := d.codec.seal(metaKind, []byte(tallyKey), w.tally)
		if err != nil {
			return err
		}
		if err := tx.Bucket([]byte(metaKind.String())).Put([]byte(tallyKey), rec); err != nil {
			return err
		}
		d.o.Hook(PointBeforeCommit)
		return nil
	})
	if err == nil {
		d.o.Hook(PointAfterCommit)
		return w, nil
	}
	if errors.Is(err, ErrDamaged) || d.mayHold(id) {
		err = fmt.Errorf("%w: %w", collector.ErrUnknownOutcome, err)
	}
	return nil, err
}

// guarded runs a bbolt transaction and turns its panics into errors.
func (d *DB) guarded(fn func(*bolt.Tx) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recovered(&err)
	return d.update(fn)
}

// mayHold reports whether the file may hold a transaction that failed: bbolt had written the page that names it, and only
// waiting for the disk failed; or bbolt is in a state in which it cannot say.
func (d *DB) mayHold(id int) bool {
	newest := -1
	err := d.view(context.Background(), func(tx *bolt.Tx) error {
		newest = tx.ID()
		return nil
	})
	return err != nil || id == 0 || newest >= id
}

// outOfSpace also looks at the text, because bbolt does not wrap every error.
func outOfSpace(err error) bool {
	return slices.ContainsFunc([]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}, func(e syscall.Errno) bool {
		return errors.Is(err, e) || strings.Contains(err.Error(), e.Error())
	})
}
