package wandbtest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// play advances a fleet in strides and returns it with its transcript.
func play(t testing.TB, o wandbtest.FleetOptions, to, stride time.Duration) (*wandbtest.Server, *wandbtest.Fleet, string) {
	t.Helper()
	var transcript bytes.Buffer
	o.Transcript = &transcript
	s := newServer(t, wandbtest.Options{})
	f := wandbtest.NewFleet(s, o)
	for at := time.Duration(0); at < to; {
		at = min(to, at+stride)
		f.Advance(at)
	}
	sum := sha256.Sum256(transcript.Bytes())
	return s, f, hex.EncodeToString(sum[:])
}

func TestSameSeedSameRun(t *testing.T) {
	for _, sc := range wandbtest.Scenarios() {
		o := wandbtest.FleetOptions{Seed: 7, Scenario: sc.Name, Jobs: 20}
		_, _, a := play(t, o, 30*time.Minute, 30*time.Minute)
		_, _, b := play(t, o, 30*time.Minute, 700*time.Millisecond)
		o.Seed = 8
		_, _, c := play(t, o, 30*time.Minute, 30*time.Minute)
		if a != b {
			t.Errorf("%s: the same seed gave two transcripts", sc.Name)
		}
		if a == c {
			t.Errorf("%s: another seed gave the same transcript", sc.Name)
		}
	}
}

