package api

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/config"
)

// In 10,000 seconds with storms of refusals the rate is never exceeded, nothing starts during a pause, and retries stay a
// tenth of all requests.
func TestRateAndPausesHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond, burst = 5, 8
		rng := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		var pausedFrom, pausedUntil, last time.Time
		tokens := float64(burst)
		sent, calls, violations := 0, 0, 0
		began := time.Now()
		c := virtual(Config{RateLimit: perSecond, Burst: burst}, nil, nil, func(r *http.Request) *http.Response {
			mu.Lock()
			now := time.Now()
			sent++
			tokens = min(burst, tokens+perSecond*now.Sub(last).Seconds()) - 1
			last = now
			if tokens < -1e-6 {
				violations++
			}
			if now.After(pausedFrom) && now.Before(pausedUntil) {
				violations++
			}
			storm := int(now.Sub(began).Seconds())%500 < 20
			pick := rng.IntN(10)
			mu.Unlock()
			time.Sleep(time.Duration(10+pick*20) * time.Millisecond)
			if !storm || pick > 5 {
				return answer(200, `{}`, "Retry-After", "3600") // on a success it means nothing
			}
			mu.Lock()
			defer mu.Unlock()
			now = time.Now()
			text := [...]string{"1", "7.5", now.Add(20 * time.Second).UTC().Format(http.TimeFormat), "30", "-1", "garbage"}[pick]
			if wait, ok := retryAfter(http.Header{"Retry-After": {text}}, now); ok && now.Add(wait).After(pausedUntil) {
				pausedFrom, pausedUntil = now, now.Add(wait)
			}
			return answer(http.StatusTooManyRequests, `{}`, "Retry-After", text)
		})
		var workers sync.WaitGroup
		for range 20 {
			workers.Go(func() {
				for time.Since(began) < 10_000*time.Second {
					ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
					mu.Lock()
					calls++
					mu.Unlock()
					if get(ctx, c) != nil {
						time.Sleep(time.Second)
					}
					cancel()
				}
			})
		}
		workers.Wait()
		t.Logf("%d calls, %d requests", calls, sent)
		if violations > 0 || sent < 10_000 {
			t.Errorf("%d violations in %d requests", violations, sent)
		}
	})
}

func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := virtual(Config{}, nil, nil, func(*http.Request) *http.Response {
			sent++
			if sent%3 == 0 { // too seldom for the breaker
				return answer(http.StatusServiceUnavailable, `{}`)
			}
			return answer(200, `{}`)
		})
		const calls = 3000
		for range calls {
			_ = get(t.Context(), c)
		}
		if retries := sent - calls; retries < calls/20 || retries > calls/10+20 {
			t.Errorf("%d retries in %d calls", retries, calls)
		}
	})
}

func TestThrottledWithoutRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		var rec recorder
		began := time.Now()
		c := virtual(Config{}, &rec, nil, func(*http.Request) *http.Response {
			at = append(at, time.Since(began))
			return answer(http.StatusTooManyRequests, `{"detail":"slow down"}`)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		err := get(ctx, c)
		if ClassOf(err) != classRateLimited || len(at) != 1 || time.Since(began) > time.Second {
			t.Errorf("returned after %v with %v, %d requests", time.Since(began), err, len(at))
		}
		if rec.left != 0 || rec.limit != 20 {
			t.Errorf("while paused budget %v of %v", rec.left, rec.limit)
		}
		_ = get(t.Context(), c) // no deadline: it waits for the pauses
		if len(at) != 4 || at[1] < time.Minute || at[2] < 3*time.Minute || at[3] < 7*time.Minute {
			t.Errorf("requests at %v", at)
		}
	})
}

func TestRateGrowsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		c := virtual(Config{RateLimit: 100}, nil, nil, func(*http.Request) *http.Response {
			if refuse {
				return answer(http.StatusTooManyRequests, `{}`, "Retry-After", "1")
			}
			return answer(200, `{}`)
		})
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_ = get(short, c)
		if l := c.gate.limiter.Limit(); l != 50 {
			t.Errorf("rate is %v after a refusal", l)
		}
		refuse = false
		time.Sleep(2 * time.Minute)
		_ = get(t.Context(), c)
		if l := c.gate.limiter.Limit(); l < 59 || l > 61 {
			t.Errorf("rate is %v after two minutes", l)
		}
		time.Sleep(20 * time.Minute)
		_ = get(t.Context(), c)
		if l := c.gate.limiter.Limit(); l != 100 {
			t.Errorf("rate is %v after a long time", l)
		}
	})
}

func TestCredentialRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent, good := 0, false
		var log bytes.Buffer
		key := config.NewInlineSecret("one")
		c := virtual(Config{}, nil, &log, func(*http.Request) *http.Response {
			if sent++; good {
				return answer(200, `{}`)
			}
			return answer(http.StatusUnauthorized, `{"detail":"bad key"}`)
		})
		c.transport.secrets = []config.SecretReader{key}
		expect := func(step string, requests int, class string) {
			t.Helper()
			before := sent
			err := get(t.Context(), c)
			if sent-before != requests || ClassOf(err) != class {
				t.Errorf("%s: %d requests, %v", step, sent-before, err)
			}
			if err != nil && !strings.Contains(err.Error(), "check the key") {
				t.Errorf("%s: %v does not say what to check", step, err)
			}
		}
		expect("refused twice", 2, classAuth)
		expect("resting", 0, classAuth)
		time.Sleep(59 * time.Second)
		expect("still resting", 0, classAuth)
		time.Sleep(2 * time.Second)
		expect("refused again", 2, classAuth)
		time.Sleep(61 * time.Second)
		expect("rests longer", 0, classAuth)
		c.transport.secrets[0] = config.NewInlineSecret("two")
		good = true
		expect("a new key ends the rest", 1, "")
		good = false
		expect("refused afresh", 2, classAuth)
		time.Sleep(61 * time.Second)
		good = true
		expect("works again", 1, "")
		if n := strings.Count(log.String(), "level=ERROR"); n != 3 || strings.Contains(log.String(), "one") {
			t.Errorf("%d lines in the log: %s", n, log.String())
		}
	})
}

func TestUnauthorizedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		began := time.Now()
		c := virtual(Config{}, nil, nil, func(*http.Request) *http.Response {
			if sent++; sent == 1 {
				return answer(http.StatusUnauthorized, ``)
			}
			return answer(200, `{}`)
		})
		if err := get(t.Context(), c); err != nil || sent != 2 || time.Since(began) > 0 {
			t.Errorf("%d requests in %v, %v", sent, time.Since(began), err)
		}
	})
}

func TestForbiddenIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := virtual(Config{}, nil, nil, func(*http.Request) *http.Response {
			sent++
			return answer(http.StatusForbidden, `{"error":{"message":"no access"}}`)
		})
		if err := get(t.Context(), c); !IsAuth(err) || sent != 1 || !strings.Contains(err.Error(), "no access") {
			t.Errorf("%d requests, %v", sent, err)
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent, down := 0, true
		var log bytes.Buffer
		c := virtual(Config{RateLimit: 1000, Burst: 1000}, nil, &log, func(*http.Request) *http.Response {
			sent++
			time.Sleep(10 * time.Millisecond)
			if down {
				return nil
			}
			return answer(200, `{}`)
		})
		fail := func(n int) {
			for range n {
				r := Request{Method: http.MethodPost, URL: mustURL(t, "https://service.example")} // never tried again
				if err := c.JSON(t.Context(), r, nil); ClassOf(err) != classConnect || strings.Contains(err.Error(), canary) {
					t.Errorf("got %q %v", ClassOf(err), err)
				}
			}
		}
		fail(100)
		if sent != breakerRequests {
			t.Errorf("%d requests before it opened", sent)
		}
		time.Sleep(breakerShut + breakerShut/2)
		sent = 0
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() { fail(1) })
		}
		callers.Wait()
		if sent != 1 {
			t.Errorf("%d requests tried whether it is back", sent)
		}
		down, sent = false, 0
		fail(10) // it is back, but rests
		time.Sleep(3 * breakerShut)
		for range 10 {
			if err := get(t.Context(), c); err != nil {
				t.Error(err)
			}
		}
		if sent != 10 || strings.Count(log.String(), "requests rest") != 2 || strings.Count(log.String(), "answers again") != 1 {
			t.Errorf("%d requests, log %s", sent, log.String())
		}
	})
}

