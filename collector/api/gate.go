package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	growPerMinute = 0.05 // of the configured rate
	minFactor     = 0.01 // of the configured rate, however often the service refuses
	firstPause    = time.Minute
	firstQuota    = 15 * time.Minute // where a quota is used up: it comes back by the hour at best
	maxAuthPause  = 5 * time.Minute
)

// gate decides when a request of one credential may start. It is safe for concurrent use.
type gate struct {
	rate    float64 // configured, per second
	burst   int     // configured
	limiter *rate.Limiter
	slots   chan struct{}
	line    line
	secret  func() string // fingerprint of the credential in use
	log     *slog.Logger

	mu         sync.Mutex
	factor     float64   // of rate that refusals have left
	grown      time.Time // when factor last grew
	throttled  time.Time // when the service last refused
	pauseUntil time.Time
	pauses     int // in a row, without the service saying how long
	auth       authPause
	ahead      pace
}

// authPause is the rest that a refused credential takes.
type authPause struct {
	until  time.Time
	began  time.Time
	length time.Duration
	secret string // fingerprint of what was refused
	detail string
}

func newGate(c Config, secret func() string, log *slog.Logger) *gate {
	return &gate{
		rate: c.RateLimit, burst: c.Burst, limiter: rate.NewLimiter(rate.Limit(c.RateLimit), c.Burst),
		slots: make(chan struct{}, c.MaxInFlight), line: newLine(), secret: secret, log: log, factor: 1, ahead: freePace(),
	}
}

// acquire waits until a request may start; release must be called when it has ended. If the wait would go beyond the
// deadline of ctx it returns at once.
func (g *gate) acquire(ctx context.Context) (release func(), err error) {
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, contextError(ctx, "all of max_in_flight requests were under way")
	}
	if err := g.pass(ctx); err != nil {
		<-g.slots
		return nil, err
	}
	return func() { <-g.slots }, nil
}

// pass waits for the pauses, then for the limiter, and again if a pause began meanwhile.
func (g *gate) pass(ctx context.Context) error {
	for {
		if err := g.waitPause(ctx); err != nil {
			return err
		}
		t, err := g.waitTurn(ctx)
		if err != nil {
			return err
		}
		if t == tookToken && !g.closed(time.Now()) {
			chargeOuter(ctx)
			return nil
		}
	}
}

// closed reports whether no request may start now.
func (g *gate) closed(now time.Time) bool { return g.pausedFor(now) > 0 || g.authRest(now) != nil }

// waitPause waits until the service may be asked again. A refused credential is not waited for.
func (g *gate) waitPause(ctx context.Context) error {
	for {
		now := time.Now()
		if err := g.authRest(now); err != nil {
			return err
		}
		wait := g.pausedFor(now)
		if wait <= 0 {
			return nil
		}
		if deadline, ok := ctx.Deadline(); ok && deadline.Before(now.Add(wait)) {
			return &Error{Class: classRateLimited, Detail: "the service asked to wait", RetryAfter: wait}
		}
		if !sleep(ctx, wait) {
			return contextError(ctx, "the service asked to wait")
		}
	}
}

func (g *gate) pausedFor(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pauseUntil.Sub(now)
}

// authRest is the error of a credential that rests, or nil. A credential that changed rests no more.
func (g *gate) authRest(now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !now.Before(g.auth.until) {
		return nil
	}
	if g.secret() != g.auth.secret {
		g.auth.until = now
		return nil
	}
	return &Error{Class: classAuth, Detail: "not asked, " + g.auth.detail, RetryAfter: g.auth.until.Sub(now)}
}

// grow gives back a part of the rate that was taken, and all that a window took that is over.
func (g *gate) grow(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	renewed := g.ahead.renew(now)
	if g.factor < 1 && now.Sub(g.grown) >= time.Second {
		g.setFactor(now, g.factor+growPerMinute*now.Sub(g.grown).Minutes())
	} else if renewed {
		g.apply(now)
	}
}

func (g *gate) setFactor(now time.Time, f float64) {
	g.factor, g.grown = min(max(f, minFactor), 1), now
	g.apply(now)
}

// apply sets the limiter to the smaller of what refusals have left and what the service's own limit leaves.
func (g *gate) apply(now time.Time) {
	factor, burst := g.ahead.bound(g.factor, g.burst)
	g.limiter.SetLimitAt(now, rate.Limit(g.rate*factor))
	g.limiter.SetBurstAt(now, burst)
}

// refused takes an answer 429 to a request that began at start. wait is what the service asked for; if it did not, the
// pause is a minute, or more for a quota that is used up, and doubles as long as it goes on.
func (g *gate) refused(start, now time.Time, wait time.Duration, said, quota bool) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	fresh := start.After(g.throttled) // one refusal for requests that were under way together
	if fresh {
		g.throttled = now
		if !quota { // the rate is not what was wrong
			g.setFactor(now, g.factor/2)
		}
	}
	if !said {
		if fresh || g.pauses == 0 {
			g.pauses++
		}
		first := firstPause
		if quota {
			first = firstQuota
		}
		wait = min(first<<(min(g.pauses, 8)-1), maxRetryAfter)
	}
	if fresh {
		g.log.Warn("service refuses requests, slowing down", "wait", wait, "requests_per_second", g.rate*g.factor, "quota", quota)
	}
	g.extend(now.Add(wait))
	return wait
}

// pause keeps requests from starting for d.
func (g *gate) pause(now time.Time, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.extend(now.Add(d))
}

func (g *gate) extend(until time.Time) {
	if until.After(g.pauseUntil) {
		g.pauseUntil = until
	}
}

// denied takes a second 401 to a request that began at start with the credential of that fingerprint.
func (g *gate) denied(start, now time.Time, secret, why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := &g.auth
	if !start.After(a.began) {
		return // it was under way when the rest began
	}
	if secret != a.secret {
		a.length = 0
	}
	a.length = min(max(a.length*2, firstPause), maxAuthPause)
	a.began, a.until, a.secret, a.detail = now, now.Add(a.length), secret, why
	g.log.Error("service refuses the credential, resting", "rest", a.length, "check", why)
}

// accepted takes an answer that shows the credential and the rate to be fine.
func (g *gate) accepted(start time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if start.After(g.auth.began) {
		g.auth.length = 0
	}
	if start.After(g.throttled) {
		g.pauses = 0
	}
}

// sleep waits for d and reports whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
