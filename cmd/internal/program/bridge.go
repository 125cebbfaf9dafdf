package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/ledger"
	"github.com/trainbridge/trainbridge/exporters/otlp"
	"github.com/trainbridge/trainbridge/exporters/prom"
	"github.com/trainbridge/trainbridge/exporters/web"
)

// bridge is the running program. The goroutine of serve owns it; other goroutines use what is immutable or atomic.
type bridge struct {
	web    webOptions
	log    *slog.Logger
	getenv func(string) string
	hangup <-chan os.Signal
	own    surroundings

	self     *self
	ledger   ledger.Engine
	store    *collector.Store
	recorder *collector.Recorder
	record   *task
	upkeep   *task
	history  *web.History // for the pages
	remember *task

	settings *settings // in force
	sources  map[string]*runner
	gpus     *gpuReader
	lastGPUs *gpuReader // the one that ended last, and has no successor
	push     *pusher
	sending  atomic.Pointer[otlp.Exporter] // the exporter of push, for the page; nil if nothing is sent

	routes   atomic.Pointer[routes] // nil until the state is loaded
	stopping atomic.Bool
	started  atomic.Bool // the configuration is in force
	reloads  chan *reloadRequest
	ended    chan struct{} // closed when reloads are no longer answered
}

// routes are what requests need of the configuration in force. A new value replaces the old one; nothing in it changes.
type routes struct {
	metrics   http.Handler
	jobLabels []string
	jobs      http.Handler
	sources   map[string]*runner
}

// surroundings are what a bridge uses instead of the machine's network and processes, where it is only played. The zero value is the
// machine.
type surroundings struct {
	dial   collector.Dial                                    // how sources and receivers are connected to
	helper func(context.Context, io.Reader, io.Writer) error // reads GPUs, in this process

	diskFull func() bool // whether the state cannot be written
}

func newBridge(o webOptions, log *slog.Logger, getenv func(string) string, hangup <-chan os.Signal) *bridge {
	b := &bridge{
		web: o, log: log, getenv: getenv, hangup: hangup, self: newSelf(), sources: map[string]*runner{},
		reloads: make(chan *reloadRequest), ended: make(chan struct{}),
	}
	b.history = web.NewHistory(web.HistoryOptions{
		Snapshot: b.snapshot, Every: o.historyEvery,
		Dropped:  func() uint64 { return b.ledger.OutboxStats().Dropped }, // the history runs when the ledger is open
		Writable: func() bool { ok, _ := b.ledger.Writable(); return ok },
	})
	return b
}

// How long each stage of a stop may take; together less than the ten seconds that service managers give.
const (
	stopWithin  = 9 * time.Second
	pollsWithin = 4 * time.Second
)

// serve runs the bridge until ctx ends or something that it cannot do without fails.
func (b *bridge) serve(ctx context.Context, s *settings) error {
	server, err := b.listen(ctx)
	if err != nil {
		return err
	}
	defer server.close()
	if err := b.open(ctx, s); err != nil {
		return err
	}
	err = b.apply(ctx, s)
	if err == nil {
		b.started.Store(true)
		b.self.reloaded(nil)
		err = b.wait(ctx, server)
	}
	return errors.Join(err, b.stop(server))
}

// open opens the state and loads it; then what was committed is served.
func (b *bridge) open(ctx context.Context, s *settings) error {
	f := s.frozen
	if err := b.openLedger(f); err != nil {
		return err
	}
	b.self.state.open(b.ledger, f.StateDirectory != "")
	b.store = collector.NewStore(f.Limits)
	o := collector.RecorderOptions{
		Reduce:    collector.ReduceOptions{FreeForm: f.Limits.FreeForm, StepSpans: f.StepSpans},
		Retention: f.Retention, GroupRetention: f.GroupRetention, Log: b.log,
	}
	if f.Spans {
		o.EncodeSpan = otlp.EncodeSpan
	}
	b.recorder = collector.NewRecorder(b.ledger, b.store, o)
	if err := b.recorder.Load(ctx); err != nil {
		return errors.Join(err, b.ledger.Close())
	}
	b.store.Configured(s.names())
	b.record, b.upkeep, b.remember = start(b.recorder.Run), start(b.ledger.Run), start(b.history.Run)
	b.settings = &settings{frozen: f}
	b.publish(s.push.jobLabels)
	return nil
}

