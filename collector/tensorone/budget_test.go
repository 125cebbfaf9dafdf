package tensorone

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/ledger"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
)

// program is a source with the real scheduler, recorder and client.
type program struct {
	t      *testing.T
	server *tensoronetest.Server
	config Config
	ledger *ledger.Mem
	log    *logged
	store  *collector.Store
	health *collector.Health
	stop   func()
}

func newProgram(t *testing.T, o tensoronetest.Options, change func(*Config)) *program {
	t.Helper()
	o.Key = testKey
	p := &program{t: t, server: tensoronetest.New(o), ledger: ledger.Memory(ledger.Options{}), log: &logged{}}
	n := collectortest.Serve(t, p.server)
	p.config = Config{BaseURL: n.Base() + "/v2"}
	p.config.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", Credentials: testKey}
	p.config.HTTP.Dial = n.Dial
	change(&p.config)
	return p
}

func (p *program) start() {
	p.t.Helper()
	p.health = collector.NewHealth(time.Now())
	log := slog.New(slog.NewTextHandler(p.log, nil))
	s, err := New(p.config, collector.Env{Name: "test", Log: log, Health: p.health})
	if err != nil {
		p.t.Fatal(err)
	}
	p.store = collector.NewStore(collector.Limits{})
	p.store.SetHealth("test", p.health)
	r := collector.NewRecorder(p.ledger, p.store, collector.RecorderOptions{})
	if err := r.Load(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx) })
	wg.Go(func() { _ = collector.NewScheduler("test", s, r, p.store, p.health, log).Run(ctx) })
	p.stop = func() { cancel(); wg.Wait(); s.Close() }
}

// most is the most requests in any window of an hour.
func most(times []time.Time) int {
	n, from := 0, 0
	for i, at := range times {
		for at.Sub(times[from]) >= time.Hour {
			from++
		}
		n = max(n, i-from+1)
	}
	return n
}

func manyJobs(s *tensoronetest.Server, n int) (ids []string) {
	for i := range n {
		j := running()
		j.ID, j.Started = fmt.Sprintf("job-%02d", i), time.Now()
		ids = append(ids, s.AddJob(j))
	}
	return ids
}

// TestTheBudgetIsKept: no window of an hour has more requests than were allowed, however many jobs there are and however
// often requests fail, and every job is asked all the same.
func TestTheBudgetIsKept(t *testing.T) {
	for name, w := range map[string]struct {
		jobs, reads, least int
		options            tensoronetest.Options
		change             func(*Config)
		faults             bool
		demand             float64
	}{
		"few jobs":   {jobs: 4, reads: 500, least: 235, demand: 0.4},
		"many jobs":  {jobs: 40, reads: 500, least: 380, demand: 4},
		"endpoint":   {jobs: 30, reads: 500, least: 380, change: func(c *Config) { c.Checkpoints = endpoint }, demand: 6},
		"found jobs": {jobs: 25, reads: 500, least: 380, options: tensoronetest.Options{List: true, PageLimit: 10}, change: func(c *Config) { c.Jobs, c.List = nil, listOn }, demand: 2},
		"free plan":  {jobs: 10, reads: 100, least: 75, options: tensoronetest.Options{ReadsPerHour: 100}, change: func(c *Config) { c.ReadsPerHour = 100 }, demand: 5},
		"failures":   {jobs: 20, reads: 500, least: 100, faults: true},
		"quick":      {jobs: 5, reads: 500, least: 380, change: func(c *Config) { c.PollIntervals.Running = model.Duration(time.Second) }, demand: 30},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(17 * time.Minute) // the service's windows begin on the hour
				p := newProgram(t, w.options, func(c *Config) {
					for i := range w.jobs {
						c.Jobs = append(c.Jobs, Job{ID: fmt.Sprintf("job-%02d", i)})
					}
					if w.change != nil {
						w.change(c)
					}
				})
				ids := manyJobs(p.server, w.jobs)
				p.start()
				for range 24 {
					time.Sleep(15 * time.Minute)
					if w.faults {
						p.server.SetFaults(tensoronetest.Faults{Fail: tensoronetest.ErrorBody(60, 503, "SERVICE_UNAVAILABLE", "later")})
					}
				}
				p.stop()
				times := p.server.Requests()
				if n := most(times); n > w.reads {
					t.Errorf("%d requests in an hour, %d are allowed", n, w.reads)
				}
				if n := len(times) / 6; n < w.least {
					t.Errorf("only %d requests an hour", n)
				}
				if v := p.server.Violations(); len(v) > 0 {
					t.Errorf("violations: %v", v)
				}
				for _, id := range ids {
					if j := p.store.Job(collector.Key{Source: "test", ID: id}); j == nil || j.Phase != collector.Running {
						t.Errorf("job %s was never read: %+v", id, j)
					}
				}
				view := p.health.View()
				if d := view.DemandRatio; d == nil || *d < w.demand {
					t.Errorf("demand %v, want at least %v", d, w.demand)
				}
				for _, e := range view.PollErrors {
					if !w.faults {
						t.Errorf("%d polls failed: %s", e.N, e.Name)
					}
				}
			})
		})
	}
}