// served is all that the API shows of a fleet's jobs.
func served(t *testing.T, s http.Handler, f *wandbtest.Fleet) string {
	h := sha256.New()
	for _, j := range f.Jobs() {
		h.Write([]byte(j.ID))
		for _, e := range readAll(t, s, j.ID, 100) {
			h.Write([]byte(e.ID + e.Type))
			h.Write(e.Data)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestSameSeedSameAnswers(t *testing.T) {
	o := wandbtest.FleetOptions{Seed: 3}
	s1, f1, _ := play(t, o, 20*time.Minute, time.Minute)
	s2, f2, _ := play(t, o, 20*time.Minute, 11*time.Second)
	if served(t, s1, f1) != served(t, s2, f2) {
		t.Error("the same seed gave two sets of answers")
	}
}

func TestOthersDoNotChangeTheFleet(t *testing.T) {
	run := func(busy bool) string {
		var transcript bytes.Buffer
		s := newServer(t, wandbtest.Options{})
		f := wandbtest.NewFleet(s, wandbtest.FleetOptions{Seed: 1, Transcript: &transcript})
		for i := range 60 {
			if busy {
				newJob(s, steps(i)...)
			}
			f.Advance(time.Duration(i) * 10 * time.Second)
		}
		return transcript.String()
	}
	if run(true) != run(false) {
		t.Error("jobs that a test added changed the fleet's transcript")
	}
}

func TestPagingMatchesTruth(t *testing.T) {
	s, f, _ := play(t, wandbtest.FleetOptions{Seed: 1}, time.Hour, time.Hour)
	for _, j := range f.Jobs() {
		tr := s.JobTruth(j.ID)
		got := make(map[string]int)
		last := ""
		for _, e := range readAll(t, s, j.ID, 0) {
			got[e.Type]++
			if e.Type == wandbtest.TypeStep {
				last = string(e.Data)
			}
		}
		for typ, n := range tr.Events {
			if got[typ] != n {
				t.Errorf("%s: %d events of type %s, truth %d", j.Labels["name"], got[typ], typ, n)
			}
		}
		raw := strings.Replace(tr.LossRaw, "NaN", "null", 1)
		if tr.Steps > 0 && !strings.Contains(last, raw) {
			t.Errorf("%s: last loss %s is not in %s", j.Labels["name"], raw, last)
		}
		if string(tr.Result) != string(j.Result) || tr.Result == wandbtest.Success && tr.Steps != tr.Planned {
			t.Errorf("%s: fleet says %s, truth %+v", j.Labels["name"], j.Result, tr)
		}
	}
}

func TestDefaultFleetShowsEverything(t *testing.T) {
	s, f, _ := play(t, wandbtest.FleetOptions{Seed: 1}, 150*time.Second, time.Second)
	if n := count(f, func(j wandbtest.FleetJob) bool { return j.Kind == wandbtest.RL && j.Result == wandbtest.Success }); n < 2 {
		t.Errorf("%d reinforcement learning jobs ended after 150 s, want at least 2", n)
	}
	f.Advance(15 * time.Minute)
	find := func(group string) (wandbtest.FleetJob, wandbtest.JobTruth) {
		for _, j := range f.Jobs() {
			if j.Labels["group"] == group {
				return j, s.JobTruth(j.ID)
			}
		}
		t.Fatalf("no job in group %s", group)
		return wandbtest.FleetJob{}, wandbtest.JobTruth{}
	}
	if _, tr := find("long-context-001"); tr.Result != wandbtest.Failure || !strings.HasPrefix(tr.Message, "CUDA out of memory") {
		t.Errorf("failure with a message: %+v", tr)
	}
	if _, tr := find("mixed-data-001"); tr.Result != wandbtest.Failure || tr.HasMessage {
		t.Errorf("failure without a message: %+v", tr)
	}
	if _, tr := find("high-rate-001"); tr.Result != wandbtest.Running || tr.LossRaw != "NaN" || tr.Nonfinite < 20 || tr.Loss == nil {
		t.Errorf("diverged: %+v", tr)
	}
	if j, tr := find("new-tokenizer-001"); !j.Stalled || tr.Result != wandbtest.Running || tr.Steps < 10 {
		t.Errorf("stalled: %+v", tr)
	}
	if j, tr := find("high-rate-001"); tr.Steps > 0 {
		last := readAll(t, s, j.ID, 100)
		if data := string(last[len(last)-1].Data); !strings.HasPrefix(data, `{"loss":null,`) {
			t.Errorf("diverged on the wire: %s", data)
		}
	}
}

func count(f *wandbtest.Fleet, is func(wandbtest.FleetJob) bool) int {
	n := 0
	for _, j := range f.Jobs() {
		if is(j) {
			n++
		}
	}
	return n
}

func TestFleetNeverGoesDeadAndForgets(t *testing.T) {
	s, f, _ := play(t, wandbtest.FleetOptions{Seed: 1, Keep: 3 * time.Hour}, 12*time.Hour, time.Hour)
	for _, group := range []string{"voice-agent-006", "support-tone-006", "long-context-006", "new-tokenizer-006", "high-rate-006"} {
		if count(f, func(j wandbtest.FleetJob) bool { return j.Labels["group"] == group }) == 0 {
			t.Errorf("no %s after 12 hours", group)
		}
	}
	for _, j := range f.Jobs() {
		if j.Ended > 0 && j.Ended < 9*time.Hour {
			t.Errorf("%s ended at %v and is still known", j.Labels["name"], j.Ended)
		}
	}
	truth := s.Truth()
	known := 0
	for _, j := range truth.Jobs {
		known += j.Steps
	}
	sum := 0
	for _, m := range truth.Models {
		sum += m.Steps
	}
	if sum != truth.Steps || known >= sum {
		t.Errorf("steps: %d of known jobs, %d of models, %d in all", known, sum, truth.Steps)
	}
}

func TestScenarios(t *testing.T) {
	type tally struct{ failed, stalled, nonfinite int }
	for name, want := range map[string]tally{
		"healthy": {}, "failures": {3, 0, 0}, "nan": {0, 0, 3}, "stall": {0, 3, 0}, "storm": {5, 0, 0}, "big": {},
	} {
		s, f, _ := play(t, wandbtest.FleetOptions{Seed: 2, Scenario: name, Jobs: 50}, 10*time.Minute, time.Minute)
		var got tally
		bad := make(map[string]bool)
		for _, j := range f.Jobs() {
			if j.Result == wandbtest.Failure {
				got.failed++
			}
			if j.Stalled {
				got.stalled++
			}
			if s.JobTruth(j.ID).Nonfinite > 0 {
				bad[j.Labels["group"]] = true
			}
		}
		got.nonfinite = len(bad)
		if got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if name == "big" && count(f, func(j wandbtest.FleetJob) bool { return j.Result == wandbtest.Running }) != 50 {
			t.Error("big: not 50 jobs running")
		}
	}
	f := wandbtest.NewFleet(newServer(t, wandbtest.Options{}), wandbtest.FleetOptions{Scenario: "nonsense"})
	if err := f.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "fleet, healthy") {
		t.Errorf("unknown scenario: %v", err)
	}
}

func TestStormFailsWithinAMinute(t *testing.T) {
	_, f, _ := play(t, wandbtest.FleetOptions{Seed: 2, Scenario: "storm"}, 10*time.Minute, time.Minute)
	first, last := time.Hour, time.Duration(0)
	for _, j := range f.Jobs() {
		if j.Result == wandbtest.Failure {
			first, last = min(first, j.Ended), max(last, j.Ended)
		}
	}
	if last-first > time.Minute {
		t.Errorf("failures from %v to %v", first, last)
	}
}

func TestRunFollowsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, wandbtest.Options{})
		f := wandbtest.NewFleet(s, wandbtest.FleetOptions{Seed: 1, Speed: 60})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := f.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if now := f.Now(); now < 9*time.Minute || now > 10*time.Minute {
			t.Errorf("virtual time %v after 10 s at speed 60", now)
		}
	})
}

