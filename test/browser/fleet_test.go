package browser

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/exporters/web"
)

// fleet is a bridge as the pages see it: jobs that a test makes and changes.
type fleet struct {
	mu      sync.Mutex
	jobs    []*collector.Job
	groups  []*collector.Group
	sources []*collector.SourceView
	gpus    *collector.GPUView
	current atomic.Pointer[collector.Snapshot]
	history *web.History
	server  *httptest.Server
	now     time.Time
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{now: time.Now().Truncate(time.Second)}
	f.history = web.NewHistory(web.HistoryOptions{Snapshot: f.current.Load})
	page := web.Page(web.PageOptions{
		Version: "1.0.0", Snapshot: f.current.Load, Durable: func() bool { return true }, Proxies: func() []string { return nil },
		Kinds: f.kinds, History: f.history, Log: slog.New(slog.DiscardHandler),
	})
	mux := http.NewServeMux()
	for _, path := range []string{"/{$}", "/jobs", "/api/v1/events"} {
		mux.Handle(path, page)
	}
	f.server = httptest.NewServer(web.Secure(mux))
	t.Cleanup(func() {
		f.server.CloseClientConnections() // streams have no end
		f.server.Close()
	})
	return f
}

func (f *fleet) kinds() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	kinds := map[string]string{}
	for _, s := range f.sources {
		kinds[s.Name] = "wandb"
	}
	return kinds
}

// show publishes what there is.
func (f *fleet) show() {
	f.mu.Lock()
	defer f.mu.Unlock()
	snap := &collector.Snapshot{Sources: slices.Clone(f.sources), GPUs: f.gpus}
	snap.Jobs.Blocks = blocks(f.jobs)
	snap.Groups.Blocks = blocks(f.groups)
	f.current.Store(snap)
}

func blocks[T any](all []*T) (out []*collector.Block[T]) {
	for part := range slices.Chunk(all, collector.BlockSize) {
		b := &collector.Block[T]{Used: len(part)}
		copy(b.Items[:], part)
		out = append(out, b)
	}
	return out
}

// change replaces a job by a changed copy and publishes.
func (f *fleet) change(id string, change func(*collector.Job)) {
	f.mu.Lock()
	for i, j := range f.jobs {
		if j.Key.ID == id {
			next, info := *j, *j.Info
			next.Info = &info
			change(&next)
			f.jobs[i] = &next
		}
	}
	f.mu.Unlock()
	f.show()
}

func (f *fleet) ago(d time.Duration) collector.Time { return collector.TimeOf(f.now.Add(-d)) }

func (f *fleet) source(name string, up bool) *collector.SourceView {
	limit, left := 500.0, 412.0
	demand := 0.37
	s := &collector.SourceView{Name: name, Health: collector.HealthView{
		Known: true, Up: up, LastPoll: f.ago(4 * time.Second), LastSuccess: f.ago(4 * time.Second), BudgetLimit: &limit, BudgetRemaining: &left, DemandRatio: &demand,
	}}
	if !up {
		s.Health.LastError, s.Health.LastSuccess = "auth", f.ago(17*time.Minute)
	}
	f.sources = append(f.sources, s)
	return s
}

func (f *fleet) job(source, id string, phase collector.Phase, change func(*collector.Job)) *collector.Job {
	j := &collector.Job{
		Key: collector.Key{Source: source, ID: id}, Info: &collector.Info{}, Attempt: 1, Phase: phase, Live: true,
		FirstSeen: f.ago(3 * time.Hour), Created: f.ago(3 * time.Hour), Since: f.ago(150 * time.Minute), Updated: f.ago(8 * time.Second),
	}
	if phase != collector.Pending {
		j.Started = f.ago(150 * time.Minute)
	}
	if phase == collector.Running {
		j.LastStep = f.ago(9 * time.Second)
		j.Intervals = []float32{11, 12, 12, 12.5, 12, 11.8}
	}
	if phase.Ended() {
		j.Ended, j.Since = f.ago(90*time.Minute), f.ago(90*time.Minute)
	}
	if change != nil {
		change(j)
	}
	f.jobs = append(f.jobs, j)
	for _, s := range f.sources {
		if s.Name == source {
			s.Jobs[phase]++
		}
	}
	return j
}

func sorted(rs ...collector.Reading) []collector.Reading {
	slices.SortFunc(rs, func(a, b collector.Reading) int {
		if a.Metric != b.Metric {
			return int(a.Metric) - int(b.Metric)
		}
		if a.Label < b.Label {
			return -1
		}
		return 1
	})
	return rs
}

