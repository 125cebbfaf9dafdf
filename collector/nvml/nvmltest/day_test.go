package nvmltest_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	c "github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
)

// crew are the jobs that run at a time since the start, by the clock of the jobs: of one source long ones and very short ones, of the
// other some that take the better part of an hour. All come and go.
func crew(at time.Duration) []nvmltest.Job {
	var jobs []nvmltest.Job
	for i, k := range []struct {
		source        string
		period, lives time.Duration
	}{
		{"runai", 58 * time.Minute, 55 * time.Minute},
		{"runai", 71 * time.Minute, 66 * time.Minute},
		{"wandb", 122 * time.Minute, 120 * time.Minute},
		{"wandb", 50 * time.Second, 40 * time.Second},
		{"wandb", 47 * time.Second, 35 * time.Second},
	} {
		if n := at / k.period; at%k.period < k.lives {
			jobs = append(jobs, nvmltest.Job{Source: k.source, ID: fmt.Sprintf("job-%d-%d", i, n)})
		}
	}
	return jobs
}

// watch is a host in a bubble, and the driver in the same process.
type watch struct {
	t      *testing.T
	host   *nvmltest.Host
	driver driver.Driver
	began  time.Time
	speed  float64
}

func newWatch(t *testing.T, o nvmltest.HostOptions) *watch {
	t.Helper()
	w := &watch{t: t, host: newHost(t, o), began: time.Now(), speed: o.Speed}
	w.host.Advance(w.began, nil)
	d, err := nvmltest.New(nvmltest.Options{State: w.host.State, Poll: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	w.driver = d
	return w
}

// minute lets one pass.
func (w *watch) minute() {
	const look = 15 * time.Second
	for range time.Minute / look {
		at := time.Duration(float64(time.Since(w.began)) * w.speed)
		w.host.Advance(time.Now(), crew(at))
		time.Sleep(look)
	}
}

// read is what a GPU says; nil if it does not answer.
func (w *watch) read(gpu int, groups ...driver.Group) map[c.GPUValue]float64 {
	d, err := w.driver.Open(gpu)
	if err != nil {
		return nil
	}
	all := map[c.GPUValue]float64{}
	for _, g := range groups {
		var vs driver.Values
		if d.Read(g, &vs) != nil {
			return nil
		}
		for _, v := range vs.Values {
			all[c.GPUValue{Metric: v.Metric, Label: v.Label}] = v.Value
		}
	}
	return all
}

// xids counts the XIDs that come while do runs.
func (w *watch) xids(do func()) (n int) {
	var all []driver.Device
	for i := range 8 {
		d, err := w.driver.Open(i)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, d)
	}
	events, err := w.driver.Events(all)
	if err != nil {
		w.t.Fatal(err)
	}
	over, told := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-over:
				told <- n
				return
			default:
			}
			if _, ok, _ := events.Wait(time.Minute); ok {
				n++
			}
		}
	}()
	do()
	close(over)
	return <-told
}

var (
	general = at(c.DeviceUtilization, "general")
	tensor  = at(c.DeviceTensorUtilization)
	power   = at(c.DevicePower)
	limit   = at(c.DevicePowerLimit)
	smClock = at(c.DeviceClock, "sm")
)

// unwell is what no GPU of a healthy machine says, while it has had a job for a quarter of an hour or at any time. past are the shares of time
// in which it was busy in the last quarter of an hour.
func unwell(v map[c.GPUValue]float64, past []float64) string {
	sum := 0.0
	for _, p := range past {
		sum += p
	}
	switch {
	case v == nil:
		return "it does not answer"
	case v[at(c.DeviceTemperature, "gpu")] > 84:
		return "it is too hot"
	case v[general] > 0.8 && v[power] < 0.35*v[limit]:
		return "it is busy and draws no power"
	case len(past) == 15 && sum/15 < 0.6:
		return "it is idle under a job"
	case v[at(c.DevicePCIeWidth)] != v[at(c.DevicePCIeWidthMax)]:
		return "its link is narrow"
	case v[at(c.DeviceRowRemapFailure)]+v[at(c.DeviceRowRemapPending)] > 0:
		return "its memory is broken"
	case v[at(c.DeviceECCErrors, "uncorrected", "volatile")] > 0:
		return "it has memory errors"
	}
	for _, reason := range []string{"hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"} {
		if v[at(c.DeviceClockEvent, reason)] > 0 {
			return reason
		}
	}
	return ""
}

// TestAHealthyDay reads all GPUs once a minute for a day.
func TestAHealthyDay(t *testing.T) {
	for _, speed := range []float64{1, 30} {
		synctest.Test(t, func(t *testing.T) {
			w := newWatch(t, nvmltest.HostOptions{Scenario: "healthy", Speed: speed})
			had := map[nvmltest.Job]bool{}
			n := w.xids(func() { w.healthyDay(had) })
			if n > 0 {
				t.Errorf("speed %v: %d XIDs", speed, n)
			}
			if len(had) < 40 {
				t.Errorf("speed %v: only %d jobs had GPUs", speed, len(had))
			}
		})
	}
}

