package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	scenario string
	speed    float64
	seed     int64
	state    string
	web      webOptions
}

func (p *program) demoCommand(c *kingpin.CmdClause) command {
	o := &demoOptions{web: webOptions{FlagConfig: webFlags(c), lifecycle: true}}
	c.Flag("scenario", "What the jobs do; list prints the choices.").Default("fleet").StringVar(&o.scenario)
	c.Flag("speed", "How much faster than real the jobs train.").Default("30").Float64Var(&o.speed)
	c.Flag("seed", "The same seed makes the same jobs.").Default("1").Int64Var(&o.seed)
	c.Flag("state.directory", "An empty or new folder to keep the state in, to look at; otherwise it is removed at the end.").StringVar(&o.state)
	return func(ctx context.Context) error {
		if o.scenario == "list" {
			return listScenarios(p.stdout)
		}
		return p.demo(ctx, o)
	}
}

func listScenarios(w io.Writer) error {
	for _, s := range wandbtest.Scenarios() {
		if _, err := fmt.Fprintf(w, "%-10s %s\n", s.Name, s.Description); err != nil {
			return err
		}
	}
	return nil
}

// demoKey is what the simulated service takes as a key.
const demoKey = "demo-key-of-a-simulated-service"

// demo runs a simulated service and a bridge that watches it, with a real configuration in a folder of its own.
func (p *program) demo(ctx context.Context, o *demoOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "trainbridge-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer os.RemoveAll(dir)
	service := wandbtest.New(wandbtest.Options{Key: demoKey, Seed: o.seed})
	fleet := wandbtest.NewFleet(service, wandbtest.FleetOptions{Seed: o.seed, Speed: o.speed, Scenario: o.scenario})
	api, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the simulated service: %w", err)
	}
	simulator := &http.Server{Handler: service, ReadHeaderTimeout: headerTimeout}
	running := start(func(context.Context) error { return simulator.Serve(api) })
	training := start(fleet.Run)
	fleet.Advance(0)
	listing := start(func(ctx context.Context) error { return keepListing(ctx, dir, fleet) })
	err = p.demoBridge(ctx, o, dir, "http://"+api.Addr().String()+"/v1")
	_ = simulator.Close()
	for _, t := range []*task{training, listing} {
		err = errors.Join(err, t.stop(context.WithoutCancel(ctx)))
	}
	_ = running.stop(context.WithoutCancel(ctx)) // it always says that it was closed
	return err
}

func (o *demoOptions) check() error {
	known := false
	for _, s := range wandbtest.Scenarios() {
		known = known || s.Name == o.scenario
	}
	switch {
	case !known:
		return fmt.Errorf("--scenario=%s: unknown; --scenario=list prints the choices", o.scenario)
	case !(o.speed > 0):
		return fmt.Errorf("--speed=%v: must be above 0", o.speed)
	case o.state == "":
		return nil
	}
	if entries, err := os.ReadDir(o.state); err == nil && len(entries) > 0 {
		return fmt.Errorf("--state.directory=%s is not empty: its jobs would be those of another time; name a new folder", o.state)
	}
	return nil
}

// demoConfig is a configuration as an operator writes it, but with short intervals.
const demoConfig = `# The configuration of the demo. The jobs in jobs.json are those that the simulated service trains.
state:
  directory: %s
sources:
  - name: demo
    kind: wandb
    base_url: %s
    authorization: {credentials_file: key}
    job_files: [jobs.json]
    discovery_interval: 1s
    poll_intervals: {queued: 1s, running: 1s}
    step_duration_key: time/step_trainer_s
    rate_limit: 1000
    burst: 1000
    proxy: {enabled: true}
api:
  jobs: true
`

func (p *program) demoBridge(ctx context.Context, o *demoOptions, dir, api string) error {
	state := "state"
	if o.state != "" {
		var err error
		if state, err = filepath.Abs(o.state); err != nil {
			return fmt.Errorf("--state.directory: %w", err)
		}
	}
	file := filepath.Join(dir, "trainbridge.yml")
	quoted, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	text := fmt.Sprintf(demoConfig, quoted, api)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "key"), []byte(demoKey), 0o600), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	s, err := loadConfig(file, p.getenv)
	if err != nil {
		return err
	}
	if err := p.demoListen(ctx, o); err != nil {
		return err
	}
	p.tour(o, file, s.push.otlp.Enabled())
	return newBridge(o.web, p.log, p.getenv, p.hangup).serve(ctx, s)
}

// demoListen opens the address, or any free port if the default one is taken.
func (p *program) demoListen(ctx context.Context, o *demoOptions) error {
	listeners, special, err := o.web.open(ctx)
	if err != nil && len(*o.web.WebListenAddresses) == 1 && (*o.web.WebListenAddresses)[0] == defaultAddress {
		fmt.Fprintf(p.stdout, "%s is taken; using a free port instead.\n\n", defaultAddress)
		*o.web.WebListenAddresses = []string{"127.0.0.1:0"}
		listeners, special, err = o.web.open(ctx)
	}
	if err != nil {
		return err
	}
	if special {
		return errors.New("the demo listens on TCP only")
	}
	o.web.listeners = listeners
	return nil
}

// keepListing writes the jobs that the fleet has to a file that the bridge watches.
func keepListing(ctx context.Context, dir string, fleet *wandbtest.Fleet) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := writeListing(filepath.Join(dir, "jobs.json"), fleet.Jobs()); err != nil {
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

// tour says where to look and what to see.
func (p *program) tour(o *demoOptions, file string, push bool) {
	base := "http://" + o.web.listeners[0].Addr().String()
	for _, s := range wandbtest.Scenarios() {
		if s.Name == o.scenario {
			fmt.Fprintf(p.stdout, "Scenario %s, %g times as fast as real: %s\n\n", s.Name, o.speed, s.Description)
		}
	}
	export := "set OTEL_EXPORTER_OTLP_ENDPOINT to send metrics and traces to a receiver"
	if push {
		export = "metrics and traces also go to the OTLP endpoint of the environment"
	}
	fmt.Fprint(p.stdout, strings.NewReplacer("BASE", base, "FILE", file, "EXPORT", export).Replace(demoTour))
}

const demoTour = `Where to look
  metrics        BASE/metrics
  status page    BASE/
  configuration  FILE
  (EXPORT)

What to see
  1. Runs made of many short jobs have one continuous curve:
     curl -s BASE/metrics | grep -E '^training_group_(gradient_steps_total|loss)'
  2. Long jobs show how far they are and when they will end:
     curl -s BASE/metrics | grep -E '^training_job_(progress_ratio|estimated_end_timestamp_seconds)'
  3. A failed job says so within a second, and the count of failures says why:
     curl -s BASE/metrics | grep -E '^training_job_phase.*"failed".* 1$|^training_source_jobs_ended_total.*failure'
     PromQL: increase(training_source_jobs_ended_total{training_job_result="failure"}[5m]) > 0
  4. A loss that became NaN is counted, and the last good value leaves:
     curl -s BASE/metrics | grep '^training_job_nonfinite_values_total'
  5. A job that stalls runs, but its last step grows old:
     PromQL: time() - training_job_last_step_timestamp_seconds > 60 and on (training_job_id) training_job_phase{training_job_phase="running"} == 1

Fine-tuning jobs take a quarter of an hour and more of their time; with the default speed the first failure comes after about fifteen
seconds. Ctrl-C ends the demo.

`
