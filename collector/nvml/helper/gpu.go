package helper

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// gpu is a GPU and the goroutine that reads it.
type gpu struct {
	host   *host
	driver driver.Driver
	index  int
	ticks  chan struct{}
	beat   func() // notes that a call begins, within one of do

	// Only of the goroutine.
	whole     *unit
	parts     []*unit // MIG instances
	listening bool
	again     bool // divide anew at the next tick
	slowAt    time.Time

	// Under the host's lock.
	busy     bool
	round    uint64    // the last one that it was told of
	started  time.Time // of the round
	call     time.Time // when the call began that has not come back
	hung     bool      // a call of this round took too long
	state    State
	shown    State // in the last frame
	since    time.Time
	rounds   uint64 // that came back
	failures int    // in a row
	entries  []entry
}

// begin starts a round if the GPU waits for one. The host has the lock.
func (g *gpu) begin(now time.Time, round uint64) bool {
	if g.busy {
		return false
	}
	g.busy, g.started, g.round = true, now, round
	g.ticks <- struct{}{} // there is room: it is empty while the GPU is not busy
	return true
}

// show appends what a frame says of the GPU. The host has the lock.
func (g *gpu) show(to []GPU, now time.Time) []GPU {
	if !g.call.IsZero() && now.Sub(g.call) >= g.host.options.HungAfter {
		g.hung = true
	}
	state := g.state
	switch {
	case g.hung:
		state = Hung
	case g.busy && now.Sub(g.started) >= g.host.options.Interval:
		state = Slow
	}
	if state != g.shown {
		g.shown, g.since = state, now
	}
	if len(g.entries) == 0 {
		return append(to, GPU{Index: g.index, State: state, Since: collector.TimeOf(g.since), Rounds: g.rounds})
	}
	for i := range g.entries {
		to = append(to, g.entry(&g.entries[i], state, now))
	}
	return to
}

func (g *gpu) entry(e *entry, state State, now time.Time) GPU {
	if e.failed && (state == OK || state == Slow) {
		state = Failed
	}
	out := GPU{
		Index: g.index, ID: e.identity.ID, Info: e.identity.Info, State: state, Since: collector.TimeOf(g.since), Rounds: g.rounds,
		ReadAt: collector.TimeOf(e.readAt),
	}
	if !e.readAt.IsZero() {
		out.Age = max(0, now.Sub(e.readAt))
	}
	if state == OK || state == Slow {
		out.Values, out.PIDs = e.values, e.pids
	}
	return out
}

// run reads the GPU at each tick.
func (g *gpu) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.ticks:
		}
		g.finish(g.read(ctx))
	}
}

// finish ends a round: what it read is shown.
func (g *gpu) finish(err error) {
	h := g.host
	if err != nil && staleLibrary(driver.KindOf(err)) {
		h.fail(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		g.state, g.failures = OK, 0
	case driver.KindOf(err) == driver.Lost: // the others are read, and whoever reads the frames may start another helper
		g.state, g.failures = Lost, 0
	default:
		g.state = Failed
		g.failures++
	}
	g.busy, g.hung = false, false
	g.rounds++
	g.entries = g.entries[:0:0]
	if g.whole != nil {
		g.entries = append(g.entries, g.whole.entry())
		for _, p := range g.parts {
			g.entries = append(g.entries, p.entry())
		}
	}
	h.finished(g.round)
}

// newGPU is a GPU that waits for its first round.
func newGPU(h *host, d driver.Driver, index int) *gpu {
	g := &gpu{host: h, driver: d, index: index, ticks: make(chan struct{}, 1), since: h.ready}
	g.beat = func() { g.begins(time.Now()) }
	return g
}

func (g *gpu) begins(call time.Time) {
	g.host.mu.Lock()
	g.call = call
	g.host.mu.Unlock()
}

// do makes a call, or several that tell of each by beat, and notes when it began. No other call to this GPU is made before it comes back.
func (g *gpu) do(group string, call func() error) error {
	began := time.Now()
	g.begins(began)
	err := call()
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	g.call = time.Time{}
	g.host.calls.add(group, time.Since(began), err)
	return err
}

// errChanged says that a number belongs to another GPU now.
var errChanged = errors.New("it is another GPU now")

// read makes the calls of one round. Its error is about the GPU as a whole.
func (g *gpu) read(ctx context.Context) error {
	if err := g.open(); err != nil {
		return err
	}
	slow := g.slowAt.IsZero() || time.Since(g.slowAt) >= g.host.options.Slow-g.host.options.Interval/2
	if slow {
		g.slowAt = time.Now()
	}
	if !g.listening && slow {
		g.listen(ctx)
	}
	if slow || g.again {
		g.again = false
		g.divide()
	}
	err := g.readUnit(g.whole, slow)
	if k := driver.KindOf(err); err != nil && k != driver.Failed {
		return err
	}
	for _, p := range g.parts {
		failed := g.readUnit(p, slow || p.readAt.IsZero())
		if k := driver.KindOf(failed); failed != nil && k != driver.Failed {
			return failed
		}
		g.again = g.again || failed != nil
	}
	return err
}

// open finds the device, or makes sure that it is still the same.
func (g *gpu) open() error {
	if g.whole != nil {
		id, err := g.identify(g.whole.device)
		if err == nil && id.ID != g.whole.identity.ID {
			g.host.again("GPU " + g.whole.identity.ID + " has become " + id.ID)
			return errChanged
		}
		if err == nil {
			g.whole.identity = id
		} else if driver.KindOf(err) != driver.Failed {
			return err
		}
		return nil
	}
	var d driver.Device
	err := g.do(callOpen, func() (err error) {
		d, err = g.driver.Open(g.index)
		return err
	})
	if err != nil {
		return err
	}
	id, err := g.identify(d)
	if err != nil {
		return err
	}
	g.whole = &unit{device: d, identity: id}
	g.publishIdentity()
	return nil
}

// publishIdentity lets frames say who the GPU is even if its first reading hangs.
func (g *gpu) publishIdentity() {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	g.entries = []entry{g.whole.entry()}
}

func (g *gpu) identify(d driver.Device) (id driver.Identity, err error) {
	err = g.do(callIdentify, func() error {
		id, err = d.Identity()
		return err
	})
	if err == nil && id.ID == "" {
		err = &driver.Error{Op: "identify the GPU", Text: "it has no UUID"}
	}
	return cleaned(id), err
}

// divide looks for MIG instances. Those that are known already keep their devices, which remember their last samples.
func (g *gpu) divide() {
	var devices []driver.Device
	err := g.do(callIdentify, func() (err error) {
		devices, err = g.whole.device.Instances()
		return err
	})
	if err != nil {
		return // the reading that follows finds out what is wrong
	}
	var parts []*unit
	for _, d := range devices[:min(len(devices), MaxInstances)] {
		id, err := g.identify(d)
		if err != nil {
			g.again = true
			continue
		}
		if id.Info.Parent == "" {
			id.Info.Parent = g.whole.identity.ID
		}
		u := &unit{device: d, identity: id}
		if i := slices.IndexFunc(g.parts, func(p *unit) bool { return p.identity.ID == id.ID }); i >= 0 {
			u = g.parts[i]
		}
		parts = append(parts, u)
	}
	g.parts = parts
}