func (w *watch) healthyDay(had map[nvmltest.Job]bool) {
	past, owner := map[int][]float64{}, map[int]nvmltest.Job{}
	for range 24 * 60 {
		w.minute()
		if n, err := w.driver.Count(); n != 8 || err != nil {
			w.t.Fatalf("%d GPUs, %v", n, err)
		}
		now := map[int]nvmltest.Job{}
		for j, gpus := range w.host.GPUs() {
			had[j] = true
			var clocks []float64
			for _, g := range gpus {
				now[g] = j
				clocks = append(clocks, w.read(g, driver.Load)[smClock])
			}
			if slices.Min(clocks) < 0.85*slices.Max(clocks) {
				w.t.Fatalf("speed %v: %v has clocks %v", w.speed, j, clocks)
			}
		}
		for g := range 8 {
			v := w.read(g, driver.Load, driver.Health)
			if now[g] != owner[g] || now[g] == (nvmltest.Job{}) {
				past[g] = nil
			} else {
				past[g] = append(past[g][max(0, len(past[g])-14):], v[general])
			}
			if what := unwell(v, past[g]); what != "" {
				w.t.Fatalf("speed %v, GPU %d, after %v: %s", w.speed, g, time.Since(w.began), what)
			}
		}
		owner = now
	}
}

// TestStoriesLast holds the stories about jobs to what the alerts of the same kind need: the trouble is on all that while with one job, and
// comes back with others.
func TestStoriesLast(t *testing.T) {
	for name, want := range map[string]struct {
		in    func(w *watch, gpus []int) bool // trouble
		lasts time.Duration
		jobs  int
	}{
		"gpu_idle":      {idles, 31 * time.Minute, 3},
		"gpu_spin":      {spins, 16 * time.Minute, 4},
		"gpu_straggler": {straggles, 40 * time.Minute, 4},
	} {
		for seed := range int64(4) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(t, nvmltest.HostOptions{Seed: seed, Scenario: name, Speed: 1, Steps: []string{"wandb"}})
				lasted := w.trouble(6*time.Hour, want.in)
				if name != "gpu_straggler" && len(lasted) > 9 {
					t.Errorf("%s, seed %d: moves among short jobs: %v", name, seed, lasted)
				}
				maps.DeleteFunc(lasted, func(j nvmltest.Job, d time.Duration) bool {
					if name == "gpu_spin" && j.Source == "wandb" {
						t.Errorf("%s, seed %d: %v hangs, and its source goes on telling of steps", name, seed, j)
					}
					return d < want.lasts
				})
				if len(lasted) < want.jobs {
					t.Errorf("%s, seed %d: for %v or more only with %v", name, seed, want.lasts, lasted)
				}
			})
		}
	}
}

// trouble is how long at a stretch each job was in trouble.
func (w *watch) trouble(d time.Duration, in func(*watch, []int) bool) map[nvmltest.Job]time.Duration {
	lasted := map[nvmltest.Job]time.Duration{}
	for ; d > 0; d -= time.Minute {
		w.minute()
		at := 0
		for j, gpus := range w.host.GPUs() {
			if in(w, gpus) {
				lasted[j] += time.Minute
				at++
			}
		}
		if at > 1 {
			w.t.Errorf("after %v %d jobs are in trouble", time.Since(w.began), at)
		}
	}
	return lasted
}

func idles(w *watch, gpus []int) bool {
	return !slices.ContainsFunc(gpus, func(g int) bool { return w.read(g, driver.Load)[general] > 0 })
}

func spins(w *watch, gpus []int) bool {
	return !slices.ContainsFunc(gpus, func(g int) bool {
		v := w.read(g, driver.Load, driver.Health, driver.Profile)
		return v[general] < 0.8 || v[power] > 0.35*v[limit] || v[tensor] > 0.01
	})
}

func straggles(w *watch, gpus []int) bool {
	slow, fast := 0, 0
	for _, g := range gpus {
		v := w.read(g, driver.Load)
		switch clock := v[smClock]; {
		case clock < 0.8*1980e6*0.955 && v[power] > 100:
			slow++
		default:
			fast++
		}
	}
	return slow == 1 && fast == 3
}

// TestALostGPUStaysAway to the end of the demo.
func TestALostGPUStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t, nvmltest.HostOptions{Scenario: "gpu_lost", Speed: 1})
		for range 12 * 60 {
			w.minute()
			if n, err := w.driver.Count(); n != 7 || err != nil {
				t.Fatalf("after %v there are %d GPUs, %v", time.Since(w.began), n, err)
			}
		}
	})
}
