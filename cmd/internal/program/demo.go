package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	scenario string
	speed    float64
	seed     int64
	state    string
	web      webOptions

	interval time.Duration // of all polls; 0: as the configuration has it
	hurry    float64       // how much faster than real scenarios act; only tests set it
	stage    *Rehearsal    // what it is played on; nil: this machine
}

func (p *program) demoCommand(c *kingpin.CmdClause) command {
	o := &demoOptions{web: webOptions{FlagConfig: webFlags(c), lifecycle: true, historyEvery: time.Second}}
	c.Flag("scenario", "What happens: to jobs, GPUs, sources or the bridge; list prints the choices and the alerts that they fire.").Default("fleet").StringVar(&o.scenario)
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

// demo runs simulated services and a bridge that watches them, with a real configuration in a folder of its own.
func (p *program) demo(ctx context.Context, o *demoOptions) error {
	story, err := o.check()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "trainbridge-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer os.RemoveAll(dir)
	var running []*task
	sources, world := "", newDemoWorld(o, dir)
	for _, s := range demoServices(o, world) {
		tasks, address, err := s.start(ctx, dir, world.listen)
		running = append(running, tasks...)
		if err != nil {
			return errors.Join(err, stopTasks(ctx, running))
		}
		sources += strings.ReplaceAll(s.source, "ADDRESS", address)
	}
	if o.stage != nil {
		story = o.stage.scenario
	}
	err = p.demoBridge(ctx, o, &demoBridge{scenario: story, world: world, dir: dir, sources: sources})
	return errors.Join(err, stopTasks(ctx, running))
}

// start serves a simulated service and lets its jobs train.
func (s *demoService) start(ctx context.Context, dir string, listen listen) (running []*task, address string, err error) {
	for name, text := range s.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, "", fmt.Errorf("write the demo's files: %w", err)
		}
	}
	listener, err := listen(ctx, anyAddress)
	if err != nil {
		return nil, "", fmt.Errorf("listen for the simulated service: %w", err)
	}
	web := &http.Server{Handler: s.handler, ReadHeaderTimeout: headerTimeout}
	serving := start(func(ctx context.Context) error {
		go func() {
			<-ctx.Done()
			_ = web.Close()
		}()
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the simulated service: %w", err)
		}
		return nil
	})
	training := start(func(ctx context.Context) error { return s.run(ctx, dir) })
	return []*task{training, serving}, "http://" + listener.Addr().String(), nil
}

func stopTasks(ctx context.Context, running []*task) error {
	var errs []error
	for _, t := range running {
		errs = append(errs, t.stop(context.WithoutCancel(ctx)))
	}
	return errors.Join(errs...)
}

func (o *demoOptions) check() (scenario, error) {
	s, err := findScenario(o.scenario)
	switch {
	case err != nil:
		return s, err
	case !(o.speed > 0):
		return s, fmt.Errorf("--speed=%v: must be above 0", o.speed)
	case o.state == "":
		return s, nil
	}
	if entries, err := os.ReadDir(o.state); err == nil && len(entries) > 0 {
		return s, fmt.Errorf("--state.directory=%s is not empty: its jobs would be those of another time; name a new folder", o.state)
	}
	return s, nil
}

// demoConfig is a configuration as an operator writes it, but with short intervals.
const demoConfig = `# The configuration of the demo: one source of each kind, and a virtual machine with GPUs.
state:
  directory: %s
retention: %s
sources:%s
%sapi:
  jobs: true
`

// demoBridge is what the demo's bridge is made from.
type demoBridge struct {
	scenario scenario
	world    *demoWorld
	dir      string
	sources  string // of the configuration
}

// writeConfig writes the configuration file.
func (d *demoBridge) writeConfig(o *demoOptions) error {
	state := "state"
	if o.state != "" {
		var err error
		if state, err = filepath.Abs(o.state); err != nil {
			return fmt.Errorf("--state.directory: %w", err)
		}
	}
	quoted, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	retention := "5m"
	if o.stage != nil {
		retention = "1h" // the default
	}
	text := fmt.Sprintf(demoConfig, quoted, retention, d.sources, demoGPUs)
	if o.interval > 0 {
		every, slow := ": "+o.interval.String(), ": "+max(o.interval, 10*time.Second).String()
		text = strings.NewReplacer(": 1s", every, ": 2s", every, ": 10s", slow).Replace(text)
	}
	d.world.well = text
	if text, err = edit(text, d.scenario.config); err != nil {
		return err
	}
	return d.world.write(text)
}

func (p *program) demoBridge(ctx context.Context, o *demoOptions, d *demoBridge) error {
	if err := d.writeConfig(o); err != nil {
		return err
	}
	s, err := loadConfig(d.world.file, p.getenv)
	if err != nil {
		return err
	}
	if err := p.demoListen(ctx, o); err != nil {
		return err
	}
	host, err := newDemoHost(o, d)
	if err != nil {
		return err
	}
	p.tour(o, d, s.push.otlp.Enabled())
	machine := start(host.run)
	acting := start(func(ctx context.Context) error { return p.act(ctx, d) })
	err = p.lives(ctx, o, d)
	end := context.WithoutCancel(ctx)
	return errors.Join(err, acting.stop(end), machine.stop(end))
}

