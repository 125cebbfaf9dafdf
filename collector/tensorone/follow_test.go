package tensorone

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
)

func running() tensoronetest.Job {
	return tensoronetest.Job{
		ID: "job-1", Name: "llama", Status: "running", GPUs: 4,
		Progress: &tensoronetest.Progress{Epoch: 1, Epochs: 3, Step: 590, Steps: 600, Percent: 32, Remaining: "1h 5m"},
		Metrics:  &tensoronetest.Metrics{Loss: 0.8, Accuracy: 0.7, ValidationLoss: math.NaN(), ValidationAccuracy: math.NaN(), LearningRate: 8e-5, Samples: 45, Tokens: 2048, StepTime: 1.8},
		Resources: &tensoronetest.Resources{
			Utilization: []float64{98, 97, 96, 95}, Memory: []float64{38, 37, 36, 35}, System: 45, Storage: 127,
		},
		Costs: &tensoronetest.Costs{GPU: 16.25, Storage: 2.5, Estimated: 25},
	}
}

// one runs a test with one running job that was polled once.
func one(t *testing.T, f func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{}, name("job-1"))
		j := running()
		j.Started = time.Now()
		b.server.AddJob(j)
		b.list()
		b.poll("job-1")
		f(t, b)
		b.violations()
		for _, line := range b.drive.Broken() {
			t.Error(line)
		}
	})
}

func TestStepsFallWithTheEpoch(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		b.server.Set("job-1", func(j *tensoronetest.Job) { j.Progress.Epoch, j.Progress.Step = 2, 5 })
		j, _ := b.poll("job-1")
		want(t, j, collector.Step, "", is(5))
		want(t, j, collector.Epoch, "", is(2))
		if j.Steps != 0 || j.Restarts != 0 {
			t.Errorf("steps %d, restarts %d were made of a gauge", j.Steps, j.Restarts)
		}
	})
}

// TestGPUsThatLeft: a list that became shorter must not leave the old readings of the rest.
func TestGPUsThatLeft(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		b.server.Set("job-1", func(j *tensoronetest.Job) {
			j.Resources.Utilization, j.Resources.Memory = []float64{50, math.NaN()}, []float64{10, 11, 12}
		})
		j, _ := b.poll("job-1")
		want(t, j, collector.GPUUtilization, "0", is(0.5))
		want(t, j, collector.GPUUtilization, "1", nil)
		want(t, j, collector.GPUUtilization, "2", nil)
		want(t, j, collector.GPUMemoryUsage, "2", is(12e9))
		want(t, j, collector.GPUMemoryUsage, "3", nil)
		before := len(j.NonFinite)
		j, u := b.poll("job-1")
		if len(u.Readings) > 0 && len(j.NonFinite) != before {
			t.Errorf("what is gone is counted again and again: %v", j.NonFinite)
		}
		b.server.Set("job-1", func(j *tensoronetest.Job) { j.Resources = nil })
		j, _ = b.poll("job-1")
		want(t, j, collector.GPUUtilization, "0", nil)
		want(t, j, collector.StorageUsage, "", nil)
		b.server.Set("job-1", func(j *tensoronetest.Job) { j.Resources = running().Resources })
		j, _ = b.poll("job-1")
		want(t, j, collector.GPUUtilization, "3", is(0.95))
	})
}

func TestALossThatIsNull(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		j, _ := b.drive.Jobs()["job-1"], 0
		want(t, j, collector.Loss, "validation", nil)
		if len(j.NonFinite) > 0 {
			t.Errorf("a validation loss that is null before there was one counts: %v", j.NonFinite)
		}
		b.server.Set("job-1", func(j *tensoronetest.Job) { j.Metrics.Loss, j.Metrics.ValidationLoss = math.NaN(), 0.9 })
		j, _ = b.poll("job-1")
		want(t, j, collector.Loss, "train", nil)
		want(t, j, collector.Loss, "validation", is(0.9))
		if len(j.NonFinite) != 1 || j.NonFinite[0] != (collector.Count{Name: "loss/train", N: 1}) {
			t.Errorf("not finite: %v", j.NonFinite)
		}
		b.server.SetFaults(tensoronetest.Faults{Words: true})
		j, _ = b.poll("job-1")
		if v, ok := j.Reading(collector.Loss, "train"); !ok || !math.IsNaN(v) {
			t.Errorf("NaN as a word is %v (%t)", v, ok)
		}
	})
}

// TestADivergedJobAtFirstSight: null from the first look at a job that makes steps is a loss that is not finite.
func TestADivergedJobAtFirstSight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{}, name("job-1"))
		j := running()
		j.Metrics.Loss = math.NaN()
		b.server.AddJob(j)
		b.list()
		if j, _ := b.poll("job-1"); len(j.NonFinite) != 1 {
			t.Errorf("not finite: %v", j.NonFinite)
		}
	})
}

