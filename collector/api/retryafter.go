package api

import (
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The bounds of a wait that a service may ask for.
const (
	minRetryAfter = time.Second
	maxRetryAfter = time.Hour
)

// retryAfter is how long the service asks to wait, between a second and an hour, and whether it asks at all. It takes
// retry-after-ms, and Retry-After in seconds (whole or not) or as a date in the three forms of RFC 9110. A date in the past
// means a second; what cannot be read means nothing.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	if ms, ok := seconds(h.Get("Retry-After-Ms")); ok {
		return clampWait(ms / 1000), true
	}
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if s, ok := seconds(v); ok {
			return clampWait(s), true
		}
		if at, err := http.ParseTime(v); err == nil {
			return clampWait(at.Sub(serverTime(h, now)).Seconds()), true
		}
	}
	return 0, false
}

// seconds reads a number that is not negative, written without exponent or words.
func seconds(v string) (float64, bool) {
	v = strings.TrimSpace(v)
	if v == "" || len(v) > 64 || strings.Trim(v, "0123456789.") != "" {
		return 0, false
	}
	s, err := strconv.ParseFloat(v, 64)
	return s, err == nil
}

func clampWait(s float64) time.Duration {
	s = math.Max(minRetryAfter.Seconds(), math.Min(s, maxRetryAfter.Seconds()))
	return time.Duration(s * float64(time.Second))
}

// serverTime is the service's clock at its answer, or ours if it does not say.
func serverTime(h http.Header, now time.Time) time.Time {
	if t, err := http.ParseTime(h.Get("Date")); err == nil {
		return t
	}
	return now
}

// The waits between attempts.
const (
	backoffBase = time.Second
	backoffCap  = 5 * time.Minute
)

// backoff is the wait after the nth failed attempt, with full jitter: anything up to a bound that doubles.
func backoff(n int) time.Duration {
	bound := backoffCap
	if n < 10 {
		bound = min(backoffCap, backoffBase<<(n-1))
	}
	return rand.N(bound) + 1
}
