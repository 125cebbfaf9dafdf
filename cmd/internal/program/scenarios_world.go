package program

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// demoWorld is what a scenario can lay its hands on: the simulated services, the jobs on the GPUs, and the bridge's configuration.
type demoWorld struct {
	wandb     *wandbtest.Server
	runai     *runaitest.Server
	aitems    *aitemstest.Server
	tensorone *tensoronetest.Server

	listen listen
	tick   time.Duration // how often the world moves
	file   string        // the configuration
	well   string        // what it says where nothing is wrong
	hurry  float64       // how much faster than real acts are played

	alive     chan struct{}      // closed when the first bridge is at work
	over      context.Context    // ends with the fault
	end       context.CancelFunc // of over
	recovered chan error         // gets one answer when all is well again

	diskFull atomic.Bool
	stuck    *atomic.Bool // helpers that read GPUs do not end, as far as nothing can kill them

	mu     sync.Mutex
	bridge *bridge               // at work
	stop   context.CancelFunc    // of the bridge
	endJob map[string]func()     // for each job that scenarios added and that runs
	listed []wandbtest.FleetJob  // W&B jobs beside those of the fleet
	onGPUs []nvmltest.Job        // the jobs that have GPUs; nil: those that the bridge sees running
	gpus   func(*nvmltest.State) // what is wrong with the GPUs; nil: nothing
}

// listen opens an address of this machine.
type listen func(ctx context.Context, address string) (net.Listener, error)

// anyAddress is a free one.
const anyAddress = "127.0.0.1:0"

func listenTCP(ctx context.Context, address string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
}

func newDemoWorld(o *demoOptions, dir string) *demoWorld {
	w := &demoWorld{
		file: filepath.Join(dir, "trainbridge.yml"), hurry: max(o.hurry, 1), listen: listenTCP, tick: 500 * time.Millisecond,
		recovered: make(chan error, 1), endJob: map[string]func(){}, stuck: new(atomic.Bool), alive: make(chan struct{}),
	}
	w.over, w.end = context.WithCancel(context.Background())
	if o.stage != nil {
		o.stage.enter(w)
	}
	return w
}

// play waits and lets the scenario act, until ctx ends. If the fault ends before, all becomes well.
func (w *demoWorld) play(ctx context.Context, s *scenario) error {
	act := func(ctx context.Context) error {
		select {
		case <-w.alive:
		case <-ctx.Done():
			return nil
		}
		if s.act != nil && w.pause(ctx, s.after) {
			if err := s.act(ctx, w); err != nil && ctx.Err() == nil {
				return fmt.Errorf("play scenario %s: %w", s.name, err)
			}
		}
		<-ctx.Done()
		return nil
	}
	err := w.untilOver(ctx, act, func() { w.recovered <- w.recover(ctx, s) })
	if err != nil {
		w.recovered <- err // nothing will be well: nobody shall wait for it
	}
	return err
}

// untilOver runs a story until the fault ends, and then lets it end.
func (w *demoWorld) untilOver(ctx context.Context, story func(context.Context) error, end func()) error {
	faulty, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.over, cancel)()
	err := story(faulty)
	if ctx.Err() == nil && err == nil {
		end()
	}
	return err
}

// recover undoes whatever scenarios do. Jobs that they added end well.
func (w *demoWorld) recover(ctx context.Context, s *scenario) error {
	w.wandb.SetFaults(wandbtest.Faults{})
	w.runai.SetFaults(runaitest.Faults{})
	w.aitems.SetFaults(aitemstest.Faults{})
	w.tensorone.SetFaults(tensoronetest.Faults{})
	w.diskFull.Store(false)
	w.stuck.Store(false)
	w.mu.Lock()
	for _, end := range w.endJob {
		end()
	}
	clear(w.endJob)
	w.onGPUs, w.gpus = nil, nil
	w.mu.Unlock()
	if err := w.write(w.well); err != nil {
		return err
	}
	if s.restart {
		w.stopBridge() // it begins anew
		return nil
	}
	return w.reload(ctx)
}

// lives says which bridge is at work, and how it is ended.
func (w *demoWorld) lives(b *bridge, stop context.CancelFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bridge == nil {
		close(w.alive)
	}
	w.bridge, w.stop = b, stop
}

func (w *demoWorld) now() *bridge {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bridge
}

// reload lets the bridge read its configuration again, and returns what it says of it.
func (w *demoWorld) reload(ctx context.Context) error {
	if b := w.now(); b != nil {
		return b.requestReload(ctx)
	}
	return errors.New("there is no bridge yet")
}

// snapshot is what the bridge knows, nil where there is none.
func (w *demoWorld) snapshot() *collector.Snapshot {
	if b := w.now(); b != nil {
		return b.snapshot()
	}
	return nil
}

