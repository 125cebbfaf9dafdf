package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// gpu gives a GPU to jobs; the values are how busy it is, and the share of its power.
func (w *world) gpu(index int, busy, power float64, jobs ...string) *collector.GPU {
	if w.gpus == nil {
		w.gpus = &collector.GPUView{Host: &collector.GPUHost{Up: true}}
	}
	g := &collector.GPU{ID: fmt.Sprintf("GPU-%d", index), Up: true, ReadAt: ago(time.Second), Info: collector.GPUInfo{Index: strconv.Itoa(index)}, Values: []collector.GPUValue{
		{Metric: collector.DeviceUtilization, Label: "general", Value: busy}, {Metric: collector.DevicePower, Value: 700 * power}, {Metric: collector.DevicePowerLimit, Value: 700},
	}}
	collector.SortGPUValues(g.Values)
	for _, id := range jobs {
		g.Jobs = append(g.Jobs, collector.Key{Source: "s", ID: id})
	}
	w.gpus.GPUs = append(w.gpus.GPUs, g)
	w.gpus.Host.Seen++
	return g
}

// watched looks every ten seconds for so long, as the program does, and leaves the site at the end of it. Polls go on.
func (w *world) watched(t *testing.T, long time.Duration) *site {
	return w.played(t, long, 10*time.Second, func(time.Duration) {})
}

// played is the same with other times between looks; next is told how long before the end each look is.
func (w *world) played(t *testing.T, long, every time.Duration, next func(time.Duration)) *site {
	t.Helper()
	w.history = NewHistory(HistoryOptions{
		Snapshot: w.snapshot, Dropped: func() uint64 { return w.dropped }, Writable: func() bool { return !w.full },
	})
	down := !w.sources[0].Health.Up
	for d := long; d >= 0; d -= every {
		if !down {
			w.sources[0].Health.LastSuccess = ago(d)
		}
		next(d)
		w.history.Look(at.Add(-d))
	}
	return w.site(t)
}

// TestBusyAndIdleGPUs: what the alerts say of them, at their thresholds and after their times, and of what they say nothing.
// Nothing is said for twenty minutes after a source was first seen, as in the rule training_source:blind:info.
func TestBusyAndIdleGPUs(t *testing.T) {
	kindOf := func(k string) func(*collector.Job) { return func(j *collector.Job) { j.Info.Kind = k } }
	stopped := func(j *collector.Job) { j.LastStep, j.Since = ago(9*time.Minute), ago(5*time.Hour) }
	tells := func(v float64) func(*collector.Job) {
		return func(j *collector.Job) {
			j.Readings = []collector.Reading{{Metric: collector.GPUUtilization, Label: "0", Value: v}, {Metric: collector.GPUUtilization, Label: "1", Value: v}}
		}
	}
	for _, c := range []struct {
		name string
		make func(w *world)
		long time.Duration
		want []string
		why  string
	}{
		{"idle", func(w *world) { w.job("a"); w.gpu(0, 0.02, 0.1, "a") }, 35 * time.Minute, []string{"GPUs idle"}, "Its 1 GPU on this machine is 2 % busy"},
		{"not idle long enough", func(w *world) { w.job("a"); w.gpu(0, 0.02, 0.1, "a") }, 34 * time.Minute, nil, ""},
		{"not idle", func(w *world) { w.job("a"); w.gpu(0, 0.06, 0.1, "a") }, 2 * time.Hour, nil, ""},
		{"idle without a job", func(w *world) { w.job("a"); w.gpu(0, 0, 0.1) }, 2 * time.Hour, nil, ""},
		{"idle, by the provider", func(w *world) { w.job("a", tells(0.01)) }, 35 * time.Minute, []string{"GPUs idle"}, "The GPUs that it holds are 1 % busy"},
		{"ours know better than the provider", func(w *world) { w.job("a", tells(0.01)); w.gpu(0, 0.9, 0.9, "a") }, time.Hour, nil, ""},
		{"a notebook", func(w *world) { w.job("a", kindOf("Build/Workspace")); w.gpu(0, 0, 0.1, "a") }, 3 * time.Hour, nil, ""},
		{"paused", func(w *world) {
			w.job("a", func(j *collector.Job) { j.Phase = collector.Paused })
			w.gpu(0, 0, 0.1, "a")
		}, 3 * time.Hour, nil, ""},
		{"of a source that is down", func(w *world) { w.sources[0].Health.Up = false; w.job("a"); w.gpu(0, 0, 0.1, "a") }, 3 * time.Hour, nil, ""},
		{"idle for hours without a step", func(w *world) {
			w.job("a", func(j *collector.Job) { j.LastStep = 0 })
			w.gpu(0, 0, 0.1, "a")
		}, 2*time.Hour + 15*time.Minute, []string{"GPUs idle for hours"}, "probably over and does not end. TrainingJobZombieRunning TrainingJobGpuIdle"},
		{"one of three", func(w *world) { w.job("a"); w.gpu(0, 0.9, 0.9, "a"); w.gpu(1, 0, 0.1, "a"); w.gpu(2, 0.9, 0.9, "a") }, 35 * time.Minute,
			[]string{"Some GPUs idle"}, "1 of the 3 GPUs that it has on this machine did nothing for a quarter of an hour: GPU 1."},
		{"spin", func(w *world) { w.job("a", stopped); w.gpu(0, 0.99, 0.2, "a"); w.gpu(1, 0.99, 0.2, "a") }, 23 * time.Minute,
			[]string{"Job hangs, GPUs spin"}, "Its 2 GPUs on this machine are busy at hardly any power, and no step has come since 14 Mar 09:17"},
		{"spin, not long enough", func(w *world) { w.job("a", stopped); w.gpu(0, 0.99, 0.2, "a") }, 22 * time.Minute, nil, ""},
		{"full power", func(w *world) { w.job("a", stopped); w.gpu(0, 0.99, 0.4, "a") }, time.Hour, nil, ""},
		{"steps come", func(w *world) { w.job("a"); w.gpu(0, 0.99, 0.2, "a") }, time.Hour, nil, ""},
	} {
		w := &world{}
		w.source("s", true)
		c.make(w)
		s := w.watched(t, c.long)
		var got []string
		why := ""
		for j := range w.snapshot().Jobs.All {
			for _, f := range s.look.glance().findingsOf(j) {
				p := s.look.glance().checks.problem(f, clock{now: at})
				got, why = append(got, p.What), why+p.Why+" "+p.Alert
			}
		}
		if !slices.Equal(got, c.want) || !strings.Contains(why, c.why) {
			t.Errorf("%s: found %q (%s), want %q (%s)", c.name, got, why, c.want, c.why)
		}
	}
}

