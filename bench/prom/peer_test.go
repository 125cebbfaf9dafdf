package prom

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// series is how many series to measure with.
var series = sync.OnceValue(func() int {
	if n, err := strconv.Atoi(os.Getenv("BENCH_SERIES")); err == nil && n > 0 {
		return n
	}
	return 100_000
})

// peerHandler exposes the series of a snapshot with one GaugeVec for each family.
func peerHandler(tb testing.TB, s *collector.Snapshot) http.Handler {
	tb.Helper()
	reg := prometheus.NewRegistry()
	var p collector.Points
	var values []string
	for _, row := range collector.JobRows() {
		names := append(collector.JobIdentity(), row.Labels...)
		for i, key := range names {
			names[i] = collector.PromLabel(key)
		}
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: row.Prom, Help: row.Help}, names)
		reg.MustRegister(vec)
		for j := range s.Jobs.All {
			p.Reset()
			row.Read(j, &p)
			for i := range p.Len() {
				values = append(j.Identity(values[:0]), p.Labels(i)...)
				vec.WithLabelValues(values...).Set(p.Value(i))
			}
		}
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// peerTimes are the CPU times of one answer of the peer.
type peerTimes struct {
	plain, gzip time.Duration
	heap        uint64 // of its vectors
}

// peer is measured once: its answers cost the same whatever changed. The lower of two runs counts.
var peer = sync.OnceValue(func() (t peerTimes) {
	s := collectortest.Many(series() / collectortest.SeriesPerJob)
	before := heap()
	h := peerHandler(&testing.B{}, s)
	t.heap = heap() - before
	scrape(h, "")
	t.plain = min(timed(func() { scrape(h, "") }), timed(func() { scrape(h, "") }))
	t.gzip = min(timed(func() { scrape(h, "gzip") }), timed(func() { scrape(h, "gzip") }))
	runtime.KeepAlive(s)
	return t
})

func timed(run func()) time.Duration {
	before := cpuTime()
	run()
	return cpuTime() - before
}

// heap is the memory in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// counter is a reader that only counts.
type counter struct {
	header http.Header
	bytes  int
	copyTo io.Writer
}

func (c *counter) Header() http.Header { return c.header }
func (c *counter) WriteHeader(int)     {}
func (c *counter) Write(b []byte) (int, error) {
	c.bytes += len(b)
	if c.copyTo != nil {
		return c.copyTo.Write(b)
	}
	return len(b), nil
}

const openMetrics = "application/openmetrics-text;version=1.0.0"

// scrape asks as Prometheus does, and returns the size of the body.
func scrape(h http.Handler, encoding string) int { return scrapeTo(h, encoding, nil) }

func scrapeTo(h http.Handler, encoding string, w io.Writer) int {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", openMetrics)
	r.Header.Set("Accept-Encoding", encoding)
	c := &counter{header: http.Header{}, copyTo: w}
	h.ServeHTTP(c, r)
	return c.bytes
}
