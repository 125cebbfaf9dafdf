package main

import (
	"context"
	"path/filepath"
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

// demoHost is the virtual machine, whose GPUs go to the jobs that the bridge sees running.
type demoHost struct {
	host  *nvmltest.Host
	files nvmltest.Files
}

func newDemoHost(o *demoOptions, dir string) (*demoHost, error) {
	host, err := nvmltest.NewHost(nvmltest.HostOptions{Seed: o.seed, Speed: o.speed, Scenario: o.gpuScenario(), Sources: demoGPUSources()})
	if err != nil {
		return nil, err
	}
	h := &demoHost{host: host, files: nvmltest.Files{State: filepath.Join(dir, "gpus.json"), Mappings: filepath.Join(dir, "gpu-jobs")}}
	host.Advance(time.Now(), nil) // so that the files are there when they are first looked for
	return h, host.Write(h.files)
}

func (h *demoHost) run(ctx context.Context, snapshot func() *collector.Snapshot) error {
	return h.host.Run(ctx, h.files, func() []nvmltest.Job { return runningOnGPUs(snapshot()) })
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
