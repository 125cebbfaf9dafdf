package tensorone

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
)

var schedules = flag.Int("schedules", 100, "how many random schedules are tried")

// world is a job whose checkpoints come late, tie, move and are deleted.
type world struct {
	server *tensoronetest.Server
	rnd    *rand.Rand
	now    func() time.Time
	times  string // timed, untimed or mixed
	made   int
	listed []string
}

const theJob = "job-1"

func newWorld(seed uint64, server *tensoronetest.Server) *world {
	w := &world{server: server, rnd: rand.New(rand.NewPCG(seed, 7)), now: time.Now}
	w.times = []string{"timed", "timed", "untimed", "mixed"}[w.rnd.IntN(4)]
	w.server.AddJob(tensoronetest.Job{ID: theJob, Status: "running"})
	return w
}

// add makes a checkpoint, by now or as if it had been made long ago.
func (w *world) add(late bool) {
	w.made++
	c := tensoronetest.Checkpoint{
		ID: fmt.Sprintf("ckpt_%d", w.made), Epoch: w.made / 3, Step: w.made * 100, Size: "2.3GB", Created: w.now().Truncate(time.Second), Best: w.rnd.IntN(20) == 0,
	}
	if late {
		c.Created = c.Created.Add(-time.Duration(w.rnd.IntN(7200)) * time.Second)
	}
	if w.times == "untimed" || w.times == "mixed" && w.rnd.IntN(2) == 0 {
		c.Created = time.Time{}
	}
	w.server.AddCheckpoint(theJob, c)
	w.listed = append(w.listed, c.ID)
}

// follower is one way to count checkpoints.
type follower interface {
	poll(t testing.TB)
	restart(t testing.TB)
	counted() int
}

// run lets a world and a follower run into each other. Only what was seen by a poll is deleted.
func (w *world) run(t testing.TB, f follower) {
	orders := []tensoronetest.Order{tensoronetest.Oldest, tensoronetest.Newest, tensoronetest.Added, tensoronetest.Shuffled}
	for range 25 {
		time.Sleep(time.Duration(w.rnd.IntN(120)) * time.Second)
		switch n := w.rnd.IntN(12); {
		case n < 4:
			for range w.rnd.IntN(1 << w.rnd.IntN(6)) {
				w.add(false)
			}
		case n < 6:
			w.add(true)
		case n < 7: // all that is there is seen, and some goes
			f.poll(t)
			w.server.Prune(theJob, w.rnd.IntN(6))
		case n < 8 && len(w.listed) > 0:
			f.poll(t)
			w.server.DeleteCheckpoint(theJob, w.listed[w.rnd.IntN(len(w.listed))])
		case n < 9:
			w.server.SetOrder(theJob, orders[w.rnd.IntN(len(orders))])
		case n < 10:
			f.restart(t)
		case n < 11: // what comes and goes meanwhile is not seen
			w.server.SetFaults(tensoronetest.Faults{
				NullObjects: w.rnd.IntN(2) == 0, MissingFields: w.rnd.IntN(2) == 0, StringNumbers: w.rnd.IntN(2) == 0,
				Fail: tensoronetest.ErrorBody(w.rnd.IntN(2), 404, "RESOURCE_NOT_FOUND", "Training job not found"),
			})
			f.poll(t)
			w.server.SetFaults(tensoronetest.Faults{})
		}
		f.poll(t)
	}
	f.poll(t)
}

// ours follows with the source's own code and folds with Reduce.
type ours struct {
	b     *bench
	src   *Source
	job   *collector.Job
	spans map[collector.SpanID]bool
	twice int // spans that were made a second time
}

func (o *ours) poll(t testing.TB) {
	u, err := o.src.Follow(context.Background(), o.job)
	if err != nil {
		t.Fatal(err)
	}
	u.At, u.Polled = collector.TimeOf(time.Now()), true
	out := collector.Reduce(o.job, u, collector.ReduceOptions{Spans: true})
	o.job = out.Job
	for _, s := range out.Spans {
		if s.Name == "checkpoint" {
			if o.spans[s.ID] {
				o.twice++
			}
			o.spans[s.ID] = true
		}
	}
}

func (o *ours) restart(testing.TB) { o.src.Close(); o.src = o.b.open() }
func (o *ours) counted() int       { return checkpointsOf(o.job) }

