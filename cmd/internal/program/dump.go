package program

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/alecthomas/kingpin/v2"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/ledger"
	"github.com/trainbridge/trainbridge/exporters/prom"
)

func (p *program) dumpCommand(c *kingpin.CmdClause) command {
	file := configFlag(c)
	return func(ctx context.Context) error {
		s, err := loadConfig(*file, p.getenv)
		if err != nil {
			return err
		}
		return p.dump(ctx, s)
	}
}

// dump asks every source once, from the start of its jobs, and prints what came out, also if something went wrong. The state
// directory is left alone: a bridge may be using it.
func (p *program) dump(ctx context.Context, s *settings) error {
	b := newBridge(webOptions{}, p.log, p.getenv, nil)
	s.frozen.StateDirectory, s.frozen.Spans = "", false
	b.ledger = ledger.Memory(ledger.Options{Log: p.log})
	b.store = collector.NewStore(s.frozen.Limits)
	b.recorder = collector.NewRecorder(b.ledger, b.store, collector.RecorderOptions{
		Reduce: collector.ReduceOptions{FreeForm: s.frozen.Limits.FreeForm}, Log: p.log,
	})
	sources, err := b.build(s)
	if err != nil {
		return err
	}
	defer closeAll(sources) //nolint:errcheck // the process ends
	recording := start(b.recorder.Run)
	failed := p.askOnce(ctx, b, sources)
	gpus, err := b.readGPUs(ctx, s.gpus)
	b.store.SetGPUs(gpus)
	failed = errors.Join(failed, named("read the GPUs", err))
	if err := recording.stop(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if err := prom.Write(p.stdout, b.store.Snapshot(), prom.Text); err != nil {
		return fmt.Errorf("write the metrics: %w", err)
	}
	return failed
}

// askOnce makes one round of each source, side by side.
func (p *program) askOnce(ctx context.Context, b *bridge, sources map[string]*runner) error {
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for name, r := range sources {
		b.store.SetHealth(name, r.health)
		wg.Go(func() {
			err := collector.NewScheduler(name, r.source, b.recorder, b.store, r.health, p.log).Once(ctx)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, named("source "+name, err))
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