// A probe whose caller gives up must not keep the breaker shut for ever.
func TestBreakerProbeGivenUp(t *testing.T) {
	var b breaker
	now := time.Unix(1000, 0)
	for range breakerRequests {
		b.done(now, false, failed, classConnect)
	}
	if ok, _, wait, class := b.allow(now); ok || wait <= 0 || class != classConnect {
		t.Fatal("not open")
	}
	now = now.Add(time.Minute)
	for range 3 {
		ok, probe, _, _ := b.allow(now)
		if second, _, _, _ := b.allow(now); !ok || !probe || second {
			t.Fatal("not one probe at a time")
		}
		b.done(now, true, unknown, "")
	}
	b.allow(now)
	b.done(now, false, failed, classConnect) // of before, no news
	b.done(now, true, worked, "")
	if ok, probe, _, _ := b.allow(now); !ok || probe {
		t.Error("not closed")
	}
}

func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		under, most := 0, 0
		c := virtual(Config{MaxInFlight: 3, RateLimit: 1000, Burst: 1000}, nil, nil, func(*http.Request) *http.Response {
			mu.Lock()
			under++
			most = max(most, under)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			under--
			mu.Unlock()
			return answer(200, `{}`)
		})
		var callers sync.WaitGroup
		for range 30 {
			callers.Go(func() { _ = get(t.Context(), c) })
		}
		callers.Wait()
		if most != 3 {
			t.Errorf("%d under way at once", most)
		}
	})
}

// A wait that would pass the deadline is not begun.
func TestNoWaitBeyondTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := virtual(Config{RateLimit: 0.1, Burst: 1}, nil, nil, func(*http.Request) *http.Response {
			return answer(http.StatusServiceUnavailable, `{}`, "Retry-After", "90")
		})
		began := time.Now()
		for i, detail := range []string{"503 Service Unavailable", "the service asked to wait"} {
			ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
			if err := get(ctx, c); err == nil || !strings.Contains(err.Error(), detail) || time.Since(began) > 0 {
				t.Errorf("%d: after %v: %v", i, time.Since(began), err)
			}
			cancel()
		}
		time.Sleep(91 * time.Second)
		_ = c.gate.limiter.Allow()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := get(ctx, c); err == nil || !strings.Contains(err.Error(), "our own rate_limit") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRetries(t *testing.T) {
	for _, status := range []int{0, 408, 409, 425, 500, 502, 503, 504, 524} {
		synctest.Test(t, func(t *testing.T) {
			sent, decoded := 0, 0
			c := virtual(Config{}, nil, nil, func(*http.Request) *http.Response {
				if sent++; sent < 3 && status == 0 {
					return nil
				} else if sent < 3 {
					return answer(status, `<html>`, "Content-Type", "text/html")
				}
				return answer(200, `{}`)
			})
			err := c.JSON(t.Context(), Request{URL: mustURL(t, "https://service.example")}, func(*Decoder) error { decoded++; return nil })
			if err != nil || sent != 3 || decoded != 1 {
				t.Errorf("%d: %d requests, %d decoded, %v", status, sent, decoded, err)
			}
		})
	}
	for _, status := range []int{400, 402, 403, 404, 410, 418, 422, 301} {
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			c := virtual(Config{}, nil, nil, func(*http.Request) *http.Response { sent++; return answer(status, `{}`) })
			if err := get(t.Context(), c); err == nil || sent != 1 {
				t.Errorf("%d: %d requests, %v", status, sent, err)
			}
		})
	}
}

func TestPostIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		c := virtual(Config{}, nil, nil, func(*http.Request) *http.Response { sent++; return answer(503, `{}`) })
		r := Request{Method: http.MethodPost, URL: mustURL(t, "https://service.example"), Body: []byte(`{}`)}
		_ = c.JSON(t.Context(), r, nil)
		if sent != 1 {
			t.Errorf("%d requests", sent)
		}
		r.Idempotent = true
		_ = c.JSON(t.Context(), r, nil)
		if sent != 4 {
			t.Errorf("%d requests", sent)
		}
	})
}
