package nvml

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/assign"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// Env is what a [Monitor] is given.
type Env struct {
	Log     *slog.Logger
	Publish func(*collector.GPUView) // called with each new view, from one goroutine; it must be quick
	Command []string                 // how to start a helper; empty: this program with nvml-helper
	// Within is the whole life of a helper inside this process, such as [HelperMain], for libraries that can do no harm. It ends
	// with in. Nil starts processes.
	Within   func(ctx context.Context, in io.Reader, out io.Writer) error
	JobOfPod func(namespace, pod string) (collector.Key, bool)
	Hostname string
}

// Monitor keeps a helper running and publishes what it tells. It is made by [New] and runs once.
type Monitor struct {
	config    Config
	env       Env
	start     starter
	assigner  looker
	isCounter map[collector.GPUMetric]bool
	log       *limitedLog
	silence   time.Duration // how long a helper may say nothing

	messages chan message
	stopped  chan struct{}
	alive    *atomic.Int32 // helpers that were not reaped, those of monitors before this one included

	// Of the goroutine of Run.
	memory   *memory
	lives    map[*life]bool // not reaped
	current  *life          // the one that is listened to
	coming   *life          // the one that is to replace it; nil if there is no current one
	next     time.Time      // when the next may be started
	never    bool           // no helper can ever succeed
	backoff  time.Duration
	refresh  time.Duration // the last pause before coming was started because GPUs were missing
	renewed  time.Time     // when coming was last started
	good     time.Time     // when the last frame came that tells of GPUs
	frame    *helper.Frame
	fault    string // why there is none; empty if nobody knows
	detail   string
	words    string // the last that a helper said before it crashed
	versions collector.DriverVersions
	tick     time.Time // of the next view without a frame
	looking  looking
	saidHost string
	toldHost bool                  // the log has it
	dcgm     []*collector.DCGMView // of the last view: rates are made of two
	saidFull bool
	saidShut map[int]bool // indices that cannot be opened

	close func() error // ends the use of the assigner, once
}

// Limits of helpers.
const (
	maxHelpers  = 2
	maxBackoff  = time.Minute
	wellAfter   = time.Minute
	startWithin = 5 * time.Minute // the driver's initialisation
	againWithin = 2 * time.Second // the end after the last frame
	initShare   = 10              // a helper that brings nothing is started this many times less often than its initialisation takes
)

// New makes a Monitor. Nothing is started before Run or Once.
func New(c Config, env Env) (*Monitor, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Publish == nil {
		env.Publish = func(*collector.GPUView) {}
	}
	start, err := starterOf(env)
	if err != nil {
		return nil, err
	}
	m := &Monitor{
		config: c, env: env, start: start, isCounter: collector.GPUCounters(), silence: c.silence(),
		log: &limitedLog{log: env.Log, by: map[string]*reason{}}, messages: make(chan message), stopped: make(chan struct{}),
		alive: new(atomic.Int32), memory: newMemory(time.Now()), lives: map[*life]bool{}, looking: newLooking(),
		saidShut: map[int]bool{},
	}
	m.close = sync.OnceValue(func() error {
		if m.assigner == nil {
			return nil
		}
		return m.assigner.Close()
	})
	if c.Assignments.Enabled() {
		if m.assigner, err = assign.New(c.Assignments, assign.Options{Log: env.Log, JobOfPod: env.JobOfPod}); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Close releases what New has taken, where the Monitor was made and never ran. After Run it changes nothing.
func (m *Monitor) Close() error { return m.close() }

// Inherit takes over what another monitor knows: counters, XIDs, GPUs that were seen. Call it after that one's Run has returned and
// before this one's. Another library may be another machine: then it takes over what is known of helpers, and nothing of GPUs.
func (m *Monitor) Inherit(old *Monitor) {
	m.memory, m.alive, m.saidFull = old.memory, old.alive, old.saidFull
	old.memory = newMemory(time.Now())
	if m.config.Library != old.config.Library {
		m.memory.gpus, m.memory.taken = map[string]*account{}, time.Time{}
		return
	}
	m.saidHost, m.versions, m.saidShut = old.saidHost, old.versions, old.saidShut
	if m.assigner != nil { // until it has looked itself
		m.looking.result = old.looking.result
	}
	m.good, m.frame, m.fault, m.detail = old.good, old.frame, old.fault, old.detail
}

// Run reads GPUs until ctx ends. It returns within two seconds of that, and leaves no process behind that can be ended.
func (m *Monitor) Run(ctx context.Context) error {
	defer close(m.stopped)
	defer m.stopLooking(m.startLooking(ctx))
	m.next, m.tick = time.Now(), time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		show := false
		select {
		case <-ctx.Done():
			m.shutdown()
			return nil
		case x := <-m.messages:
			show = m.handle(x, time.Now())
		case r := <-m.looking.results:
			m.looking.result, m.looking.answered, show = r.result, r.number, true
		case <-timer.C:
		}
		now := time.Now()
		if !now.Before(m.tick) {
			m.tick, show = now.Add(m.config.interval()), true
		}
		before := m.current
		m.supervise(now)
		if show || m.current != before {
			m.show(now)
		}
		timer.Reset(time.Until(m.wake(now)))
	}
}

// wake is when there is something to do at the latest.
func (m *Monitor) wake(now time.Time) time.Time {
	at := m.tick
	sooner := func(t time.Time) {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	for l := range m.lives {
		sooner(l.killAt)
	}
	if m.coming != nil && m.coming.pending != nil && m.countedAt(m.coming).After(now) {
		sooner(m.countedAt(m.coming))
	}
	if m.current != nil {
		sooner(m.current.heard.Add(m.silence))
	} else if !m.never && m.next.After(now) {
		sooner(m.next)
	}
	return at
}

// Once reads GPUs once: it starts a helper, waits until every GPU was read or has failed to answer, and ends the helper. Nothing is
// published. That GPUs cannot be read is no error: the view's host tells why. The error is that of ctx, with what was known by then.
func (m *Monitor) Once(ctx context.Context) (*collector.GPUView, error) {
	m.config.Interval = min(m.config.Interval, onceInterval)
	m.config.SlowInterval = max(m.config.SlowInterval, m.config.Interval)
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var view *collector.GPUView
	done := false
	m.env.Publish = func(v *collector.GPUView) {
		if done {
			return
		}
		view, done = v, m.complete()
		if done {
			cancel()
		}
	}
	if err := m.Run(inner); err != nil {
		return view, err
	}
	if !done {
		return view, errors.Join(errors.New("GPUs were not read in time"), context.Cause(ctx))
	}
	return view, nil
}
