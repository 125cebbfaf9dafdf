package runai

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

func withPods(c *Config) { c.Pods = true }

// pods are the pods of a job, without their namespace.
func (b *bench) pods(id string) string {
	b.t.Helper()
	var out []string
	for _, label := range b.job(id).Labels(collector.JobPod) {
		namespace, name, ok := strings.Cut(label, "\x1f")
		if !ok || namespace != "runai-vision" {
			b.t.Errorf("label %q", label)
		}
		if v, _ := b.job(id).Reading(collector.JobPod, label); v != 1 {
			b.t.Errorf("pod %q has the value %v", label, v)
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func (b *bench) wantPods(what, id, want string) {
	b.t.Helper()
	if got := b.pods(id); got != want {
		b.t.Errorf("%s: pods %q, want %q", what, got, want)
	}
}

// rounds lets time pass as the scheduler does.
func (b *bench) rounds(d time.Duration) {
	b.t.Helper()
	for range d / (30 * time.Second) {
		time.Sleep(30 * time.Second)
		b.round()
	}
}

func (b *bench) withRunning(name string, pods int) string {
	id := b.server.AddWorkload(runaitest.Workload{Name: name, Pods: pods, Project: "vision"})
	b.server.SetPhase(id, "Running", "")
	return id
}

func TestPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, withPods)
		ddp, other := b.withRunning("ddp", 3), b.withRunning("other", 1)
		waits := b.server.AddWorkload(runaitest.Workload{Name: "waits", Project: "vision"})
		b.round()
		b.wantPods("at first", ddp, "ddp-worker-0 ddp-worker-1 ddp-worker-2")
		b.wantPods("at first", other, "other-worker-0")
		b.wantPods("one that waits", waits, "")
		b.server.SetRunningPods(ddp, 1)
		b.round()
		b.wantPods("before a metrics interval has passed", ddp, "ddp-worker-0 ddp-worker-1 ddp-worker-2")
		b.rounds(time.Minute)
		b.wantPods("when two are gone", ddp, "ddp-worker-0")
		b.server.SetPhase(other, "Stopped", "")
		b.round()
		b.wantPods("when it is stopped", other, "")
		b.server.SetPhase(other, "Running", "")
		b.rounds(time.Minute)
		b.wantPods("when it runs again", other, "other-worker-0")

		before := b.requests("pods")
		b.rounds(30 * time.Minute)
		if n := b.requests("pods") - before; n != 30 {
			t.Errorf("%d requests for pods in 30 minutes", n)
		}
		b.lawful()
	})
}

func TestPodsAreOffByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.withRunning("ddp", 3)
		b.rounds(5 * time.Minute)
		b.wantPods("not asked for", id, "")
		if n := b.server.Counters().ByOperation[runaitest.OpAllPods]; n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// What a job has from before a restart leaves, if its pods did; and all leave when the setting is taken back.
func TestPodsAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, withPods)
		ddp, other := b.withRunning("ddp", 3), b.withRunning("other", 1)
		b.round()
		b.server.SetRunningPods(ddp, 2)
		b.server.SetPhase(other, "Stopped", "")
		b.server.SetFaults(runaitest.Faults{Only: []runaitest.Operation{runaitest.OpAllPods}, Fail: runaitest.Problem(-1, 500, "no")})
		b.restart()
		b.round()
		b.wantPods("before they were read again", ddp, "ddp-worker-0 ddp-worker-1 ddp-worker-2")
		b.server.SetFaults(runaitest.Faults{})
		b.rounds(2 * time.Minute)
		b.wantPods("after the restart", ddp, "ddp-worker-0 ddp-worker-1")
		b.wantPods("stopped in between", other, "")

		b.config.Pods = false
		b.restart()
		b.rounds(time.Minute)
		b.wantPods("when pods are off", ddp, "")
		b.lawful()
	})
}

