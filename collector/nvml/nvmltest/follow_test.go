package nvmltest_test

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	c "github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
)

// TestAHelperNeverSeesACounterFall reads, at any time between two looks of the host, what the host writes.
func TestAHelperNeverSeesACounterFall(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	dir, now := t.TempDir(), epoch
	files := nvmltest.Files{State: filepath.Join(dir, "gpus.json"), Mappings: filepath.Join(dir, "jobs")}
	h := newHost(t, nvmltest.HostOptions{Scenario: "fleet"})
	var helper driver.Driver
	last := map[string]map[c.GPUValue]float64{}
	counters := c.GPUCounters()
	jobs := someJobs(12)
	for range 1200 {
		if rng.IntN(10) == 0 {
			jobs = slices.Delete(jobs, 0, 1)
			jobs = append(jobs, nvmltest.Job{Source: "runai", ID: now.String()})
		}
		h.Advance(now, jobs)
		if err := h.Write(files); err != nil {
			t.Fatal(err)
		}
		end := now.Add(500 * time.Millisecond)
		if helper == nil || rng.IntN(100) == 0 {
			var err error
			if helper, err = nvmltest.New(nvmltest.Options{File: files.State, Now: func() time.Time { return now }}); err != nil {
				t.Fatal(err)
			}
		}
		for now.Before(end) {
			for i := range 8 {
				readCounters(t, helper, i, counters, last)
			}
			now = now.Add(time.Duration(rng.Int64N(int64(400 * time.Millisecond))))
		}
	}
	if len(last) != 8 {
		t.Errorf("%d GPUs were read", len(last))
	}
}

// readCounters compares the counters of a GPU with those of before; it may be lost.
func readCounters(t *testing.T, helper driver.Driver, gpu int, counters map[c.GPUMetric]bool, last map[string]map[c.GPUValue]float64) {
	t.Helper()
	var vs driver.Values
	d, err := helper.Open(gpu)
	if err == nil {
		err = d.Read(driver.Fields, &vs)
	}
	if err != nil {
		if driver.KindOf(err) != driver.Lost {
			t.Fatal(err)
		}
		return
	}
	name := id(d)
	if last[name] == nil {
		last[name] = map[c.GPUValue]float64{}
	}
	for _, v := range vs.Values {
		k := c.GPUValue{Metric: v.Metric, Label: v.Label}
		if counters[k.Metric] && v.Value < last[name][k] {
			t.Fatalf("GPU %d: metric %d %q fell from %v to %v", gpu, k.Metric, k.Label, last[name][k], v.Value)
		}
		last[name][k] = v.Value
	}
}

// TestATroubleOfJobsMovesOn to another job when its job ends.
func TestATroubleOfJobsMovesOn(t *testing.T) {
	h := newHost(t, nvmltest.HostOptions{Scenario: "gpu_idle"})
	jobs, now := someJobs(4), epoch
	idle := func() int {
		for range 60 {
			now = now.Add(time.Second)
			h.Advance(now, jobs)
		}
		return slices.Index(modes(h.State(), now), nvmltest.Idle)
	}
	for range 3 {
		gpu := idle()
		if gpu < 0 {
			t.Fatal("no GPU idles")
		}
		for j, gpus := range h.GPUs() {
			if slices.Contains(gpus, gpu) {
				jobs = slices.DeleteFunc(jobs, func(other nvmltest.Job) bool { return other == j })
			}
		}
	}
	if jobs = nil; idle() >= 0 {
		t.Error("a GPU without a job idles under a job")
	}
}

// TestRecover ends every story but for what has been counted.
func TestRecover(t *testing.T) {
	for _, s := range nvmltest.Scenarios() {
		h := newHost(t, nvmltest.HostOptions{Scenario: s.Name})
		for n := range 120 {
			if n == 60 {
				h.Recover()
			}
			h.Advance(epoch.Add(time.Duration(n)*time.Second), someJobs(12))
		}
		if seen := modes(h.State(), epoch.Add(2*time.Minute)); len(seen) != 8 || slices.ContainsFunc(seen, func(m nvmltest.Mode) bool { return m != nvmltest.Train }) {
			t.Errorf("%s: a minute after its end modes are %v", s.Name, seen)
		}
	}
}

// TestALastingTroubleGoesToTheOldestJob of those that are left, for it needs time to be seen.
func TestALastingTroubleGoesToTheOldestJob(t *testing.T) {
	for seed := range int64(4) {
		h := newHost(t, nvmltest.HostOptions{Seed: seed, Scenario: "gpu_idle"})
		all, now := someJobs(4), epoch
		for n := range 4 {
			for range 60 {
				now = now.Add(time.Second)
				h.Advance(now, all[:n+1])
			}
		}
		for n := range 3 {
			for range 60 {
				now = now.Add(time.Second)
				h.Advance(now, all[n:])
			}
			of := h.GPUs()[all[n]]
			if seen := modes(h.State(), now); seen[of[0]] != nvmltest.Idle || of[0] != slices.Index(seen, nvmltest.Idle) {
				t.Errorf("seed %d: the oldest job is on %v, and modes are %v", seed, of, seen)
			}
		}
	}
}
