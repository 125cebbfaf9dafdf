package runai

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

func (b *bench) running(w runaitest.Workload) string {
	id := b.server.AddWorkload(w)
	b.server.SetPhase(id, "Running", "")
	return id
}

func (b *bench) poll(id string) collector.Update {
	b.t.Helper()
	u, err := b.drive.Follow(context.Background(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// TestAQuietPollIsOneRequest holds the source to its price.
func TestAQuietPollIsOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.running(runaitest.Workload{})
		for i := range 3000 {
			b.server.AddEvent(id, runaitest.Event{CreatedAt: time.Now().Add(time.Duration(i-3000) * 2 * time.Second), Reason: "Pulled"})
		}
		b.round()
		b.same(id)
		time.Sleep(11 * time.Minute)
		b.round() // the history once more
		others := func() uint64 { return b.requests("") - b.requests("metrics") - b.requests("token") }
		before := others()
		const polls = 200
		for range polls {
			time.Sleep(15 * time.Second)
			b.poll(id)
		}
		if n := others() - before; n != polls {
			t.Errorf("%d requests in %d quiet polls", n, polls)
		}
		if n := b.requests("metrics"); n > 15*polls/60+3 || n < 15*polls/60-3 {
			t.Errorf("%d requests for metrics in %d seconds", n, 15*polls)
		}
		b.lawful()
	})
}

// TestBursts has more events in the window than the core can remember ids.
func TestBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.running(runaitest.Workload{})
		b.round()
		for range 6 {
			for range 3000 {
				b.server.AddEvent(id, runaitest.Event{Reason: "BackOff", NoID: rand.IntN(2) == 0, Message: fmt.Sprint(rand.Uint64())})
			}
			time.Sleep(20 * time.Second)
			b.round()
			b.same(id)
		}
		for range 80 {
			time.Sleep(15 * time.Second)
			b.server.AddEvent(id, runaitest.Event{Reason: "Pulled"})
			b.poll(id)
		}
		b.same(id)
		if j := b.job(id); len(j.Window) > 128 || len(j.Cursor) > 400 {
			t.Errorf("after a while %d ids are remembered, and %d bytes of cursor", len(j.Window), len(j.Cursor))
		}
		b.lawful()
	})
}

// TestALongBacklog is read oldest first, in parts, while events come and go.
func TestALongBacklog(t *testing.T) {
	for name, f := range map[string]runaitest.Faults{"as documented": {}, "without sortOrder": {NoSortOrder: true}, "unsorted": {UnsortedEvents: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, runaitest.Options{}, func(c *Config) { c.PageSize = 100 })
				b.source.longBacklog = 1500
				id := b.running(runaitest.Workload{CreatedAt: time.Now().Add(-10 * time.Hour)})
				for i := range 6000 {
					b.server.AddEvent(id, runaitest.Event{CreatedAt: time.Now().Add(time.Duration(i-6000) * 5 * time.Second), NoID: i%3 == 0, Message: fmt.Sprint(i)})
				}
				b.server.SetFaults(f)
				b.list()
				polls := 1
				for ; b.poll(id).More; polls++ {
					b.server.AddEvent(id, runaitest.Event{Reason: "Pulled"})
					if polls == 3 {
						b.server.PruneEvents(id, 5800) // of which more have been read
					}
				}
				if few := polls < 5; few != (name != "as documented") {
					t.Errorf("%d polls", polls)
				}
				b.same(id)
				for range 10 {
					time.Sleep(2 * time.Minute)
					b.server.AddEvent(id, runaitest.Event{Reason: "Pulled"})
					b.poll(id)
				}
				b.same(id)
				b.lawful()
			})
		})
	}
}

func TestOddTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.running(runaitest.Workload{})
		for _, year := range []int{2099, 2150, 1971} {
			b.server.AddEvent(id, runaitest.Event{CreatedAt: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), Reason: "Pulled"})
		}
		for range 80 {
			for range 60 {
				b.server.AddEvent(id, runaitest.Event{Reason: "Pulled"})
			}
			b.server.AddNullEvent(id)
			time.Sleep(20 * time.Second)
			b.round()
		}
		b.same(id)
		b.lawful()
	})
}

// TestARepeatedEventIsCountedOnce, as long as it repeats.
func TestARepeatedEventIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.running(runaitest.Workload{})
		repeated := b.server.AddEvent(id, runaitest.Event{Reason: "BackOff", Type: "Warning"})
		for i := range 110 {
			for range 60 { // of which the core remembers no more than it must
				b.server.AddEvent(id, runaitest.Event{Reason: "Pulled"})
			}
			if i%10 == 0 {
				b.server.AddEvent(id, runaitest.Event{ID: repeated, Reason: "BackOff", Type: "Warning"})
			}
			time.Sleep(30 * time.Second)
			b.round()
		}
		b.same(id)
	})
}

func TestLateEventsAreCountedAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.running(runaitest.Workload{})
		for i := range 100 {
			b.server.AddEvent(id, runaitest.Event{Reason: "Pulled", Message: fmt.Sprint(i)})
			time.Sleep(time.Minute)
			b.round()
		}
		for range 7 { // much later than the window
			b.server.AddEvent(id, runaitest.Event{Reason: "Pulled", CreatedAt: time.Now().Add(-time.Hour)})
		}
		b.server.SetPhase(id, "Completed", "")
		for range 4 {
			time.Sleep(time.Minute)
			b.round()
		}
		j := b.job(id)
		truth := b.server.JobTruth(id)
		if all := truth.Distinct() + len(truth.Phases); j.Late != 7 || int(j.EventCount()+j.Late) != all || j.Reconciled < 2 {
			t.Errorf("%d counted, %d late of %d, %d counts", j.EventCount(), j.Late, all, j.Reconciled)
		}
	})
}

// TestRowsThatCannotBeRead stand in the middle of a list.
func TestRowsThatCannotBeRead(t *testing.T) {
	for name, message := range map[string]string{"huge": strings.Repeat("x", 2<<20), "many": strings.Repeat("y", 900<<10)} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, runaitest.Options{}, nil)
			id := b.running(runaitest.Workload{})
			n := 1
			if name == "many" {
				n = 9 // each can be read, but not all at once
			}
			for i := range 400 {
				e := runaitest.Event{Reason: "Pulled", CreatedAt: time.Now().Add(time.Duration(i-400) * time.Second)}
				if i > 300 && i <= 300+n {
					e.Message, e.NoHistory = message, true
				}
				b.server.AddEvent(id, e)
			}
			b.list()
			u := b.poll(id)
			truth := b.server.JobTruth(id)
			want := truth.Distinct() + len(truth.Phases)
			if name == "huge" {
				want--
			}
			if got := int(b.job(id).EventCount()); got != want || (name == "huge") != (strings.Join(u.Unknown, " ") == "event") {
				t.Errorf("%s: %d counted, want %d; unknown %v", name, got, want, u.Unknown)
			}
			if n := b.requests("events"); n > 60 {
				t.Errorf("%s: %d requests", name, n)
			}
		})
	}
}

func TestMetricsWithFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.running(runaitest.Workload{GPUs: 4})
		set := func(f runaitest.Faults, util, memory string) *collector.Job {
			t.Helper()
			b.server.SetFaults(f)
			b.server.SetMetric(id, "GPU_UTILIZATION", util)
			b.server.SetMetric(id, "GPU_MEMORY_USAGE_BYTES", memory)
			time.Sleep(61 * time.Second)
			b.round()
			return b.job(id)
		}
		util := func(j *collector.Job) float64 { v, _ := j.Reading(collector.GPUUtilization, ""); return v }
		memory := func(j *collector.Job) float64 { v, _ := j.Reading(collector.GPUMemoryUsage, ""); return v }
		if j := set(runaitest.Faults{}, "85", "1e9"); util(j) != 0.85 || memory(j) != 1e9 {
			t.Errorf("%v %v", util(j), memory(j))
		}
		if j := set(runaitest.Faults{PartialMetrics: true, ZonelessTimes: true}, "90", "2e9"); util(j) != 0.9 || memory(j) != 2e9 {
			t.Errorf("partial: %v %v", util(j), memory(j))
		}
		if j := set(runaitest.Faults{Only: []runaitest.Operation{runaitest.OpMetrics}, NullValues: true}, "95", "3e9"); util(j) != 0.9 {
			t.Errorf("nulls: %v", util(j)) // no time, no news
		}
		if j := set(runaitest.Faults{Only: []runaitest.Operation{runaitest.OpMetrics}, Body: runaitest.HTML}, "99", "4e9"); util(j) != 0.9 {
			t.Errorf("web page: %v", util(j))
		}
		if j := set(runaitest.Faults{}, "101.5", "garbage"); util(j) != 1.015 || memory(j) != 4e9 { // the newest that can be read
			t.Errorf("at last: %v %v", util(j), memory(j))
		}
		b.server.SetPhase(id, "Stopped", "")
		asked := b.requests("metrics")
		b.round()
		time.Sleep(5 * time.Minute)
		b.round()
		if n := b.requests("metrics") - asked; n > 0 {
			t.Errorf("%d requests for metrics of a workload that does not run", n)
		}
		b.lawful()
	})
}

func TestSwitchedOff(t *testing.T) {
	no := false
	for name, c := range map[string]struct {
		change func(*Config)
		count  func(runaitest.JobTruth) int
		never  []string
	}{
		"events":  {func(c *Config) { c.Events = &no }, func(t runaitest.JobTruth) int { return len(t.Phases) }, []string{"events"}},
		"history": {func(c *Config) { c.History = &no }, func(t runaitest.JobTruth) int { return t.Distinct() }, []string{"history"}},
		"all":     {func(c *Config) { c.Events, c.History, c.Metrics, c.Deleted = &no, &no, &no, &no }, func(runaitest.JobTruth) int { return 0 }, []string{"events", "history", "metrics", "list_deleted"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, runaitest.Options{}, c.change)
			id := b.running(runaitest.Workload{})
			for i := range 20 {
				b.server.AddEvent(id, runaitest.Event{Reason: "Pulled"})
				if i == 18 {
					b.server.SetPhase(id, "Completed", "")
				}
				time.Sleep(time.Minute)
				b.round()
			}
			j := b.job(id)
			if want := c.count(b.server.JobTruth(id)); int(j.EventCount()) != want || j.Late > 0 {
				t.Errorf("%s: %d events counted and %d late, want %d", name, j.EventCount(), j.Late, want)
			}
			if j.Phase != collector.Succeeded || j.Trace.Open {
				t.Errorf("%s: %s", name, j.Phase)
			}
			for _, op := range c.never {
				if b.requests(op) > 0 {
					t.Errorf("%s: %d requests of %s", name, b.requests(op), op)
				}
			}
		})
	}
}

