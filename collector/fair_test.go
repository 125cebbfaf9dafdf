package collector

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// service is a fake of one with many jobs and a listing in pages, whose requests are counted.
type service struct {
	mu       sync.Mutex
	phases   []Phase
	since    []Time
	asked    [][]time.Time
	requests []time.Time
	cadence  Cadence
	listCost int
	pollCost int
	slow     func(i int) time.Duration // of a poll
}

func newService(n int, c Cadence) *service {
	s := &service{phases: make([]Phase, n), since: make([]Time, n), asked: make([][]time.Time, n), cadence: c, listCost: n / 500, pollCost: 1}
	for i := range s.phases {
		s.phases[i], s.since[i] = Running, TimeOf(time.Now())
	}
	return s
}

func (s *service) Cadence() Cadence { return s.cadence }

func (s *service) spend(ctx context.Context, n int, each time.Duration) {
	for range n {
		Spend(ctx)
		s.mu.Lock()
		s.requests = append(s.requests, time.Now())
		s.mu.Unlock()
		time.Sleep(each)
	}
}

func (s *service) List(ctx context.Context) (Listing, error) {
	s.spend(ctx, s.listCost, 200*time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	var l Listing
	for i, p := range s.phases {
		l.Jobs = append(l.Jobs, Update{Key: Key{ID: fmt.Sprint(i)}, HasPhase: true, Phase: p, Status: p.String(), PhaseAt: s.since[i]})
	}
	return l, nil
}

func (s *service) Follow(ctx context.Context, j *Job) (Update, error) {
	i, err := strconv.Atoi(j.Key.ID)
	if err != nil {
		return Update{}, err
	}
	each := 100 * time.Millisecond
	if s.slow != nil {
		each = s.slow(i)
	}
	s.spend(ctx, s.pollCost, each)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[i] = append(s.asked[i], time.Now())
	return Update{HasPhase: true, Phase: s.phases[i], Status: s.phases[i].String(), PhaseAt: s.since[i]}, nil
}

func (s *service) fail(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phases[i], s.since[i] = Failed, TimeOf(time.Now())
}

// gaps are the longest times that jobs were not asked after from.
func (s *service) gaps(from time.Time) (longest []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, times := range s.asked {
		if s.phases[i] == Failed {
			continue
		}
		last, gap := from, time.Duration(0)
		for _, at := range append(slices.Clone(times), time.Now()) {
			if at.After(last) {
				gap, last = max(gap, at.Sub(last)), at
			}
		}
		longest = append(longest, gap)
	}
	return longest
}

// over is by how much the requests of any stretch of time exceed rate*t + burst.
func (s *service) over(rate, burst float64) float64 {
	worst, tokens, last := 0.0, burst, s.requests[0]
	for _, at := range s.requests {
		tokens = min(burst, tokens+rate*at.Sub(last).Seconds()) - 1
		last = at
		worst = max(worst, -tokens)
	}
	return worst
}

// run schedules the service's jobs and returns how to stop.
func (s *service) run(t *testing.T) (b *bridge, h *Health, stop func()) {
	t.Helper()
	b = start(t, newFakeLedger(), RecorderOptions{})
	h = NewHealth(time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := NewScheduler("s", s, b.Recorder, b.store, h, slog.New(slog.DiscardHandler)).Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return b, h, func() { cancel(); wg.Wait(); b.stop() }
}

// TestNoJobStarves holds 2,000 jobs against 60 requests a minute: the budget is kept, every job has its share of it, a failure
// that a listing shows is noticed and explained, and the demand says how far the jobs are from fitting.
func TestNoJobStarves(t *testing.T) {
	const jobs, rate = 2000, 1.0
	synctest.Test(t, func(t *testing.T) {
		s := newService(jobs, Cadence{Running: 15 * time.Second, List: 30 * time.Second, Rate: rate, Burst: 20})
		b, h, stop := s.run(t)
		time.Sleep(time.Hour) // every job was asked once
		from := time.Now()
		explained := s.failures(b, 40)
		time.Sleep(90*time.Minute - time.Since(from))
		// What listings leave, shared by all.
		fair := time.Duration(math.Round(jobs/(rate-4/30.0))) * time.Second
		if longest := slices.Max(s.gaps(from)); longest > fair*5/4 {
			t.Errorf("a job was not asked for %v, its share is %v", longest, fair)
		}
		stop()
		if over := s.over(rate, 20+4); over > 0 { // the listing is paid afterwards
			t.Errorf("%.1f requests too many", over)
		}
		if p95 := explained[len(explained)*95/100]; p95 > time.Minute {
			t.Errorf("ends explained after %v", explained)
		}
		want := (jobs/15.0 + 4/30.0) / rate
		if got := *h.View().DemandRatio; math.Abs(got/want-1) > 0.05 {
			t.Errorf("demand ratio %.1f, want %.1f", got, want)
		}
	})
}

// failures fails n jobs, one a minute, and returns how long it took until the end was explained.
func (s *service) failures(b *bridge, n int) (took []time.Duration) {
	for i := range n {
		s.fail(i * 7)
		failed := time.Now()
		for j := b.store.Job(Key{"s", fmt.Sprint(i * 7)}); !j.Phase.Ended() || j.Trace.Open; j = b.store.Job(j.Key) {
			time.Sleep(time.Second)
		}
		took = append(took, time.Since(failed))
		time.Sleep(time.Minute)
	}
	slices.Sort(took)
	return took
}

// TestAStartIsNoHerd starts with all jobs in the ledger: the first minute costs no more than any other.
func TestAStartIsNoHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(2000, Cadence{Running: 15 * time.Second, List: 30 * time.Second, Rate: 10})
		_, _, stop := s.run(t)
		time.Sleep(time.Minute)
		stop()
		if over := s.over(10, 10+4); over > 0 {
			t.Errorf("%.1f requests too many", over)
		}
	})
}

// TestASlowAnswerDelaysNobodyElse: jobs of which one in ten is answered in nine seconds are asked alike.
func TestASlowAnswerDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(500, Cadence{Running: 30 * time.Second, Workers: 64})
		s.slow = func(i int) time.Duration {
			if i%10 == 0 {
				return 9 * time.Second
			}
			return 50 * time.Millisecond
		}
		_, _, stop := s.run(t)
		time.Sleep(time.Minute)
		from := time.Now()
		time.Sleep(10 * time.Minute)
		for i, gap := range s.gaps(from) {
			if i%10 != 0 && gap > 32*time.Second {
				t.Fatalf("job %d was not asked for %v", i, gap)
			}
		}
		stop()
	})
}

// TestListingsLeaveHalfOfTheBudget: a listing that costs more than the budget of its interval is made less often.
func TestListingsLeaveHalfOfTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(20, Cadence{Running: 15 * time.Second, List: 30 * time.Second, Rate: 2, Burst: 2})
		s.listCost = 200
		_, _, stop := s.run(t)
		time.Sleep(time.Hour)
		stop()
		lists := len(s.requests)
		for _, times := range s.asked {
			lists -= len(times)
		}
		if share := float64(lists) / 2 / 3600; share > 0.5 || share < 0.3 {
			t.Errorf("listings take %.2f of the budget", share)
		}
	})
}
