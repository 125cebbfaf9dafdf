package program

import (
	"context"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
)

// demoGPUSources are the services whose jobs train on the demo's machine.
func demoGPUSources() []string { return []string{"runai", "tensorone", "wandb"} }

// demoGPUs is what an operator writes to read the GPUs of the demo's machine.
const demoGPUs = `gpus:
  library: virtual:gpus.json
  interval: 2s
  slow_interval: 10s
  expected: 8
  assignments:
    interval: 1s
    mapping_directories:
      - {path: gpu-jobs/runai, source: runai}
      - {path: gpu-jobs/tensorone, source: tensorone}
      - {path: gpu-jobs/wandb, source: wandb}
`

// gpuScenario is what happens to the GPUs: the scenario itself if it is one of theirs, else nothing unless all is to be seen.
func (o *demoOptions) gpuScenario() string {
	for _, s := range nvmltest.Scenarios() {
		if s.Name == o.scenario {
			return s.Name
		}
	}
	return "healthy"
}

// demoHost is the virtual machine, whose GPUs go to the jobs that the bridge sees running, unless the scenario wants otherwise.
type demoHost struct {
	host  *nvmltest.Host
	files nvmltest.Files // of the host alone
	state string         // what the bridge reads: the host's state, and what the scenario does to it
	wrote nvmltest.State
	world *demoWorld
}

func newDemoHost(o *demoOptions, d *demoBridge) (*demoHost, error) {
	host, err := nvmltest.NewHost(nvmltest.HostOptions{
		Seed: o.seed, Speed: o.speed, Scenario: o.gpuScenario(), Sources: demoGPUSources(), Steps: []string{"tensorone", "wandb"},
	})
	if err != nil {
		return nil, err
	}
	h := &demoHost{
		host: host, world: d.world, state: filepath.Join(d.dir, "gpus.json"),
		files: nvmltest.Files{State: filepath.Join(d.dir, "gpus-well.json"), Mappings: filepath.Join(d.dir, "gpu-jobs")},
	}
	return h, h.advance(nil) // so that the files are there when they are first looked for
}

// advance lets time pass until now, with the jobs that run now.
func (h *demoHost) advance(running []nvmltest.Job) error {
	if h.world.over.Err() != nil {
		h.host.Recover()
	}
	h.host.Advance(time.Now(), h.world.jobsOnGPUs(running))
	if err := h.host.Write(h.files); err != nil {
		return err
	}
	state := h.world.state(h.host)
	if reflect.DeepEqual(state, h.wrote) {
		return nil
	}
	h.wrote = state
	return state.Write(h.state)
}

func (h *demoHost) run(ctx context.Context) error {
	tick := time.NewTicker(h.world.tick)
	defer tick.Stop()
	for {
		if err := h.advance(runningOnGPUs(h.world.snapshot())); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func runningOnGPUs(snap *collector.Snapshot) []nvmltest.Job {
	var jobs []nvmltest.Job
	if snap == nil {
		return nil
	}
	for j := range snap.Jobs.All {
		if j.Phase == collector.Running && slices.Contains(demoGPUSources(), j.Key.Source) {
			jobs = append(jobs, nvmltest.Job{Source: j.Key.Source, ID: j.Key.ID})
		}
	}
	return jobs
}