// train lets the history see the curves of the running jobs of the last forty minutes.
func (f *fleet) train() {
	jobs := slices.Clone(f.jobs)
	for step := range 160 {
		at := f.ago(time.Duration(160-step) * 15 * time.Second)
		for i, j := range jobs {
			if j.Phase != collector.Running && !(j.Phase == collector.Failed && step < 136) {
				continue
			}
			next := *j
			next.Phase, next.Ended = collector.Running, 0
			next.Since, next.LastStep, next.Intervals = f.ago(150*time.Minute), at, []float32{12, 12, 12, 12, float32(12 + math.Sin(float64(step)/9))}
			next.Readings = nil
			for _, r := range j.Readings {
				r.Value, r.At, r.Null = wave(r, i, step), at, false
				next.Readings = append(next.Readings, r)
			}
			if j.NonFiniteAt.Known() && step > 146 { // diverges
				for k := range next.Readings {
					if next.Readings[k].Metric == collector.Loss {
						next.Readings[k].Null = true
					}
				}
			}
			f.jobs[i] = &next
		}
		f.show()
		f.history.Look(at.Std())
	}
	for i, j := range jobs {
		for k, r := range j.Readings {
			if j.Phase == collector.Running && !r.Null && r.At.Known() {
				j.Readings[k].Value = wave(r, i, 160)
			}
		}
	}
	f.jobs = jobs
	f.show()
	f.history.Look(f.now)
}

func wave(r collector.Reading, job, step int) float64 {
	noise := math.Sin(float64(step*(job+3))*0.7) + math.Sin(float64(step*step%97))
	switch r.Metric {
	case collector.Loss:
		return 0.6 + float64(job%5)/5 + 2.2*math.Exp(-float64(step)/55) + 0.04*noise
	case collector.LearningRate:
		return 3e-5 * (0.5 + 0.5*math.Cos(float64(step)/160*math.Pi))
	case collector.TokensPerSecond:
		return 11800 + 300*noise
	case collector.FreeForm:
		return 0.2 + float64(step)/220 + 0.03*noise
	}
	return r.Value
}

// believable fills the fleet with what a team may have on a bad night.
func (f *fleet) believable() {
	f.source("gpu-cloud", true)
	f.source("rl-team", true)
	f.source("research", true)
	f.source("evals", false)
	f.sources[0].Health.CredentialExpiry = f.ago(-40 * time.Hour)
	for i := range 26 {
		source := []string{"rl-team", "gpu-cloud", "research"}[i%3]
		f.job(source, fmt.Sprintf("7d0f6e0a-4b1e-4a57-9b1c-%012x", 0x6a2f0f0c2f11+i*7919), collector.Running, func(j *collector.Job) {
			j.Info.Name = fmt.Sprintf("%s-%03d", []string{"voice-agent", "llama-sft-support", "retrieval-ranker", "reward-model"}[i%4], i+1)
			j.Info.Group = []string{"agent-001", "support-q4", ""}[i%3]
			j.Info.Owner, j.Info.BaseModel, j.Info.Kind = "m.okafor", "Qwen/Qwen3-14B", "rl"
			j.Steps = uint64(310 + i*37)
			j.Readings = sorted(
				collector.Reading{Metric: collector.Loss, Label: "train", Value: 0.7 + float64(i%5)/5, At: f.ago(9 * time.Second)},
				collector.Reading{Metric: collector.Loss, Label: "eval", Value: 0.8 + float64(i%5)/5, At: f.ago(60 * time.Second)},
				collector.Reading{Metric: collector.Progress, Value: float64(i*13%100) / 100},
				collector.Reading{Metric: collector.LearningRate, Value: 2.1e-5, At: f.ago(9 * time.Second)},
				collector.Reading{Metric: collector.TokensPerSecond, Value: 11873, At: f.ago(9 * time.Second)},
				collector.Reading{Metric: collector.FreeForm, Label: "reward/mean", Value: 0.71, At: f.ago(9 * time.Second)},
				collector.Reading{Metric: collector.Cost, Label: "USD", Value: 12.4 + float64(i)*3.17},
				collector.Reading{Metric: collector.EstimatedEnd, Value: float64(f.now.Add(2 * time.Hour).Unix())},
			)
		})
	}
	f.troubled()
	for i, p := range []collector.Phase{collector.Pending, collector.Pending, collector.Succeeded, collector.Succeeded, collector.Succeeded, collector.Cancelled, collector.Initializing} {
		f.job("gpu-cloud", fmt.Sprintf("job-%04d", i), p, func(j *collector.Job) { j.Info.Name = fmt.Sprintf("nightly-eval-%02d", i) })
	}
	for i, name := range []string{"agent-001", "support-q4"} {
		g := &collector.Group{Key: collector.GroupKey{Source: []string{"rl-team", "gpu-cloud"}[i], Name: name}, Steps: 48_211, Stepped: true, Shown: true, LastStep: f.ago(9 * time.Second), Updated: f.ago(9 * time.Second)}
		g.Jobs[collector.Running], g.Jobs[collector.Failed] = 9, 1
		g.Ended[collector.Success] = 118
		g.Readings = []collector.Reading{{Metric: collector.Loss, Label: "train", Value: 0.913}}
		f.groups = append(f.groups, g)
	}
	f.gpus = eightGPUs(f)
	f.show()
	f.history.Look(f.now.Add(-time.Hour)) // else the page has just started to watch, and says less
}