// direct is a transport without a network.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	d.h.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestTrainerSeesEveryEvent(t *testing.T) {
	for _, kind := range []wandbtest.Kind{wandbtest.RL, wandbtest.SFT} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, wandbtest.Options{})
			f := wandbtest.NewFleet(s, wandbtest.FleetOptions{Seed: 1, Scenario: "big", Jobs: 1})
			ctx, cancel := context.WithCancel(t.Context())
			var fleet sync.WaitGroup
			fleet.Go(func() {
				if err := f.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			seen := make(map[string]map[string]bool)
			err := wandbtest.Trainer(ctx, "http://sim.test/v1", testKey, wandbtest.TrainerOptions{
				Client: &http.Client{Transport: direct{s}}, Kind: kind, Jobs: 3, Groups: 12, Padding: 1 << 16,
				OnJob: func(id string) { seen[id] = make(map[string]bool) },
				OnEvent: func(id string, e wandbtest.ReceivedEvent) {
					if e.Type == wandbtest.TypeStep {
						seen[id][e.ID] = true
					}
				},
			})
			cancel()
			fleet.Wait()
			if err != nil || len(seen) != 3 {
				t.Fatalf("%s: %v, %d jobs", kind, err, len(seen))
			}
			for id, steps := range seen {
				if tr := s.JobTruth(id); tr.Steps != len(steps) || tr.Kind != kind || tr.Result != wandbtest.Success || tr.Steps != tr.Planned {
					t.Errorf("%s: saw %d steps, truth %+v", kind, len(steps), tr)
				}
			}
			if v := s.Counters().Violations(); v != 0 {
				t.Errorf("%s: %d violations: %+v", kind, v, s.Counters())
			}
		})
	}
}

func TestTrainerFailures(t *testing.T) {
	for message, want := range map[string]string{"no space": "no space", "": "unknown error"} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, wandbtest.Options{})
			s.SetFaults(wandbtest.Faults{Only: []wandbtest.Operation{wandbtest.OpEvents}, Fail: wandbtest.ProxyError(3, 524)})
			err := wandbtest.Trainer(t.Context(), "http://sim.test/v1", testKey, wandbtest.TrainerOptions{
				Client: &http.Client{Transport: direct{s}},
				OnJob:  func(id string) { s.Append(id, wandbtest.Started(1), wandbtest.Failed(message)) },
			})
			if !errors.Is(err, wandbtest.ErrJobFailed) || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		})
	}
}

func TestRaces(t *testing.T) {
	s := newServer(t, wandbtest.Options{Rate: 100})
	f := wandbtest.NewFleet(s, wandbtest.FleetOptions{Seed: 1})
	f.Advance(time.Minute)
	model := s.AddModel("e", "p", "m", "b")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 60 {
				for _, j := range f.Jobs() {
					get(s, eventsPath(j.ID)+"?limit=3")
				}
				switch i {
				case 0:
					f.Advance(time.Minute + time.Duration(n)*10*time.Second)
				case 1:
					s.SetFaults(wandbtest.Faults{UnknownEvery: n % 3, Nonfinite: wandbtest.NonfiniteString})
					ask(s, "POST", "/v1/preview/training-jobs", `{"model_id":"`+model+`","trajectory_groups":[]}`)
				case 2:
					s.Truth()
					s.SetJobFaults(f.Jobs()[0].ID, wandbtest.Faults{Overlap: n % 2})
				case 3:
					s.SetKey(testKey)
					s.InsertLate(f.Jobs()[0].ID, 1, wandbtest.Step())
					s.Prune(f.Jobs()[1].ID, 1)
					s.AddCheckpoint(model, n)
					s.Counters()
					s.Requests()
				}
			}
		})
	}
	wg.Wait()
	if b := get(s, eventsPath(f.Jobs()[2].ID)).Body.Bytes(); !json.Valid(b) {
		t.Errorf("page %s", b)
	}
}
