package api

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// allowance is what a service says about its limit with an answer: how many requests it takes in a window, how many of them
// are left, and when the next window begins.
type allowance struct {
	limit     float64 // 0 if it was not said
	remaining float64
	counts    bool          // remaining was said
	reset     time.Duration // until the next window; 0 is now or past
	renews    bool          // reset was said
}

// maxReset bounds the time to the next window.
const maxReset = 24 * time.Hour

// allowanceOf reads X-RateLimit-Limit, -Remaining, -Reset (in seconds or as a Unix time) and -Window, the same without X-, and
// the one header RateLimit of the later drafts, with RateLimit-Policy. What cannot be read was not said.
func allowanceOf(h http.Header, now time.Time) allowance {
	for _, prefix := range [...]string{"X-Ratelimit-", "Ratelimit-", "X-Rate-Limit-"} {
		var a allowance
		a.limit, _ = seconds(firstItem(h.Get(prefix + "Limit")))
		a.remaining, a.counts = seconds(firstItem(h.Get(prefix + "Remaining")))
		a.setReset(h, now, firstItem(h.Get(prefix+"Reset")))
		if window, ok := seconds(firstItem(h.Get(prefix + "Window"))); ok && window > 0 && a.counts {
			a.reset, a.renews = min(a.resetOr(maxReset), toDuration(window)), true
		}
		if a.counts || a.renews {
			return a
		}
	}
	if v := h.Get("Ratelimit"); v != "" && len(v) < 1000 {
		return combined(h, now, v)
	}
	return allowance{}
}

func (a *allowance) setReset(h http.Header, now time.Time, v string) {
	s, ok := seconds(v)
	switch {
	case s > 1e11: // a Unix time in milliseconds
		s = s/1000 - float64(serverTime(h, now).Unix())
	case s > 1e8: // three years: a Unix time
		s -= float64(serverTime(h, now).Unix())
	}
	a.reset, a.renews = toDuration(s), ok
}

func (a *allowance) resetOr(d time.Duration) time.Duration {
	if a.renews {
		return a.reset
	}
	return d
}

// combined reads "limit=100, remaining=50, reset=50", and `"minute";r=50;t=30, "day";r=900;t=3600`, of which the tightest counts.
func combined(h http.Header, now time.Time, v string) allowance {
	var tightest, a allowance
	take := func() {
		if a.counts && (!tightest.counts || a.perSecond() < tightest.perSecond()) {
			tightest = a
		}
		a = allowance{}
	}
	for _, part := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ';' }) {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case !ok: // the name of a policy begins the next
			take()
		case name == "remaining", name == "r":
			a.remaining, a.counts = seconds(value)
		case name == "reset", name == "t":
			a.setReset(h, now, value)
		case name == "limit":
			a.limit, _ = seconds(value)
		}
	}
	take()
	if tightest.limit == 0 {
		tightest.limit = policyLimit(h.Get("Ratelimit-Policy"))
	}
	return tightest
}

// policyLimit is the first quota of a policy: `"minute";q=100;w=60`, and earlier 100;w=60.
func policyLimit(v string) float64 {
	if limit, ok := seconds(firstItem(v)); ok {
		return limit
	}
	_, after, _ := strings.Cut(v, ";q=")
	limit, _ := seconds(firstItem(after))
	return limit
}

// perSecond is the even pace that uses up what remains just when the next window begins; infinite where none is known.
func (a *allowance) perSecond() float64 {
	if !a.counts || a.reset <= 0 {
		return math.Inf(1)
	}
	return a.remaining / a.reset.Seconds()
}

// firstItem is the first value of a list, without its parameters.
func firstItem(v string) string {
	if i := strings.IndexAny(v, ",;"); i >= 0 {
		v = v[:i]
	}
	return strings.TrimSpace(v)
}

func toDuration(s float64) time.Duration {
	return time.Duration(math.Max(0, math.Min(s, maxReset.Seconds())) * float64(time.Second))
}
