package assign

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

const (
	uuid0 = "GPU-00000000-0000-0000-0000-00000000000a"
	uuid1 = "GPU-11111111-1111-1111-1111-11111111111b"
	mig10 = "MIG-22222222-2222-2222-2222-22222222222c"
	mig17 = "MIG-33333333-3333-3333-3333-33333333333d"
)

// host is a machine with a whole GPU, and one that is divided.
func host() []GPU {
	return []GPU{
		{ID: uuid0, Index: "0", Minor: "0"},
		{ID: uuid1, Index: "1", Minor: "3"},
		{ID: mig10, Index: "1", Minor: "3", Parent: uuid1, Instance: "1"},
		{ID: mig17, Index: "1", Minor: "3", Parent: uuid1, Instance: "7"},
	}
}

// logs are lines of a log that several goroutines write.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logs) lines() int { return strings.Count(l.String(), "\n") }

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func assigner(t *testing.T, c Config, o Options) *Assigner {
	t.Helper()
	a, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, p := range a.places { // no waiting for half-written files where a test writes none
		if d, ok := p.looker.(*directory); ok {
			d.pause = func(context.Context, time.Duration) error { return nil }
		}
	}
	return a
}

// jobsOf is what a result says of a GPU.
func jobsOf(r Result, id string) string {
	var out []string
	for _, k := range r.Jobs[id] {
		out = append(out, k.String())
	}
	return strings.Join(out, " ")
}

func podsOf(r Result, id string) string {
	var out []string
	for _, p := range r.Pods[id] {
		out = append(out, p.Namespace+"/"+p.Name+"/"+p.Container)
	}
	return strings.Join(out, " ")
}

func sources(r Result) string {
	var out []string
	for _, s := range r.Sources {
		out = append(out, fmt.Sprintf("%s up=%t bad=%d", s.Name, s.Up, s.Bad))
	}
	return strings.Join(out, ", ")
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func key(id string) collector.Key { return collector.Key{Source: "s", ID: id} }
