package hostile

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

var (
	answers = flag.Int("hostile.answers", 150, "hostile answers given to each source")
	seed    = flag.Uint64("hostile.seed", 1, "of what they are")
)

const (
	perWorld  = 50        // answers until everything begins anew
	headroom  = 128 << 20 // bytes above what there was before
	maxCursor = 64 << 10
	maxWords  = 300 // names of what was not understood
	maxValues = 2000
)

func TestHostile(t *testing.T) {
	for _, v := range victims() {
		t.Run(v.name, func(t *testing.T) {
			peak := watchMemory(t)
			given, words := 0, map[string]bool{}
			for n := uint64(0); given < *answers; n++ {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, v, *seed<<32+n, n%2 == 0)
					w.words = words
					w.live()
					given += w.server.count()
				})
				if t.Failed() {
					t.Fatalf("seed %d, world %d", *seed, n)
				}
			}
			if len(words) > maxWords {
				t.Errorf("%d names of what was not understood: they must be a bounded set", len(words))
			}
			t.Logf("%d hostile answers, at most %d MiB above the start", given, peak()>>20)
		})
	}
}

// world is one source against one hostile server.
type world struct {
	t      *testing.T
	victim victim
	gentle bool
	random *rand.Rand
	server *server
	truth  service
	net    *collectortest.Network
	drive  *collectortest.Drive
	opened []collector.Source
	heard  map[string]map[string]bool // ids of events by job
	words  map[string]bool            // not understood
}

func newWorld(t *testing.T, v victim, seed uint64, gentle bool) *world {
	t.Helper()
	w := &world{t: t, victim: v, gentle: gentle}
	// Each has a randomness of its own: the server works on requests that nobody waits for any more.
	w.random = rand.New(rand.NewPCG(seed, 5))
	w.truth = v.service(&grammar{random: rand.New(rand.NewPCG(seed, 6))})
	random := rand.New(rand.NewPCG(seed, 7))
	w.server = &server{service: w.truth, random: random, grammar: &grammar{random: random, gentle: gentle, free: v.free}}
	w.net = collectortest.Serve(t, w.server)
	w.drive, w.heard = w.newDrive()
	return w
}

