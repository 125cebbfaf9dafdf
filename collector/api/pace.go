package api

import (
	"math"
	"time"
)

// pace is how far a service's own limit, as it tells it with its answers, holds us back. The rule:
//
//   - What remains until the next window is spread evenly over the time until then, with a tenth kept back. This only ever slows
//     down, to no less than a hundredth of the configured rate, and ends with the window, or an hour after it was last said.
//   - When nothing remains, nothing is asked until the next window, for at most an hour.
//   - A service that answers after that pause and says again that nothing remains does not keep to what it says: for the next
//     hour what it says is not heeded. Answers 429 always are.
type pace struct {
	factor   float64   // of the configured rate
	burst    float64   // requests at once
	until    time.Time // the next window; zero if nothing holds us back
	dry      time.Time // end of the last pause because nothing remained
	unheeded time.Time // until when nothing is believed
}

const (
	paceShare    = 0.9         // of what remains, that is used
	paceUnheeded = time.Hour   // for which a limit is not believed that was seen to be none
	paceMargin   = time.Second // times in headers have no fractions
)

func freePace() pace { return pace{factor: 1, burst: math.Inf(1)} }

// bound is the smaller of what the caller may do and what the service's limit leaves.
func (p *pace) bound(factor float64, burst int) (float64, int) {
	factor = min(factor, p.factor)
	return factor, max(1, int(min(float64(burst)*factor, p.burst)))
}

// renew ends what holds us back when its window has.
func (p *pace) renew(now time.Time) bool {
	if p.until.IsZero() || now.Before(p.until) {
		return false
	}
	p.release()
	return true
}

func (p *pace) release() { p.factor, p.burst, p.until = 1, math.Inf(1), time.Time{} }

// learn takes what an answer to a request that began at start says of the service's limit. served says that it was a success.
func (g *gate) learn(start, now time.Time, a allowance, served bool) {
	if !a.counts || !a.renews || a.reset <= 0 && a.remaining >= 1 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &g.ahead
	switch {
	case now.Before(p.unheeded):
		return
	case a.remaining >= 1:
		if !start.Before(p.dry) {
			p.dry = time.Time{}
		}
		p.factor = max(paceShare*a.perSecond()/g.rate, minFactor) // above 1 it bounds nothing
		p.burst, p.until = paceShare*a.remaining, now.Add(min(a.reset+paceMargin, maxRetryAfter))
	case served && !p.dry.IsZero() && !start.Before(p.dry):
		p.release()
		p.dry, p.unheeded = time.Time{}, now.Add(paceUnheeded)
		g.log.Warn("service says that its limit is used up, and answers: not heeded for a while", "for", paceUnheeded)
	default:
		g.runDry(now, min(a.reset+paceMargin, maxRetryAfter))
	}
	g.apply(now)
}

// runDry pauses because the service says that nothing remains.
func (g *gate) runDry(now time.Time, wait time.Duration) {
	if until := now.Add(wait); until.After(g.ahead.dry) {
		g.ahead.dry = until
		g.log.Debug("service says that its limit is used up, waiting for the next window", "wait", wait)
	}
	g.extend(g.ahead.dry)
}

// renewsIn is how long until the rate changes because the service's window ends; far off if it does not.
func (g *gate) renewsIn(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ahead.until.IsZero() {
		return math.MaxInt64
	}
	return max(g.ahead.until.Sub(now), time.Millisecond)
}

// slowed says in an error why the rate is not the configured one.
func (g *gate) slowed() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if factor, _ := g.ahead.bound(g.factor, g.burst); factor < 1 {
		return ", slowed down by the service,"
	}
	return ""
}

// current is the rate that holds now.
func (g *gate) current() float64 {
	g.grow(time.Now())
	g.mu.Lock()
	defer g.mu.Unlock()
	factor, _ := g.ahead.bound(g.factor, g.burst)
	return g.rate * factor
}

// budget is how many requests may be made, and how many of them now: by our limiter, or by the service's own limit where that
// holds us back or is the smaller.
func (g *gate) budget(said allowance) (limit, remaining float64) {
	now := time.Now()
	paused := g.pausedFor(now) > 0
	limit, remaining = float64(g.burst), max(g.limiter.TokensAt(now), 0)
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &g.ahead
	heeded := said.counts && !now.Before(p.unheeded)
	if heeded && (said.remaining < remaining || !p.until.IsZero() && (p.factor < 1 || p.burst < limit)) {
		remaining = said.remaining
		if said.limit > 0 {
			limit = said.limit
		}
	}
	if paused {
		remaining = 0
	}
	return limit, remaining
}
