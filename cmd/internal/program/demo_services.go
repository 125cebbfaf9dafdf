package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// demoService is one simulated service of the demo.
type demoService struct {
	handler http.Handler
	// run lets the service's jobs train until ctx ends. What it writes into dir, the source may read.
	run func(ctx context.Context, dir string) error
	// files are what the source reads from the start, such as keys.
	files map[string]string
	// source is what an operator writes for it; ADDRESS stands for scheme, host and port of the service.
	source string
}

// demoServices are the services of the demo, one for each kind of source.
func demoServices(o *demoOptions, w *demoWorld) []demoService {
	return []demoService{wandbDemo(o, w), runaiDemo(o, w), aitemsDemo(o, w), tensoroneDemo(o, w)}
}

// demoKey is what the simulated services take as a key.
const demoKey = "demo-key-of-a-simulated-service"

// wandbScenario is the story of the W&B jobs: the scenario itself if it is one of theirs, all that can be seen beside a story of the
// GPUs, and none beside an act or in a rehearsal.
func (o *demoOptions) wandbScenario() string {
	for _, s := range wandbtest.Scenarios() {
		if s.Name == o.scenario {
			return s.Name
		}
	}
	if s, err := findScenario(o.scenario); err == nil && s.after > 0 || o.stage != nil {
		return "healthy"
	}
	return wandbtest.Scenarios()[0].Name
}

// othersWell: the jobs of the other services end well, so that what a scenario does is not lost among what they do.
func (o *demoOptions) othersWell() bool { return o.wandbScenario() == "healthy" || o.stage != nil }

func wandbDemo(o *demoOptions, w *demoWorld) demoService {
	service := wandbtest.New(wandbtest.Options{Key: demoKey, Seed: o.seed})
	w.wandb = service
	fleetOptions := wandbtest.FleetOptions{Seed: o.seed, Speed: o.speed, Scenario: o.wandbScenario()}
	if o.stage != nil {
		fleetOptions.Jobs, fleetOptions.Tick, fleetOptions.Keep = stageJobs, w.tick, stageKeep
	}
	fleet := wandbtest.NewFleet(service, fleetOptions)
	return demoService{
		handler: service,
		run: func(ctx context.Context, dir string) error {
			training := start(func(ctx context.Context) error {
				if o.wandbScenario() == "healthy" {
					return fleet.Run(ctx)
				}
				return w.untilOver(ctx, fleet.Run, func() { endAll(service, fleet) })
			})
			fleet.Advance(0)
			err := keepListing(ctx, w.tick, dir, func() []wandbtest.FleetJob { return w.list(fleet.Jobs()) })
			return errors.Join(err, training.stop(context.WithoutCancel(ctx)))
		},
		files: map[string]string{"wandb.key": demoKey, "jobs.json": "[]"},
		source: `
  - name: wandb
    kind: wandb
    base_url: ADDRESS/v1
    authorization: {credentials_file: wandb.key}
    job_files: [jobs.json]
    discovery_interval: 1s
    poll_intervals: {queued: 1s, running: 1s}
    step_duration_key: time/step_trainer_s
    rate_limit: 1000
    burst: 1000
    proxy: {enabled: true}
`,
	}
}

// endAll ends the jobs of a fleet.
func endAll(s *wandbtest.Server, fleet *wandbtest.Fleet) {
	for _, j := range fleet.Jobs() {
		if j.Ended == 0 {
			s.Append(j.ID, wandbtest.Ended())
		}
	}
}

