package scale

import (
	"context"
	"flag"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/ledger"
	"github.com/trainbridge/trainbridge/collector/runai"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

var jobs = flag.Int("scale.jobs", 400, "how many jobs run; 10,000 is what is promised")

const secret = "a-secret-of-the-simulator"

// watched is a source whose polls are noted.
type watched struct {
	*runai.Source
	mu    sync.Mutex
	asked map[string][]time.Time
}

func (w *watched) Follow(ctx context.Context, j *collector.Job) (collector.Update, error) {
	u, err := w.Source.Follow(ctx, j)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[j.Key.ID] = append(w.asked[j.Key.ID], time.Now())
	return u, err
}

// longest is the longest time after from in which one of the jobs was not asked.
func (w *watched) longest(from time.Time, ids []string) (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		last := from
		for _, at := range append(slices.Clone(w.asked[id]), time.Now()) {
			if at.After(last) {
				longest, last = max(longest, at.Sub(last)), at
			}
		}
	}
	return longest
}

// world is a simulated service and the part of the bridge that watches it.
type world struct {
	service *runaitest.Server
	source  *watched
	store   *collector.Store
	health  *collector.Health
	ids     []string
}

// newWorld starts everything in a bubble of virtual time. It is stopped by what it returns.
func newWorld(t *testing.T, n int, rate float64) (w *world, stop func()) {
	t.Helper()
	service := runaitest.New(runaitest.Options{ClientID: "bridge", ClientSecret: secret, Rate: rate, Burst: 20, Keep: -1})
	w = &world{service: service, ids: service.AddWorkloads(runaitest.Many{Workloads: n})}
	network := collectortest.Serve(t, service)
	w.health = collector.NewHealth(time.Now())
	c := runai.Config{BaseURL: network.Base()}
	c.Token.ClientID, c.Token.ClientSecret = "bridge", secret
	c.HTTP.RateLimit, c.HTTP.Burst, c.HTTP.Dial = rate, 18, network.Dial // a token is asked for beside the others
	off := false
	c.Metrics = &off // one request for each poll makes a share that can be told
	log := slog.New(slog.DiscardHandler)
	source, err := runai.New(c, collector.Env{Name: "runai", Log: log, Health: w.health})
	if err != nil {
		t.Fatal(err)
	}
	w.source = &watched{Source: source, asked: map[string][]time.Time{}}
	w.store = collector.NewStore(collector.Limits{})
	recorder := collector.NewRecorder(ledger.Memory(ledger.Options{}), w.store, collector.RecorderOptions{})
	if err := recorder.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	scheduler := collector.NewScheduler("runai", w.source, recorder, w.store, w.health, log)
	recording, polling := run(t, recorder.Run), run(t, scheduler.Run)
	return w, func() {
		polling()
		recording()
		source.Close()
	}
}

func run(t *testing.T, do func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := do(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

// TestManyJobsWithinASmallBudget: with 10,000 jobs the service allows 300 requests a minute. No request is refused, every job is
// asked within 1.25 times its share of the time, and an end is seen and explained within a minute.
func TestManyJobsWithinASmallBudget(t *testing.T) {
	n := *jobs
	rate := max(float64(n)/2000, 1)
	listing := float64(n/500+2) / 30 // a page more to see the end, and one of those that were deleted
	fair := time.Duration(float64(n) / (rate - listing) * float64(time.Second))
	synctest.Test(t, func(t *testing.T) {
		w, stop := newWorld(t, n, rate)
		time.Sleep(6 * fair) // the first two polls of a job read its history too, and cost twice as much
		from := time.Now()
		seen, explained := w.failures(t, 20)
		time.Sleep(time.Until(from.Add(2 * fair)))
		longest := w.source.longest(from, w.ids[60:]) // the first ones fail
		view := w.health.View()
		stop()
		t.Logf("requests %v", view.Requests)
		t.Logf("share %v, longest wait %v; an end is seen after %v and explained after %v (p95 of %d)", fair, longest, p95(seen), p95(explained), len(seen))
		if longest > fair*5/4 {
			t.Errorf("a job was not asked for %v, its share is %v", longest, fair)
		}
		if v := w.service.Violations(); len(v) > 0 {
			t.Errorf("the service complains: %v", v)
		}
		if p95(seen) > time.Minute || p95(explained) > time.Minute {
			t.Errorf("ends seen after %v, explained after %v", seen, explained)
		}
		want := float64(*jobs) / 15 / rate
		if view.DemandRatio == nil || *view.DemandRatio < 0.95*want || *view.DemandRatio > 1.05*(want+listing/rate)+0.1*want {
			t.Errorf("demand ratio %v, want %v", *view.DemandRatio, want)
		}
	})
}

// failures lets n jobs fail, one after the other, and returns how long it took until the bridge showed it and knew how.
func (w *world) failures(t *testing.T, n int) (seen, explained []time.Duration) {
	t.Helper()
	for i := range n {
		id := w.ids[3*i]
		w.service.SetPhase(id, "Failed", "exit code 137")
		failed, shown := time.Now(), false
		for {
			j := w.store.Job(collector.Key{Source: "runai", ID: id})
			if !shown && j != nil && j.Phase == collector.Failed {
				seen, shown = append(seen, time.Since(failed)), true
			}
			if shown && !j.Trace.Open {
				explained = append(explained, time.Since(failed))
				break
			}
			if time.Since(failed) > 10*time.Minute {
				t.Fatalf("the end of job %s is not seen: %+v", id, j)
			}
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(67 * time.Second)
	}
	return seen, explained
}

func p95(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)*95/100]
}
