package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/trainbridge/trainbridge/collector"
)

// Open opens the state in a directory, or makes it. See the package comment for what happens if it is damaged. An error
// that wraps [ErrNewer] leaves every byte as it was.
func Open(dir string, o Options) (*DB, error) {
	o = o.withDefaults()
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	d, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	lock, err := d.lock(o.LockTimeout)
	if err != nil {
		return nil, err
	}
	db := &DB{dir: d, o: o, codec: c, lock: lock, wake: make(chan struct{}, 1)}
	db.writing.Lock()
	defer db.writing.Unlock()
	if err := db.open(context.Background()); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return db, nil
}

// open finds a file that can be used and opens it. The caller holds d.writing.
func (d *DB) open(ctx context.Context) error {
	held, rung, err := d.find(ctx)
	if err != nil {
		return err
	}
	if err := d.dir.settle(); err != nil {
		return err
	}
	b, err := openBolt(d.dir.path(stateFile), d.o)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.bolt, d.update = b, b.Update
	d.tally, d.bytes = held.tally, held.bytes
	if rung == FromCheckpoint {
		d.tally.NextSeq += 1 << 32 // numbers given out since the checkpoint must not be used again
	}
	if rung != "" {
		d.recovered = rung
	}
	d.loaded = &held.state
	d.mu.Unlock()
	if err := d.setAside(held.bad); err != nil {
		return errors.Join(err, b.Close())
	}
	if held.tally.Kinds[outboxKind].N > 0 {
		signal(d.wake)
	}
	return nil
}

// find climbs down the ladder: the file, the checkpoint, nothing.
func (d *DB) find(ctx context.Context) (*contents, string, error) {
	held, err := d.scan(ctx, stateFile)
	switch {
	case err == nil && held.lost:
		d.o.Log.Error("the page that names the newest commit is damaged; the last commit may be missing and its events are read again",
			"file", d.dir.path(stateFile))
		return held, FromPrevious, d.dir.copyTo(stateFile, d.dir.corruptName(stateFile, time.Now()))
	case err == nil:
		return held, "", nil
	case errors.Is(err, fs.ErrNotExist) && !d.dir.exists(checkpointFile) && !d.dir.hasCorrupt():
		held, err := d.create(ctx)
		return held, "", err
	case errors.Is(err, fs.ErrNotExist):
		d.o.Log.Error("the state file is missing", "file", d.dir.path(stateFile))
		return d.replace(ctx)
	case !errors.Is(err, ErrDamaged):
		return nil, "", err
	}
	kept := d.dir.corruptName(stateFile, time.Now())
	d.o.Log.Error("the state file is damaged and was set aside", "file", d.dir.path(stateFile), "kept", d.dir.path(kept), "err", err)
	if err := os.Rename(d.dir.path(stateFile), d.dir.path(kept)); err != nil {
		return nil, "", fmt.Errorf("set the damaged state aside: %w", err)
	}
	return d.replace(ctx)
}

func (d *DB) replace(ctx context.Context) (*contents, string, error) {
	held, err := d.scan(ctx, checkpointFile)
	switch {
	case err == nil:
		d.o.Log.Error("going on from the last checkpoint; what came after it is read again from the sources",
			"checkpoint", held.tally.Written.Std())
		return held, FromCheckpoint, d.dir.copyTo(checkpointFile, stateFile)
	case errors.Is(err, ErrDamaged):
		kept := d.dir.path(d.dir.corruptName(checkpointFile, time.Now()))
		if err := os.Rename(d.dir.path(checkpointFile), kept); err != nil {
			return nil, "", fmt.Errorf("set the damaged checkpoint aside: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, "", err
	}
	d.o.Log.Error("there is no checkpoint that can be used: starting empty; counters begin again and registered jobs are forgotten",
		"err", err)
	held, err = d.create(ctx)
	return held, Rebuilt, err
}

func (d *DB) scan(ctx context.Context, name string) (*contents, error) {
	size, err := d.dir.size(name)
	if err != nil {
		return nil, err
	}
	f, err := openFile(d.dir.path(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("open the state: %w", err)
	}
	defer f.Close()
	held, err := scan(ctx, f, size, d.codec)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", d.dir.path(name), err)
	}
	return held, nil
}

// settle writes the pages that name the newest commit once more, and waits for the disk. After a failed fsync the system
// shows what it never wrote; from here on what it shows is what there is.
func (d folder) settle() error {
	f, err := openFile(d.path(stateFile), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the state: %w", err)
	}
	buf := make([]byte, 2*pageSize)
	err = readFull(f, buf, 0)
	if err == nil {
		_, err = f.WriteAt(buf, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("settle the state: %w", err)
	}
	return nil
}

// create makes an empty state.
func (d *DB) create(ctx context.Context) (*contents, error) {
	temp := d.dir.path(stateFile + tempSuffix)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("make the state: %w", err)
	}
	err := d.fill(temp)
	if err == nil {
		err = os.Rename(temp, d.dir.path(stateFile))
	}
	if err == nil {
		err = d.dir.sync()
	}
	if err != nil {
		return nil, fmt.Errorf("make the state: %w", err)
	}
	return d.scan(ctx, stateFile)
}

func (d *DB) fill(path string) error {
	b, err := openBolt(path, d.o)
	if err != nil {
		return err
	}
	err = b.Update(func(tx *bolt.Tx) error {
		for k := range kindCount {
			if _, err := tx.CreateBucket([]byte(kind(k).String())); err != nil {
				return err
			}
		}
		return nil
	})
	first := schema{Created: collector.TimeOf(time.Now()), Instance: make([]byte, 16)}
	rand.Read(first.Instance)
	for range 2 { // so that both meta pages name a state of this program
		if err == nil {
			err = b.Update(func(tx *bolt.Tx) error { return d.initialise(tx, first) })
		}
	}
	return errors.Join(err, b.Close())
}

func (d *DB) initialise(tx *bolt.Tx, first schema) error {
	meta := tx.Bucket([]byte(metaKind.String()))
	for key, v := range map[string]any{schemaKey: first, tallyKey: tally{}} {
		rec, err := d.codec.seal(metaKind, []byte(key), v)
		if err != nil {
			return err
		}
		if err := meta.Put([]byte(key), rec); err != nil {
			return err
		}
	}
	return nil
}

func openBolt(path string, o Options) (b *bolt.DB, err error) {
	defer recovered(&err)
	b, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout: o.LockTimeout, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, PageSize: pageSize,
		NoSync: o.noSync, NoStatistics: true, OpenFile: openFile,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: another trainbridge may be using it: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return b, nil
}
