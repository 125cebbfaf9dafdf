package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Run makes the reserve and a checkpoint now and then every hour, until ctx ends. Failures are logged: they change nothing
// about the state.
func (d *DB) Run(ctx context.Context) error {
	every := time.NewTicker(d.o.CheckpointEach)
	defer every.Stop()
	for {
		if err := d.makeReserve(); err != nil {
			d.o.Log.Warn("the reserve for a full disk could not be made", "err", err)
		}
		if err := d.Checkpoint(ctx); err != nil && ctx.Err() == nil {
			d.o.Log.Error("no checkpoint could be made", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// Checkpoint copies the last commit to a file of its own, verifies the copy, and puts it in place of the one before.
// Commits go on meanwhile, unless the file has to grow.
func (d *DB) Checkpoint(ctx context.Context) error {
	err := d.dir.write(checkpointFile, func(f *os.File) error {
		err := d.view(ctx, func(tx *bolt.Tx) error {
			_, err := tx.WriteTo(contextWriter{ctx, f})
			return err
		})
		if err != nil {
			return err
		}
		size, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		return verify(ctx, f, size, d.codec)
	})
	if err != nil {
		return fmt.Errorf("make a checkpoint: %w", err)
	}
	return nil
}

// contextWriter fails once its context has ended.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w contextWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

// makeReserve fills the reserve file, if there is none, with real blocks.
func (d *DB) makeReserve() error {
	if d.o.ReserveBytes < 0 || d.dir.exists(reserveFile) {
		return nil
	}
	if ok, _ := d.Writable(); !ok {
		return nil
	}
	return d.dir.write(reserveFile, func(f *os.File) error {
		chunk := make([]byte, 1<<20)
		for left := d.o.ReserveBytes; left > 0; left -= int64(len(chunk)) {
			if _, err := f.Write(chunk[:min(left, int64(len(chunk)))]); err != nil {
				return err
			}
		}
		return nil
	})
}

// giveReserve deletes the reserve; false if there is none.
func (d *DB) giveReserve() bool {
	err := os.Remove(d.dir.path(reserveFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.o.Log.Error("the disk is full and the reserve could not be deleted", "err", err)
	}
	if err == nil {
		d.o.Log.Error("the disk is full: the reserve was given away; make room", "directory", string(d.dir))
	}
	return err == nil
}