func (b *bridge) openLedger(f frozen) error {
	o := ledger.Options{Log: b.log, MaxOutboxRows: f.OutboxSpans}
	if f.StateDirectory == "" {
		b.log.Warn("no state.directory is configured: everything is kept in memory, and a restart starts counting anew")
		b.ledger = planted(ledger.Memory(o))
		return nil
	}
	db, err := ledger.Open(f.StateDirectory, o)
	if err != nil {
		return fmt.Errorf("open the state in %s: %w", f.StateDirectory, err)
	}
	b.ledger = planted(db)
	if b.own.diskFull != nil {
		b.ledger = fullDisk{b.ledger, b.own.diskFull}
	}
	return nil
}

// wait answers requests to reload until ctx ends or the server does.
func (b *bridge) wait(ctx context.Context, s *server) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.done():
			return fmt.Errorf("serve HTTP: %w", s.err())
		case <-b.hangup:
			_ = b.reload(ctx) // it says in the log how it went
		case r := <-b.reloads:
			r.answer <- b.reload(ctx)
		}
	}
}

// stop ends everything in the order in which news flows, so that nothing that was read is lost.
func (b *bridge) stop(s *server) error {
	began := time.Now()
	b.log.Info("stopping")
	b.stopping.Store(true)
	close(b.ended)
	hard, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	polls, cancelPolls := context.WithTimeout(hard, pollsWithin)
	defer cancelPolls()
	var errs []error
	var wg sync.WaitGroup
	var reading error
	wg.Go(func() { s.shutdown(polls) })
	wg.Go(func() { reading = named("stop reading GPUs", b.gpus.stop(polls)) })
	errs = append(errs, stopAll(polls, b.sources))
	wg.Wait()
	errs = append(errs, reading)
	b.waitForProxies(polls)
	errs = append(errs,
		named("end the history of the pages", b.remember.stop(hard)),
		named("commit what was read", b.record.stop(hard)),
		named("send what waits by OTLP", b.push.stop(hard)),
		named("end the upkeep of the state", b.upkeep.stop(hard)))
	if hard.Err() == nil { // otherwise somebody may still use it, and the end of the process closes it
		errs = append(errs, named("close the state", b.ledger.Close()))
	}
	err := errors.Join(errs...)
	b.log.Info("stopped", "took", time.Since(began).Round(time.Millisecond), "clean", err == nil)
	return err
}

func named(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// stopAll stops sources side by side.
func stopAll(ctx context.Context, sources map[string]*runner) error {
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for _, r := range sources {
		wg.Go(func() {
			if err := r.stop(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("stop source %s: %w", r.Name, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (b *bridge) waitForProxies(ctx context.Context) {
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		for _, r := range b.sources {
			if r.proxy != nil {
				r.proxy.Wait()
			}
		}
	}()
	select {
	case <-waited:
	case <-ctx.Done():
	}
}

// snapshot is what is exposed, nil until the state is loaded.
func (b *bridge) snapshot() *collector.Snapshot {
	if b.routes.Load() == nil {
		return nil
	}
	return b.store.Snapshot()
}

// ready is false until the sources are there: what was committed is served before, but jobs cannot be registered yet.
func (b *bridge) ready() bool { return b.started.Load() && !b.stopping.Load() }

// publish makes the configuration in force that of new requests.
func (b *bridge) publish(jobLabels []string) {
	next := &routes{jobLabels: jobLabels, sources: map[string]*runner{}, jobs: web.JobsOff()}
	failures := map[string]func() uint64{}
	for name, r := range b.sources {
		next.sources[name] = r
		if r.proxy != nil || r.before > 0 {
			failures[name] = r.unregistered
		}
	}
	if before := b.routes.Load(); before != nil && slices.Equal(before.jobLabels, jobLabels) {
		next.metrics = before.metrics // keeps what it has rendered
	} else {
		next.metrics = prom.New(prom.Options{Snapshot: b.snapshot, Self: b.self.registry, JobLabels: jobLabels, Log: b.log})
	}
	if b.settings.jobsAPI {
		next.jobs = web.Jobs(web.JobsOptions{Register: b.registerVia("api"), Takes: next.takes, Log: limited(b.log)})
	}
	b.self.passThrough.set(failures)
	b.routes.Store(next)
}

func (r *routes) takes(source string) (known, takes bool) {
	s, known := r.sources[source]
	return known, known && s.takes()
}

// registerVia is the recorder's Register, counted.
func (b *bridge) registerVia(via string) register {
	return func(ctx context.Context, reg collector.Registration) error {
		err := b.recorder.Register(ctx, reg)
		result := "success"
		if err != nil {
			result = "error"
		}
		b.self.registered.WithLabelValues(reg.Key.Source, via, result).Inc()
		return err
	}
}
