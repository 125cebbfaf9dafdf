package web

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// at is when these tests take place.
var at = time.Date(2026, time.March, 14, 9, 26, 53, 0, time.UTC)

func ago(d time.Duration) collector.Time { return collector.TimeOf(at.Add(-d)) }

// world is a snapshot that a test makes.
type world struct {
	mu      sync.Mutex // between steps and looks
	jobs    []*collector.Job
	groups  []*collector.Group
	sources []*collector.SourceView
	gpus    *collector.GPUView
	warn    []Warning
	history *History
	dropped uint64 // spans
	full    bool   // the disk of the state
}

// setTo replaces what is told of a metric.
func setTo(j *collector.Job, m collector.Metric, label string, v float64) {
	j.Readings = slices.DeleteFunc(slices.Clone(j.Readings), func(r collector.Reading) bool { return r.Metric == m && r.Label == label })
	with(m, label, v)(j)
}

func tableOf[T any](all []*T) (t collector.Table[T]) {
	for part := range slices.Chunk(all, collector.BlockSize) {
		b := &collector.Block[T]{Used: len(part)}
		copy(b.Items[:], part)
		t.Blocks = append(t.Blocks, b)
	}
	return t
}

func (w *world) snapshot() *collector.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &collector.Snapshot{Jobs: tableOf(w.jobs), Groups: tableOf(w.groups), Sources: w.sources, GPUs: w.gpus}
}

func (w *world) site(tb testing.TB) *site {
	tb.Helper()
	s := newSite(PageOptions{
		Version: "1.2.3", Snapshot: w.snapshot, Durable: func() bool { return true }, Kinds: w.kinds, Warnings: func() []Warning { return w.warn },
		Proxies: func() []string { return nil }, History: w.history, Log: slog.New(slog.NewTextHandler(testWriter{tb}, nil)),
	})
	s.now = func() time.Time { return at }
	return s
}

type testWriter struct{ tb testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.tb.Errorf("logged: %s", b)
	return len(b), nil
}

func (w *world) kinds() map[string]string {
	kinds := map[string]string{}
	for _, s := range w.sources {
		kinds[s.Name] = "wandb"
	}
	return kinds
}

func (w *world) source(name string, up bool) *collector.SourceView {
	v := &collector.SourceView{Name: name, Health: collector.HealthView{Known: true, Up: up, LastPoll: ago(time.Second), LastSuccess: ago(time.Second)}}
	w.sources = append(w.sources, v)
	return v
}

// job is a healthy running job; change makes it another.
func (w *world) job(id string, change ...func(*collector.Job)) *collector.Job {
	j := &collector.Job{
		Key: collector.Key{Source: "s", ID: id}, Info: &collector.Info{Name: "name of " + id}, Attempt: 1, Phase: collector.Running, Live: true,
		FirstSeen: ago(2 * time.Hour), Created: ago(2 * time.Hour), Started: ago(time.Hour), Since: ago(time.Hour), Updated: ago(time.Minute),
		LastStep: ago(time.Minute), Intervals: []float32{60, 60, 60, 60, 60}, Steps: 60,
	}
	for _, c := range change {
		c(j)
	}
	w.jobs = append(w.jobs, j)
	return j
}

func failedAt(d time.Duration) func(*collector.Job) {
	return func(j *collector.Job) {
		j.Phase, j.Ended, j.Since, j.ErrorType, j.Message = collector.Failed, ago(d), ago(d), "out_of_memory", "CUDA out of memory"
	}
}

func with(m collector.Metric, label string, v float64) func(*collector.Job) {
	return func(j *collector.Job) {
		j.Readings = append(j.Readings, collector.Reading{Metric: m, Label: label, Value: v, At: ago(time.Minute)})
		slices.SortFunc(j.Readings, func(a, b collector.Reading) int { return int(a.Metric) - int(b.Metric) })
	}
}

func ids(jobs []*collector.Job) (out []string) {
	for _, j := range jobs {
		out = append(out, j.Key.ID)
	}
	return out
}

func numbered(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("j%05d", i))
	}
	return out
}
