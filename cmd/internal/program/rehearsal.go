package program

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/trainbridge/trainbridge/collector/nvml"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
)

// Network is where a rehearsal listens and connects, in place of the machine's.
type Network interface {
	// Listen opens an address, host:port. Port 0 is one that nobody has.
	Listen(ctx context.Context, address string) (net.Listener, error)
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Rehearsal is a demo in which nothing goes wrong but what a scenario does, and that can be put right: the program that shows which
// alerts fire plays it. It uses the clock, a folder for its files and the network that it is given, and no other process, so that
// it can live in a bubble of package testing/synctest.
type Rehearsal struct {
	o        RehearsalOptions
	scenario scenario
	every    time.Duration // between polls
	listener net.Listener
	world    chan *demoWorld
	played   *demoWorld
	stuck    atomic.Bool // of the world
	run      *task
}

// RehearsalOptions are what is rehearsed, and where.
type RehearsalOptions struct {
	Scenario string // a name of [Scenarios]
	Network  Network
	Log      *slog.Logger
	Lasts    time.Duration // how long the fault is there; 0: as long as the scenario says
}

// Bounds of a rehearsal.
const (
	pollEvery = 15 * time.Second // how often the bridge asks each service, and
	slowEvery = time.Minute      // in rehearsals that are longer than
	longTime  = 6 * time.Hour
	warmUp    = 15 * time.Minute // before the fault
	stageJobs = 3                // of each service at once
	stageKeep = time.Hour        // how long the services list a job that has ended
)

// NewRehearsal prepares a scenario of the demo. It listens already, and starts nothing.
func NewRehearsal(o RehearsalOptions) (*Rehearsal, error) {
	s, err := findScenario(o.Scenario)
	if err != nil {
		return nil, err
	}
	s.after = warmUp
	o.Lasts = cmp.Or(o.Lasts, s.lasts, 30*time.Minute)
	r := &Rehearsal{o: o, scenario: s, every: pollEvery, world: make(chan *demoWorld, 1)}
	if r.Lasts()+r.Clears() > longTime {
		r.every = slowEvery
	}
	if r.listener, err = o.Network.Listen(context.Background(), anyAddress); err != nil {
		return nil, fmt.Errorf("listen for the bridge: %w", err)
	}
	return r, nil
}

// Address is where the bridge serves its metrics.
func (r *Rehearsal) Address() string { return r.listener.Addr().String() }

// Start begins to play: the fault comes a little later.
func (r *Rehearsal) Start() {
	p := &program{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, log: r.o.Log}
	flags := &toolkit.FlagConfig{WebListenAddresses: &[]string{r.Address()}, WebSystemdSocket: new(bool), WebConfigFile: new(string)}
	r.run = start(func(ctx context.Context) error {
		return p.demo(ctx, &demoOptions{
			scenario: r.scenario.name, speed: 1, seed: 1, interval: r.every, stage: r,
			web: webOptions{FlagConfig: flags, historyEvery: time.Minute, listeners: []net.Listener{r.listener}},
		})
	})
}

// enter makes the world of the demo one of the rehearsal.
func (r *Rehearsal) enter(w *demoWorld) {
	w.listen = r.o.Network.Listen
	w.tick = r.every / 3
	w.stuck = &r.stuck
	r.world <- w
}

// helper reads the GPUs of the virtual machine.
func (r *Rehearsal) helper(ctx context.Context, in io.Reader, out io.Writer) error {
	open := func(library string) (driver.Driver, error) {
		file, ok := strings.CutPrefix(library, virtualPrefix)
		if !ok { // one that is not there, for the scenario that wants it
			return driver.Open(library)
		}
		return nvmltest.New(nvmltest.Options{File: file, Poll: r.every / 3})
	}
	err := nvml.HelperMain(ctx, open, in, out)
	for r.stuck.Load() { // in the kernel, where no signal ends it
		time.Sleep(time.Second)
	}
	return err
}

// Recover ends the fault and makes all well again.
func (r *Rehearsal) Recover(ctx context.Context) error {
	if r.played == nil {
		select {
		case r.played = <-r.world:
		case <-r.run.done:
			return errors.Join(errors.New("the demo has ended"), r.run.err)
		}
	}
	r.played.end()
	select {
	case err := <-r.played.recovered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.run.done:
		return errors.Join(errors.New("the demo has ended"), r.run.err)
	}
}

// Stop ends the demo and waits until it and all that it started has ended.
func (r *Rehearsal) Stop() error {
	r.stuck.Store(false)
	err := r.run.stop(context.Background())
	time.Sleep(leftovers)
	return err
}

// leftovers is how long calls into the simulated driver, which a process would end with itself, may take to return.
const leftovers = 10 * time.Second

// Begins is how long after the start the fault comes; 0 if that is for the story to tell.
func (r *Rehearsal) Begins() time.Duration {
	if r.scenario.act == nil {
		return 0
	}
	return r.scenario.after
}

// Lasts is how long it goes on from the start until the fault should end.
func (r *Rehearsal) Lasts() time.Duration { return warmUp + r.o.Lasts }

// Clears is how long alerts may go on when the fault is over. That a job has failed is news for an hour.
func (r *Rehearsal) Clears() time.Duration { return cmp.Or(r.scenario.clears, 2*time.Hour) }

// Every is how often the bridge asks each service.
func (r *Rehearsal) Every() time.Duration { return r.every }

// Alerts are what the scenario fires, and nothing else.
func (r *Rehearsal) Alerts() []string { return r.scenario.alerts }

// Unplayed are the alerts that no scenario fires, and why.
func Unplayed() map[string]string {
	return map[string]string{
		"TrainbridgeWatchdog": "it fires always",
	}
}

// A Scenario is what can be rehearsed.
type Scenario struct {
	Name, Description string
	Alerts            []string // that it fires
}

// Scenarios are all of the demo.
func Scenarios() (all []Scenario) {
	for _, s := range scenarios() {
		all = append(all, Scenario{s.name, s.description, s.alerts})
	}
	return all
}