// That pods cannot be read is no failure of the source, and what was known is not shown for ever.
func TestPodsThatCannotBeRead(t *testing.T) {
	for name, fail := range map[string]runaitest.Faults{
		"forbidden":     {Fail: runaitest.Problem(-1, 403, "You do not have sufficient permissions.")},
		"bad request":   {Fail: runaitest.Problem(-1, 400, "completed is not allowed")},
		"failing":       {Fail: runaitest.Problem(-1, 500, "Something went wrong.")},
		"another shape": {Fail: runaitest.Answer{Count: -1, Status: 200, Body: `{"items":[]}`, Header: map[string][]string{"Content-Type": {"application/json"}}}},
		"a web page":    {Body: runaitest.HTML},
		"endless":       {Body: runaitest.Endless, Size: 64 << 20},
	} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprint(name, again), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBench(t, runaitest.Options{}, withPods)
					id := b.withRunning("ddp", 2)
					b.round()
					fail.Only = []runaitest.Operation{runaitest.OpAllPods}
					b.server.SetFaults(fail)
					if again {
						b.restart()
					}
					b.rounds(4 * time.Minute)
					b.wantPods("for a while", id, "ddp-worker-0 ddp-worker-1")
					b.rounds(4 * time.Minute)
					b.wantPods("after that", id, "")
					if j := b.job(id); j.Phase != collector.Running {
						t.Errorf("the job is %s", j.Phase)
					}
					b.server.SetFaults(runaitest.Faults{})
					b.rounds(62 * time.Minute)
					b.wantPods("when they can be read", id, "ddp-worker-0 ddp-worker-1")
					b.lawful()
				})
			})
		}
	}
}

func TestPodsThatAreStrange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, withPods)
		id := b.withRunning("ddp", 2)
		for _, bad := range []string{
			`null`, `7`, `[]`, `{}`, `{"name":"x","k8sPhase":"Running"}`, `{"workloadId":"` + id + `","k8sPhase":"Running"}`,
			`{"workloadId":"` + id + `","name":"","k8sPhase":"Running"}`,
			`{"workloadId":"` + id + `","name":"\u0000\u202e","k8sPhase":"Running"}`,
			`{"workloadId":"` + id + `","name":{"a":1},"k8sPhase":["Running"]}`,
			`{"workloadId":"` + id + `","name":"no-phase"}`, `{"workloadId":"` + id + `","name":"p","k8sPhase":"Terminating"}`,
			`{"workloadId":"` + id + `","name":"over","k8sPhase":"Running","completedAt":"2026-03-01T09:00:00Z"}`,
			`{"workloadId":"` + id + `","name":"dead","k8sPhase":"Running","deletedAt":"2026-03-01T09:00:00Z"}`,
			`{"workloadId":"of-another","name":"x","k8sPhase":"Running"}`,
		} {
			b.server.SetFaults(runaitest.Faults{Only: []runaitest.Operation{runaitest.OpAllPods}, BadItem: bad})
			b.rounds(time.Minute)
			b.wantPods(bad, id, "ddp-worker-0 ddp-worker-1")
		}
		b.server.SetFaults(runaitest.Faults{
			Only: []runaitest.Operation{runaitest.OpAllPods}, BadItem: `{"id":"x","workloadId":"` + id + `","name":"a\u001fb\u202e","k8sPhase":"running"}`,
		})
		b.rounds(time.Minute)
		b.wantPods("a name with the separator in it", id, "ab ddp-worker-0 ddp-worker-1")
		b.lawful()
	})
}

func TestMorePodsThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, withPods)
		id := b.withRunning("ddp", 2500)
		b.round()
		first := b.job(id).Labels(collector.JobPod)
		if len(first) != maxPods {
			t.Fatalf("%d pods", len(first))
		}
		b.rounds(3 * time.Minute)
		if !slices.Equal(first, b.job(id).Labels(collector.JobPod)) {
			t.Error("others each time")
		}
		if n := b.requests("pods"); n != 6*4 { // 2,500 in pages of 500 that overlap
			t.Errorf("%d requests", n)
		}
		b.lawful()
	})
}

