package runai

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

const (
	testID     = "bridge"
	testSecret = "test-secret-0123456789"
)

// bench is a simulated service, a source that asks it and a drive that does what the scheduler does.
type bench struct {
	t      *testing.T
	server *runaitest.Server
	net    *collectortest.Network
	source *Source
	health *collector.Health
	drive  *collectortest.Drive
	config Config
}

func newBench(t *testing.T, o runaitest.Options, change func(*Config)) *bench {
	t.Helper()
	o.ClientID, o.ClientSecret = testID, testSecret
	b := &bench{t: t, server: runaitest.New(o), health: collector.NewHealth(time.Now())}
	b.net = collectortest.Serve(t, b.server)
	b.config = testConfig(b.net, change)
	b.source = b.open()
	b.drive = collectortest.NewDrive("test", b.source)
	return b
}

func testConfig(n *collectortest.Network, change func(*Config)) Config {
	c := Config{BaseURL: n.Base(), Token: TokenConfig{ClientID: testID, ClientSecret: testSecret}}
	c.HTTP.RateLimit, c.HTTP.Burst, c.HTTP.Dial = 1e6, 1e6, n.Dial
	if change != nil {
		change(&c)
	}
	return c
}

func (b *bench) open() *Source {
	b.t.Helper()
	s, err := New(b.config, collector.Env{Name: "test", Log: slog.New(slog.DiscardHandler), Health: b.health})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = s.Close() })
	return s
}

// restart goes on with a source that knows nothing but the jobs.
func (b *bench) restart() {
	b.t.Helper()
	b.source = b.open()
	b.drive.Reopen(b.source)
}

func (b *bench) round() {
	b.t.Helper()
	if err := b.drive.Round(context.Background()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) job(id string) *collector.Job {
	b.t.Helper()
	j := b.drive.Jobs()[id]
	if j == nil {
		b.t.Fatalf("job %s is not known", id)
	}
	return j
}

// same holds what was counted against what happened.
func (b *bench) same(id string) {
	b.t.Helper()
	truth := b.server.JobTruth(id)
	if got, want := int(b.job(id).EventCount()), truth.Distinct()+len(truth.Phases); got != want {
		b.t.Errorf("%d events counted, %d happened", got, want)
	}
}

// lawful fails if the source did what a client must not.
func (b *bench) lawful() {
	b.t.Helper()
	for kind, n := range b.server.Violations() {
		if n > 0 {
			b.t.Errorf("violation %s, %d times", kind, n)
		}
	}
	for _, line := range b.drive.Broken() {
		b.t.Error(line)
	}
}

// requests is how many requests of an operation were made.
func (b *bench) requests(operation string) (n uint64) {
	for _, r := range b.health.View().Requests {
		if r.Operation == operation || operation == "" {
			n += r.N
		}
	}
	return n
}