// TestRestartsKeepTheBudget: a program that restarts again and again knows nothing of what it asked before but what the service tells.
func TestRestartsKeepTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(t, tensoronetest.Options{}, func(c *Config) {
			for i := range 40 {
				c.Jobs = append(c.Jobs, Job{ID: fmt.Sprintf("job-%02d", i)})
			}
		})
		manyJobs(p.server, 40)
		for range 60 {
			p.start()
			time.Sleep(3 * time.Minute)
			p.stop()
		}
		if v := p.server.Violations(); len(v) > 0 {
			t.Errorf("violations: %v", v)
		}
		t.Logf("%d requests in three hours, %d in one", len(p.server.Requests()), most(p.server.Requests()))
	})
}

// TestASmallerPlan: a service that allows less than reads_per_hour is believed, and the log says what to set.
func TestASmallerPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(t, tensoronetest.Options{TierReads: 100}, func(c *Config) {
			for i := range 8 {
				c.Jobs = append(c.Jobs, Job{ID: fmt.Sprintf("job-%02d", i)})
			}
		})
		ids := manyJobs(p.server, 8)
		p.start()
		time.Sleep(6 * time.Hour)
		p.stop()
		if v := p.server.Violations(); len(v) > 0 {
			t.Errorf("violations: %v", v)
		}
		for _, id := range ids {
			if j := p.store.Job(collector.Key{Source: "test", ID: id}); j.Phase != collector.Running {
				t.Errorf("job %s was never read", id)
			}
		}
		failed := 0
		view := p.health.View()
		for _, e := range view.PollErrors {
			failed += int(e.N)
		}
		t.Logf("%d requests in six hours, %d of %d polls failed: %v, up %t", len(p.server.Requests()), failed, view.Polls, view.PollErrors, view.Up)
		if failed*20 > int(view.Polls) {
			t.Errorf("%d of %d polls failed", failed, view.Polls)
		}
	})
}

// TestTheLimiterAlone: without the scheduler, as fast as one can ask, the client itself keeps the budget.
func TestTheLimiterAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(t, tensoronetest.Options{ReadsPerHour: -1}, func(c *Config) { c.Jobs, c.List = []Job{{ID: theJob}}, listOff })
		p.server.AddJob(running())
		s, err := New(p.config, collector.Env{Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		drive := collectortest.NewDrive("test", s)
		if _, err := drive.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			if _, err := drive.Follow(t.Context(), theJob); err != nil {
				t.Fatal(err)
			}
		}
		if n := most(p.server.Requests()); n > 500 || n < 495 {
			t.Errorf("%d requests in an hour", n)
		}
	})
}
