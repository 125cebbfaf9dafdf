package program

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// reloadRequest is someone who waits for the outcome of a reload.
type reloadRequest struct{ answer chan error }

// errStopping is the answer to a reload that comes too late.
var errStopping = errors.New("the bridge is stopping")

// requestReload asks the goroutine of serve to reload, one request after the other.
func (b *bridge) requestReload(ctx context.Context) error {
	r := &reloadRequest{answer: make(chan error, 1)}
	select {
	case b.reloads <- r:
	case <-b.ended:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-r.answer
}

// reload reads the configuration file again. If anything is wrong with it, everything stays as it was. It logs the outcome.
func (b *bridge) reload(ctx context.Context) error {
	began := time.Now()
	next, err := loadConfig(b.settings.file, b.getenv)
	if err == nil {
		err = b.apply(ctx, next)
	}
	b.self.reloaded(err)
	if err != nil {
		b.log.Error("the configuration was not reloaded; the old one stays in force", "file", b.settings.file,
			"err", strings.ReplaceAll(err.Error(), "\n", "; "))
		return err
	}
	b.log.Info("the configuration was reloaded", "file", next.file, "sources", len(next.sources), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// apply makes settings those in force: first everything that can fail is made, then what changed is swapped.
func (b *bridge) apply(ctx context.Context, next *settings) error {
	fresh, err := b.build(next)
	if err != nil {
		return err
	}
	gpus, err := b.newGPUs(next.gpus)
	if err != nil {
		return errors.Join(err, closeAll(fresh))
	}
	if err := b.repush(ctx, next.push); err != nil {
		if gpus != nil && gpus != b.gpus {
			err = errors.Join(err, gpus.monitor.Close())
		}
		return errors.Join(err, closeAll(fresh))
	}
	for _, line := range next.gpuAdvice() {
		b.log.Warn("GPUs may not be assigned as configured", "why", line)
	}
	b.warnFrozen(next.frozen)
	old, kept := b.sort(next, fresh)
	err = errors.Join(stopAll(ctx, old), named("stop reading GPUs", b.regpu(ctx, gpus)))
	b.store.Configured(next.names())
	for name, r := range fresh {
		r.start(b)
		kept[name] = r
	}
	b.sources = kept
	next.frozen = b.settings.frozen
	b.settings = next
	b.publish(next.push.jobLabels)
	if err != nil && ctx.Err() == nil {
		b.log.Warn("what the old configuration had at work did not stop cleanly", "err", err)
	}
	return nil
}

// names are those of the sources.
func (s *settings) names() []string {
	var names []string
	for _, src := range s.sources {
		names = append(names, src.Name)
	}
	return names
}

// build makes the sources that are new or changed.
func (b *bridge) build(next *settings) (map[string]*runner, error) {
	fresh := map[string]*runner{}
	var errs []error
	for _, s := range next.sources {
		before := b.sources[s.Name]
		if before != nil && before.digest == s.digest {
			continue
		}
		r, err := b.newRunner(s, before)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fresh[s.Name] = r
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, closeAll(fresh))...)
	}
	return fresh, nil
}

func closeAll(sources map[string]*runner) error {
	var errs []error
	for _, r := range sources {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// sort divides the sources at work into those that end and those that stay.
func (b *bridge) sort(next *settings, fresh map[string]*runner) (old, kept map[string]*runner) {
	old, kept = maps.Clone(b.sources), map[string]*runner{}
	for _, s := range next.sources {
		if r := b.sources[s.Name]; r != nil && fresh[s.Name] == nil {
			kept[s.Name] = r
			delete(old, s.Name)
		}
	}
	return old, kept
}

// warnFrozen says which changes must wait for a restart.
func (b *bridge) warnFrozen(next frozen) {
	if now := b.settings.frozen; next != now {
		b.log.Warn("some changed settings take effect only when the program is started again", "settings", strings.Join(changed(now, next), ", "))
	}
}

func changed(a, b frozen) []string {
	names := map[string]string{
		"StateDirectory": "state.directory", "OutboxSpans": "state.outbox_spans", "Retention": "retention",
		"GroupRetention": "group_retention", "Limits": "metrics", "StepSpans": "traces.step_spans", "Spans": "otlp (traces turned on or off)",
	}
	var out []string
	for field := range reflect.TypeFor[frozen]().Fields() {
		if reflect.ValueOf(a).FieldByIndex(field.Index).Interface() != reflect.ValueOf(b).FieldByIndex(field.Index).Interface() {
			out = append(out, names[field.Name])
		}
	}
	return slices.Sorted(slices.Values(out))
}
