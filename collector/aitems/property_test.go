package aitems

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
)

var schedules = flag.Int("schedules", 100, "how many random schedules the property tests run")

// next are the statuses that may follow one.
var next = map[string][]string{
	"ready": {"requesting", "waiting"}, "requesting": {"waiting", "requestFailed"}, "waiting": {"learning", "refinedFailed"},
	"learning": {"completed", "learningFailed", "stopping"}, "stopping": {"ready", "completed"},
}

// world is a service that changes at random, and a way to list it.
type world struct {
	*bench
	rnd  *rand.Rand
	list func(b *bench) (collector.Listing, error)
	ever map[string]bool // every job that there was
	base aitemstest.Faults
	dark bool // an empty list was given: no other before a good listing
	red  []string
}

func newWorld(t *testing.T, seed uint64, list func(b *bench) (collector.Listing, error)) *world {
	rnd := rand.New(rand.NewPCG(seed, 11))
	w := &world{rnd: rnd, list: list, ever: map[string]bool{}}
	size := []int{0, 2, 3, 5, 20}[rnd.IntN(5)]
	w.bench = newBench(t, aitemstest.Options{Seed: int64(seed)}, func(c *Config) { c.PageSize = size })
	w.base = aitemstest.Faults{
		IgnoreOffset: rnd.IntN(4) == 0, NullOptionals: rnd.IntN(2) == 0, NoEcho: rnd.IntN(3) == 0, OffsetIsPage: rnd.IntN(10) == 0,
	}
	if rnd.IntN(4) == 0 {
		w.base.ClockSkew = time.Duration(rnd.IntN(28)-14) * time.Minute
	}
	// A service that ignores offset gives everything, or nobody could read it.
	w.base.IgnoreLimit = w.base.IgnoreOffset || rnd.IntN(5) == 0
	w.server.SetFaults(w.base)
	w.absent = func(id string) {
		if _, there := w.server.Truth()[id]; there {
			w.wrong("%s is taken to be gone", id)
		}
	}
	return w
}

func (w *world) wrong(format string, args ...any) {
	w.red = append(w.red, fmt.Sprintf(format, args...))
}

