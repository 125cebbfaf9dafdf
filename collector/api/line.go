package api

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// line is where the requests of one credential stand that wait for the limiter, first come, first served. Only the first in it
// holds a reservation of the limiter, so that a change of the rate is heeded at once, and who leaves gives all back.
type line struct {
	first  chan struct{}
	length atomic.Int64
}

// look is how often the first in line looks whether the rate has grown.
const look = time.Minute

func newLine() line { return line{first: make(chan struct{}, 1)} }

// turn is how a wait for the limiter ended.
type turn uint8

const (
	noTurn    turn = iota // it is to be waited for again, or err
	tookToken             // of the limiter
	sawPause              // that began meanwhile
)

// waitTurn waits for a token of the limiter, or until a pause begins. If it would wait beyond the deadline of ctx it returns at once.
func (g *gate) waitTurn(ctx context.Context) (turn, error) {
	length := g.line.length.Add(1)
	defer g.line.length.Add(-1)
	now := time.Now()
	g.grow(now)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(now.Add(g.expected(now, length))) {
		return noTurn, g.tooLong()
	}
	select {
	case g.line.first <- struct{}{}:
	case <-ctx.Done():
		return noTurn, contextError(ctx, "waited for rate_limit")
	}
	defer func() { <-g.line.first }()
	for {
		if t, err := g.reserve(ctx); t != noTurn || err != nil {
			return t, err
		}
	}
}

// reserve tries to take a token, and waits for it or for a time at which the rate may be another.
func (g *gate) reserve(ctx context.Context) (turn, error) {
	now := time.Now()
	if ctx.Err() != nil {
		return noTurn, contextError(ctx, "waited for rate_limit")
	}
	if g.closed(now) {
		return sawPause, nil
	}
	g.grow(now)
	r := g.limiter.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait <= 0 {
		return tookToken, nil
	}
	next := min(wait, look, g.renewsIn(now))
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(now.Add(min(wait, g.renewsIn(now)))) {
		r.CancelAt(now)
		return noTurn, g.tooLong()
	}
	if !sleep(ctx, next) {
		r.Cancel()
		return noTurn, contextError(ctx, "waited for rate_limit")
	}
	if next < wait {
		r.Cancel()
		return noTurn, nil
	}
	return tookToken, nil
}

// expected is about how long the last of that many in line waits.
func (g *gate) expected(now time.Time, length int64) time.Duration {
	tokens := float64(length) - g.limiter.TokensAt(now)
	if length > 1 {
		tokens-- // the first holds one already
	}
	wait := math.Max(0, tokens/float64(g.limiter.Limit()))
	return min(time.Duration(math.Min(wait, math.MaxInt32)*float64(time.Second)), g.renewsIn(now))
}

func (g *gate) tooLong() error {
	return &Error{Class: classRateLimited, Detail: fmt.Sprintf("our own rate_limit of %g a second%s leaves no room before the deadline", g.rate, g.slowed())}
}

// outer is the key of the gate on whose behalf requests are made.
type outer struct{}

// chargeTo makes requests under the context that it returns count against the rate of g. It is for those of a signer: they go
// ahead of what stands in line, which then waits longer.
func chargeTo(ctx context.Context, g *gate) context.Context {
	return context.WithValue(ctx, outer{}, g)
}

func chargeOuter(ctx context.Context) {
	if g, ok := ctx.Value(outer{}).(*gate); ok {
		g.limiter.Reserve()
	}
}
