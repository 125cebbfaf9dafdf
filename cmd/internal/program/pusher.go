package program

import (
	"context"
	"fmt"

	"github.com/prometheus/common/version"

	"github.com/trainbridge/trainbridge/exporters/otlp"
)

// pusher is the OTLP exporter at work. A nil pusher sends nothing.
type pusher struct {
	settings pushSettings
	run      *task // nil if nothing is to be sent
}

// newPusher starts an exporter. The one before must have ended: both register the same metrics.
func (b *bridge) newPusher(s pushSettings) (*pusher, error) {
	p := &pusher{settings: s}
	for _, warning := range s.otlp.Warnings {
		b.log.Warn("OTLP: " + warning)
	}
	b.sending.Store(nil)
	if !s.otlp.Enabled() {
		return p, nil
	}
	x, err := otlp.New(s.otlp, otlp.Options{
		Snapshot: b.snapshot, Outbox: outbox{b.ledger}, Self: b.self.registry, Registerer: b.self.registry, Log: b.log.With("exporter", "otlp"),
		Version: version.Version, JobLabels: s.jobLabels, Dial: b.own.dial,
	})
	if err != nil {
		return nil, fmt.Errorf("otlp: %w", err)
	}
	p.run = start(x.Run)
	b.sending.Store(x)
	return p, nil
}

// stop sends what is left for up to three seconds.
func (p *pusher) stop(ctx context.Context) error {
	if p == nil {
		return nil
	}
	return p.run.stop(ctx)
}

// repush replaces the exporter if its settings changed. If the new one cannot be made, the old one is made again.
func (b *bridge) repush(ctx context.Context, next pushSettings) error {
	if b.push != nil && b.push.settings.digest == next.digest {
		return nil
	}
	if err := b.push.stop(ctx); err != nil {
		return fmt.Errorf("stop the OTLP exporter: %w", err)
	}
	p, err := b.newPusher(next)
	if err == nil {
		b.push = p
		return nil
	}
	if b.push != nil {
		old, again := b.newPusher(b.push.settings)
		if again != nil {
			b.log.Error("the old OTLP settings do not work any more either; nothing is sent until the next reload", "err", again)
			old = &pusher{}
		}
		b.push = old
	}
	return err
}
