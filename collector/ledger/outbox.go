package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// queue adds spans to the outbox and counts those that find no room.
func (w *write) queue(spans [][]byte, o *Options) error {
	for _, span := range spans {
		w.tally.Produced++
		if !o.fits(w.outbox(), span) {
			w.tally.Dropped++
			continue
		}
		key := keyOfSeq(w.tally.NextSeq)
		rec, err := sealBytes(outboxKind, key, append(make([]byte, headerSize, headerSize+len(span)), span...))
		if err != nil {
			return err
		}
		if err := w.put(outboxKind, key, rec); err != nil {
			return err
		}
		w.tally.NextSeq++
		w.bytes += uint64(len(span))
	}
	return nil
}

func (w *write) outbox() OutboxStats { return statsOf(&w.tally, w.bytes) }

func statsOf(t *tally, bytes uint64) OutboxStats {
	return OutboxStats{Queued: t.Kinds[outboxKind].N, Bytes: bytes, Produced: t.Produced, Sent: t.Sent, Dropped: t.Dropped}
}

// OutboxStats counts spans since the state was made, over all restarts.
func (d *DB) OutboxStats() OutboxStats {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return statsOf(&d.tally, d.bytes)
}

// Wake receives after spans were added, and at the start if some are waiting.
func (d *DB) Wake() <-chan struct{} { return d.wake }

// Peek returns the oldest spans of the outbox.
func (d *DB) Peek(ctx context.Context, maxRows, maxBytes int) ([]Row, error) {
	var rows []Row
	var bad []badItem
	err := d.view(ctx, func(tx *bolt.Tx) error {
		size := 0
		c := tx.Bucket([]byte(outboxKind.String())).Cursor()
		for k, v := c.First(); k != nil && len(rows) < maxRows; k, v = c.Next() {
			span, err := body(outboxKind, k, v)
			if err != nil {
				bad = append(bad, badItem{outboxKind, bytes.Clone(k), err})
				continue
			}
			if size += len(span); len(rows) > 0 && size > maxBytes {
				break
			}
			rows = append(rows, Row{Seq: seqOf(k), Span: bytes.Clone(span)})
		}
		return nil
	})
	if err == nil && len(bad) > 0 {
		d.writing.Lock()
		err = d.setAside(bad)
		d.writing.Unlock()
	}
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	return rows, nil
}

// Remove takes delivered spans out of the outbox, in one transaction.
func (d *DB) Remove(ctx context.Context, seqs []uint64) error {
	if len(seqs) == 0 {
		return nil
	}
	err := d.transact(ctx, func(w *write) error {
		for _, seq := range seqs {
			size, err := w.remove(outboxKind, keyOfSeq(seq))
			if err != nil {
				return err
			}
			if size > 0 {
				w.tally.Sent++
				w.bytes -= uint64(size - headerSize)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove %d spans from the outbox: %w", len(seqs), err)
	}
	return nil
}

// setAside moves records that cannot be used to the quarantine, where a person can look at them. The caller holds
// d.writing.
func (d *DB) setAside(bad []badItem) error {
	if len(bad) == 0 {
		return nil
	}
	for _, b := range bad {
		d.o.Log.Error("a record was set aside", "bucket", b.kind, "key", fmt.Sprintf("%q", b.key), "err", b.reason)
	}
	d.mu.RLock()
	loaded := d.loaded
	d.mu.RUnlock()
	err := d.write(func(w *write) error {
		var errs []error
		for _, b := range bad {
			errs = append(errs, w.quarantine(b))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return fmt.Errorf("set %d damaged records aside: %w", len(bad), err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loaded = loaded // the move changed nothing of it
	return nil
}

func (w *write) quarantine(b badItem) error {
	rec := bytes.Clone(w.tx.Bucket([]byte(b.kind.String())).Get(b.key))
	if rec == nil {
		return nil
	}
	if _, err := w.remove(b.kind, b.key); err != nil {
		return err
	}
	w.tally.Quarantined++
	if b.kind == outboxKind {
		w.tally.Dropped++
		w.bytes -= uint64(max(len(rec)-headerSize, 0))
	}
	key := append([]byte{byte(b.kind)}, keyOfSeq(w.tally.Quarantined)...)
	return w.put(quarantineKind, append(key, b.key...), rec)
}
