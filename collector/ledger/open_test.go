package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/trainbridge/trainbridge/collector"
)

// lived is a directory with a state, a checkpoint of an earlier one, and both dumps.
func lived(t *testing.T) (dir string, state, checkpoint [32]byte) {
	t.Helper()
	dir = t.TempDir()
	db, h := openDB(t, dir, Options{}), newHistory(3)
	for i := range 30 {
		if i == 25 {
			if err := db.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		h.step(t, db)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, dump(t, read(t, filepath.Join(dir, stateFile))), dump(t, read(t, filepath.Join(dir, checkpointFile)))
}

func TestSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, Options{})
	mustCommit(t, db, &collector.Batch{Jobs: []*collector.Job{testJob("a", 1), testJob("a", 2)}, Spans: [][]byte{{1}, {2}, {3}}})
	mustCommit(t, db, &collector.Batch{Retire: []*collector.Job{testJob("a", 1)}})
	if err := db.Remove(t.Context(), []uint64{0}); err != nil {
		t.Fatal(err)
	}
	state, stats, at := load(t, db), db.OutboxStats(), db.LastWrite()
	for range 3 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openDB(t, dir, Options{})
		same(t, load(t, db), state)
		if got := balanced(t, db); got != stats || stats != (OutboxStats{Queued: 2, Bytes: 2, Produced: 3, Sent: 1}) {
			t.Errorf("%+v became %+v", stats, got)
		}
		if got, err := db.Retired(testJob("a", 1).Key); !got || err != nil {
			t.Error("a retired job is forgotten", err)
		}
		if !db.LastWrite().Equal(at) {
			t.Error("last write", db.LastWrite(), at)
		}
		select {
		case <-db.Wake():
		default:
			t.Error("no wake-up for the spans that waited")
		}
	}
}

func TestCommitBeforeTheFirstLoad(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, Options{})
	mustCommit(t, db, &collector.Batch{Jobs: []*collector.Job{testJob("a", 1)}})
	db.Close()
	db = openDB(t, dir, Options{})
	mustCommit(t, db, &collector.Batch{Jobs: []*collector.Job{testJob("a", 2)}})
	same(t, load(t, db), collector.State{Jobs: []*collector.Job{testJob("a", 1), testJob("a", 2)}})
}

// TestLadder damages a state in every way, and expects that the damaged file is kept and nothing is lost silently.
func TestLadder(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"empty":       func([]byte) []byte { return nil },
		"truncated":   func(b []byte) []byte { return b[:5*pageSize+99] },
		"not a state": func([]byte) []byte { return bytes.Repeat([]byte("trainbridge\n"), 10_000) },
		"zeros":       func(b []byte) []byte { return make([]byte, len(b)) },
		"wrong magic": func(b []byte) []byte { b[16] ^= 1; b[pageSize+16] ^= 1; return b },
		"torn":        func(b []byte) []byte { clear(b[2*pageSize:]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			dir, _, checkpoint := lived(t)
			broken := damage(read(t, filepath.Join(dir, stateFile)))
			place(t, dir, stateFile, broken)
			var log bytes.Buffer
			o := Options{Log: slog.New(slog.NewTextHandler(&log, nil))}
			db := openDB(t, dir, o)
			if got := dump(t, read(t, filepath.Join(dir, stateFile))); db.Recovered() != FromCheckpoint || got != checkpoint {
				t.Errorf("recovered by way of %q", db.Recovered())
			}
			kept(t, dir, broken)
			if !strings.Contains(log.String(), "level=ERROR") {
				t.Error("not logged:", log.String())
			}
			db.Close()
			place(t, dir, stateFile, broken)
			place(t, dir, checkpointFile, broken)
			db = openDB(t, dir, o)
			if same(t, load(t, db), collector.State{}); db.Recovered() != Rebuilt || db.dir.exists(checkpointFile) {
				t.Errorf("recovered by way of %q", db.Recovered())
			}
			mustCommit(t, db, &collector.Batch{Jobs: []*collector.Job{testJob("a", 1)}})
			db.Close()
			if db = openDB(t, dir, o); db.Recovered() != "" || len(load(t, db).Jobs) != 1 {
				t.Error("the new state did not last")
			}
		})
	}
}

