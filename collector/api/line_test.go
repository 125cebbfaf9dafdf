package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowd lets n requests wait, one after the other, and says when each came through; below zero when each was given up.
func crowd(ctx context.Context, c *Client, n int, each time.Duration) (at []time.Duration, done *sync.WaitGroup) {
	began := time.Now()
	at, done = make([]time.Duration, n), new(sync.WaitGroup)
	for i := range n {
		done.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, each)
			defer cancel()
			if get(ctx, c) != nil {
				at[i] = -1 - time.Since(began)
				return
			}
			at[i] = time.Since(began)
		})
		synctest.Wait()
	}
	return at, done
}

// Whoever comes first is served first: a listing behind hundreds of polls waits for those, and for none that came later.
func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const polls = 400
		c := virtual(Config{RateLimit: 10, Burst: 1}, nil, nil, succeed)
		began := time.Now()
		before, first := crowd(t.Context(), c, polls, time.Hour)
		var listed time.Duration
		var listing sync.WaitGroup
		listing.Go(func() {
			if err := get(t.Context(), c); err != nil {
				t.Error(err)
			}
			listed = time.Since(began)
		})
		synctest.Wait()
		after, last := crowd(t.Context(), c, polls, time.Hour)
		first.Wait()
		listing.Wait()
		last.Wait()
		if listed < 39*time.Second || listed > 41*time.Second {
			t.Errorf("the listing came through after %v", listed)
		}
		for i := 1; i < polls; i++ {
			if before[i] < before[i-1] || after[i] < after[i-1] {
				t.Fatalf("poll %d came through before the one before it", i)
			}
		}
		if before[polls-1] > listed || after[0] < listed {
			t.Errorf("polls until %v, the listing at %v, polls from %v", before[polls-1], listed, after[0])
		}
	})
}

// Polls that run out of time make room: a listing that has more of it comes through, however many come after it.
func TestListingAmongPollsWithDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := virtual(Config{RateLimit: 0.1, Burst: 1}, nil, nil, succeed)
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		_, polls := crowd(ctx, c, 300, 45*time.Second)
		polls.Go(func() {
			for ctx.Err() == nil {
				short, cancel := context.WithTimeout(ctx, 45*time.Second)
				_ = get(short, c)
				cancel()
				sleep(ctx, 100*time.Millisecond)
			}
		})
		short, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		defer stop()
		if err := get(short, c); err != nil || time.Since(began) > 90*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		cancel()
		polls.Wait()
	})
}

// Who gives up waiting returns at once, and costs those behind it nothing.
func TestGivingUpGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := virtual(Config{RateLimit: 0.1, Burst: 1}, nil, nil, succeed)
		if err := get(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		for range 40 { // more than may be under way
			waiting.Go(func() {
				err := get(ctx, c)
				if !errors.Is(err, context.Canceled) || time.Since(began) != 3*time.Second {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
		}
		time.Sleep(3 * time.Second)
		cancel()
		waiting.Wait()
		if err := get(t.Context(), c); err != nil || time.Since(began).Round(time.Millisecond) != 10*time.Second {
			t.Errorf("the next came through after %v: %v", time.Since(began), err)
		}
		if n := c.gate.line.length.Load(); n != 0 || len(c.gate.slots) != 0 {
			t.Errorf("%d still in line, %d under way", n, len(c.gate.slots))
		}
	})
}

// What cannot come through in time does not begin to wait, and takes no place.
func TestNoPlaceInLineWithoutHope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := virtual(Config{RateLimit: 0.1, Burst: 1}, nil, nil, succeed)
		began := time.Now()
		at, done := crowd(t.Context(), c, 10, 45*time.Second)
		if time.Since(began) > 0 {
			t.Errorf("took %v", time.Since(began))
		}
		done.Wait()
		for i, d := range at {
			if want := time.Duration(i) * 10 * time.Second; i < 5 && d != want || i >= 5 && d != -1 {
				t.Errorf("request %d came through at %v", i, d)
			}
		}
	})
}

func succeed(*http.Request) *http.Response { return answer(200, `{}`) }