func TestTheEndOfAJob(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		time.Sleep(time.Hour)
		b.server.Set("job-1", func(j *tensoronetest.Job) {
			j.Status, j.Error, j.Metrics, j.Resources = "failed", "CUDA out of memory. Tried to allocate 2 GiB", nil, nil
		})
		ended := collector.TimeOf(time.Now())
		time.Sleep(time.Minute)
		j, _ := b.poll("job-1")
		if j.Phase != collector.Failed || j.ErrorType != "out_of_memory" || j.Ended != ended || !strings.HasPrefix(j.Message, "CUDA") {
			t.Errorf("phase %s, error %s, ended %v, message %q", j.Phase, j.ErrorType, j.Ended.Std(), j.Message)
		}
		want(t, j, collector.Loss, "train", is(0.8)) // final values stay
		want(t, j, collector.Cost, "USD", is(18.75))
		if len(j.NonFinite) > 0 {
			t.Errorf("the end counts as not finite: %v", j.NonFinite)
		}
		b.server.Set("job-1", func(j *tensoronetest.Job) { j.Metrics = &tensoronetest.Metrics{Loss: math.NaN()} })
		time.Sleep(time.Minute)
		j, _ = b.poll("job-1")
		want(t, j, collector.Loss, "train", is(0.8))
		if j.Ended != ended || j.Reconciled != 1 {
			t.Errorf("ended %v, reconciled %d", j.Ended.Std(), j.Reconciled)
		}
		// An answer from before the end, from a replica that lags.
		b.server.Set("job-1", func(j *tensoronetest.Job) {
			j.Status, j.Error, j.Updated = "running", "", ended.Std().Add(-time.Minute)
		})
		j, u := b.poll("job-1")
		if j.Phase != collector.Failed || j.Attempt != 1 || j.Status != "failed" || len(u.Unknown) != 1 {
			t.Errorf("phase %s, attempt %d, status %s, unknown %v", j.Phase, j.Attempt, j.Status, u.Unknown)
		}
		b.server.Set("job-1", func(j *tensoronetest.Job) { j.Updated = time.Now() })
		if j, _ = b.poll("job-1"); j.Phase != collector.Running || j.Attempt != 2 {
			t.Errorf("a job that was started again: phase %s, attempt %d", j.Phase, j.Attempt)
		}
	})
}

func TestStatusesBecomePhases(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		for _, w := range []struct {
			status string
			phase  collector.Phase
		}{
			{"paused", collector.Paused}, {"running", collector.Running}, {"PAUSED", collector.Paused}, {"evaluating", collector.Unknown},
			{"running", collector.Running}, {"cancelling", collector.Stopping}, {"cancelled", collector.Cancelled},
		} {
			time.Sleep(time.Minute)
			b.server.Set("job-1", func(j *tensoronetest.Job) { j.Status = w.status })
			since := collector.TimeOf(time.Now())
			j, u := b.poll("job-1")
			if j.Phase != w.phase || j.Status != w.status || j.Since != since {
				t.Errorf("%s is %s since %v, want %s since %v", j.Status, j.Phase, j.Since.Std(), w.phase, since.Std())
			}
			if odd := len(u.Unknown) > 0; odd != (w.phase == collector.Unknown) {
				t.Errorf("%s: unknown %v", w.status, u.Unknown)
			}
		}
		j := b.drive.Jobs()["job-1"]
		for _, c := range j.Events {
			if c.Name == "phase_changed" && c.N != 8 {
				t.Errorf("%d changes of phase were counted, 8 were seen", c.N)
			}
		}
	})
}

// TestPausedJobsHaveNoSpeed: what only a running job has leaves when it is paused.
func TestPausedJobsHaveNoSpeed(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		b.server.Set("job-1", func(j *tensoronetest.Job) {
			j.Status, j.Metrics, j.Resources, j.Progress.Remaining = "paused", nil, nil, ""
		})
		j, _ := b.poll("job-1")
		for _, m := range []collector.Metric{collector.SamplesPerSecond, collector.TokensPerSecond, collector.LastStepDuration, collector.EstimatedEnd} {
			want(t, j, m, "", nil)
		}
		want(t, j, collector.Loss, "train", is(0.8))
	})
}

// TestBadFieldsAreCountedOnce: an oddity that stays is counted once an hour, not with every poll.
func TestBadFieldsAreCountedOnce(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		b.server.Set("job-1", func(j *tensoronetest.Job) { j.Progress.Percent = 750 })
		counted := 0
		for range 120 {
			_, u := b.poll("job-1")
			counted += len(u.Unknown)
			time.Sleep(time.Minute)
		}
		if counted != 2 {
			t.Errorf("counted %d times in two hours", counted)
		}
	})
}