func runaiDemo(o *demoOptions, w *demoWorld) demoService {
	service := runaitest.New(runaitest.Options{ClientID: "trainbridge", ClientSecret: demoKey, Seed: o.seed})
	w.runai = service
	// In real time an ended workload stays listed for minutes, so that there is time to look at it.
	keep := time.Duration(float64(5*time.Minute) * o.speed)
	fleetOptions := runaitest.FleetOptions{Seed: o.seed, Speed: o.speed, Healthy: o.othersWell(), Keep: keep, Forget: 3 * keep}
	if o.stage != nil {
		fleetOptions = runaitest.FleetOptions{
			Seed: o.seed, Speed: o.speed, Healthy: o.othersWell(), Jobs: stageJobs, Tick: w.tick, Keep: stageKeep, Forget: 3 * stageKeep,
		}
	}
	fleet := runaitest.NewFleet(service, fleetOptions)
	return demoService{
		handler: service,
		run:     func(ctx context.Context, _ string) error { return fleet.Run(ctx) },
		files:   map[string]string{"runai.secret": demoKey},
		source: `
  - name: runai
    kind: runai
    base_url: ADDRESS
    token: {client_id: trainbridge, client_secret_file: runai.secret}
    revisions: true
    group_by: name_prefix
    metrics_interval: 2s
    poll_intervals: {list: 1s, queued: 1s, running: 1s, paused: 1s}
    rate_limit: 1000
    burst: 1000
`,
	}
}

func aitemsDemo(o *demoOptions, w *demoWorld) demoService {
	service := aitemstest.New(aitemstest.Options{AccessKey: "demo-access-key", SecretKey: demoKey, Seed: o.seed})
	w.aitems = service
	fleetOptions := aitemstest.FleetOptions{Seed: o.seed, Speed: o.speed, Healthy: o.othersWell()}
	if o.stage != nil {
		fleetOptions.Jobs, fleetOptions.Tick, fleetOptions.Keep = stageJobs, w.tick, stageKeep
	}
	fleet := aitemstest.NewFleet(service, fleetOptions)
	return demoService{
		handler: service,
		run:     func(ctx context.Context, _ string) error { return fleet.Run(ctx) },
		files:   map[string]string{"aitems.secret": demoKey},
		source: `
  - name: aitems
    kind: aitems
    base_url: ADDRESS/api/v1
    access_key: demo-access-key
    secret_key_file: aitems.secret
    list_interval: 1s
    rate_limit: 1000
    burst: 1000
`,
	}
}

func tensoroneDemo(o *demoOptions, w *demoWorld) demoService {
	service := tensoronetest.New(tensoronetest.Options{Key: demoKey, Seed: o.seed, List: true, ReadsPerHour: demoReads})
	w.tensorone = service
	fleetOptions := tensoronetest.FleetOptions{Seed: o.seed, Speed: o.speed, Healthy: o.othersWell()}
	if o.stage != nil {
		fleetOptions.Jobs, fleetOptions.Tick, fleetOptions.Keep = stageJobs, w.tick, stageKeep
	}
	fleet := tensoronetest.NewFleet(service, fleetOptions)
	return demoService{
		handler: service,
		run:     func(ctx context.Context, _ string) error { return fleet.Run(ctx) },
		files:   map[string]string{"tensorone.key": demoKey},
		source: fmt.Sprintf(`
  - name: tensorone
    kind: tensorone
    base_url: ADDRESS/v2
    authorization: {credentials_file: tensorone.key}
    reads_per_hour: %d      # the real service allows 500
    discovery_interval: 1s
    list_interval: 1s
    poll_intervals: {queued: 1s, running: 1s, paused: 1s}
    units: {currency: USD}
`, demoReads),
	}
}

// demoReads is what the simulated TensorOne allows in an hour: more than the real one, for time passes faster.
const demoReads = 100_000

// keepListing writes the jobs that there are to a file that the bridge watches.
func keepListing(ctx context.Context, every time.Duration, dir string, jobs func() []wandbtest.FleetJob) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := writeListing(filepath.Join(dir, "jobs.json"), jobs()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func writeListing(file string, jobs []wandbtest.FleetJob) error {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for _, j := range jobs {
		groups = append(groups, group{[]string{j.ID}, j.Labels})
	}
	text, err := json.MarshalIndent(groups, "", " ")
	if err == nil {
		err = os.WriteFile(file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fmt.Errorf("write the list of jobs: %w", err)
	}
	return nil
}
