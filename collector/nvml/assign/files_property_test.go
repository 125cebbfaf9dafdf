package assign

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writer writes a mapping file again and again, in small steps, as schedulers' scripts do: in a new file that is renamed, after
// truncating, over what is there, or by removing it first. It remembers every job that a whole version named.
type writer struct {
	t     *testing.T
	rand  *rand.Rand
	path  string
	steps []func() // that are left of this version
	named map[string]bool
	clock time.Time // the times of files, which tests must not wait for
	whole int       // versions that were written
}

func (w *writer) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// step does the next step, of the next version if need be.
func (w *writer) step() {
	if len(w.steps) == 0 {
		w.plan()
	}
	w.steps[0]()
	w.steps = w.steps[1:]
	if len(w.steps) == 0 {
		w.whole++
	}
}

func (w *writer) plan() {
	var b strings.Builder
	for range w.rand.IntN(4) {
		job := fmt.Sprint(1 + w.rand.Uint64N(1<<(4+12*w.rand.IntN(4)))) // of all lengths
		w.named[job] = true
		b.WriteString(job + "\n")
	}
	content := b.String()
	if w.rand.IntN(3) == 0 {
		content = strings.TrimSuffix(content, "\n")
	}
	path, flags := w.path, os.O_WRONLY|os.O_CREATE
	switch how := w.rand.IntN(4); how {
	case 0:
		path += ".tmp"
		flags |= os.O_TRUNC
	case 1:
		flags |= os.O_TRUNC
	case 2:
		w.steps = append(w.steps, func() {
			if err := os.Remove(w.path); err != nil && !os.IsNotExist(err) {
				w.t.Fatal(err)
			}
		})
	}
	var f *os.File
	w.steps = append(w.steps, func() {
		var err error
		f, err = os.OpenFile(path, flags, 0o600)
		w.must(err)
		w.touch(path)
	})
	for len(content) > 0 {
		part := content[:1+w.rand.IntN(len(content))]
		content = content[len(part):]
		w.steps = append(w.steps, func() {
			_, err := f.WriteString(part)
			w.must(err)
			w.touch(path)
		})
	}
	w.steps = append(w.steps, func() { // what an older, longer version left
		at, err := f.Seek(0, 1)
		w.must(err)
		w.must(f.Truncate(at))
		w.must(f.Close())
		w.touch(path)
		if path != w.path {
			w.must(os.Rename(path, w.path))
		}
	})
}

// touch gives a file a time of its own, as a clock with fine ticks does.
func (w *writer) touch(path string) {
	w.clock = w.clock.Add(time.Millisecond)
	w.must(os.Chtimes(path, w.clock, w.clock))
}

// stepped is a file that is written to while it is read.
type stepped struct {
	fs.File
	some func()
}

func (s stepped) Read(p []byte) (int, error) {
	s.some()
	if len(p) > 3 {
		p = p[:3]
	}
	return s.File.Read(p)
}

func (s stepped) Stat() (fs.FileInfo, error) {
	s.some()
	return s.File.Stat()
}

var rounds = flag.Int("assign.rounds", 100, "how many writers TestNeverHalfAJob tries")

// TestNeverHalfAJob holds for every writer that does not stop in the middle of a version for as long as files must stay still.
func TestNeverHalfAJob(t *testing.T) {
	read, versions, seen := 0, 0, 0
	for seed := range uint64(*rounds) {
		dir := t.TempDir()
		w := &writer{
			t: t, rand: rand.New(rand.NewPCG(seed, 4)), path: filepath.Join(dir, "0"), named: map[string]bool{}, clock: time.Unix(1e9, 0),
		}
		busy := 2 + w.rand.IntN(40)
		some := func() {
			if w.rand.IntN(busy) > 0 {
				return
			}
			for range w.rand.IntN(3) {
				w.step()
			}
		}
		a := assigner(t, Config{MappingDirectories: []Directory{{Path: dir, Source: "s"}}}, Options{})
		d := a.places[0].looker.(*directory)
		d.open = func(dir *os.Root, name string) (fs.File, error) {
			some()
			f, err := openFile(dir, name)
			if err != nil {
				return nil, err
			}
			return stepped{f, some}, nil
		}
		d.pause = func(context.Context, time.Duration) error {
			for len(w.steps) > 0 || w.rand.IntN(3) == 0 {
				w.step()
				if w.rand.IntN(4) == 0 {
					break
				}
			}
			return nil
		}
		for range 40 {
			r := a.Look(t.Context(), host())
			read++
			for _, k := range r.Jobs[uuid0] {
				seen++
				if !w.named[k.ID] {
					t.Fatalf("seed %d: job %q was in no version", seed, k.ID)
				}
			}
			some()
		}
		versions += w.whole
	}
	if seen < read/10 {
		t.Errorf("only %d jobs were seen by %d looks", seen, read)
	}
	t.Logf("%d looks at %d versions saw %d jobs", read, versions, seen)
}