// lives runs the bridge, and another one if a scenario has ended it and all is well again.
func (p *program) lives(ctx context.Context, o *demoOptions, d *demoBridge) error {
	address := o.web.listeners[0].Addr().String()
	for {
		again, err := p.live(ctx, o, d)
		if !again {
			return err
		}
		select {
		case <-d.world.over.Done():
		case <-ctx.Done():
			return nil
		}
		l, err := d.world.listen(ctx, address)
		if err != nil {
			return fmt.Errorf("listen on %s again: %w", address, err)
		}
		o.web.listeners = []net.Listener{l}
	}
}

// live runs a bridge until ctx ends or the scenario ends it; then there may be another.
func (p *program) live(ctx context.Context, o *demoOptions, d *demoBridge) (again bool, err error) {
	s, err := loadConfig(d.world.file, p.getenv)
	if err != nil {
		return false, err
	}
	b := newBridge(o.web, p.log, p.getenv, p.hangup)
	b.own.diskFull = d.world.diskFull.Load
	if o.stage != nil {
		b.own.dial, b.own.helper = o.stage.o.Network.DialContext, o.stage.helper
	}
	life, stop := context.WithCancel(ctx)
	defer stop()
	d.world.lives(b, stop)
	err = b.serve(life, s)
	return err == nil && ctx.Err() == nil && life.Err() != nil, err
}

// act plays the scenario. The demo goes on without it.
func (p *program) act(ctx context.Context, d *demoBridge) error {
	if err := d.world.play(ctx, &d.scenario); err != nil {
		p.log.Error("the scenario is not played to its end", "err", err)
	}
	return nil
}

// demoListen opens the address, or any free port if the default one is taken.
func (p *program) demoListen(ctx context.Context, o *demoOptions) error {
	if o.web.listeners != nil {
		return nil
	}
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

// tour says where to look and what to see.
func (p *program) tour(o *demoOptions, d *demoBridge, push bool) {
	base := "http://" + o.web.listeners[0].Addr().String()
	fmt.Fprintf(p.stdout, "Scenario %s, %g times as fast as real: %s\n\n", o.scenario, o.speed, d.scenario.description)
	if len(d.scenario.alerts) > 0 {
		fmt.Fprintf(p.stdout, "With the rules of dashboards/alerts it fires %s.\n\n", strings.Join(d.scenario.alerts, ", "))
	}
	export := "set OTEL_EXPORTER_OTLP_ENDPOINT to send metrics and traces to a receiver"
	if push {
		export = "metrics and traces also go to the OTLP endpoint of the environment"
	}
	gpus := "They are as the scenario says:"
	switch {
	case o.gpuScenario() == "healthy" && !strings.HasPrefix(o.scenario, "gpu_"):
		gpus = "All of them are well:"
	case o.gpuScenario() == "fleet":
		gpus = "Again and again, for a minute or two,\n     one idles under a job, one spins without working, one is lost with an XID 79, and one is throttled by heat:"
	}
	fmt.Fprint(p.stdout, strings.NewReplacer("BASE", base, "FILE", d.world.file, "EXPORT", export, "GPUS", gpus).Replace(demoTour))
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

  6. Each service tells what it knows: phases of all, and besides
     Run:ai     curl -s BASE/metrics | grep -E 'training_source="runai"' | grep -E 'event_reason|gpu|pods'
     AiTEMS     curl -s BASE/metrics | grep -E 'training_source="aitems"' | grep -E 'job_phase.* 1$'
     TensorOne  curl -s BASE/metrics | grep -E 'training_source="tensorone"' | grep -E 'loss|cost|checkpoint|progress'

  7. A machine with eight GPUs trains some of the jobs. GPUS
     curl -s BASE/metrics | grep -E '^(nvml_gpu_up|nvml_gpu_xid_errors_total|training_gpu_assignment_info)'
     idle      PromQL: hw_gpu_utilization_ratio{hw_gpu_task="general"} < 0.05 and on (hw_id) training_gpu_assignment_info
     spinning  PromQL: hw_gpu_utilization_ratio{hw_gpu_task="general"} > 0.9 and on (hw_id) nvml_gpu_sm_utilization_ratio < 0.1
     too hot   PromQL: nvml_gpu_clock_event_active{nvml_clock_event_reason="hw_thermal"} == 1
     by job    PromQL: training_job:gpus_idle:count, training_job:gpus_spinning:count, ... with the rules of dashboards/rules

Fine-tuning jobs take a quarter of an hour and more of their time; with the default speed the first failure comes after about fifteen
seconds. Ctrl-C ends the demo.

`