// jobs of the service, in order.
func (w *world) living() []string {
	var out []string
	for id := range w.server.Truth() {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

func pick[T any](rnd *rand.Rand, from []T) (v T, ok bool) {
	if len(from) == 0 {
		return v, false
	}
	return from[rnd.IntN(len(from))], true
}

// happen lets something happen to the trainings.
func (w *world) happen(services []string, status map[string]string) {
	switch n := w.rnd.IntN(10); {
	case n < 4:
		id, _ := pick(w.rnd, services)
		kind, _ := pick(w.rnd, []string{"pop", "relatedItem", "personalRecommend"})
		for range 1 + w.rnd.IntN(1<<w.rnd.IntN(5)) {
			job := w.server.AddTraining(id, aitemstest.Training{Type: kind, Status: "requesting"})
			w.ever[job], status[job] = true, "requesting"
		}
	case n < 8:
		for range 1 + w.rnd.IntN(4) {
			if job, ok := pick(w.rnd, w.living()); ok {
				if to, ok := pick(w.rnd, next[status[job]]); ok {
					w.server.SetStatus(job, to)
					status[job] = to
				}
			}
		}
	default:
		if job, ok := pick(w.rnd, w.living()); ok && w.rnd.IntN(2) == 0 {
			w.server.Remove(job)
		}
	}
}

// misbehave sets faults for the next listing. Between two empty lists comes a good listing: nobody can tell two from the truth.
func (w *world) misbehave(services []string) {
	f := w.base
	dark := false
	switch w.rnd.IntN(12) {
	case 0:
		f.Duplicate = true
	case 1:
		f.EmptyPages = 1 + w.rnd.IntN(2)
	case 2:
		f.EmptyLists, dark = 1, true
		f.EmptyName, _ = pick(w.rnd, []string{"services", "trains"})
	case 3:
		f.Shuffle = true
	case 4:
		f.Odd = 1
	case 5:
		id, _ := pick(w.rnd, services)
		status, _ := pick(w.rnd, []int{401, 403, 404, 500, 503})
		f.Denied = map[string]int{id: status}
	case 6:
		code, _ := pick(w.rnd, []string{"400", "410", "420"})
		f.Fail = aitemstest.Answer{Count: 1 + w.rnd.IntN(3), Status: 429, Code: code}
	case 7:
		status, _ := pick(w.rnd, []int{500, 502, 401, 403, 404})
		shape, _ := pick(w.rnd, aitemstest.Shapes())
		f.Fail = aitemstest.Answer{Count: 1 + w.rnd.IntN(5), Status: status, Shape: shape}
	case 8:
		f.Truncate = 1 + w.rnd.IntN(4)
	case 9:
		f.Pages = 1 + w.rnd.IntN(4)
	case 10:
		f.NoDate = true
	}
	if dark && w.dark {
		f, dark = w.base, false
	}
	w.dark = dark
	w.server.SetFaults(f)
}

// play runs one schedule and returns what was wrong.
func (w *world) play() []string {
	var services []string
	status := map[string]string{}
	for i := range 1 + w.rnd.IntN(3) {
		services = append(services, w.server.AddService(aitemstest.Service{Name: "service " + strconv.Itoa(i)}))
	}
	for range 15 {
		for range w.rnd.IntN(3) {
			w.happen(services, status)
		}
		if w.rnd.IntN(2) == 0 {
			w.misbehave(services)
		} else {
			w.dark = false
		}
		if w.rnd.IntN(8) == 0 {
			time.Sleep(time.Second) // no process starts in the moment in which another ended
			w.restart()
		}
		w.fold(w.list(w.bench))
		w.invented()
		w.server.SetFaults(w.base)
		time.Sleep(time.Duration(w.rnd.IntN(120_000_000)) * time.Microsecond)
	}
	w.settle()
	return w.red
}

// invented looks for jobs that never were.
func (w *world) invented() {
	for id := range w.jobs {
		if !w.ever[id] {
			w.wrong("%s was never there", id)
		}
	}
}

// settle lists until nothing is left to happen, and compares.
func (w *world) settle() {
	w.base.OffsetIsPage = false
	w.server.SetFaults(w.base)
	time.Sleep(3 * time.Hour) // whatever pause there is ends
	var l collector.Listing
	var err error
	for range 3 {
		l, err = w.list(w.bench)
		w.fold(l, err)
		time.Sleep(3 * time.Hour)
	}
	if err != nil {
		w.wrong("the service is well: %v", err)
	}
	seen := map[collector.Key]bool{}
	for i := range l.Jobs {
		if seen[l.Jobs[i].Key] {
			w.wrong("%s stands twice in a listing", l.Jobs[i].Key.ID)
		}
		seen[l.Jobs[i].Key] = true
	}
	truth := w.server.Truth()
	for id, want := range truth {
		switch j := w.jobs[id]; {
		case j == nil:
			w.wrong("%s was not found", id)
		case j.Phase != want || j.Gone:
			w.wrong("%s is %v (gone %v), in truth %v", id, j.Phase, j.Gone, want)
		}
	}
	for id, j := range w.jobs {
		if _, there := truth[id]; !there && !j.Done() && !l.Partial {
			w.wrong("%s is not there and still %v", id, j.Phase)
		}
	}
	for what, n := range w.server.Violations() {
		if what != "stale_timestamp" {
			w.wrong("%d times %s", n, what)
		}
	}
}

// ours lists as the source does.
func ours(b *bench) (collector.Listing, error) { return b.source.List(b.t.Context()) }

// TestSchedules lets trainings come, go on and go while the service misbehaves and the bridge restarts. No training may be lost,
// made up, listed twice, or be taken to be gone because of a broken listing; and in the end each is what it is.
func TestSchedules(t *testing.T) {
	for seed := range uint64(*schedules) {
		synctest.Test(t, func(t *testing.T) {
			if red := newWorld(t, seed, ours).play(); len(red) > 0 {
				t.Errorf("seed %d: %v", seed, red[:min(len(red), 5)])
			}
		})
		if t.Failed() {
			return
		}
	}
}

// trusting believes that every listing is complete.
func trusting(b *bench) (collector.Listing, error) {
	l, _ := b.source.List(b.t.Context())
	l.Partial = false
	return l, nil
}

// counting reads pages after the number of items read so far, until one is short, and keeps every item.
func counting(b *bench) (collector.Listing, error) {
	var out collector.Listing
	s, ctx := b.source, b.t.Context()
	services, err := count(ctx, s, "services", readServices, func() *url.URL { return s.at("services") })
	for _, v := range services {
		trainings, failure := count(ctx, s, "trains", readTrainings, func() *url.URL { return s.at("services", v.id, "trains") })
		if failure != nil {
			err = failure
		}
		for i := range trainings {
			out.Jobs = append(out.Jobs, s.update(v, &trainings[i], time.Now(), func(string, string, ...any) {}))
		}
	}
	return out, err
}

func count[T keyed](ctx context.Context, s *Source, operation string, read pageReader[T], u func() *url.URL) (all []T, err error) {
	limit := s.size
	if limit == 0 {
		limit = serviceLimit
	}
	for range 8 { // or it would never end
		p, err := ask(ctx, s, operation, s.pageOf(u(), len(all)), read)
		if err != nil {
			return all, err
		}
		all = append(all, p.items...)
		if p.size < limit {
			break
		}
	}
	return all, nil
}

// hasty believes at the first sight that something is gone.
func hasty(b *bench) (collector.Listing, error) {
	b.source.memory[""] = map[string]int{}
	for id := range b.server.Truth() {
		service, _, _ := strings.Cut(id, "/")
		b.source.memory[service] = map[string]int{}
	}
	return b.source.List(b.t.Context())
}

// TestTemptingWaysFail shows that the schedules of TestSchedules tell right from wrong.
func TestTemptingWaysFail(t *testing.T) {
	const n = 20
	for name, list := range map[string]func(*bench) (collector.Listing, error){"trusting": trusting, "counting": counting, "hasty": hasty} {
		red := 0
		for seed := range uint64(n) {
			synctest.Test(t, func(t *testing.T) {
				if len(newWorld(t, seed, list).play()) > 0 {
					red++
				}
			})
		}
		t.Logf("%s: %d of %d schedules found it wrong", name, red, n)
		if red < n/10 {
			t.Errorf("%s: only %d of %d schedules found it wrong", name, red, n)
		}
	}
}
