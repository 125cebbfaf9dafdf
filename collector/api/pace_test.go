package api

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// window is a service that takes so many requests in a window, says so with every answer, and refuses what is more.
type window struct {
	mu      sync.Mutex
	limit   int
	length  time.Duration
	index   int64
	used    int
	refused int
	served  int
	foreign func() int // requests of others since the last one
	delta   bool
}

func (s *window) answer(*http.Request) *http.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if i := now.UnixNano() / int64(s.length); i != s.index {
		s.index, s.used = i, 0
	}
	if s.foreign != nil {
		s.used = min(s.used+s.foreign(), s.limit)
	}
	ends := time.Unix(0, (s.index+1)*int64(s.length))
	reset := strconv.FormatInt(ends.Unix(), 10)
	if s.delta {
		reset = strconv.Itoa(int(ends.Sub(now).Seconds()))
	}
	status := 200
	if s.used >= s.limit {
		s.refused++
		status = http.StatusTooManyRequests
	} else {
		s.used++
		s.served++
	}
	return answer(status, `{}`, "X-RateLimit-Limit", strconv.Itoa(s.limit), "X-RateLimit-Remaining", strconv.Itoa(s.limit-s.used),
		"X-RateLimit-Reset", reset, "X-RateLimit-Window", strconv.Itoa(int(s.length.Seconds())), "Retry-After", "60")
}

// storm asks with many workers for so long, who rest after a failure.
func storm(c *Client, workers int, d, rest time.Duration) {
	began := time.Now()
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for time.Since(began) < d {
				ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
				if get(ctx, c) != nil {
					time.Sleep(rest)
				}
				cancel()
			}
		})
	}
	all.Wait()
}

// A service whose limit is far below our rate is asked as much as it takes, and does not have to refuse.
func TestSlowsDownBeforeTheWall(t *testing.T) {
	for name, s := range map[string]*window{
		"500 an hour":  {limit: 500, length: time.Hour},
		"100 an hour":  {limit: 100, length: time.Hour},
		"100 a minute": {limit: 100, length: time.Minute, delta: true},
		"30 in 10 s":   {limit: 30, length: 10 * time.Second, delta: true},
		"shared":       {limit: 1000, length: 10 * time.Minute, foreign: func() int { return 1 }},
		"2000 in 6 h":  {limit: 2000, length: 6 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := virtual(Config{RateLimit: 5, Burst: 10}, nil, nil, s.answer)
			const windows = 4
			storm(c, 8, windows*s.length, min(s.length/1000, 10*time.Second))
			share := float64(s.served) / float64(windows*s.limit)
			if s.foreign != nil {
				share *= 2
			}
			t.Logf("%s: %d served (%.0f %% of the limit), %d refused", name, s.served, share*100, s.refused)
			if s.refused > 0 || share < 0.7 {
				t.Errorf("%s: %.0f %% of the limit used, %d refused", name, share*100, s.refused)
			}
		})
	}
}

// allow is a service that says of its limit what it is told to.
func allow(remaining, reset string) *http.Response {
	return answer(200, `{}`, "X-RateLimit-Limit", "100", "X-RateLimit-Remaining", remaining, "X-RateLimit-Reset", reset)
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		remaining, reset := "50", "100"
		c := virtual(Config{RateLimit: 10}, &rec, nil, func(*http.Request) *http.Response { return allow(remaining, reset) })
		step := func(what string, rate float64, burst int) {
			t.Helper()
			if err := get(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if l := float64(c.gate.limiter.Limit()); l < rate*0.999 || l > rate*1.001 || c.gate.limiter.Burst() != burst {
				t.Errorf("%s: %v a second, burst %d", what, l, c.gate.limiter.Burst())
			}
		}
		step("half in 100 s", 0.45, 1)
		if rec.limit != 100 || rec.left != 50 {
			t.Errorf("budget %v of %v", rec.left, rec.limit)
		}
		remaining, reset = "90000", "10"
		step("never faster", 10, 20)
		if rec.limit != 20 || rec.left > 20 {
			t.Errorf("budget %v of %v", rec.left, rec.limit)
		}
		remaining, reset = "5", "0.5"
		step("few, soon again", 9, 4)
		remaining, reset = "1", "3600"
		step("never slower", 0.1, 1)
		time.Sleep(time.Hour)
		remaining, reset = "", ""
		step("a new window", 10, 20)
		remaining, reset = "50", "100"
		step("again", 0.45, 1)
		remaining, reset = "1", "-5"
		step("nothing new", 0.45, 1)
	})
}

// The waiting end with the window, not with what was reserved at its pace.
func TestWindowEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remaining := "1"
		var first, last time.Time
		c := virtual(Config{RateLimit: 1, Burst: 1}, nil, nil, func(*http.Request) *http.Response {
			first, last = last, time.Now()
			return allow(remaining, "30")
		})
		began := time.Now()
		_ = get(t.Context(), c) // 33 s apart from now on
		remaining = "90000"
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { _ = get(t.Context(), c) })
		}
		all.Wait()
		if took := last.Sub(began); took < 39*time.Second || took > 41*time.Second || last.Sub(first) > 1001*time.Millisecond {
			t.Errorf("took %v, the last one %v", took, last.Sub(first))
		}
	})
}

