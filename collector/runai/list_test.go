package runai

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

// ids are the jobs of a listing.
func ids(l collector.Listing) (out []string) {
	for _, u := range l.Jobs {
		out = append(out, u.Key.ID)
	}
	return out
}

func (b *bench) list() collector.Listing {
	b.t.Helper()
	l, err := b.drive.List(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// TestListingWhileWorkloadsComeAndGo changes the list between any two pages. A listing that is not partial has every workload that
// was there all the time.
func TestListingWhileWorkloadsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		partial, whole := 0, 0
		for seed := range uint64(40) {
			rnd := rand.New(rand.NewPCG(seed, 5))
			b := newBench(t, runaitest.Options{Seed: int64(seed)}, func(c *Config) { c.PageSize = []int{20, 50, 100}[rnd.IntN(3)] })
			var all []string
			add := func(n int) {
				for range n {
					all = append(all, b.server.AddWorkload(runaitest.Workload{CreatedAt: time.Now().Add(-time.Duration(rnd.IntN(3)) * time.Second)}))
				}
			}
			add(rnd.IntN(300))
			wild := rnd.IntN(12)
			b.net = collectortest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for range rnd.IntN(wild + 1) {
					add(rnd.IntN(2))
					if len(all) > 0 && rnd.IntN(2) == 0 {
						i := rnd.IntN(len(all))
						b.server.Delete(all[i])
						all = slices.Delete(all, i, i+1)
					}
				}
				b.server.ServeHTTP(w, r)
			}))
			b.config.BaseURL, b.config.HTTP.Dial = b.net.Base(), b.net.Dial
			b.source = b.open()
			for range 5 {
				before := slices.Clone(all)
				l, err := b.source.List(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				got := ids(l)
				if slices.Sort(got); len(slices.Compact(slices.Clone(got))) != len(got) {
					t.Errorf("seed %d: a workload is listed twice", seed)
				}
				if l.Partial {
					partial++
					continue
				}
				whole++
				for _, id := range before {
					if !slices.Contains(got, id) {
						t.Errorf("seed %d: %s is not listed, and the listing is not partial", seed, id)
					}
				}
				time.Sleep(30 * time.Second)
			}
			b.lawful()
		}
		if whole < partial {
			t.Errorf("%d listings were partial, %d whole", partial, whole)
		}
	})
}

func TestNextInEveryForm(t *testing.T) {
	for _, next := range []runaitest.Next{
		runaitest.NextRight, runaitest.NextAbsent, runaitest.NextNull, runaitest.NextEmpty, runaitest.NextText, runaitest.NextStuck, runaitest.NextAlways,
	} {
		for _, short := range []int{0, 7} {
			if short > 0 && next == runaitest.NextAbsent {
				continue // short pages that do not say that there is more are the end
			}
			t.Run(fmt.Sprintf("%s %d", next, short), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					for _, n := range []int{0, 1, 19, 20, 21, 40, 95} {
						b := newBench(t, runaitest.Options{}, func(c *Config) { c.PageSize = 20 })
						b.server.SetFaults(runaitest.Faults{Next: next, ShortPages: short})
						for range n {
							b.server.AddWorkload(runaitest.Workload{})
						}
						id := b.server.AddWorkload(runaitest.Workload{})
						b.server.SetPhase(id, "Running", "")
						for i := range n {
							b.server.AddEvent(id, runaitest.Event{Message: fmt.Sprint(i)})
						}
						l := b.list()
						if len(l.Jobs) != n+1 || l.Partial {
							t.Errorf("%d of %d workloads, partial %v", len(l.Jobs), n+1, l.Partial)
						}
						if err := b.drive.Drain(context.Background(), id); err != nil {
							t.Fatal(err)
						}
						b.same(id)
						if most := uint64(12 + 4*n/max(1, 20-10*min(1, short)-overlap)); b.requests("") > most {
							t.Errorf("%d requests for %d rows, at most %d", b.requests(""), n, most)
						}
						b.lawful()
					}
				})
			})
		}
	}
}