func kept(t *testing.T, dir string, want []byte) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, stateFile+corruptMark+"*"))
	if err != nil || len(found) != 1 || !bytes.Equal(read(t, found[0]), want) {
		t.Error("the damaged file was not kept:", found, err)
	}
}

func TestMissingState(t *testing.T) {
	dir, _, checkpoint := lived(t)
	state := filepath.Join(dir, stateFile)
	if err := os.Remove(state); err != nil {
		t.Fatal(err)
	}
	db := openDB(t, dir, Options{})
	if db.Recovered() != FromCheckpoint || dump(t, read(t, state)) != checkpoint {
		t.Errorf("recovered by way of %q", db.Recovered())
	}
	db.Close()
	// A crash between setting the damaged file aside and making a new one.
	if err := errors.Join(os.Rename(state, state+corruptMark+"x"), os.Remove(filepath.Join(dir, checkpointFile))); err != nil {
		t.Fatal(err)
	}
	if db = openDB(t, dir, Options{}); db.Recovered() != Rebuilt {
		t.Errorf("recovered by way of %q", db.Recovered())
	}
}

// TestSequenceAfterCheckpoint: numbers of spans that the lost state had given out do not come again.
func TestSequenceAfterCheckpoint(t *testing.T) {
	dir, _, _ := lived(t)
	db := openDB(t, dir, Options{})
	lost := db.tally.NextSeq
	db.Close()
	if err := os.Remove(filepath.Join(dir, stateFile)); err != nil {
		t.Fatal(err)
	}
	db = openDB(t, dir, Options{})
	for range 2 {
		mustCommit(t, db, &collector.Batch{Spans: [][]byte{{1}}})
		rows, err := db.Peek(t.Context(), 1<<20, 1<<30)
		if err != nil || rows[len(rows)-1].Seq < lost {
			t.Fatal(rows[len(rows)-1].Seq, lost, err)
		}
		db.Close()
		db = openDB(t, dir, Options{})
	}
}

func TestNewerIsRefused(t *testing.T) {
	for _, key := range []string{schemaKey, tallyKey} {
		dir, _, _ := lived(t)
		setVersion(t, filepath.Join(dir, stateFile), key, Version+1)
		before := everyFile(t, dir)
		_, err := Open(dir, Options{})
		if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), fmt.Sprint("version ", Version+1)) {
			t.Fatal(err)
		}
		if !slices.EqualFunc(before, everyFile(t, dir), bytes.Equal) {
			t.Error("a byte was changed")
		}
		// A newer checkpoint is not thrown away either.
		if err := os.Rename(filepath.Join(dir, stateFile), filepath.Join(dir, checkpointFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrNewer) {
			t.Error(err)
		}
	}
}

// TestOlderIsRead: the first version had no fields that this one reads differently.
func TestOlderIsRead(t *testing.T) {
	dir, _, _ := lived(t)
	db := openDB(t, dir, Options{})
	want := load(t, db)
	db.Close()
	for _, key := range []string{schemaKey, tallyKey} {
		setVersion(t, filepath.Join(dir, stateFile), key, 1)
	}
	db = openDB(t, dir, Options{})
	if got := load(t, db); len(want.Jobs) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// setVersion rewrites a record as another version of the program would have.
func setVersion(t *testing.T, path, key string, version byte) {
	t.Helper()
	b, err := openBolt(path, Options{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	err = b.Update(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte(metaKind.String()))
		return meta.Put([]byte(key), asVersion(metaKind, key, meta.Get([]byte(key)), version))
	})
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
}

func everyFile(t *testing.T, dir string) (all [][]byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		all = append(all, append([]byte(name), read(t, name)...))
	}
	return all
}

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	db := openDB(t, dir, Options{ReserveBytes: 1 << 20})
	if err := errors.Join(db.Checkpoint(t.Context()), db.makeReserve()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{LockTimeout: time.Millisecond}); err == nil || !strings.Contains(err.Error(), "another trainbridge") {
		t.Error("a directory in use:", err)
	}
	if runtime.GOOS != "windows" {
		modes(t, dir)
	}
	db.Close()
	if _, err := Open("", Options{}); err == nil {
		t.Error("no directory is no error")
	}
	for _, name := range []string{stateFile, checkpointFile, reserveFile, lockFile} {
		linked(t, name)
	}
}

