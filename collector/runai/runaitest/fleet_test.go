package runaitest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

// fleetWorld is a world whose clock goes with the fleet.
type fleetWorld struct {
	*world
	fleet      *runaitest.Fleet
	transcript bytes.Buffer
}

func newFleet(t testing.TB, o runaitest.FleetOptions) *fleetWorld {
	w := &fleetWorld{world: newWorld(t, runaitest.Options{TokenLifetime: 1000 * time.Hour})}
	o.Transcript = &w.transcript
	w.fleet = runaitest.NewFleet(w.Server, o)
	return w
}

// play advances in strides.
func (w *fleetWorld) play(d, stride time.Duration) {
	for d > 0 {
		step := min(d, stride)
		w.now = w.now.Add(step)
		w.Advance(step)
		d -= step
	}
}

// served is a digest of all that the API shows of the fleet.
func (w *fleetWorld) served() string {
	h := sha256.New()
	for _, query := range []string{"", "?deleted=true"} {
		for _, item := range w.all("/api/v1/workloads"+query, "workloads", 500) {
			id := item["id"].(string)
			for _, path := range []string{id, id + "/events?limit=500", id + "/history?limit=500", id + "/pods"} {
				h.Write(w.get(path).Body.Bytes())
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestSameSeedSameFleet(t *testing.T) {
	run := func(seed int64, stride time.Duration) *fleetWorld {
		w := newFleet(t, runaitest.FleetOptions{Seed: seed})
		w.play(150*time.Minute, stride)
		return w
	}
	a, b, c := run(7, 150*time.Minute), run(7, 700*time.Millisecond), run(8, 150*time.Minute)
	if a.transcript.String() != b.transcript.String() {
		t.Error("the same seed gave two transcripts")
	}
	if a.transcript.String() == c.transcript.String() {
		t.Error("another seed gave the same transcript")
	}
	if n := strings.Count(a.transcript.String(), "\n"); n < 2000 {
		t.Errorf("only %d things happened", n)
	}
	if a.served() != b.served() {
		t.Error("the same seed gave two sets of answers")
	}
}

func TestOthersDoNotChangeTheFleet(t *testing.T) {
	run := func(busy bool) string {
		w := newFleet(t, runaitest.FleetOptions{Seed: 1})
		for range 60 {
			if busy {
				w.SetPhase(w.AddWorkload(runaitest.Workload{}), "Running", "")
			}
			w.play(30*time.Second, time.Minute)
		}
		return w.transcript.String()
	}
	if run(true) != run(false) {
		t.Error("workloads that a test added changed the fleet's transcript")
	}
}

func TestFleetShowsEverything(t *testing.T) {
	w := newFleet(t, runaitest.FleetOptions{Seed: 1})
	phases, reasons, types, projects := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	results := map[string]int{}
	fewer, idle, revisions := false, false, 0
	for n := range 6 * 60 {
		w.play(time.Minute, time.Minute)
		for _, item := range w.all("/api/v1/workloads", "workloads", 500) {
			phases[item["phase"].(string)] = true
			types[item["type"].(string)] = true
			projects[item["projectName"].(string)] = true
			requested := item["requestedPods"].(map[string]any)["number"].(float64)
			running := item["runningPods"].(float64)
			fewer = fewer || item["phase"] == "Running" && running > 0 && running < requested
			idle = idle || item["idleAllocatedGpus"].(float64) > 0
		}
		if n%10 != 0 {
			continue
		}
		for _, tr := range w.Truth() {
			for reason := range tr.Events {
				reasons[reason] = true
			}
			if !tr.Completed.IsZero() && tr.Deleted.IsZero() {
				results[tr.Phase]++
			}
			revisions = max(revisions, tr.RevisionEvents)
		}
	}
	for _, phase := range strings.Fields("Pending Initializing Running Degraded Stopping Stopped Completed Failed Updating") {
		if !phases[phase] {
			t.Errorf("phase %s was never seen", phase)
		}
	}
	for _, reason := range strings.Fields("Scheduled Pulling Pulled Created Started FailedScheduling Unschedulable Evict Killing OOMKilling BackOff Unhealthy NotReady Failed") {
		if !reasons[reason] {
			t.Errorf("reason %s was never seen", reason)
		}
	}
	if len(types) != 4 || len(projects) != 3 || !fewer || !idle || revisions < 3 || results["Failed"] == 0 || results["Completed"] == 0 {
		t.Errorf("types %v, projects %v, fewer pods %t, idle %t, %d revisions, results %v", types, projects, fewer, idle, revisions, results)
	}
	for _, tr := range w.Truth() {
		if tr.Phase == "Failed" && tr.Message == "" {
			t.Errorf("%s failed without a message", tr.Name)
		}
	}
	w.wantClean()
}

func TestFleetStaysBounded(t *testing.T) {
	w := newFleet(t, runaitest.FleetOptions{Seed: 3})
	begun := make(map[string]bool)
	low, high, most, events := 1000, 0, 0, 0
	for hour := range 4 * 24 {
		w.play(15*time.Minute, 15*time.Minute)
		listed := 0
		for id, tr := range w.Truth() {
			begun[id] = true
			events = max(events, tr.Listed)
			if tr.Deleted.IsZero() {
				listed++
			}
		}
		if hour > 0 {
			low = min(low, listed)
		}
		high, most = max(high, listed), max(most, len(w.Truth()))
		if n := len(w.fleet.Jobs()); n != len(w.Truth()) {
			t.Fatalf("the fleet knows %d workloads, the server %d", n, len(w.Truth()))
		}
	}
	if low < 12 || high > 22 || most > 60 || events > 200 || len(begun) < 200 {
		t.Errorf("listed %d to %d, known at most %d, events of one at most %d, %d in a day", low, high, most, events, len(begun))
	}
	for _, j := range w.fleet.Jobs() {
		if j.Ended > 0 && j.Deleted == 0 && j.Ended < w.fleet.Now()-31*time.Minute {
			t.Errorf("%s ended at %v and is still listed", j.Name, j.Ended)
		}
	}
}

func TestFleetMatchesTruth(t *testing.T) {
	w := newFleet(t, runaitest.FleetOptions{Seed: 5})
	w.play(2*time.Hour, time.Second)
	for id, tr := range w.Truth() {
		events := w.all(id+"/events", "events", 50)
		records := w.all(id+"/history", "records", 50)
		if len(events) != tr.Distinct() || len(records) != tr.Distinct()+len(tr.Phases) {
			t.Errorf("%s: %d events and %d records, truth %d and %d phases", tr.Name, len(events), len(records), tr.Distinct(), len(tr.Phases))
		}
		times := texts(events, "createdAt")
		slices.Reverse(times)
		if !slices.IsSorted(times) {
			t.Errorf("%s: events are not sorted", tr.Name)
		}
		at := tr.Created
		for _, p := range tr.Phases {
			if p.At.Before(at) || p.At.After(w.now) {
				t.Errorf("%s: %s at %v, after %v", tr.Name, p.Phase, p.At, at)
			}
			at = p.At
		}
	}
	w.wantClean()
}

func TestStampsAreNeverInTheFuture(t *testing.T) {
	w := newFleet(t, runaitest.FleetOptions{Seed: 5})
	for range 60 { // 30 virtual seconds in each second
		w.now = w.now.Add(time.Second)
		w.Advance(30 * time.Second)
	}
	n := 0
	for _, tr := range w.Truth() {
		for _, p := range tr.Phases {
			if n++; p.At.Before(epoch) || p.At.After(w.now) {
				t.Errorf("%s: %s at %v", tr.Name, p.Phase, p.At)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d phases", n)
	}
}

func TestRunFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := runaitest.New(runaitest.Options{})
		f := runaitest.NewFleet(s, runaitest.FleetOptions{Seed: 1, Speed: 60, Jobs: 30})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := f.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if now := f.Now(); now < 9*time.Minute || now > 10*time.Minute {
			t.Errorf("virtual time %v after 10 s at speed 60", now)
		}
		if n := len(s.Truth()); n < 28 {
			t.Errorf("%d workloads, want about 30", n)
		}
	})
}

func TestAdvanceWithoutFleet(t *testing.T) {
	s := runaitest.New(runaitest.Options{})
	s.Advance(time.Hour)
	if len(s.Truth()) != 0 {
		t.Error("something happened")
	}
}

func TestRaces(t *testing.T) {
	w := newWorld(t, runaitest.Options{Now: time.Now})
	w.login()
	f := runaitest.NewFleet(w.Server, runaitest.FleetOptions{Seed: 1})
	f.Advance(10 * time.Minute)
	id := w.AddWorkload(runaitest.Workload{Type: runaitest.Inference})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 40 {
				w.get("/api/v1/workloads?sortBy=phaseUpdatedAt&filterBy=phase==Running")
				w.get(id + "/events?sortOrder=asc")
				w.get(id + "/history")
				w.get(id + "/metrics?metricType=GPU_UTILIZATION&" + window)
				switch i {
				case 0:
					f.Advance(time.Minute)
				case 1:
					w.SetFaults(runaitest.Faults{ShortPages: n % 3, UnsortedEvents: n%2 == 0})
					w.SetPhase(id, "Running", "")
					w.AddEvent(id, runaitest.Event{})
					w.SetMetric(id, "GPU_UTILIZATION", "3")
				case 2:
					w.Truth()
					w.SetWorkloadFaults(id, runaitest.Faults{LateEvery: n % 2})
					w.AddRevisionEvent(w.AddRevision(id, runaitest.Revision{}), runaitest.Event{})
					w.RevisionTruth(id)
				case 3:
					w.PruneEvents(id, 5)
					w.Delete(w.AddWorkload(runaitest.Workload{}))
					w.Purge(w.AddMany(3)[0])
					w.Counters()
					w.Requests()
				}
			}
		})
	}
	wg.Wait()
	if b := w.get("/api/v1/workloads").Body.Bytes(); !json.Valid(b) {
		t.Errorf("page %s", b)
	}
}
