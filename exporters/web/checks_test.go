package web

import (
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// TestChecksOfJobs is the table of what is wrong with a job, and of what is not though it looks like it.
func TestChecksOfJobs(t *testing.T) {
	stall := func(d time.Duration) func(*collector.Job) {
		return func(j *collector.Job) { j.LastStep = ago(d) }
	}
	pace := func(seconds ...float32) func(*collector.Job) {
		return func(j *collector.Job) { j.Intervals = seconds }
	}
	null := func(j *collector.Job) {
		j.Readings = []collector.Reading{{Metric: collector.Loss, Label: "eval", Null: true, At: ago(time.Minute)}}
	}
	first := func(d time.Duration) func(*collector.Job) {
		return func(j *collector.Job) { j.FirstSeen = ago(d) }
	}
	lost := func(j *collector.Job) {
		j.Phase, j.Gone, j.Updated, j.Ended = collector.Unknown, true, ago(time.Minute), 0
	}
	began := func(d time.Duration) func(*collector.Job) {
		return func(j *collector.Job) { j.Since, j.Started = ago(d), ago(d) }
	}
	never := func(j *collector.Job) { j.LastStep, j.Steps, j.Intervals = 0, 0, nil }
	waits := func(p collector.Phase, status string) func(*collector.Job) {
		return func(j *collector.Job) { j.Phase, j.Status = p, status }
	}
	checkpointed := func(before, every time.Duration) func(*collector.Job) {
		return func(j *collector.Job) {
			with(collector.CheckpointLastCreated, "", ago(before).Seconds())(j)
			with(collector.CheckpointInterval, "", every.Seconds())(j)
		}
	}
	aitems := func(j *collector.Job) { j.Info, j.Status = &collector.Info{Provider: "aitems"}, "running" }
	type change = func(*collector.Job)
	for _, c := range []struct {
		name    string
		changes []change
		down    bool          // the source
		lag     time.Duration // of its polls
		want    []kind
		why     string
	}{
		{name: "healthy"},
		{name: "failed", changes: []change{failedAt(time.Minute)}, want: []kind{jobFailed}, why: "out of memory: CUDA out of memory"},
		{name: "failed while its source is down", changes: []change{failedAt(time.Minute)}, down: true, want: []kind{jobFailed}},
		{name: "failed an hour ago", changes: []change{failedAt(time.Hour)}},
		{name: "failed before the first look", changes: []change{failedAt(5 * time.Hour), first(time.Minute)}, want: []kind{jobFailed}},
		{name: "failed long before the first look", changes: []change{failedAt(30 * time.Hour), first(time.Minute)}},
		{name: "failed without a reason", changes: []change{failedAt(time.Minute), func(j *collector.Job) { j.ErrorType, j.Message = "unspecified", "" }},
			want: []kind{jobFailed}, why: "gives no reason"},
		{name: "succeeded", changes: []change{failedAt(time.Minute), func(j *collector.Job) { j.Phase = collector.Succeeded }}},
		{name: "slow by its own pace", changes: []change{stall(9 * time.Minute), pace(1, 1, 1, 1, 1)}},
		{name: "stalled", changes: []change{stall(11 * time.Minute)}, want: []kind{jobStalled}, why: "usually one every 1 min"},
		{name: "stalled, but slow by nature", changes: []change{stall(11 * time.Minute), pace(120, 120, 120, 120, 120)}},
		{name: "stalled, and slow by nature", changes: []change{stall(21 * time.Minute), pace(120, 120, 120, 120, 120)}, want: []kind{jobStalled}},
		{name: "slow, of unknown pace", changes: []change{stall(50 * time.Minute), pace(1, 1, 1, 1), began(2 * time.Hour)}},
		{name: "stalled of unknown pace", changes: []change{stall(70 * time.Minute), pace(1, 1, 1, 1), began(2 * time.Hour)}, want: []kind{jobStalled}, why: "No step since 14 Mar 08:16 UTC."},
		{name: "four slow steps", changes: []change{stall(2 * time.Hour), pace(2400, 2400), began(4 * time.Hour), func(j *collector.Job) { j.Steps = 2 }}},
		{name: "goes on after a pause", changes: []change{stall(5 * time.Hour), began(5 * time.Minute)}},
		{name: "no first step", changes: []change{never, began(31 * time.Minute)}, want: []kind{jobNoStep}, why: "has not made one step"},
		{name: "no first step, its backlog is being read", changes: []change{never, began(31 * time.Minute), func(j *collector.Job) { j.Live = false }}},
		{name: "no first step yet", changes: []change{never, began(29 * time.Minute)}},
		{name: "no steps told", changes: []change{never, began(5 * time.Hour), func(j *collector.Job) { j.Status = "Running" }}},
		{name: "step 0 told, not watched", changes: []change{never, began(5 * time.Hour), with(collector.Step, "", 0), func(j *collector.Job) { j.Status = "Running" }}},
		{name: "step 0 of the second epoch", changes: []change{never, began(5 * time.Hour), with(collector.Step, "", 0), with(collector.Epoch, "", 1),
			func(j *collector.Job) { j.Status = "Running" }}},
		{name: "queued", changes: []change{never, began(61 * time.Minute), waits(collector.Pending, "")}, want: []kind{jobQueued}, why: "It has been pending since 14 Mar 08:25 UTC."},
		{name: "queued not for long", changes: []change{never, began(59 * time.Minute), waits(collector.Pending, "")}},
		{name: "initializing for hours", changes: []change{never, began(3 * time.Hour), waits(collector.Initializing, "ContainerCreating")}, want: []kind{jobQueued}, why: "ContainerCreating"},
		{name: "drawn up, not started", changes: []change{never, began(3 * time.Hour), waits(collector.Pending, "ready")}},
		{name: "queued while its source is down", changes: []change{never, began(3 * time.Hour), waits(collector.Pending, "")}, down: true},
		{name: "checkpoint overdue", changes: []change{began(3 * time.Hour), checkpointed(61*time.Minute, 20*time.Minute)}, want: []kind{jobCheckpoint}, why: "one every 20 min"},
		{name: "checkpoint in time", changes: []change{began(3 * time.Hour), checkpointed(59*time.Minute, 20*time.Minute)}},
		{name: "checkpoints every second", changes: []change{began(3 * time.Hour), checkpointed(29*time.Minute, time.Second)}},
		{name: "checkpoint of before a pause", changes: []change{began(30 * time.Minute), checkpointed(3*time.Hour, 20*time.Minute)}},
		{name: "says nothing", changes: []change{never, aitems, func(j *collector.Job) { j.Updated = ago(25 * time.Hour) }}, want: []kind{jobSilent}, why: "told nothing new of it since 13 Mar"},
		{name: "said something", changes: []change{never, aitems, func(j *collector.Job) { j.Updated = ago(23 * time.Hour) }}},
		{name: "stalled while its source is down", changes: []change{stall(50 * time.Minute)}, down: true},
		{name: "asked late", changes: []change{stall(11 * time.Minute)}, lag: 2 * time.Minute},
		{name: "paused", changes: []change{stall(50 * time.Minute), func(j *collector.Job) { j.Phase = collector.Paused }}},
		{name: "never stepped", changes: []change{func(j *collector.Job) { j.LastStep = 0 }}},
		{name: "loss is NaN", changes: []change{with(collector.Loss, "train", math.NaN())}, want: []kind{jobNotFinite}, why: "loss of train is no number"},
		{name: "loss is infinite", changes: []change{with(collector.Loss, "train", math.Inf(1))}, want: []kind{jobNotFinite}},
		{name: "loss is null", changes: []change{null}, want: []kind{jobNotFinite}, why: "loss of eval"},
		{name: "other value was NaN", changes: []change{func(j *collector.Job) {
			j.NonFiniteAt, j.NonFinite = ago(time.Minute), []collector.Count{{Name: "grad", N: 3}}
		}}, want: []kind{jobNotFinite}, why: "grad (3×)"},
		{name: "other value was NaN long ago", changes: []change{func(j *collector.Job) { j.NonFiniteAt = ago(2 * time.Hour) }}},
		{name: "stalled and NaN", changes: []change{stall(11 * time.Minute), null}, want: []kind{jobNotFinite, jobStalled}},
		{name: "lost", changes: []change{lost}, want: []kind{jobLost}, why: "nobody can say"},
		{name: "over its budget", changes: []change{with(collector.Cost, "EUR", 11), with(collector.Budget, "EUR", 10)}, want: []kind{jobOverBudget}, why: "11.00 EUR of a budget of 10.00 EUR"},
		{name: "budget of another currency", changes: []change{with(collector.Cost, "EUR", 11), with(collector.Budget, "USD", 10)}},
	} {
		w := &world{}
		w.source("s", !c.down).Health.Lag = c.lag
		j := w.job("a", c.changes...)
		var got []kind
		why := ""
		checks := newChecks(w.snapshot(), at, nil)
		for _, f := range checks.job(nil, j) {
			got, why = append(got, f.kind), why+checks.why(f)
		}
		if !slices.Equal(got, c.want) || !strings.Contains(why, c.why) {
			t.Errorf("%s: found %v (%s), want %v (%s)", c.name, got, why, c.want, c.why)
		}
	}
}

// TestChecksOfTheRest is the same of sources, GPUs and the bridge.
func TestChecksOfTheRest(t *testing.T) {
	gpu := func(change func(g *collector.GPU)) func(*world) {
		return func(w *world) {
			g := &collector.GPU{ID: "GPU-1", Up: true, ReadAt: ago(time.Second), Info: collector.GPUInfo{Index: "3"}, Jobs: []collector.Key{{Source: "s", ID: "a"}}}
			w.job("a")
			change(g)
			w.gpus = &collector.GPUView{Host: &collector.GPUHost{Up: true, Seen: 1}, GPUs: []*collector.GPU{g}}
		}
	}
	value := func(m collector.GPUMetric, label string, v float64) func(*world) {
		return gpu(func(g *collector.GPU) { g.Values = []collector.GPUValue{{Metric: m, Label: label, Value: v}} })
	}
	host := func(h collector.GPUHost) func(*world) {
		return func(w *world) { w.gpus = &collector.GPUView{Host: &h} }
	}
	eight, ratio := 8, 1.5
	for _, c := range []struct {
		name string
		make func(*world)
		want []string // level and what
		why  string
	}{
		{"nothing", func(*world) {}, nil, ""},
		{"source down", func(w *world) { w.sources[0].Health.Up, w.sources[0].Health.LastError = false, "tls" }, []string{"warning Source down"}, "certificate"},
		{"source not asked yet", func(w *world) { w.sources[0].Health.Up, w.sources[0].Health.Known = false, false }, nil, ""},
		{"credential expires", func(w *world) { w.sources[0].Health.CredentialExpiry = ago(-time.Hour) }, []string{"warning Credential expires"}, "2026-03-14 10:26:53"},
		{"credential expires later", func(w *world) { w.sources[0].Health.CredentialExpiry = ago(-8 * 24 * time.Hour) }, nil, ""},
		{"a token that is renewed", func(w *world) {
			w.sources[0].Health.CredentialExpiry, w.sources[0].Health.Renewed = ago(-time.Hour), true
		}, nil, ""},
		{"credential expired", func(w *world) { w.sources[0].Health.CredentialExpiry = ago(time.Hour) }, []string{"critical Credential expired"}, ""},
		{"too many polls", func(w *world) { w.sources[0].Health.DemandRatio = &ratio }, []string{"warning Requests short"}, "1.5 times"},
		{"the bridge", func(w *world) { w.warn = []Warning{{Why: "The state cannot be written", Critical: true}} }, []string{"critical trainbridge"}, "cannot be written"},
		{"GPU silent", gpu(func(g *collector.GPU) { g.Up = false }), []string{"critical GPU silent"}, "name of a"},
		{"driver down", host(collector.GPUHost{Fault: "no_driver", Detail: "no driver is loaded"}), []string{"warning GPUs unreadable"}, "no driver"},
		{"reader starts", host(collector.GPUHost{Fault: "starting"}), nil, ""},
		{"GPUs missing", host(collector.GPUHost{Up: true, Seen: 7, Expected: &eight}), []string{"critical GPUs missing"}, "7 of 8"},
		{"GPUs that were never read", host(collector.GPUHost{Up: true, Seen: 6, Listed: 8}), []string{"critical GPUs missing"}, "lists 8 GPUs, and 6"},
		{"assignments", host(collector.GPUHost{Up: true, Assigned: []collector.AssignmentSource{{Name: "kubelet"}, {Name: "files", Up: true}}}),
			[]string{"warning Assignments unreadable"}, "(kubelet)"},
		{"fatal XID", value(collector.DeviceXIDLast, "79", ago(time.Minute).Seconds()), []string{"critical XID 79"}, ""},
		{"XID of the program", value(collector.DeviceXIDLast, "13", ago(time.Minute).Seconds()), []string{"warning XID 13"}, ""},
		{"old XID", value(collector.DeviceXIDLast, "79", ago(2*time.Hour).Seconds()), nil, ""},
		{"broken memory", value(collector.DeviceRowRemapFailure, "", 1), []string{"critical GPU memory broken"}, "replaced"},
		{"reset needed", value(collector.DeviceRowRemapPending, "", 1), []string{"warning GPU memory repair"}, "reset"},
		{"too hot", value(collector.DeviceClockEvent, "hw_thermal", 1), []string{"warning GPU slowed"}, "too hot"},
		{"idle", value(collector.DeviceClockEvent, "gpu_idle", 1), nil, ""},
	} {
		w := &world{}
		w.source("s", true)
		c.make(w)
		s := w.site(t)
		var got []string
		why := ""
		for _, p := range s.otherProblems(s.look.glance(), clock{now: at}) {
			got, why = append(got, p.Level.Word+" "+p.What), why+p.Why
			for _, j := range p.Jobs {
				why += j.Name.Text
			}
		}
		if !slices.Equal(got, c.want) || !strings.Contains(why, c.why) {
			t.Errorf("%s: found %q (%s), want %q (%s)", c.name, got, why, c.want, c.why)
		}
	}
}

// TestWorstFirst: critical before warnings, newer before older, and the count says all.
func TestWorstFirst(t *testing.T) {
	w := &world{}
	w.source("s", true).Health.CredentialExpiry = ago(-time.Hour)
	w.job("old", failedAt(50*time.Minute))
	w.job("new", failedAt(time.Minute))
	w.job("budget", with(collector.Cost, "USD", 2), with(collector.Budget, "USD", 1))
	w.job("fine")
	body := get(w.site(t), http.MethodGet, "/").Body.String()
	inOrder(t, body, "1 problem needs attention, 2 jobs failed within the last hour, 1 warning", "Wrong now", "Over budget",
		"Within the last hour: 2 jobs failed", "2 jobs failed alike", "name of new", "name of old", "Warnings", "Credential expires", `id="jobs"`)
	inOrder(t, body, `id="jobrows"`, "name of budget", "name of new", "name of old", "name of fine")
	if !strings.Contains(body, "<title>(4) trainbridge</title>") {
		t.Error("the title does not count")
	}
}

// TestAQueueHidesNothing: what failed is shown however many jobs wait, and of those that wait all are counted.
func TestAQueueHidesNothing(t *testing.T) {
	w := &world{}
	w.source("s", true)
	for i, id := range numbered(problemsMost + 100) {
		w.job(id, func(j *collector.Job) {
			j.Phase, j.Since = collector.Pending, ago(2*time.Hour+time.Duration(i)*time.Minute)
		})
	}
	w.job("oom", failedAt(time.Minute))
	w.job("busy", failedAt(2*time.Minute)).Message = "something else"
	s := w.watched(t, 30*time.Minute)
	body := get(s, http.MethodGet, "/").Body.String()
	inOrder(t, body, "2 jobs failed within the last hour, 600 warnings", "name of oom", "name of busy", "Warnings", "Stuck in the queue · 600 jobs", "and 595 others")
}

// TestAlikeIsOne: many jobs of one source with the same trouble are one entry, which names some of them, and all of them count.
func TestAlikeIsOne(t *testing.T) {
	w := &world{}
	w.source("s", true)
	w.source("other", true)
	for i, id := range numbered(8) {
		w.job(id, func(j *collector.Job) {
			j.Phase, j.Since = collector.Pending, ago(2*time.Hour+time.Duration(i)*time.Minute)
		})
	}
	w.job("elsewhere", func(j *collector.Job) { j.Key.Source, j.Phase, j.Since = "other", collector.Pending, ago(3*time.Hour) })
	w.job("nan", with(collector.Loss, "train", math.NaN()))
	s := w.site(t)
	body := get(s, http.MethodGet, "/").Body.String()
	inOrder(t, body, "1 problem needs attention, 9 warnings", "Wrong now", "Loss not finite", "name of nan", "Warnings", "Stuck in the queue · 8 jobs", "name of j00000", "Also", "name of j00001",
		"name of j00004", "and 3 others", "2 h 07 min", "Stuck in the queue", "name of elsewhere", `id="jobs"`)
	v := s.status(s.look.find(query{Page: 1, Rows: 1}), clock{now: at})
	if len(v.Now) != 1 || len(v.Warnings) != 2 || v.More != "" {
		t.Errorf("%d and %d entries, %q", len(v.Now), len(v.Warnings), v.More)
	}
}

func inOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		i := strings.Index(text, p)
		if i < 0 {
			t.Fatalf("%q does not come where it should", p)
		}
		text = text[i+len(p):]
	}
}

// TestWhatIsSoComesBeforeWhatHappened: a night of failed jobs must not hide a GPU that does not answer, nor a job that stands still.
func TestWhatIsSoComesBeforeWhatHappened(t *testing.T) {
	at := func(second int64) collector.Time { return collector.Time(second * 1e9) }
	found := []problem{
		{What: "Job failed", level: critical, at: at(9), past: true}, {What: "GPU slowed", level: warning, at: at(10)}, {What: "GPU silent", level: critical, at: at(2)},
		{What: "XID 79", level: critical, at: at(8)}, {What: "XID 13", level: warning, at: at(11), past: true},
	}
	order(found)
	var got []string
	for _, p := range found {
		got = append(got, p.What)
	}
	if want := []string{"XID 79", "GPU silent", "GPU slowed", "Job failed", "XID 13"}; !slices.Equal(got, want) {
		t.Errorf("in order %q, want %q", got, want)
	}
	failed, stalled := finding{kind: jobFailed, level: critical, at: at(9)}, finding{kind: jobStalled, level: critical, at: at(1)}
	if compareFindings(stalled, failed) >= 0 {
		t.Error("a failed job comes before one that stands still")
	}
}