func TestPhasesOfDeletedWorkloads(t *testing.T) {
	for name, c := range map[string]struct {
		before string
		gone   bool // without a trace
		want   collector.Phase
		status string
	}{
		"while it ran":    {"Running", false, collector.Cancelled, deletedStatus},
		"while it waited": {"Pending", false, collector.Cancelled, deletedStatus},
		"after its end":   {"Completed", false, collector.Succeeded, ""},
		"purged":          {"Deleting", true, collector.Cancelled, "absent"},
		"lost":            {"Running", true, collector.Unknown, "absent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, runaitest.Options{}, nil)
				id := b.server.AddWorkload(runaitest.Workload{})
				b.server.SetPhase(id, "Running", "")
				b.server.SetPhase(id, c.before, "")
				b.round()
				time.Sleep(time.Minute)
				if c.gone {
					b.server.Purge(id)
				} else {
					b.server.Delete(id)
				}
				_ = b.drive.Round(context.Background()) // a purged workload is not found
				time.Sleep(time.Minute)
				_ = b.drive.Round(context.Background())
				if j := b.job(id); j.Phase != c.want || c.status != "" && j.Status != c.status {
					t.Errorf("%s (%s)", j.Phase, j.Status)
				}
				if !c.gone {
					b.same(id)
					if ended := b.job(id).Ended.Std(); time.Since(ended) > 3*time.Minute {
						t.Errorf("ended %v", ended)
					}
				}
			})
		})
	}
}

func TestOldEndsAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		old := b.server.AddWorkload(runaitest.Workload{Name: "old"})
		b.server.SetPhase(old, "Failed", "long ago")
		gone := b.server.AddWorkload(runaitest.Workload{Name: "gone"})
		b.server.Delete(gone)
		time.Sleep(25 * time.Hour)
		late := b.server.AddWorkload(runaitest.Workload{Name: "late"})
		b.server.SetPhase(late, "Failed", "now")
		l := b.list()
		l.Jobs = slices.DeleteFunc(l.Jobs, func(u collector.Update) bool { return u.IfKnown })
		if got := ids(l); !slices.Equal(got, []string{late}) {
			t.Errorf("listed %v", got)
		}
	})
}

// TestAnEndThatWasNotSeenForADay is told of nevertheless, since the job is known.
func TestAnEndThatWasNotSeenForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.running(runaitest.Workload{})
		b.round()
		b.server.SetPhase(id, "Failed", "exit code 1")
		time.Sleep(25 * time.Hour)
		b.round()
		if j := b.job(id); j.Phase != collector.Failed || j.Gone {
			t.Errorf("%s (%s)", j.Phase, j.Status)
		}
	})
}

func TestNewsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.server.AddWorkload(runaitest.Workload{})
		soon := func() bool {
			time.Sleep(time.Second)
			for _, u := range b.list().Jobs {
				if u.Key.ID == id {
					return u.Soon
				}
			}
			t.Fatal("not listed")
			return false
		}
		first, still := soon(), soon()
		b.server.AddEvent(id, runaitest.Event{Reason: "FailedScheduling"})
		event := soon()
		b.server.SetPhase(id, "Running", "")
		phase := soon()
		b.server.AddEvent(id, runaitest.Event{Reason: "Pulled"})
		running := soon()
		b.server.SetPhase(id, "Failed", "")
		if failed := soon(); first || still || !event || !phase || running || !failed {
			t.Errorf("news: first %v, still %v, event %v, phase %v, running %v, failed %v", first, still, event, phase, running, failed)
		}
	})
}

func TestUnknownWordsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.server.AddWorkload(runaitest.Workload{})
		b.server.SetPhase(id, "Hibernating", "")
		b.server.SetFaults(runaitest.Faults{BadItem: `{"id":{}}`, ExtraFields: true})
		for i := range 3 {
			l := b.list()
			if u := l.Jobs[0]; u.Phase != collector.Unknown || u.Status != "Hibernating" || (len(u.Unknown) > 0) != (i == 0) {
				t.Errorf("%+v", u)
			}
			u, err := b.drive.Follow(context.Background(), id)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(u.Unknown, " "); (got == "history.phase history.type event.createdAt") != (i == 0) {
				t.Errorf("poll %d: %q", i, got)
			}
		}
		b.same(id)
	})
}

func TestNumbersAreWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.server.AddWorkload(runaitest.Workload{GPUs: 8, Pods: 2})
		b.server.SetPhase(id, "Running", "")
		b.server.SetFaults(runaitest.Faults{NullValues: true})
		b.list()
		if j := b.job(id); len(j.NonFinite) > 0 {
			t.Errorf("nulls count before there was a number: %v", j.NonFinite)
		}
		b.server.SetFaults(runaitest.Faults{})
		b.list()
		if v, ok := b.job(id).Reading(collector.GPUAllocated, ""); !ok || v != 8 {
			t.Errorf("allocated %v %v", v, ok)
		}
		b.server.SetFaults(runaitest.Faults{NullValues: true})
		b.list()
		if v, ok := b.job(id).Reading(collector.GPUAllocated, ""); ok {
			t.Errorf("allocated %v still", v)
		}
	})
}

