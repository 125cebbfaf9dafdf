package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
)

// Network is where a rehearsal listens and connects, in place of the machine's.
type Network interface {
	// Listen opens an address that nobody else has.
	Listen() (net.Listener, error)
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Rehearsal is a demo in which nothing goes wrong but what a scenario does, and that can be put right: the program that shows which
// alerts fire plays it. It uses the clock, a folder for its files and the network that it is given, and no other process, so that
// it can live in a bubble of package testing/synctest.
type Rehearsal struct {
	network  Network
	scenario scenario
	log      *slog.Logger
	listener net.Listener
	world    chan *demoWorld
	played   *demoWorld
	run      *task
}

// pollEvery is how often the bridge of a rehearsal asks each service.
const pollEvery = 15 * time.Second

// NewRehearsal prepares a scenario of the demo. It listens already, and starts nothing.
func NewRehearsal(name string, n Network, log *slog.Logger) (*Rehearsal, error) {
	s, err := findScenario(name)
	if err != nil {
		return nil, err
	}
	r := &Rehearsal{network: n, scenario: s, log: log, world: make(chan *demoWorld, 1)}
	if r.listener, err = n.Listen(); err != nil {
		return nil, fmt.Errorf("listen for the bridge: %w", err)
	}
	return r, nil
}

// Address is where the bridge serves its metrics.
func (r *Rehearsal) Address() string { return r.listener.Addr().String() }

// Start begins to play: the fault comes a little later.
func (r *Rehearsal) Start() {
	p := &program{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, log: r.log}
	flags := &toolkit.FlagConfig{WebListenAddresses: &[]string{r.Address()}, WebSystemdSocket: new(bool), WebConfigFile: new(string)}
	r.run = start(func(ctx context.Context) error {
		return p.demo(ctx, &demoOptions{
			scenario: r.scenario.name, speed: 1, seed: 1, interval: pollEvery, stage: r,
			web: webOptions{FlagConfig: flags, historyEvery: time.Minute, listeners: []net.Listener{r.listener}},
		})
	})
}

// enter makes the world of the demo one of the rehearsal.
func (r *Rehearsal) enter(w *demoWorld) {
	w.listen = func(context.Context) (net.Listener, error) { return r.network.Listen() }
	w.tick = pollEvery / 3
	r.world <- w
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
	err := r.run.stop(context.Background())
	time.Sleep(leftovers)
	return err
}

// leftovers is how long calls into the simulated driver, which a process would end with itself, may take to return.
const leftovers = 10 * time.Second

// Lasts is how long the fault is there, from the start of the rehearsal.
func (r *Rehearsal) Lasts() time.Duration { return r.scenario.after + r.scenario.lasts }

// Alerts are what the scenario fires, and nothing else.
func (r *Rehearsal) Alerts() []string { return r.scenario.alerts }

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