// TestSchedulesOverHTTP is TestSchedules with the simulator, its faults and real requests.
func TestSchedulesOverHTTP(t *testing.T) {
	faults := []runaitest.Faults{
		{}, {UnsortedEvents: true}, {NoSortOrder: true}, {ZonelessTimes: true}, {Next: runaitest.NextNull}, {Next: runaitest.NextAlways}, {ShortPages: 30},
		{HistoryOrder: runaitest.Shuffled}, {HistoryOrder: runaitest.OldestFirst}, {LateEvery: 5, LateBy: 9 * time.Minute}, {OldVersion: true}, {NumericIDs: true},
	}
	for seed := range uint64(max(12, *schedules/10)) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 3))
			b := newBench(t, runaitest.Options{Seed: int64(seed)}, func(c *Config) { c.PageSize = []int{500, 60, 25}[rnd.IntN(3)] })
			b.server.SetFaults(faults[int(seed)%len(faults)])
			id := b.running(runaitest.Workload{})
			seen := 0 // at the last poll but one
			for range 40 {
				switch n := rnd.IntN(12); {
				case n < 6:
					for i := range rnd.IntN(1 << rnd.IntN(8)) {
						b.server.AddEvent(id, runaitest.Event{Reason: "Pulled", NoID: rnd.IntN(3) == 0, Message: fmt.Sprint(rnd.Uint64(), i)})
					}
				case n < 8 && faults[int(seed)%len(faults)].LateEvery == 0: // else it would be later still
					b.server.AddEvent(id, runaitest.Event{Reason: "Killing", CreatedAt: time.Now().Add(-time.Duration(rnd.Int64N(int64(9 * time.Minute))))})
				case n < 9:
					b.server.SetPhase(id, []string{"Running", "Stopped", "Resuming", "Pending", "Degraded"}[rnd.IntN(5)], "")
				case n < 10 && faults[int(seed)%len(faults)].LateEvery == 0:
					b.server.PruneEvents(id, b.server.JobTruth(id).Listed-seen/2)
				case n < 11:
					b.restart()
				}
				time.Sleep(time.Duration(rnd.Int64N(int64(2 * time.Minute))))
				b.round()
				seen = b.server.JobTruth(id).Listed
			}
			for range 6 {
				time.Sleep(2 * time.Minute)
				b.round()
			}
			if t.Failed() {
				return
			}
			if b.same(id); t.Failed() {
				t.Errorf("seed %d", seed)
			}
			b.lawful()
		})
	}
}

// TestNotFound has a service that does not find what it lists, or only a part of it.
func TestNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.running(runaitest.Workload{})
		b.round()
		b.server.SetWorkloadFaults(id, runaitest.Faults{Only: []runaitest.Operation{runaitest.OpEvents}, Fail: runaitest.Problem(-1, 404, "Resource id not found.")})
		b.list()
		if u, err := b.drive.Follow(t.Context(), id); collector.ClassOf(err) != "not_found" || u.NotFound {
			t.Errorf("listed: not found %v, %v", u.NotFound, err)
		}
		b.restart() // nothing is listed yet
		if u, err := b.drive.Follow(t.Context(), id); err != nil || !u.NotFound {
			t.Errorf("not listed: not found %v, %v", u.NotFound, err)
		}
		b.server.SetPhase(id, "Completed", "")
		b.list()
		b.server.SetWorkloadFaults(id, runaitest.Faults{Only: []runaitest.Operation{runaitest.OpHistory}, Fail: runaitest.Problem(1, 404, "Resource id not found.")})
		if u, err := b.drive.Follow(t.Context(), id); collector.ClassOf(err) != "not_found" || u.NotFound {
			t.Errorf("history: not found %v, %v", u.NotFound, err)
		}
		b.round()
		b.same(id)
	})
}

// TestPhasesOfTheSameMoment come in the order in which a workload goes through them.
func TestPhasesOfTheSameMoment(t *testing.T) {
	for _, order := range [][]string{{"Creating", "Pending", "Initializing", "Running"}, {"Running", "Completed", "Deleting"}, {"Stopping", "Stopped"}, {"Running", "Failed"}} {
		for salt := range 5 {
			p := newPile()
			r := &recordPage{}
			for _, word := range order {
				p.add(inHistory, []*record{r.finish(&rawRecord{at: 5e9, typ: "PhaseUpdate", hasPhase: true, phase: word, why: fmt.Sprint(salt)})})
			}
			for i, e := range p.changes() {
				if e.Status != order[i] {
					t.Errorf("%v: %s at place %d", order, e.Status, i)
				}
			}
		}
	}
}