// TestSchedules: whatever was in the list for one poll is counted once, and is one span.
func TestSchedules(t *testing.T) {
	for seed := range uint64(*schedules) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(24 * time.Hour) // so that dates before the first are dates
			b := newBench(t, tensoronetest.Options{Seed: int64(seed)}, func(c *Config) {
				name(theJob)(c)
				if seed%4 == 3 {
					c.Checkpoints = endpoint
				}
			})
			w := newWorld(seed, b.server)
			o := &ours{b: b, src: b.drive.Source().(*Source), spans: map[collector.SpanID]bool{}}
			o.job = collector.Reduce(nil, collector.Update{
				Key: collector.Key{Source: "test", ID: theJob}, At: collector.TimeOf(time.Now()),
			}, collector.ReduceOptions{}).Job
			w.run(t, o)
			ever, listed := b.server.Checkpoints(theJob)
			if o.counted() != ever || len(o.spans) != ever || o.twice > 0 || o.job.Bad > 0 {
				t.Fatalf("seed %d (%s): %d checkpoints, %d counted, %d spans, %d of them twice, %d bad", seed, w.times, ever, o.counted(), len(o.spans), o.twice, o.job.Bad)
			}
			want(t, o.job, collector.CheckpointAvailable, "", is(float64(listed)))
			b.violations()
		})
		if t.Failed() {
			return
		}
	}
}

// listOf is what a poll sees: the ids in the order of the answer.
func listOf(t testing.TB, s *tensoronetest.Server) []string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/v2/training/jobs/"+theJob, nil)
	r.Header.Set("Authorization", "Bearer "+testKey)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var ids []string
	if w.Code == http.StatusOK {
		for _, c := range read(t, w.Body.String(), nil).checkpoints {
			ids = append(ids, c.id)
		}
	}
	return ids
}

// length is a tempting way: as many as the list has, or ever had.
type length struct {
	server *tensoronetest.Server
	last   int
	n      int
}

func (l *length) poll(t testing.TB) {
	now := len(listOf(t, l.server))
	l.n += max(0, now-l.last)
	l.last = now
}
func (l *length) restart(testing.TB) {}
func (l *length) counted() int       { return l.n }

// knownEnd is another: from the newest on, up to one that is known.
type knownEnd struct {
	server *tensoronetest.Server
	seen   map[string]bool
}

func (k *knownEnd) poll(t testing.TB) {
	ids := listOf(t, k.server)
	for i := len(ids) - 1; i >= 0 && !k.seen[ids[i]]; i-- {
		k.seen[ids[i]] = true
	}
}
func (k *knownEnd) restart(testing.TB) {}
func (k *knownEnd) counted() int       { return len(k.seen) }

// shortMemory is ours with the 64 ids that are remembered unless a source asks for more.
type shortMemory struct {
	server *tensoronetest.Server
	window []string
	n      int
}

func (s *shortMemory) poll(t testing.TB) {
	for _, id := range listOf(t, s.server) {
		known := false
		for _, w := range s.window {
			known = known || w == id
		}
		if !known {
			s.n++
			s.window = append(s.window, id)
			s.window = s.window[max(0, len(s.window)-64):]
		}
	}
}
func (s *shortMemory) restart(testing.TB) {}
func (s *shortMemory) counted() int       { return s.n }

// TestTemptingWaysFail shows that the schedules of TestSchedules tell right from wrong.
func TestTemptingWaysFail(t *testing.T) {
	for what, way := range map[string]struct {
		follower func(*tensoronetest.Server) follower
		red      int // of 100 schedules, at least
	}{
		"length of the list": {func(s *tensoronetest.Server) follower { return &length{server: s} }, 50},
		"stop at a known id": {func(s *tensoronetest.Server) follower { return &knownEnd{server: s, seen: map[string]bool{}} }, 60},
		"64 ids":             {func(s *tensoronetest.Server) follower { return &shortMemory{server: s} }, 8},
	} {
		red := 0
		for seed := range uint64(100) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(24 * time.Hour)
				server := tensoronetest.New(tensoronetest.Options{Key: testKey, Seed: int64(seed), ReadsPerHour: -1})
				w, f := newWorld(seed, server), way.follower(server)
				w.run(t, f)
				if ever, _ := server.Checkpoints(theJob); f.counted() != ever {
					red++
				}
			})
		}
		t.Logf("%s: %d of 100 schedules found it wrong", what, red)
		if red < way.red {
			t.Errorf("%s: only %d of 100 schedules found it wrong", what, red)
		}
	}
}

// TestMoreThanAreRemembered: a checkpoint whose id was forgotten is not counted again.
func TestMoreThanAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{}, name(theJob))
		b.server.AddJob(tensoronetest.Job{ID: theJob, Status: "running"})
		add := func(i int) {
			time.Sleep(time.Second)
			b.server.AddCheckpoint(theJob, tensoronetest.Checkpoint{ID: fmt.Sprint("c", i), Step: i, Created: time.Now(), Best: i == 0})
		}
		b.list()
		for i := range 5200 {
			add(i)
			if i%400 == 0 {
				b.poll(theJob)
				b.server.Prune(theJob, 600)
			}
		}
		b.poll(theJob)
		if n := checkpointsOf(b.drive.Jobs()[theJob]); n != 5200 {
			t.Errorf("%d counted of 5200", n)
		}
		for _, line := range b.drive.Broken() {
			t.Error(line)
		}
		if !strings.Contains(fmt.Sprint(b.drive.Jobs()[theJob].Events), "5200") {
			t.Errorf("events %v", b.drive.Jobs()[theJob].Events)
		}
	})
}