// Nothing is asked while nothing remains, for an hour at most; and who answers then and says so again is not believed.
func TestNothingRemains(t *testing.T) {
	for name, c := range map[string]struct {
		reset string
		pause time.Duration
	}{
		"soon": {"90", 91 * time.Second}, "2099": {"4070908800", time.Hour}, "huge": {"99999999999999999999", time.Hour}, "days": {"90000", time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			remaining := "0"
			var rec recorder
			var at []time.Duration
			began := time.Now()
			client := virtual(Config{}, &rec, nil, func(*http.Request) *http.Response {
				at = append(at, time.Since(began))
				return allow(remaining, c.reset)
			})
			for range 20 {
				if err := get(t.Context(), client); err != nil {
					t.Fatal(err)
				}
			}
			if len(at) != 20 || at[1] != c.pause || at[19] > c.pause+time.Second {
				t.Errorf("%s: requests at %v", name, at)
			}
			if rec.limit != 20 || rec.left == 0 {
				t.Errorf("%s: budget %v of %v", name, rec.left, rec.limit)
			}
			time.Sleep(paceUnheeded + time.Second)
			at, began = nil, time.Now()
			_ = get(t.Context(), client)
			if rec.limit != 100 || rec.left != 0 {
				t.Errorf("%s: while paused budget %v of %v", name, rec.left, rec.limit)
			}
			remaining = "99"
			_ = get(t.Context(), client)
			remaining = "0"
			_ = get(t.Context(), client)
			_ = get(t.Context(), client)
			if len(at) != 4 || at[1] != c.pause || at[3] < 2*c.pause {
				t.Errorf("%s: after an hour requests at %v", name, at)
			}
		})
	}
}

// A service that always says that nothing remains is still asked: at a hundredth of our own rate at least, or half of the time.
func TestLyingHeadersDoNotStopTheSource(t *testing.T) {
	for _, headers := range [][2]string{{"0", "3600"}, {"0", "4070908800"}, {"1", "4070908800"}, {"0.5", "10"}, {"1", "99999999999"}} {
		synctest.Test(t, func(t *testing.T) {
			served := 0
			var mu sync.Mutex
			c := virtual(Config{RateLimit: 1}, nil, nil, func(*http.Request) *http.Response {
				mu.Lock()
				defer mu.Unlock()
				served++
				return allow(headers[0], headers[1])
			})
			storm(c, 2, 4*time.Hour, 10*time.Second)
			if least := 4 * 3600 / 110; served < least {
				t.Errorf("%q: %d requests in four hours, want %d", headers, served, least)
			}
		})
	}
}

// Answers that are not served, and those of before the pause, do not show that a service lies.
func TestOldAnswersAreNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(DefaultConfig(), func() string { return "" }, discard())
		began := time.Now()
		empty := allowance{counts: true, reset: time.Minute, renews: true}
		g.learn(began, began, empty, true)
		time.Sleep(10 * time.Second)
		g.learn(began, time.Now(), empty, true) // was under way
		if d := g.pausedFor(time.Now()); d != time.Minute+paceMargin {
			t.Errorf("paused for %v", d)
		}
		time.Sleep(62 * time.Second)
		g.learn(time.Now(), time.Now(), empty, false)
		if d := g.pausedFor(time.Now()); d != time.Minute+paceMargin {
			t.Errorf("paused for %v", d)
		}
		time.Sleep(62 * time.Second)
		g.learn(time.Now(), time.Now(), empty, true)
		if d := g.pausedFor(time.Now()); d > 0 {
			t.Errorf("paused for %v", d)
		}
	})
}

// On an answer 429 what the service asks for counts, not its other headers.
func TestRefusalsAreNotLearnedFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		var rec recorder
		began := time.Now()
		c := virtual(Config{}, &rec, nil, func(*http.Request) *http.Response {
			if sent++; sent == 1 {
				return answer(429, `{}`, "Retry-After", "2", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "3600")
			}
			return answer(200, `{}`)
		})
		post := Request{Method: http.MethodPost, URL: mustURL(t, "https://service.example")} // asked once
		if err := c.JSON(t.Context(), post, nil); ClassOf(err) != classRateLimited || rec.left != 0 {
			t.Errorf("budget %v of %v, %v", rec.left, rec.limit, err)
		}
		if err := get(t.Context(), c); err != nil || time.Since(began) > 3*time.Second || rec.left < 1 {
			t.Errorf("after %v: budget %v of %v, %v", time.Since(began), rec.left, rec.limit, err)
		}
	})
}

// Retry-After on a success is for others: it slows nothing down.
func TestRetryAfterOnSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c := virtual(Config{}, nil, nil, func(*http.Request) *http.Response {
			return answer(200, `{}`, "Retry-After", "60", "X-RateLimit-Limit", "500", "X-RateLimit-Remaining", "499", "X-RateLimit-Reset", "1")
		})
		for range 20 {
			_ = get(t.Context(), c)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("took %v", took)
		}
	})
}

// TestTheRateToPlanWith falls with refusals and comes back.
func TestTheRateToPlanWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		c := virtual(Config{RateLimit: 10, Burst: 10}, nil, nil, func(*http.Request) *http.Response {
			if refuse {
				return answer(http.StatusTooManyRequests, `{}`, "Retry-After", "1")
			}
			return answer(200, `{}`)
		})
		full := c.Rate()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = get(ctx, c)
		if c.Rate() > full*0.51 { // it grows back from then on
			t.Errorf("after a refusal the rate is %v of %v", c.Rate(), full)
		}
		refuse = false
		time.Sleep(25 * time.Minute)
		if c.Rate() != full {
			t.Errorf("25 minutes later the rate is %v of %v", c.Rate(), full)
		}
	})
}