// troubled makes the jobs that somebody has to look at.
func (f *fleet) troubled() {
	f.job("research", "run-fail-1", collector.Failed, func(j *collector.Job) {
		j.Info.Name, j.ErrorType, j.Status = "llama-70b-dpo-final", "out_of_memory", "FAILED"
		j.Message = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 3 has a total capacity of 79.11 GiB of which 1.21 GiB is free."
		j.Ended, j.Since, j.Updated = f.ago(6*time.Minute), f.ago(6*time.Minute), f.ago(6*time.Minute)
		j.Info.URL = "https://service.example/runs/run-fail-1"
		j.Trace.Notes = []collector.Note{{At: f.ago(8 * time.Minute), Name: "OOMKilling", Message: "Memory cgroup out of memory: Killed process 4711 (python)"}}
		j.Readings = sorted(collector.Reading{Metric: collector.Loss, Label: "train", Value: 1.31, At: f.ago(7 * time.Minute)}, collector.Reading{Metric: collector.Cost, Label: "USD", Value: 311.07})
		j.Steps = 812
	})
	f.job("rl-team", "stalled-1", collector.Running, func(j *collector.Job) {
		j.Info.Name, j.LastStep, j.Updated = "voice-agent-long-horizon", f.ago(47*time.Minute), f.ago(47*time.Minute)
		j.Readings = sorted(collector.Reading{Metric: collector.Progress, Value: 0.38})
	})
	f.job("research", "nan-1", collector.Running, func(j *collector.Job) {
		j.Info.Name, j.NonFiniteAt, j.NonFinite = "mixture-ablation-b", f.ago(3*time.Minute), []collector.Count{{Name: "loss/train", N: 14}}
		j.Readings = sorted(collector.Reading{Metric: collector.Loss, Label: "train", Null: true, At: f.ago(3 * time.Minute)})
	})
}

func eightGPUs(f *fleet) *collector.GPUView {
	eight := 8
	v := &collector.GPUView{Host: &collector.GPUHost{Name: "gpu-node-17", Up: true, Expected: &eight, Seen: 7, Versions: collector.DriverVersions{Driver: "570.86.15"}}}
	for i := range 8 {
		g := &collector.GPU{ID: fmt.Sprintf("GPU-5a1e6c%02d-3b0c-44cd-9f27-1f0f5d2b7e%02d", i, i), Up: i != 5, ReadAt: f.ago(time.Second),
			Info: collector.GPUInfo{Index: fmt.Sprint(i), Name: "NVIDIA H100 80GB HBM3"}, Jobs: []collector.Key{f.jobs[i].Key}}
		add := func(m collector.GPUMetric, label string, v float64) {
			g.Values = append(g.Values, collector.GPUValue{Metric: m, Label: label, Value: v})
		}
		add(collector.DeviceUtilization, "general", float64(60+i*5)/100)
		add(collector.DeviceSMUtilization, "", float64(40+i*6)/100)
		add(collector.DeviceMemoryUsage, "", float64(50+i*3)*(1<<30))
		add(collector.DeviceMemoryLimit, "", 80*(1<<30))
		add(collector.DevicePower, "", float64(420+i*30))
		add(collector.DevicePowerLimit, "", 700)
		add(collector.DeviceTemperature, "gpu", float64(58+i*4))
		if i == 2 {
			add(collector.DeviceXIDLast, "79", float64(f.now.Add(-12*time.Minute).Unix()))
		}
		collector.SortGPUValues(g.Values)
		v.GPUs = append(v.GPUs, g)
	}
	return v
}