// TestMarksOfGPUs: at the GPU, at the job and among what is wrong, in words.
func TestMarksOfGPUs(t *testing.T) {
	w := &world{}
	w.source("s", true)
	w.job("lazy")
	w.job("hung", func(j *collector.Job) { j.LastStep = ago(9 * time.Minute) })
	w.gpu(0, 0.01, 0.1, "lazy")
	w.gpu(1, 0.99, 0.2, "hung")
	w.gpu(2, 0.99, 0.9, "hung2")
	s := w.watched(t, time.Hour)
	body := get(s, "GET", "/").Body.String()
	inOrder(t, body, "1 problem needs attention, 1 warning", "Wrong now", "Job hangs, GPUs spin", "name of hung", "TrainingJobSpinHang", "Warnings", "GPUs idle", "name of lazy", "TrainingJobGpuIdle",
		`id="jobrows"`, "name of hung", "wait for each other", "name of lazy", "1 % busy",
		`id="gpurows"`, "GPU 0", "idle under a running job", "GPU 1", "busy, hardly working", "GPU 2", "This is watched since")
	if strings.Count(body, "hardly working") != 1 || strings.Count(body, "idle under") != 1 {
		t.Error("others are marked as well")
	}
	body = get(s, "GET", "/jobs?source=s&id=lazy").Body.String()
	inOrder(t, body, "What is wrong", "GPUs idle", "TrainingJobGpuIdle", "Its GPUs", "idle under a running job")
	s = (&world{sources: w.sources}).site(t)
	if body = get(s, "GET", "/").Body.String(); !strings.Contains(body, "Whether GPUs idle or hang is not watched here.") {
		t.Error("it is not said that nobody watches")
	}
}

// TestGPUsRecover: a mark leaves with what it is about, and what was seen of a job ends with it.
func TestGPUsRecover(t *testing.T) {
	w := &world{}
	w.source("s", true)
	j := w.job("a")
	g := w.gpu(0, 0, 0.1, "a")
	w.watched(t, 35*time.Minute)
	if n := len(w.history.troubles(w.snapshot(), collector.TimeOf(at)).jobs); n != 1 {
		t.Fatalf("%d jobs in trouble", n)
	}
	busy := *g
	busy.Values = slices.Clone(g.Values)
	busy.Values[slices.IndexFunc(busy.Values, func(v collector.GPUValue) bool { return v.Metric == collector.DeviceUtilization })].Value = 1
	w.gpus.GPUs[0] = &busy
	for i := range 6 { // a minute of a quarter of an hour is more than 5 %
		w.sources[0].Health.LastSuccess = collector.TimeOf(at.Add(time.Duration(i) * 10 * time.Second))
		w.history.Look(at.Add(time.Duration(i) * 10 * time.Second))
	}
	if found := w.history.troubles(w.snapshot(), collector.TimeOf(at)); len(found.jobs)+len(found.gpus) != 0 {
		t.Errorf("still %+v", found)
	}
	next := *j
	failedAt(0)(&next)
	w.jobs[0] = &next
	w.history.Look(at.Add(2 * time.Minute))
	if w.history.tracks[j.Key].watch != nil || w.history.tracks[j.Key].course != nil {
		t.Error("a job that ended is still watched")
	}
	w.gpus.GPUs = nil
	w.history.Look(at.Add(3 * time.Minute))
	if len(w.history.gpus) != 0 {
		t.Error("a GPU that is gone is still watched")
	}
}