func TestFaultyJobsStayJobs(t *testing.T) {
	one(t, func(t *testing.T, b *bench) {
		b.server.AddCheckpoint("job-1", tensoronetest.Checkpoint{ID: "a", Epoch: 1, Step: 600, Size: "2.3GB", Created: time.Now()})
		for name, f := range map[string]tensoronetest.Faults{
			"nulls": {NullObjects: true}, "missing": {MissingFields: true}, "extra": {ExtraFields: true}, "texts": {StringNumbers: true},
			"exponents": {Exponents: true}, "GPUs": {DriftGPUs: true},
			"durations": {Durations: []string{"2h 15m", "soon", "", "1d2h", "-5m", "90"}},
		} {
			b.server.SetFaults(f)
			for range 30 {
				time.Sleep(time.Minute)
				j, _ := b.poll("job-1")
				if j.Phase != collector.Running || j.Info.Name != "llama" {
					t.Fatalf("%s: phase %s, name %q", name, j.Phase, j.Info.Name)
				}
				for _, r := range j.Readings {
					if !r.Null && (math.IsNaN(r.Value) || r.Metric == collector.Cost && r.Value != 18.75 || r.Metric == collector.Progress && r.Value != 0.32) {
						t.Fatalf("%s: reading %+v", name, r)
					}
				}
			}
		}
		b.server.SetFaults(tensoronetest.Faults{})
		j, _ := b.poll("job-1")
		want(t, j, collector.GPUUtilization, "3", is(0.95))
		want(t, j, collector.EstimatedEnd, "", is(j.Created.Seconds()+3900)) // the job's lastUpdated
		if n := checkpointsOf(j); n != 1 {
			t.Errorf("%d checkpoints", n)
		}
	})
}

func TestAJobThatIsNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{}, name("job-1"))
		b.list()
		if j, u := b.poll("job-1"); !u.Early || u.NotFound || j.Missing != 0 {
			t.Errorf("before its creation: %+v", u)
		}
		time.Sleep(11 * time.Minute)
		for range 3 {
			b.poll("job-1")
		}
		if j := b.drive.Jobs()["job-1"]; !j.Gone || j.Status != "not_found" {
			t.Errorf("after the grace: %s, gone %t", j.Status, j.Gone)
		}
		b.server.AddJob(running())
		if j, _ := b.poll("job-1"); j.Gone || j.Phase != collector.Running {
			t.Errorf("after it came: %s, gone %t", j.Phase, j.Gone)
		}
		b.server.Remove("job-1")
		if _, u := b.poll("job-1"); !u.NotFound {
			t.Errorf("a known job that was deleted: %+v", u)
		}
		b.server.SetFaults(tensoronetest.Faults{Fail: tensoronetest.Page(-1, http.StatusNotFound)})
		_, err := b.drive.Follow(t.Context(), "job-1")
		mustFail(t, err, "get job job-1", "404", "base_url")
		if class := collector.ClassOf(err); class != "http_4xx" {
			t.Errorf("a proxy's 404 has class %s", class)
		}
	})
}

func TestTheOperatorsWordsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{List: true}, func(c *Config) {
			c.List = listOn
			c.Jobs = []Job{{ID: "job-1", Name: "ours", Owner: "speech"}}
		})
		b.server.AddJob(running())
		for range 3 {
			time.Sleep(time.Minute)
			b.list()
			if i := b.drive.Jobs()["job-1"].Info; i.Name != "ours" || i.Owner != "speech" || i.Provider != "tensorone" {
				t.Errorf("after a listing: %+v", i)
			}
			if j, _ := b.poll("job-1"); j.Info.Name != "ours" || j.Info.Owner != "speech" {
				t.Errorf("after a poll: %+v", j.Info)
			}
		}
	})
}

func TestTheCheckpointsEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{}, func(c *Config) {
			name("job-1")(c)
			c.Checkpoints = endpoint
			c.CreationGrace = model.Duration(time.Minute)
		})
		b.server.AddJob(running())
		for i := range 120 {
			b.server.AddCheckpoint("job-1", tensoronetest.Checkpoint{ID: "c" + string(rune('0'+i%10)) + string(rune('a'+i/10)), Step: i, Created: time.Now()})
			time.Sleep(time.Second)
		}
		b.list()
		j, _ := b.poll("job-1")
		want(t, j, collector.CheckpointAvailable, "", is(120))
		want(t, j, collector.CheckpointInterval, "", is(1))
		if n := checkpointsOf(j); n != 120 || len(b.server.Requests()) != 2 {
			t.Errorf("%d checkpoints by %d reads", n, len(b.server.Requests()))
		}
		b.violations()
		b.server.SetFaults(tensoronetest.Faults{MissingFields: true})
		for range 20 {
			b.poll("job-1")
		}
		if n := checkpointsOf(b.drive.Jobs()["job-1"]); n != 120 || !strings.Contains(b.log.String(), "checkpoints: embedded") {
			t.Errorf("%d checkpoints; log %s", n, b.log.String())
		}
	})
}