// TestWhatIsNotThere has an account or a version without parts of the API.
func TestWhatIsNotThere(t *testing.T) {
	for name, c := range map[string]struct {
		op     runaitest.Operation
		status int
		name   string // of the operation in our counts
		phases bool   // are counted
	}{
		"history":     {runaitest.OpHistory, 403, "history", false},
		"no history":  {runaitest.OpHistory, 404, "history", false},
		"metrics":     {runaitest.OpMetrics, 403, "metrics", true},
		"old metrics": {runaitest.OpMetrics, 400, "metrics", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, runaitest.Options{}, nil)
				b.server.SetFaults(runaitest.Faults{Only: []runaitest.Operation{c.op}, Fail: runaitest.Problem(-1, c.status, "no")})
				var all []string
				for range 3 {
					id := b.server.AddWorkload(runaitest.Workload{})
					b.server.SetPhase(id, "Running", "")
					all = append(all, id)
				}
				failed := 0
				for range 60 {
					b.server.AddEvent(all[0], runaitest.Event{Reason: "Pulled"})
					if err := b.drive.Round(context.Background()); err != nil {
						failed++
					}
					time.Sleep(30 * time.Second)
				}
				if failed > 1 {
					t.Errorf("%d of 60 rounds failed", failed)
				}
				if n := b.requests(c.name); n > 12 {
					t.Errorf("%d requests in half an hour for what is not there", n)
				}
				j := b.job(all[0])
				if got, want := int(j.EventCount()), b.server.JobTruth(all[0]).Distinct(); !c.phases && got != want || c.phases && got <= want {
					t.Errorf("%d events counted, %d happened beside phases", got, want)
				}
				if j.Phase != collector.Running || j.Trace.Phase != collector.Running {
					t.Errorf("%s, and %s in the trace", j.Phase, j.Trace.Phase)
				}
				b.server.SetFaults(runaitest.Faults{})
				time.Sleep(time.Hour)
				b.round()
				b.same(all[0])
			})
		})
	}
}

func TestNoListOfDeletedWorkloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		refused := true
		b.net = collectortest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if refused && r.URL.Query().Get("deleted") == "true" {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"code":403,"message":"You do not have sufficient permissions."}`)
				return
			}
			b.server.ServeHTTP(w, r)
		}))
		b.config.HTTP.Dial = b.net.Dial
		b.restart()
		id := b.server.AddWorkload(runaitest.Workload{})
		failed := 0
		for range 20 {
			if l, err := b.drive.List(context.Background()); err != nil || l.Partial {
				failed++
			}
			time.Sleep(30 * time.Second)
		}
		if failed >= patience {
			t.Errorf("%d listings failed", failed)
		}
		b.server.Delete(id)
		b.list()
		if j := b.job(id); j.Phase != collector.Unknown || !j.Gone {
			t.Errorf("%s", j.Phase)
		}
		refused = false
		time.Sleep(time.Hour)
		b.server.AddWorkload(runaitest.Workload{})
		b.list()
		refused = true // now it has worked
		for range 5 {
			if l, err := b.drive.List(context.Background()); err == nil || !l.Partial || collector.ClassOf(err) != "auth" {
				t.Errorf("partial %v, %v", l.Partial, err)
			}
		}
	})
}

func TestFilters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			change func(*Config)
			want   string
			query  string
		}{
			"all":         {func(*Config) {}, "a b c d", ""},
			"project":     {func(c *Config) { c.Projects = []string{"Vision"} }, "", "projectName==Vision"},
			"its case":    {func(c *Config) { c.Projects = []string{"vision"} }, "a c", "projectName==vision"},
			"two":         {func(c *Config) { c.Projects = []string{"vision", "SPEECH"} }, "a b c", ""},
			"type":        {func(c *Config) { c.Types = []string{runaitest.Distributed} }, "c", "type==DistributedWorkload"},
			"several":     {func(c *Config) { c.Filters = []string{"name=^c", "projectName!=x"}; c.Categories = []string{"Train"} }, "c", "name=^c,projectName!=x,category==Train"},
			"comma in it": {func(c *Config) { c.Projects = []string{"od,d"} }, "d", ""},
		} {
			b := newBench(t, runaitest.Options{}, c.change)
			for _, w := range []runaitest.Workload{
				{Name: "a", Project: "vision"}, {Name: "b", Project: "speech", Category: "Build"}, {Name: "c", Project: "vision", Type: runaitest.Distributed}, {Name: "d", Project: "od,d"},
			} {
				b.server.AddWorkload(w)
				time.Sleep(time.Second)
			}
			var names []string
			for _, u := range b.list().Jobs {
				names = append(names, u.Info.Name)
			}
			if got := strings.Join(names, " "); got != c.want || b.source.filter != c.query {
				t.Errorf("%s: %q by %q", name, got, b.source.filter)
			}
			b.lawful()
		}
	})
}

func TestInfo(t *testing.T) {
	w := workload{id: "0d 0c", name: "bert-ddp-12", typ: "DistributedWorkload", category: "Train", project: "vision", projectID: "7", dept: "research", owner: "ada", framework: "PyTorch"}
	for by, group := range map[string]string{"none": "", "project": "vision", "department": "research", "name_prefix": "bert-ddp"} {
		c := Config{BaseURL: "https://x.run.ai", GroupBy: by, JobURL: "https://x.run.ai/workloads/{id}?p={project}"}
		s, err := New(c, collector.Env{})
		if err != nil {
			t.Fatal(err)
		}
		want := collector.Info{
			Name: "bert-ddp-12", Provider: "runai", Project: "vision", Group: group, Owner: "ada", Framework: "PyTorch", Kind: "Train/DistributedWorkload",
			URL: "https://x.run.ai/workloads/0d%200c?p=vision",
		}
		if got := s.info(&w); got != want {
			t.Errorf("%s: %+v", by, got)
		}
	}
	for name, want := range map[string]string{"a": "a", "a-1": "a", "a_1": "a", "a1b2": "a1b", "12": "12", "-": "-"} {
		if got := namePrefix(name); got != want {
			t.Errorf("%q is one of %q", name, got)
		}
	}
}

func TestRevisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, func(c *Config) { c.Revisions, c.DeletedWithin = true, model.Duration(time.Hour) })
		id := b.server.AddWorkload(runaitest.Workload{Name: "chat", Type: runaitest.Inference, GPUs: 1})
		b.server.SetPhase(id, "Running", "")
		first := b.server.AddRevision(id, runaitest.Revision{Name: "chat-1"})
		b.server.SetRevisionPhase(first, "Running", "")
		b.server.AddRevisionEvent(first, runaitest.Event{Reason: "Pulled"})
		b.server.AddEvent(id, runaitest.Event{Reason: "Pulled", NoID: true})
		b.round()
		asked := b.requests("revisions")
		for range 5 {
			time.Sleep(30 * time.Second)
			b.round()
		}
		if n := b.requests("revisions") - asked; n > 0 {
			t.Errorf("the revisions were asked for %d times with nothing new", n)
		}
		second := b.server.AddRevision(id, runaitest.Revision{Name: "chat-2"})
		b.server.SetRevisionPhase(first, "Failed", "crash")
		b.server.AddEvent(id, runaitest.Event{Reason: "Created"})
		time.Sleep(30 * time.Second)
		b.round()
		j := b.job(id + "/" + first)
		phases, events := b.server.RevisionTruth(first)
		if int(j.EventCount()) != len(phases)+len(events) || j.Phase != collector.Failed || j.Info.Name != "chat/chat-1" {
			t.Errorf("%s, %d events, %+v", j.Phase, j.EventCount(), j.Info)
		}
		if b.job(id).Phase != collector.Running {
			t.Errorf("the workload is %s", b.job(id).Phase)
		}
		b.same(id)
		b.server.Delete(id)
		time.Sleep(30 * time.Second)
		b.round()
		if j := b.job(id + "/" + second); j.Phase != collector.Cancelled || j.Status != deletedStatus {
			t.Errorf("a revision of a deleted workload is %s (%s)", j.Phase, j.Status)
		}
		b.lawful()
	})
}

// TestATornListingRemovesNobody loses more rows between any two pages than are read twice.
func TestATornListingRemovesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, func(c *Config) { c.PageSize = 20 })
		var all []string
		for range 400 {
			all = append(all, b.server.AddWorkload(runaitest.Workload{}))
			time.Sleep(time.Second)
		}
		b.list()
		b.net = collectortest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("offset") != "0" && len(all) > 100 {
				for _, id := range all[:6] {
					b.server.Purge(id)
				}
				all = all[6:]
			}
			b.server.ServeHTTP(w, r)
		}))
		b.config.HTTP.Dial = b.net.Dial
		b.restart()
		if l, err := b.drive.List(context.Background()); err != nil || !l.Partial {
			t.Errorf("partial %v, %v", l.Partial, err)
		}
		for id, j := range b.drive.Jobs() {
			if j.Gone {
				t.Fatalf("%s is gone", id)
			}
		}
	})
}
