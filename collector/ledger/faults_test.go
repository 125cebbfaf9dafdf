package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/trainbridge/trainbridge/collector"
)

// TestUnknownOutcome: the disk reported an error after it was told the page that names the commit.
func TestUnknownOutcome(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprint("kept=", kept), func(t *testing.T) {
			dir := t.TempDir()
			db := openDB(t, dir, Options{})
			before := &collector.Batch{Jobs: []*collector.Job{testJob("a", 1)}}
			mustCommit(t, db, before)
			old := read(t, filepath.Join(dir, stateFile))
			db.update = func(fn func(*bolt.Tx) error) error {
				return errors.Join(db.bolt.Update(fn), syscall.EIO)
			}
			more := &collector.Batch{Jobs: []*collector.Job{testJob("a", 2)}, Spans: [][]byte{{1}}}
			if err := db.Commit(t.Context(), more); !errors.Is(err, collector.ErrUnknownOutcome) || !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			if ok, err := db.Writable(); ok || !errors.Is(err, syscall.EIO) {
				t.Error("writable", ok, err)
			}
			if err := db.Commit(t.Context(), more); !errors.Is(err, collector.ErrUnknownOutcome) {
				t.Error("a commit before Load:", err)
			}
			want := []*collector.Job{testJob("a", 1), testJob("a", 2)}
			if !kept { // the disk had forgotten it
				place(t, dir, stateFile, old)
				want = want[:1]
			}
			same(t, load(t, db), collector.State{Jobs: want})
			if s := balanced(t, db); s.Produced != uint64(len(want)-1) {
				t.Errorf("%+v", s)
			}
			mustCommit(t, db, more)
			if ok, err := db.Writable(); !ok || err != nil {
				t.Error("not writable", err)
			}
		})
	}
}

func TestFailedCommitLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, Options{})
	mustCommit(t, db, &collector.Batch{Jobs: []*collector.Job{testJob("a", 1)}, Spans: [][]byte{{1}}})
	before := dump(t, read(t, filepath.Join(dir, stateFile)))
	stats := db.OutboxStats()
	big := &collector.Batch{Retire: []*collector.Job{testJob("a", 1)}, Spans: [][]byte{make([]byte, 1<<20)}}
	db.bolt.MaxSize = 1 << 16
	err := db.Commit(t.Context(), big)
	if err == nil || errors.Is(err, collector.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	if ok, err := db.Writable(); ok || err == nil {
		t.Error("a failed commit does not show")
	}
	if dump(t, read(t, filepath.Join(dir, stateFile))) != before || db.OutboxStats() != stats {
		t.Error("a failed commit left something behind")
	}
	if retired, err := db.Retired(testJob("a", 1).Key); retired || err != nil {
		t.Error(retired, err)
	}
	db.bolt.MaxSize = 0
	mustCommit(t, db, big)
	if retired, _ := db.Retired(testJob("a", 1).Key); !retired {
		t.Error("the commit after the repair did nothing")
	}
	balanced(t, db)
}

func TestPanicOfBbolt(t *testing.T) {
	db := openDB(t, t.TempDir(), Options{})
	b := &collector.Batch{Jobs: []*collector.Job{testJob("a", 1)}}
	mustCommit(t, db, b)
	db.update = func(fn func(*bolt.Tx) error) error {
		return db.bolt.Update(func(tx *bolt.Tx) error { panic(errors.Join(fn(tx), errors.New("page 7 already freed"))) })
	}
	if err := db.Commit(t.Context(), &collector.Batch{Jobs: []*collector.Job{testJob("a", 2)}}); !errors.Is(err, collector.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	same(t, load(t, db), collector.State{Jobs: b.Jobs})
	mustCommit(t, db, b)
}

func TestHooks(t *testing.T) {
	var points []string
	db := openDB(t, t.TempDir(), Options{Hook: func(p string) { points = append(points, p) }})
	mustCommit(t, db, &collector.Batch{
		Jobs: []*collector.Job{testJob("a", 1)}, Retire: []*collector.Job{testJob("a", 2)}, Spans: [][]byte{{1}},
		Groups: []*collector.Group{{}}, Totals: []*collector.Totals{{}},
	})
	want := []string{PointBegin, "put:jobs", "put:tombstones", "put:groups", "put:totals", "put:outbox", PointBeforeCommit, PointAfterCommit}
	if !slices.Equal(points, want) {
		t.Error(points)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir, Options{ReserveBytes: 3<<20 + 1})
	mustCommit(t, db, &collector.Batch{Jobs: []*collector.Job{testJob("a", 1)}})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- db.Run(ctx) }()
		synctest.Wait()
		first := dump(t, read(t, filepath.Join(dir, checkpointFile)))
		if size, err := db.dir.size(reserveFile); size != 3<<20+1 || err != nil {
			t.Error("reserve:", size, err)
		}
		mustCommit(t, db, &collector.Batch{Jobs: []*collector.Job{testJob("a", 2)}})
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		if second := dump(t, read(t, filepath.Join(dir, checkpointFile))); second == first || second != dump(t, read(t, filepath.Join(dir, stateFile))) {
			t.Error("no new checkpoint after an hour")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestConcurrency has committers, a sender, checkpoints and reloads at the same time.
func TestConcurrency(t *testing.T) {
	conform(t, Options{MaxOutboxRows: 200}, func(t *testing.T, e Engine) {
		const committers, commits, spans = 4, 40, 5
		var running, sender sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		sent := map[string]int{}
		drain := func() {
			rows, err := e.Peek(t.Context(), 50, 1<<20)
			var seqs []uint64
			for _, r := range rows {
				seqs = append(seqs, r.Seq)
				sent[string(r.Span)]++
			}
			if err := errors.Join(err, e.Remove(t.Context(), seqs)); err != nil {
				t.Error(err)
			}
		}
		sender.Go(func() {
			for ctx.Err() == nil {
				drain()
				balanced(t, e)
				if db, ok := e.(*DB); ok && len(sent)%7 == 0 {
					if err := db.Checkpoint(t.Context()); err != nil {
						t.Error(err)
					}
				}
				load(t, e)
			}
		})
		for c := range committers {
			running.Go(func() {
				for i := range commits {
					b := &collector.Batch{Jobs: []*collector.Job{testJob(fmt.Sprint(c), i)}}
					for s := range spans {
						b.Spans = append(b.Spans, fmt.Appendf(nil, "%d/%d/%d", c, i, s))
					}
					if err := e.Commit(t.Context(), b); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		cancel()
		sender.Wait()
		for e.OutboxStats().Queued > 0 {
			drain()
		}
		s := balanced(t, e)
		if s.Produced != committers*commits*spans || len(sent) != int(s.Sent) || len(load(t, e).Jobs) != committers*commits {
			t.Errorf("%+v, %d different spans sent", s, len(sent))
		}
	})
}
