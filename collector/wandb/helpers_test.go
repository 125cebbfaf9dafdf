package wandb

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

const testKey = "test-key-0123456789"

// bench is a simulated service and a source that asks it.
type bench struct {
	t      *testing.T
	server *wandbtest.Server
	web    *httptest.Server
	source *Source
	health *collector.Health
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	server := wandbtest.New(wandbtest.Options{Key: testKey})
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	b := &bench{t: t, server: server, web: web, health: collector.NewHealth(time.Now())}
	b.source = newSource(t, testConfig(web.URL+"/v1", change), b.health)
	return b
}

func testConfig(base string, change func(*Config)) Config {
	c := Config{BaseURL: base}
	c.HTTP.RateLimit, c.HTTP.Burst = 1e6, 1e6
	c.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", Credentials: testKey}
	if change != nil {
		change(&c)
	}
	return c
}

func newSource(t *testing.T, c Config, h *collector.Health) *Source {
	t.Helper()
	s, err := New(c, collector.Env{Name: "test", Log: slog.New(slog.DiscardHandler), Health: h})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// known is a job that the bridge has listed and not asked yet.
func known(id string) *collector.Job {
	u := collector.Update{Key: collector.Key{Source: "test", ID: id}, At: collector.TimeOf(time.Now())}
	return collector.Reduce(nil, u, collector.ReduceOptions{}).Job
}

// poll asks once and folds the answer.
func (b *bench) poll(job *collector.Job) (*collector.Job, collector.Update) {
	b.t.Helper()
	u, err := b.source.Follow(context.Background(), job)
	if err != nil {
		b.t.Fatalf("Follow: %v", err)
	}
	return collector.Reduce(job, u, collector.ReduceOptions{}).Job, u
}

// drain asks until the backlog is read.
func (b *bench) drain(job *collector.Job) *collector.Job {
	b.t.Helper()
	for range 1000 {
		next, u := b.poll(job)
		job = next
		if !u.More {
			return job
		}
	}
	b.t.Fatal("the backlog has no end")
	return nil
}

func step(n int) wandbtest.Event {
	return wandbtest.Step(wandbtest.Value{Key: "loss/train", Number: 1 / float64(n+1)})
}

func steps(from, to int) []wandbtest.Event {
	var out []wandbtest.Event
	for n := from; n < to; n++ {
		out = append(out, step(n))
	}
	return out
}

// same holds what was counted against what happened.
func (b *bench) same(job *collector.Job) {
	b.t.Helper()
	truth := b.server.JobTruth(job.Key.ID)
	if int(job.Steps) != truth.Steps {
		b.t.Errorf("%d steps counted, %d happened", job.Steps, truth.Steps)
	}
	total := 0
	for _, n := range truth.Events {
		total += n
	}
	if int(job.EventCount()) != total {
		b.t.Errorf("%d events counted, %d happened", job.EventCount(), total)
	}
}
