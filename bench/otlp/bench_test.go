package otlp

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	exporter "github.com/trainbridge/trainbridge/exporters/otlp"
)

// size is an environment variable or a small default.
func size(b *testing.B, name string, small int) int {
	v := os.Getenv(name)
	if v == "" {
		return small
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		b.Fatalf("%s=%q is not a number", name, v)
	}
	return n
}

// discard is a receiver that accepts everything.
func discard(b *testing.B) (url string, bytes *atomic.Int64) {
	bytes = &atomic.Int64{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		bytes.Add(n)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	b.Cleanup(srv.Close)
	return srv.URL, bytes
}

// ours is the bridge's exporter.
func ours(b *testing.B, url, compression string, metrics bool, o exporter.Options) *exporter.Exporter {
	other := !metrics
	c := exporter.Config{Target: exporter.Target{Endpoint: url, Compression: compression}}
	c.Metrics.Enabled, c.Traces.Enabled = &metrics, &other
	s, err := c.WithEnvironment(func(string) string { return "" })
	if err != nil {
		b.Fatal(err)
	}
	o.Log = slog.New(slog.DiscardHandler)
	x, err := exporter.New(s, o)
	if err != nil {
		b.Fatal(err)
	}
	return x
}

// cost is what one way of sending takes.
type cost struct {
	cpu, wall time.Duration
	bytes     uint64 // allocated
	sent      int64
}

func measure(b *testing.B, sent *atomic.Int64, f func(context.Context) error) cost {
	b.Helper()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent.Store(0)
	began, used := time.Now(), cpu(b)
	if err := f(b.Context()); err != nil {
		b.Fatal(err)
	}
	c := cost{cpu: cpu(b) - used, wall: time.Since(began), sent: sent.Load()}
	runtime.ReadMemStats(&after)
	c.bytes = after.TotalAlloc - before.TotalAlloc
	return c
}

func (c *cost) add(o cost) {
	c.cpu += o.cpu
	c.wall += o.wall
	c.bytes += o.bytes
	c.sent += o.sent
}

// compare runs both ways b.N times and reports them per item.
func compare(b *testing.B, items int, sent *atomic.Int64, bridge, sdk func(context.Context) error) {
	b.Helper()
	for _, f := range []func(context.Context) error{bridge, sdk} { // connections, buffers
		if err := f(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	var we, they cost
	for b.Loop() {
		we.add(measure(b, sent, bridge))
		they.add(measure(b, sent, sdk))
	}
	n := float64(items) * float64(b.N)
	b.ReportMetric(float64(we.cpu)/n, "bridge-cpu-ns/item")
	b.ReportMetric(float64(they.cpu)/n, "sdk-cpu-ns/item")
	b.ReportMetric(float64(they.cpu)/float64(we.cpu), "cpu-ratio")
	b.ReportMetric(float64(we.bytes)/n, "bridge-alloc-B/item")
	b.ReportMetric(float64(they.bytes)/n, "sdk-alloc-B/item")
	b.ReportMetric(float64(we.sent)/n, "bridge-sent-B/item")
	b.ReportMetric(float64(they.sent)/n, "sdk-sent-B/item")
	b.ReportMetric(0, "ns/op")
}
