package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

// swap puts another file in the place of the state's descriptor, so that the kernel itself refuses what bbolt writes, and
// returns how to undo it. What is mapped stays mapped.
func swap(t *testing.T, db *DB, path string, flag int) (undo func()) {
	t.Helper()
	fd := descriptor(t, db.dir.path(stateFile))
	saved, err := syscall.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	other, err := syscall.Open(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Dup3(other, fd, syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	syscall.Close(other)
	return func() {
		if err := syscall.Dup3(saved, fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		syscall.Close(saved)
	}
}

func descriptor(t *testing.T, path string) int {
	t.Helper()
	links, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, l := range links {
		if to, _ := os.Readlink(filepath.Join("/proc/self/fd", l.Name())); to == path {
			fd, _ := strconv.Atoi(l.Name())
			return fd
		}
	}
	t.Fatal("the state is not open")
	return -1
}

// TestDiskFaults: while the disk refuses, commits fail and change nothing; after the repair they work.
func TestDiskFaults(t *testing.T) {
	for _, fault := range []struct {
		name, path string // empty: the state itself
		flag       int
		want       error
	}{
		{"the disk is full", "/dev/full", syscall.O_RDWR, syscall.ENOSPC},
		{"read only", "", syscall.O_RDONLY, syscall.EBADF},
		{"fsync fails", "/dev/null", syscall.O_RDWR, syscall.EINVAL},
	} {
		t.Run(fault.name, func(t *testing.T) {
			dir := t.TempDir()
			db := openDB(t, dir, Options{ReserveBytes: 1 << 20})
			mustCommit(t, db, &collector.Batch{Jobs: []*collector.Job{testJob("a", 1)}, Spans: [][]byte{{1}, {2}}})
			if err := db.makeReserve(); err != nil {
				t.Fatal(err)
			}
			before, stats := dump(t, read(t, db.dir.path(stateFile))), db.OutboxStats()
			if fault.path == "" {
				fault.path = db.dir.path(stateFile)
			}
			undo := swap(t, db, fault.path, fault.flag)
			more := &collector.Batch{Jobs: []*collector.Job{testJob("a", 2)}, Retire: []*collector.Job{testJob("a", 1)}, Spans: [][]byte{{3}}}
			for range 3 {
				if err := db.Commit(t.Context(), more); !errors.Is(err, fault.want) || errors.Is(err, collector.ErrUnknownOutcome) {
					t.Error(err)
				}
				if err := db.Remove(t.Context(), []uint64{0}); !errors.Is(err, fault.want) {
					t.Error(err)
				}
			}
			if ok, err := db.Writable(); ok || !errors.Is(err, fault.want) {
				t.Error("writable:", ok, err)
			}
			if given := !db.dir.exists(reserveFile); given != errors.Is(fault.want, syscall.ENOSPC) {
				t.Error("reserve given away:", given)
			}
			if rows, err := db.Peek(t.Context(), 9, 99); len(rows) != 2 || err != nil || db.OutboxStats() != stats {
				t.Error("reading does not go on:", rows, err)
			}
			undo()
			if dump(t, read(t, db.dir.path(stateFile))) != before {
				t.Error("the state changed")
			}
			mustCommit(t, db, more)
			same(t, load(t, db), collector.State{Jobs: []*collector.Job{testJob("a", 2)}})
			if ok, err := db.Writable(); !ok || err != nil {
				t.Error(err)
			}
			if balanced(t, db).Produced != 3 {
				t.Error(db.OutboxStats())
			}
		})
	}
}
