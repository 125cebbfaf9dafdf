package otlp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// pusher sends snapshots at an interval. Nothing is queued: what a failed push did not say, the next one says.
type pusher struct {
	snapshot func() *collector.Snapshot
	interval time.Duration
	to       client
	report   *reporter
	own      *selfPusher // may be nil

	mu   sync.Mutex // held during a push
	enc  *encoder
	last *collector.Snapshot // what the last push that succeeded said
}

// run pushes at once and then at every interval until ctx ends, and a last time after that if hard lasts. A push that takes
// longer than the interval makes the next one start at once.
func (p *pusher) run(ctx, hard context.Context) {
	t := time.NewTicker(p.interval)
	defer t.Stop()
	for {
		_ = p.push(hard) // counted and logged by the reporter
		select {
		case <-ctx.Done():
			_ = p.push(hard)
			return
		case <-t.C:
		}
	}
}

// errShrunk asks for the push to begin again with smaller requests.
var errShrunk = errors.New("the receiver takes only smaller requests")

// smallest is how few points a request is cut down to for a receiver that finds requests too large.
const smallest = 50

// push sends everything once, within the interval.
func (p *pusher) push(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, p.interval)
	defer cancel()
	snap, now := p.snapshot(), time.Now()
	err := errShrunk
	for errors.Is(err, errShrunk) {
		err = p.enc.encode(p.last, snap, now, func(body []byte, points int) error { return p.deliver(ctx, body, points) })
	}
	if err == nil {
		p.last = snap
	}
	if err == nil && p.own != nil {
		err = p.own.push(ctx)
	}
	if err != nil {
		return fmt.Errorf("push metrics: %w", err)
	}
	return nil
}

// deliver sends one request until it is answered for good or the time of the push is over. Content that the receiver
// refuses is counted and does not stop the rest.
func (p *pusher) deliver(ctx context.Context, body []byte, points int) error {
	wait := backoff{first: 500 * time.Millisecond, most: 10 * time.Second}
	for {
		a := p.to.send(ctx, body)
		p.report.request(a, points)
		switch a.verdict {
		case accepted:
			return nil
		case rejected:
			p.report.lost(points, a.why)
			return nil
		case tooLarge:
			return p.shrink(points, a)
		case denied, unclear:
			return errors.New(a.why)
		}
		if !sleepWithin(ctx, wait.next(a.after)) {
			return errors.New(a.why)
		}
	}
}

func (p *pusher) shrink(points int, a answer) error {
	if points <= smallest {
		p.report.lost(points, a.why)
		return nil
	}
	p.enc.maxPoints = max(points/2, smallest)
	return errShrunk
}

// sleepWithin does not even begin to wait if ctx would end before.
func sleepWithin(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		return false
	}
	return sleep(ctx, d)
}
