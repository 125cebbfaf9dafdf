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