// stopBridge ends the bridge. The next begins when all is well again.
func (w *demoWorld) stopBridge() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop()
}

// willEnd says how a job ends once all is well again.
func (w *demoWorld) willEnd(id string, end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endJob[id] = end
}

// ended forgets a job that has ended already.
func (w *demoWorld) ended(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.endJob, id)
}

// pause reports false if ctx ended meanwhile.
func (w *demoWorld) pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(w.scaled(d)):
		return true
	}
}

// scaled is how long something takes that takes d when nobody is in a hurry.
func (w *demoWorld) scaled(d time.Duration) time.Duration { return time.Duration(float64(d) / w.hurry) }

// every does something again and again until ctx ends, or so many times.
func (w *demoWorld) every(ctx context.Context, d time.Duration, times int, do func(n int)) {
	for n := 0; n < times; n++ {
		do(n)
		if !w.pause(ctx, d) {
			return
		}
	}
}

// edit replaces texts in a configuration, each of which must be there.
func edit(config string, pairs []string) (string, error) {
	for pair := range slices.Chunk(pairs, 2) {
		if !strings.Contains(config, pair[0]) {
			return "", fmt.Errorf("the demo's configuration has no %q", pair[0])
		}
		config = strings.Replace(config, pair[0], pair[1], 1)
	}
	return config, nil
}

// configure edits the configuration file and lets the bridge read it again.
func (w *demoWorld) configure(ctx context.Context, pairs ...string) error {
	text, err := os.ReadFile(w.file)
	if err != nil {
		return fmt.Errorf("read the demo's configuration: %w", err)
	}
	next, err := edit(string(text), pairs)
	if err != nil {
		return err
	}
	if err := w.write(next); err != nil {
		return err
	}
	return w.reload(ctx)
}

func (w *demoWorld) write(config string) error {
	if err := os.WriteFile(w.file, []byte(config), 0o600); err != nil {
		return fmt.Errorf("write the demo's configuration: %w", err)
	}
	return nil
}

// rehearsal is the project of the jobs that scenarios add.
const rehearsal = "rehearsal"

// train adds a W&B job that has begun.
func (w *demoWorld) train(name string) (id string) {
	const base = "Qwen/Qwen3-30B-A3B-Instruct-2507"
	model := w.wandb.AddModel("demo-entity", rehearsal, name, base)
	id = w.wandb.AddJob(wandbtest.Job{ModelID: model, Kind: wandbtest.SFT})
	w.wandb.Append(id, wandbtest.Started(10_000))
	w.willEnd(id, func() { w.wandb.Append(id, wandbtest.Ended()) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listed = append(w.listed, wandbtest.FleetJob{ID: id, ModelID: model, Kind: wandbtest.SFT, Labels: map[string]string{
		"name": name, "group": name, "project": rehearsal, "owner": "research", "base_model": base, "kind": string(wandbtest.SFT),
	}})
	return id
}

func (w *demoWorld) step(id string, loss float64) {
	w.wandb.Append(id, wandbtest.Step(wandbtest.Value{Key: "loss/train", Number: loss}, wandbtest.Value{Key: "time/step_trainer_s", Number: 4.8}))
}

// list is the jobs of the fleet and those that were added.
func (w *demoWorld) list(fleet []wandbtest.FleetJob) []wandbtest.FleetJob {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(fleet, w.listed...)
}

// occupy gives the GPUs to one job, whatever its service says of it.
func (w *demoWorld) occupy(source, id string) nvmltest.Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := nvmltest.Job{Source: source, ID: id}
	w.onGPUs = []nvmltest.Job{j}
	return j
}

// jobsOnGPUs are those that want GPUs, of the ones that run.
func (w *demoWorld) jobsOnGPUs(running []nvmltest.Job) []nvmltest.Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.onGPUs != nil {
		return w.onGPUs
	}
	return running
}

// disturb says what is wrong with the GPUs from now on. wrong must do the same each time: every state is changed anew.
func (w *demoWorld) disturb(wrong func(*nvmltest.State)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gpus = wrong
}

// inMode is a disturbance: GPUs of a job, so many at most, are in a mode from a time on.
func inMode(job nvmltest.Job, mode nvmltest.Mode, most int, since time.Time) func(*nvmltest.State) {
	return func(s *nvmltest.State) {
		found := 0
		for i := range s.GPUs {
			spells := s.GPUs[i].Spells
			if last := spells[len(spells)-1]; last.Job == job.Source+"/"+job.ID && found < most {
				found++
				from := last.From
				if from.Before(since) {
					from = since
				}
				s.Change(i, from, func(sp *nvmltest.Spell) { sp.Mode = mode })
			}
		}
	}
}

// state is that of the host, with what is wrong.
func (w *demoWorld) state(host *nvmltest.Host) nvmltest.State {
	s := host.State()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gpus != nil {
		w.gpus(&s)
	}
	return s
}