func (w *world) newDrive() (*collectortest.Drive, map[string]map[string]bool) {
	w.t.Helper()
	s, err := w.victim.open(collectortest.SubjectOptions{
		Base: w.net.Base(), Dial: w.net.Dial,
		Env: collector.Env{Name: "test", Log: slog.New(slog.DiscardHandler), Health: collector.NewHealth(time.Now())},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.opened = append(w.opened, s)
	d := collectortest.NewDrive("test", s)
	heard := map[string]map[string]bool{}
	d.Heard = func(u collector.Update) {
		ids := heard[u.Key.ID]
		if ids == nil {
			ids = map[string]bool{}
			heard[u.Key.ID] = ids
		}
		for _, e := range u.Events {
			ids[e.ID] = true
		}
		for _, word := range u.Unknown {
			if w.words != nil {
				w.words[word] = true
			}
		}
	}
	return d, heard
}

// live lets the source meet hostile answers, then good ones, and looks at what became of the jobs.
func (w *world) live() {
	defer w.close()
	w.server.behave(true)
	if w.random.IntN(2) == 0 {
		_ = w.round() // it knows the jobs, or some of them
	}
	w.server.behave(false)
	for rounds := 0; w.server.count() < perWorld && rounds < 100*perWorld; rounds++ {
		_ = w.round() // whatever it says
		w.audit()
		time.Sleep(time.Duration(w.random.IntN(300)) * time.Second)
		w.truth.Advance(time.Duration(w.random.IntN(3)) * time.Minute)
	}
	w.server.behave(true)
	w.heal()
	w.audit()
	if w.gentle {
		w.compare()
	}
}

// round makes a round, with the deadlines of the scheduler.
func (w *world) round() (err error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer cancel()
	start := time.Now()
	_, err = w.drive.List(ctx)
	w.inTime("List", start, 5*time.Minute)
	due := w.drive.Due()
	for i, id := range due {
		if i >= 20 && !w.gentle { // of jobs that were made up
			break
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(w.t.Context(), 45*time.Second)
		u, failed := w.drive.Follow(ctx, id)
		cancel()
		w.inTime("Follow", start, 45*time.Second)
		if failed != nil {
			err = failed
		} else if u.More {
			err = fmt.Errorf("job %s: there is more", id)
		}
	}
	return err
}

func (w *world) inTime(what string, start time.Time, within time.Duration) {
	if took := time.Since(start); took > within+time.Second {
		w.t.Errorf("%s took %v, its deadline was after %v", what, took, within)
	}
}

// audit looks at what must hold at any time.
func (w *world) audit() {
	for _, line := range w.drive.Broken() {
		w.t.Errorf("the accounting does not add up: %s", line)
	}
	for id, j := range w.drive.Jobs() {
		if len(j.Cursor) > maxCursor {
			w.t.Errorf("job %.100q: a cursor of %d bytes", id, len(j.Cursor))
		}
		if len(j.Readings) > maxValues {
			w.t.Errorf("job %.100q: %d values", id, len(j.Readings))
		}
	}
}

// heal makes rounds until everything is read. After answers that changed what jobs there are, some of them may be ones
// that the service does not know.
func (w *world) heal() {
	var err error
	for range 100 {
		time.Sleep(2 * time.Minute)
		if err = w.round(); err == nil {
			return
		}
	}
	if w.gentle {
		w.t.Errorf("a service that is good again is not read: %v", err)
	}
}

// compare holds the jobs against the events that there were, and against those of a source that has met no hostile answer. Each
// event must have been counted or set aside.
func (w *world) compare() {
	jobs, heard := w.drive.Jobs(), w.heard
	w.drive, w.heard = w.newDrive()
	time.Sleep(2 * time.Minute)
	w.heal()
	events := map[string][]string{}
	maps.Copy(events, w.truth.Events())
	for id, ids := range w.heard {
		events[id] = slices.AppendSeq(events[id], maps.Keys(ids))
	}
	for id, ids := range events {
		missing := slices.DeleteFunc(slices.Clone(ids), func(event string) bool { return heard[id][event] })
		if len(missing) > 0 {
			w.t.Errorf("job %s: %d of its events were neither counted nor set aside, such as %s", id, len(missing), missing[0])
		}
	}
	for id, j := range w.drive.Jobs() {
		was := jobs[id]
		if was == nil {
			w.t.Errorf("job %s is not known in the end", id)
		} else if was.Phase != j.Phase && !(was.Phase.Ended() && j.Phase.Ended()) { // who sees only the end may call it otherwise
			w.t.Errorf("job %s is %s in the end (%s), was to be %s (%s)", id, was.Phase, was.Status, j.Phase, j.Status)
		}
	}
}

func (w *world) close() {
	for _, s := range w.opened {
		if c, ok := s.(io.Closer); ok {
			c.Close()
		}
	}
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	for _, stack := range collectortest.Leftovers() {
		w.t.Errorf("a goroutine was left behind:\n%s", stack)
	}
}

// watchMemory fails the test if the program ever holds much more memory than now. What it returns is the most so far.
func watchMemory(t *testing.T) (peak func() uint64) {
	t.Helper()
	debug.FreeOSMemory()
	base := held()
	limit := debug.SetMemoryLimit(int64(base + headroom*3/4)) // as an operator would set GOMEMLIMIT
	var most atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			if now := held(); now > base && now-base > most.Load() {
				most.Store(now - base)
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
		debug.SetMemoryLimit(limit)
		if most.Load() > headroom {
			t.Errorf("%d MiB above the start, at most %d are allowed", most.Load()>>20, headroom>>20)
		}
		runtime.GC()
	})
	return most.Load
}

// held is the memory that the runtime has from the operating system.
func held() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// TestGrammar holds the generator to what it is for: most documents are JSON and differ from the original.
func TestGrammar(t *testing.T) {
	g := &grammar{random: rand.New(rand.NewPCG(1, 1))}
	original := []byte(`{"data":[{"id":"a","type":"x","data":{"loss":0.5}},{"id":"b","type":"y","data":null}],"has_more":true}`)
	seen := map[string]bool{}
	for range 300 {
		seen[string(g.mutate(slices.Clone(original)))] = true
	}
	if len(seen) < 200 {
		t.Errorf("%d different documents of 300", len(seen))
	}
}