func modes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
		info, err := e.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[e.IsDir()]; err != nil || info.Mode().Perm() != want {
			t.Error(path, info.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func linked(t *testing.T, name string) {
	t.Helper()
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(elsewhere, filepath.Join(dir, name)); err != nil {
		t.Skip(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a link in place of %s: %v", name, err)
	}
	if _, err := os.Stat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was written through the link", err)
	}
}

// TestLostAndStaleRecords: every page is as it was once written, every checksum is right, and yet it is not the state.
func TestLostAndStaleRecords(t *testing.T) {
	for name, edit := range map[string]func(b *bolt.Bucket, key, old []byte) error{
		"lost":  func(b *bolt.Bucket, key, _ []byte) error { return b.Delete(key) },
		"stale": func(b *bolt.Bucket, key, old []byte) error { return b.Put(key, old) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db := openDB(t, dir, Options{})
			key := keyOfJob(testJob("a", 1).Key)
			var old []byte
			for steps := range uint64(2) {
				j := testJob("a", 1)
				j.Steps = steps
				mustCommit(t, db, &collector.Batch{Jobs: []*collector.Job{j}})
				err := db.bolt.Update(func(tx *bolt.Tx) error {
					b := tx.Bucket([]byte(jobKind.String()))
					if steps == 0 {
						old = bytes.Clone(b.Get(key))
						return nil
					}
					return edit(b, key, old)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			db.Close()
			if db = openDB(t, dir, Options{}); db.Recovered() != Rebuilt {
				t.Errorf("went unnoticed: recovered by way of %q with %v", db.Recovered(), load(t, db).Jobs)
			}
		})
	}
}

func TestQuarantine(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, Options{})
	mustCommit(t, db, &collector.Batch{Jobs: []*collector.Job{testJob("a", 1), testJob("a", 2)}, Spans: [][]byte{
		[]byte("the first span"), []byte("the second span"), []byte("the third span")}})
	err := db.transact(t.Context(), func(w *write) error { // a record that only a mistake in the program can make
		key := keyOfJob(testJob("a", 2).Key)
		rec, err := sealBytes(jobKind, key, append(make([]byte, headerSize), 0xff, 0x00))
		return errors.Join(err, w.put(jobKind, key, rec))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	data := read(t, filepath.Join(dir, stateFile))
	for at := 0; ; at++ { // also in pages that are free by now
		i := bytes.Index(data[at:], []byte("second span"))
		if i < 0 {
			break
		}
		at += i
		data[at] ^= 0x20
	}
	place(t, dir, stateFile, data)
	for range 2 {
		db = openDB(t, dir, Options{})
		if db.Quarantined() != 2 || db.Recovered() != "" {
			t.Errorf("%d records set aside, recovered %q", db.Quarantined(), db.Recovered())
		}
		same(t, load(t, db), collector.State{Jobs: []*collector.Job{testJob("a", 1)}})
		if s := balanced(t, db); s != (OutboxStats{Queued: 2, Bytes: 28, Produced: 3, Dropped: 1}) {
			t.Errorf("%+v", s)
		}
		if rows, err := db.Peek(t.Context(), 9, 999); err != nil || len(rows) != 2 || string(rows[1].Span) != "the third span" {
			t.Error(rows, err)
		}
		db.Close()
	}
}
