package api

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector/collectortest"
)

var scripted = flag.Int("scripted", 10_000, "seconds of TestBudgetOverHTTP")

// moody is a service with storms of refusals, that asks to wait in every way there is, and says odd things about its limit.
type moody struct {
	began time.Time
	rate  bucket
	calls sync.Map // requests by their call's number

	mu                sync.Mutex
	rng               *rand.Rand
	from, until       time.Time // of the pause that was asked for
	early             int       // requests in it
	refused, failures int
	huge              bool // was asked for
}

// asked is a Retry-After, and the least pause that it must cause.
type asked struct {
	text string
	wait time.Duration
}

func (s *moody) retryAfter(now time.Time) asked {
	all := []asked{
		{"1", time.Second}, {"7.5", 7500 * time.Millisecond}, {now.Add(20 * time.Second).UTC().Format(http.TimeFormat), 19 * time.Second},
		{"30", 30 * time.Second}, {now.Add(-time.Hour).UTC().Format(http.TimeFormat), time.Second}, {"0", time.Second}, {"-1", time.Minute},
	}
	if now.Sub(s.began) > 6000*time.Second && !s.huge {
		s.huge = true
		return asked{"99999999999999999999", time.Hour}
	}
	return all[s.refused%len(all)]
}

func (s *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	s.rate.take(now)
	n, _ := s.calls.LoadOrStore(r.URL.Query().Get("call"), new(atomic.Int32))
	n.(*atomic.Int32).Add(1)
	s.mu.Lock()
	if now.After(s.from) && now.Before(s.until) {
		s.early++
	}
	took := time.Duration(10+s.rng.IntN(300)) * time.Millisecond
	s.mu.Unlock()
	time.Sleep(took)
	s.mu.Lock()
	defer s.mu.Unlock()
	now = time.Now()
	second := int(now.Sub(s.began).Seconds())
	if r.Context().Err() != nil { // who asked has gone: it hears of no pause
		return
	}
	switch pick := s.rng.IntN(10); {
	case second%500 < 80 && pick < 5:
		a := s.retryAfter(now)
		s.refused++
		if until := now.Add(a.wait); until.After(s.until) {
			s.from, s.until = now, until
		}
		w.Header().Set("Retry-After", a.text)
		w.WriteHeader(http.StatusTooManyRequests)
	case second%500 > 400 && pick < 3:
		s.failures++
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		s.limits(w.Header(), now, second)
		jsonAnswer(`{}`)(w, r)
	}
}

// limits says of the limit what may be true, from time to time nothing, and from time to time what cannot be.
func (s *moody) limits(h http.Header, now time.Time, second int) {
	h.Set("Retry-After", "3600") // on a success it means nothing
	odd := []string{"NaN", "-1", "0", "99999999999999999999", "1", "4070908800", "1e9", "soon"}
	switch phase := second / 100 % 5; phase {
	case 0:
	case 1:
		h.Set("X-RateLimit-Limit", "500")
		h.Set("X-RateLimit-Remaining", strconv.Itoa(max(1, 300-second%100*3)))
		h.Set("X-RateLimit-Reset", strconv.FormatInt(now.Unix()+int64(100-second%100), 10))
	case 2:
		h.Set("RateLimit", fmt.Sprintf("limit=100, remaining=%d, reset=%d", 100-second%100, 100-second%100))
	case 3:
		h.Set("RateLimit", `"a";r=100000;t=10`)
	default:
		if second/500%20 == 8 { // what stops us for an hour is believed once
			for _, name := range [...]string{"Limit", "Remaining", "Reset", "Window"} {
				h.Set("X-RateLimit-"+name, odd[s.rng.IntN(len(odd))])
			}
		}
	}
}

// TestBudgetOverHTTP lets hours pass over real HTTP: the rate is never exceeded, whatever the service says of its limit; nothing
// is asked during a pause; and no more than a tenth of the requests are retries.
func TestBudgetOverHTTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &moody{began: time.Now(), rng: rand.New(rand.NewPCG(3, 4))}
		s.rate.set(5, 8)
		network := collectortest.Serve(t, s)
		var rec recorder
		c := mustClient(t, Config{RateLimit: 5, Burst: 8, Dial: network.Dial}, &rec)
		var calls atomic.Int64
		var workers sync.WaitGroup
		for range 12 {
			workers.Go(func() {
				for time.Since(s.began) < time.Duration(*scripted)*time.Second {
					ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
					u := mustURL(t, network.Base()+"/v1?call="+strconv.FormatInt(calls.Add(1), 10))
					if ask(ctx, c, u) != nil {
						time.Sleep(time.Second)
					}
					cancel()
				}
			})
		}
		workers.Wait()
		distinct := 0
		s.calls.Range(func(_, _ any) bool { distinct++; return true })
		retries := s.rate.sent - distinct
		t.Logf("%d requests of %d calls, %d retries, %d refused, %d failed; huge pause %t", s.rate.sent, distinct, retries, s.refused, s.failures, s.huge)
		if s.rate.over > 0 || s.early > 0 {
			t.Errorf("%d requests over the rate, %d in a pause", s.rate.over, s.early)
		}
		if retries > s.rate.sent/10 || retries == 0 || s.refused == 0 || s.failures == 0 || s.rate.sent < *scripted/5 {
			t.Errorf("%d requests, %d retries, %d refused, %d failed", s.rate.sent, retries, s.refused, s.failures)
		}
	})
}
