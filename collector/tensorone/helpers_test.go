package tensorone

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
)

const testKey = "tpo_test_made_up_0123456789"

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

// bench is a simulated service, and a source that asks it as fast as it likes.
type bench struct {
	testing.TB
	server *tensoronetest.Server
	config Config
	health *collector.Health
	log    *logged
	drive  *collectortest.Drive
}

func newBench(t testing.TB, o tensoronetest.Options, change func(*Config)) *bench {
	t.Helper()
	o.Key = testKey
	if o.ReadsPerHour == 0 {
		o.ReadsPerHour = -1
	}
	b := &bench{TB: t, server: tensoronetest.New(o), log: &logged{}}
	b.config = testConfig(t, b.server, change)
	b.drive = collectortest.NewDrive("test", b.open())
	return b
}

func testConfig(t testing.TB, h http.Handler, change func(*Config)) Config {
	t.Helper()
	n := collectortest.Serve(t, h)
	c := Config{BaseURL: n.Base() + "/v2", ReadsPerHour: maxReads, ListInterval: model.Duration(time.Second)}
	c.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", Credentials: testKey}
	c.HTTP.Burst = 10_000
	c.HTTP.Dial = n.Dial
	if change != nil {
		change(&c)
	}
	return c
}

// open makes a source; a program that restarts makes another.
func (b *bench) open() *Source {
	b.Helper()
	b.health = collector.NewHealth(time.Now())
	s, err := New(b.config, collector.Env{Name: "test", Log: slog.New(slog.NewTextHandler(b.log, nil)), Health: b.health})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// name puts jobs into the configuration.
func name(ids ...string) func(*Config) {
	return func(c *Config) {
		c.List = listOff
		for _, id := range ids {
			c.Jobs = append(c.Jobs, Job{ID: id})
		}
	}
}

func (b *bench) list() collector.Listing {
	b.Helper()
	l, err := b.drive.List(b.Context())
	if err != nil {
		b.Fatalf("List: %v", err)
	}
	return l
}

func (b *bench) poll(id string) (*collector.Job, collector.Update) {
	b.Helper()
	u, err := b.drive.Follow(b.Context(), id)
	if err != nil {
		b.Fatalf("Follow: %v", err)
	}
	return b.drive.Jobs()[id], u
}

// violations fails the test if the client did what it should not.
func (b *bench) violations() {
	b.Helper()
	for kind, n := range b.server.Violations() {
		b.Errorf("%d violations: %s", n, kind)
	}
}

// read reads one job object as the source does.
func read(t testing.TB, body string, change func(*Units)) *report {
	t.Helper()
	r, err := readText(body, change)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readText(body string, change func(*Units)) (r *report, err error) {
	u := Units{}.withDefaults()
	if change != nil {
		change(&u)
	}
	err = api.Decode(strings.NewReader(body), api.Limits{Bytes: 4 << 20, Items: 20000, Depth: 32, StringBytes: 64 << 10},
		func(d *api.Decoder) error {
			r, err = readReport(d, &u)
			return err
		})
	return r, err
}

// want compares a reading; a nil value wants none.
func want(t testing.TB, j *collector.Job, m collector.Metric, label string, value *float64) {
	t.Helper()
	got, ok := j.Reading(m, label)
	switch {
	case value == nil && ok:
		t.Errorf("metric %d %q is %v, must be absent", m, label, got)
	case value != nil && (!ok || got != *value):
		t.Errorf("metric %d %q is %v (%t), want %v", m, label, got, ok, *value)
	}
}

func is(f float64) *float64 { return &f }

func mustFail(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error lacks %q: %v", w, err)
		}
	}
	if strings.Contains(err.Error(), testKey) {
		t.Errorf("error shows the key")
	}
}

func canceled(t testing.TB) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the test"))
	return ctx
}

// checkpointsOf is how many checkpoints of a job were counted.
func checkpointsOf(j *collector.Job) int {
	for _, c := range j.Events {
		if c.Name == collector.CheckpointEvent.String() {
			return int(c.N)
		}
	}
	return 0
}
