package aitems

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

const (
	testAccess = "AK_TEST"
	testSecret = "SK_TEST"
)

// bench is a simulated service, a source that asks it, and the jobs that came of it.
type bench struct {
	t      testing.TB
	server *aitemstest.Server
	config Config
	source *Source
	health *collector.Health
	log    *logged
	jobs   map[string]*collector.Job
	absent func(id string) // is told of each job that a listing lacks
}

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newBench(t testing.TB, o aitemstest.Options, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, server: aitemstest.New(o), log: &logged{}, jobs: map[string]*collector.Job{}}
	n := collectortest.Serve(t, b.server)
	b.config = testConfig(n, change)
	b.restart()
	t.Cleanup(func() { b.source.Close() })
	return b
}

func testConfig(n *collectortest.Network, change func(*Config)) Config {
	c := Config{BaseURL: n.Base() + "/api/v1", AccessKey: testAccess, SecretKey: testSecret}
	c.HTTP.RateLimit, c.HTTP.Burst = 1e6, 1e6
	c.HTTP.Dial = n.Dial
	if change != nil {
		change(&c)
	}
	return c
}

// restart makes a new source: what it remembered is lost, the jobs are not.
func (b *bench) restart() {
	b.t.Helper()
	if b.source != nil {
		b.source.Close()
	}
	b.health = collector.NewHealth(time.Now())
	s, err := New(b.config, collector.Env{Name: "test", Log: slog.New(slog.NewTextHandler(b.log, nil)), Health: b.health})
	if err != nil {
		b.t.Fatal(err)
	}
	b.source = s
}

// list makes a listing and folds it, as the scheduler does.
func (b *bench) list() (collector.Listing, error) {
	l, err := b.source.List(b.t.Context())
	b.fold(l, err)
	return l, err
}

func (b *bench) fold(l collector.Listing, err error) {
	now := collector.TimeOf(time.Now())
	seen := map[string]bool{}
	for _, u := range l.Jobs {
		u.At, u.Polled = now, true
		b.reduce(u)
		seen[u.Key.ID] = true
	}
	if l.Partial || err != nil {
		return
	}
	for id, j := range b.jobs {
		if !seen[id] && !j.Done() {
			if b.absent != nil {
				b.absent(id)
			}
			b.reduce(collector.Update{Key: j.Key, At: now, Absent: true})
		}
	}
}

func (b *bench) reduce(u collector.Update) {
	b.jobs[u.Key.ID] = collector.Reduce(b.jobs[u.Key.ID], u, collector.ReduceOptions{Spans: true}).Job
}

// mustList lists twice, so that what is absent is confirmed.
func (b *bench) mustList() collector.Listing {
	b.t.Helper()
	for range 2 {
		if _, err := b.list(); err != nil {
			b.t.Fatal(err)
		}
	}
	l, err := b.list()
	if err != nil || l.Partial {
		b.t.Fatalf("partial %v, %v\n%s", l.Partial, err, b.log)
	}
	return l
}

// same holds the jobs against the truth.
func (b *bench) same() {
	b.t.Helper()
	truth := b.server.Truth()
	for id, want := range truth {
		switch j := b.jobs[id]; {
		case j == nil:
			b.t.Errorf("%s was not found", id)
		case j.Phase != want || j.Gone:
			b.t.Errorf("%s is %v (gone %v), in truth %v", id, j.Phase, j.Gone, want)
		}
	}
	for id, j := range b.jobs {
		if _, there := truth[id]; !there && !j.Done() {
			b.t.Errorf("%s is not there and still %v", id, j.Phase)
		}
	}
}

// violations are those of the client, which must have none but those allowed.
func (b *bench) behaved(allowed ...string) {
	b.t.Helper()
	for what, n := range b.server.Violations() {
		ok := false
		for _, a := range allowed {
			ok = ok || a == what
		}
		if !ok {
			b.t.Errorf("%d times %s", n, what)
		}
	}
}
