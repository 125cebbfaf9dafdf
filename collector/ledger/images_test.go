package ledger

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

var (
	images = flag.Int("ledger.images", 200, "crash images to try")
	flips  = flag.Int("ledger.flips", 100, "bytes to change")
)

const sector = 512

// imager makes what a power cut can leave of a commit. Sectors of data pages may have arrived in any subset before the disk
// was told to finish them; only then are the pages written that name the commit. Without fsync nothing holds them back.
type imager struct {
	r             *rand.Rand
	before, after []byte
	barrier       bool
}

func (m imager) image() []byte {
	img := make([]byte, len(m.after))
	copy(img, m.before)
	dataDone := m.barrier && m.r.IntN(4) == 0
	chance := m.r.Float64()
	for at := 0; at < len(img); at += sector {
		arrived := m.r.Float64() < chance
		switch meta := at < 2*pageSize; {
		case m.barrier && meta:
			arrived = arrived && dataDone
		case m.barrier && dataDone:
			arrived = true
		}
		if arrived {
			copy(img[at:at+sector], m.after[at:])
		}
	}
	return img
}

// tryImages commits, makes images of each commit, and counts those that open as neither the state before nor the one after.
func tryImages(t *testing.T, n int, o Options) (wrong int) {
	t.Helper()
	dir, h := t.TempDir(), newHistory(uint64(n))
	db := openDB(t, dir, o)
	state := filepath.Join(dir, stateFile)
	for range 20 {
		h.step(t, db)
	}
	const perCommit = 10
	for done := 0; done < n; done += perCommit {
		m := imager{r: h.r, before: read(t, state), barrier: !db.bolt.NoSync}
		h.step(t, db)
		m.after = read(t, state)
		before, after := dump(t, m.before), dump(t, m.after)
		for range min(perCommit, n-done) {
			if err := tryImage(t, m.image(), before, after); err != nil {
				wrong++
			}
		}
	}
	return wrong
}

func tryImage(t *testing.T, img []byte, want ...[32]byte) error {
	t.Helper()
	dir := t.TempDir()
	place(t, dir, stateFile, img)
	db, err := Open(dir, Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	if db.Recovered() != "" {
		return errors.New("had to fall back: " + db.Recovered())
	}
	if _, err := db.Load(context.Background()); err != nil {
		return err
	}
	got := dump(t, read(t, filepath.Join(dir, stateFile)))
	for _, w := range want {
		if got == w {
			return nil
		}
	}
	return errors.New("opened as a state that was never committed")
}

func TestCrashImages(t *testing.T) {
	if wrong := tryImages(t, *images, Options{}); wrong > 0 {
		t.Errorf("%d of %d images are neither the state before nor the one after", wrong, *images)
	}
}

// TestCrashImagesNeedFsync shows that the test above can fail.
func TestCrashImagesNeedFsync(t *testing.T) {
	wrong := tryImages(t, min(*images, 400), Options{noSync: true})
	t.Logf("without fsync %d of %d images are wrong", wrong, min(*images, 400))
	if wrong == 0 {
		t.Error("no image is wrong even without fsync: the test sees nothing")
	}
}

func TestFlippedBytes(t *testing.T) {
	dir, h := t.TempDir(), newHistory(7)
	db := openDB(t, dir, Options{})
	state := filepath.Join(dir, stateFile)
	for range 40 {
		h.step(t, db)
	}
	if err := db.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkpoint := read(t, filepath.Join(dir, checkpointFile))
	h.step(t, db)
	previous := dump(t, read(t, state))
	h.step(t, db)
	whole := trim(t, read(t, state))
	f := flipper{checkpoint: checkpoint, outcome: map[string]int{}, states: map[string][32]byte{
		"": dump(t, whole), FromPrevious: previous, FromCheckpoint: dump(t, checkpoint),
	}}
	for i := range *flips {
		at := h.r.IntN(len(whole))
		switch page := at / pageSize * pageSize; {
		case i%10 == 0: // the two pages that name the commits
			at = h.r.IntN(2)*pageSize + h.r.IntN(80)
		case i%3 == 0: // what holds the tree together
			at = page + h.r.IntN(min(pageSize, pageHeaderSize+headerOf(whole[page:]).count*elementSize))
		}
		data := bytes.Clone(whole)
		data[at] ^= byte(1 + h.r.IntN(255))
		f.try(t, at, data, i%2 == 0)
	}
	t.Log(f.outcome)
}

type flipper struct {
	checkpoint []byte
	states     map[string][32]byte
	outcome    map[string]int
}

// try opens a damaged file. It must be the whole state, or say that it is not.
func (f *flipper) try(t *testing.T, at int, data []byte, withCheckpoint bool) {
	t.Helper()
	dir := t.TempDir()
	place(t, dir, stateFile, data)
	if withCheckpoint {
		place(t, dir, checkpointFile, f.checkpoint)
	}
	db, err := Open(dir, Options{noSync: true})
	if err != nil {
		t.Errorf("byte %d: %v", at, err)
		return
	}
	defer db.Close()
	rung := db.Recovered()
	switch got := dump(t, read(t, filepath.Join(dir, stateFile))); {
	case rung == FromPrevious && got == f.states[""]: // it was the page of the commit before that was damaged
	case rung == Rebuilt && !withCheckpoint:
		same(t, load(t, db), load(t, Memory(Options{})))
	case db.Quarantined() > 0:
		rung += "quarantined"
		if s := balanced(t, db); s.Dropped != 1 {
			t.Errorf("byte %d: a span was set aside but not counted: %+v", at, s)
		}
	case got != f.states[rung] || rung == Rebuilt:
		t.Errorf("byte %d: opened by way of %q as a state that was never committed", at, rung)
	}
	f.outcome[rung]++
	newHistory(1).step(t, db) // and it can go on
	want := load(t, db)
	balanced(t, db)
	db.Close()
	db = openDB(t, dir, Options{noSync: true})
	if same(t, load(t, db), want); db.Recovered() != "" {
		t.Errorf("byte %d: damaged again after a commit: %s", at, db.Recovered())
	}
	db.Close()
}