// TestPodsFollowTheTruth lets pods and workloads come and go, and the service be odd. In quiet, the pods of every job that runs are
// those that run, and no other job has any.
func TestPodsFollowTheTruth(t *testing.T) {
	for seed := range uint64(*schedules) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed+*firstSeed, 11))
			b := newBench(t, runaitest.Options{Seed: int64(seed)}, func(c *Config) {
				c.Pods, c.PageSize, c.MetricsInterval = true, []int{5, 20, 60, 500}[rnd.IntN(4)], model.Duration(30*time.Second)
			})
			next := []runaitest.Next{runaitest.NextRight, runaitest.NextNull, runaitest.NextEmpty, runaitest.NextText, runaitest.NextAlways}[rnd.IntN(5)]
			old := rnd.IntN(3) == 0
			var ids []string
			for range 60 {
				switch n := rnd.IntN(12); {
				case n < 3 || len(ids) == 0:
					ids = append(ids, b.withRunning(fmt.Sprintf("w%d", len(ids)), 1+rnd.IntN(12)))
				case n < 7:
					b.server.SetRunningPods(ids[rnd.IntN(len(ids))], rnd.IntN(12))
				case n < 10:
					b.server.SetPhase(ids[rnd.IntN(len(ids))], []string{"Running", "Stopped", "Pending", "Completed", "Degraded", "Failed"}[rnd.IntN(6)], "")
				case n == 10 && rnd.IntN(3) == 0:
					b.restart()
				default:
					b.server.Delete(ids[rnd.IntN(len(ids))])
				}
				f := runaitest.Faults{Next: next, OldVersion: old}
				if rnd.IntN(6) == 0 {
					f.Only, f.Fail = []runaitest.Operation{runaitest.OpAllPods}, runaitest.Problem(1, 500, "no")
				}
				b.server.SetFaults(f)
				time.Sleep(time.Duration(rnd.IntN(40)) * time.Second)
				_ = b.drive.Round(context.Background())
			}
			b.server.SetFaults(runaitest.Faults{Next: next, OldVersion: old})
			b.rounds(2 * time.Minute)
			for _, id := range ids {
				j := b.drive.Jobs()[id]
				if j == nil || j.Phase.Ended() {
					continue // what is Live left with the job
				}
				var want []string
				if j.Phase == collector.Running {
					want = b.server.RunningPods(id)
					slices.Sort(want)
				}
				b.wantPods(fmt.Sprintf("seed %d, %s", seed, j.Phase), id, strings.Join(want, " "))
			}
			b.lawful()
		})
	}
}

// What a list lacks that was not read to its end may be there still.
func TestPodsOfAPartOfTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, withPods)
		had := collector.JoinLabels("ns", "had")
		add := func(p podList) string {
			l := newLister(b.source)
			l.pods = p
			u := collector.Update{Key: collector.Key{Source: "test", ID: "w"}, HasPhase: true, Phase: collector.Running}
			l.addPods(&u, &workload{id: "w", namespace: "ns"})
			var out []string
			for _, r := range u.Readings {
				out = append(out, fmt.Sprintf("%s gone=%t", strings.ReplaceAll(r.Label, "\x1f", "/"), r.Gone))
			}
			return strings.Join(out, ", ")
		}
		b.source.with("w", func(m *memo) { m.podsGiven = []string{had} })
		names := map[string]map[string]bool{"w": {"new": true}}
		for _, c := range []struct {
			pods podList
			want string
		}{
			{podList{}, ""},
			{podList{read: true, names: names}, "ns/new gone=false"},
			{podList{read: true, whole: true, names: names}, "ns/new gone=false, ns/had gone=true"},
			{podList{read: true, whole: true}, "ns/new gone=true"},
		} {
			if got := add(c.pods); got != c.want {
				t.Errorf("%+v: %s", c.pods, got)
			}
		}
		b.source.with("w", func(m *memo) { m.podsGiven = []string{had} })
		time.Sleep(b.source.podsKeep() + time.Second)
		if got := add(podList{read: true, names: names}); got != "ns/new gone=false, ns/had gone=true" {
			t.Errorf("after a long time: %s", got)
		}
	})
}
