package api

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

func headers(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

func TestAllowance(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC) // 1772445600
	full := allowance{limit: 100, remaining: 50, counts: true, reset: 50 * time.Second, renews: true}
	changed := func(change func(*allowance)) allowance {
		a := full
		change(&a)
		return a
	}
	noReset := changed(func(a *allowance) { a.reset, a.renews = 0, false })
	past := changed(func(a *allowance) { a.reset = 0 })
	noLimit := changed(func(a *allowance) { a.limit = 0 })
	for name, c := range map[string]struct {
		h    http.Header
		want allowance
	}{
		"delta":             {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: 50"), full},
		"unix":              {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: 1772445650"), full},
		"milliseconds":      {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: 1772445650000"), full},
		"its own clock":     {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: 1772445750", "Date: Mon, 02 Mar 2026 10:01:40 GMT"), full},
		"hyphen":            {headers("X-Rate-Limit-Limit: 100", "X-Rate-Limit-Remaining: 50", "X-Rate-Limit-Reset: 50"), full},
		"draft":             {headers("RateLimit-Limit: 100, 100;w=60", "RateLimit-Remaining: 50", "RateLimit-Reset: 50"), full},
		"combined":          {headers("RateLimit: limit=100, remaining=50, reset=50"), full},
		"structured":        {headers(`RateLimit: "default";r=50;t=50`, `RateLimit-Policy: "default";q=100;w=60`), full},
		"older policy":      {headers(`RateLimit: remaining=50, reset=50`, `RateLimit-Policy: 100;w=60`), full},
		"the tightest":      {headers(`RateLimit: "day";r=5000;t=3600, "minute";r=50;t=50, "hour";r=900;t=600`, `RateLimit-Policy: 100;w=60`), full},
		"window":            {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Window: 50"), full},
		"window bounds":     {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: 4070908800", "X-RateLimit-Window: 50"), full},
		"no reset":          {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50"), noReset},
		"odd reset":         {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: soon"), noReset},
		"negative reset":    {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: -5"), noReset},
		"past":              {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: 1772445500"), past},
		"past, with window": {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: 1772445500", "X-RateLimit-Window: 60"), past},
		"no limit":          {headers("X-RateLimit-Remaining: 50", "X-RateLimit-Reset: 50"), noLimit},
		"year 2099":         {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: 4070908800"), changed(func(a *allowance) { a.reset = maxReset })},
		"huge":              {headers("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50", "X-RateLimit-Reset: "+strings.Repeat("9", 60)), changed(func(a *allowance) { a.reset = maxReset })},
		"nan":               {headers("X-RateLimit-Limit: NaN", "X-RateLimit-Remaining: NaN", "X-RateLimit-Reset: NaN"), allowance{}},
		"negative":          {headers("X-RateLimit-Limit: -1", "X-RateLimit-Remaining: -1"), allowance{}},
		"limit alone":       {headers("X-RateLimit-Limit: 100"), allowance{}},
		"words":             {headers("RateLimit: unlimited"), allowance{}},
		"long":              {headers("RateLimit: " + strings.Repeat("r=1;t=1,", 1000)), allowance{}},
		"none":              {http.Header{}, allowance{}},
	} {
		if got := allowanceOf(c.h, now); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// Of an answer 429 the time of renewal is heeded, then what its body says.
func TestWaitOfARefusal(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		status int
		body   string
		h      http.Header
		want   time.Duration
	}{
		{429, ``, headers("X-RateLimit-Reset: 15"), 15 * time.Second},
		{429, ``, headers("X-RateLimit-Reset: 1772445630"), 30 * time.Second},
		{429, ``, headers("X-RateLimit-Reset: 1772400000"), time.Second},
		{429, ``, headers("RateLimit-Reset: 15"), 15 * time.Second},
		{429, ``, headers("RateLimit: limit=10, remaining=0, reset=15"), 15 * time.Second},
		{429, ``, headers("X-Rate-Limit-Reset: 99999"), time.Hour},
		{429, ``, headers("Retry-After: 7", "X-RateLimit-Reset: 15"), 7 * time.Second},
		{503, ``, headers("X-RateLimit-Reset: 15"), 0},
		{429, `{"details":{"retry_after":1800}}`, http.Header{}, 30 * time.Minute},
		{429, `{"details":{"retry_after":1800}}`, headers("X-RateLimit-Reset: 15"), 15 * time.Second},
		{429, `{"details":{"retry_after":"1e9"}}`, http.Header{}, time.Hour},
		{429, `{"details":{"retry_after":-5}}`, http.Header{}, 0},
		{429, `{"details":{"retry_after":NaN}}`, http.Header{}, 0},
		{503, `{"details":{"retry_after":1800}}`, http.Header{}, 0},
	} {
		resp := answer(c.status, c.body)
		got, ok := toldBy(resp).wait(c.h, now)
		if got != c.want || ok != (c.want > 0) {
			t.Errorf("%d %s %v: got %v %v, want %v", c.status, c.body, c.h, got, ok, c.want)
		}
	}
}

// Whatever headers say, no wait is longer than an hour, and no pace is faster than ours or slower than a hundredth of it.
func FuzzRateHeaders(f *testing.F) {
	for _, s := range []string{
		"1", "1.5", "Fri, 31 Dec 9999 23:59:59 GMT", "-1", "NaN", "99999999999999999999999", "1772445650", "1772445650000",
		"limit=100, remaining=50, reset=50", `"a";r=1;t=2, "b";r=0;t=5`, "0", "100, 100;w=60", `"a";q=100;w=60`, "1e400", "0x10",
	} {
		f.Add(s, "100", "50", "Mon, 02 Mar 2026 10:00:00 GMT")
		f.Add("60", s, "50", "")
		f.Add("60", "100", s, s)
	}
	f.Fuzz(func(t *testing.T, reset, limit, remaining, date string) {
		h := http.Header{
			"Retry-After": {reset}, "Retry-After-Ms": {limit}, "Date": {date}, "Ratelimit": {reset}, "Ratelimit-Policy": {limit},
			"X-Ratelimit-Limit": {limit}, "X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {reset}, "X-Ratelimit-Window": {date},
		}
		now := time.Unix(1772445600, 0)
		if d, ok := retryAfter(h, now); ok && (d < time.Second || d > time.Hour) {
			t.Fatalf("Retry-After: %v", d)
		}
		h.Del("Retry-After")
		h.Del("Retry-After-Ms")
		for range 2 {
			checkAllowance(t, h, now)
			h.Del("X-Ratelimit-Remaining") // then the other header is read
			h.Del("X-Ratelimit-Reset")
		}
	})
}

func checkAllowance(t *testing.T, h http.Header, now time.Time) {
	t.Helper()
	a := allowanceOf(h, now)
	if a.reset < 0 || a.reset > maxReset || !finite(a.limit) || !finite(a.remaining) {
		t.Fatalf("got %+v", a)
	}
	if d, ok := (&told{status: 429}).wait(h, now); ok && (d < time.Second || d > time.Hour) {
		t.Fatalf("wait %v", d)
	}
	c := DefaultConfig()
	g := newGate(c, func() string { return "" }, discard())
	g.learn(now, now, a, true)
	if l := float64(g.limiter.Limit()); l > c.RateLimit || l < c.RateLimit*minFactor || g.limiter.Burst() < 1 || g.limiter.Burst() > c.Burst {
		t.Fatalf("%+v: %v a second, burst %d", a, l, g.limiter.Burst())
	}
	if d := g.pausedFor(now); d > time.Hour {
		t.Fatalf("%+v: paused for %v", a, d)
	}
	if limit, remaining := g.budget(a); !finite(limit) || !finite(remaining) {
		t.Fatalf("%+v: budget %v of %v", a, remaining, limit)
	}
}

func finite(f float64) bool { return f >= 0 && !math.IsInf(f, 0) }
