package prom

import (
	"bytes"
	stdgzip "compress/gzip"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/exporters/prom"
)

// ours is a handler whose snapshot can be replaced, warmed by one answer.
func ours(n int, encoding string) (http.Handler, *atomic.Pointer[collector.Snapshot]) {
	cur := &atomic.Pointer[collector.Snapshot]{}
	cur.Store(collectortest.Many(n / collectortest.SeriesPerJob))
	h := prom.New(prom.Options{Snapshot: cur.Load})
	scrape(h, encoding)
	return h, cur
}

// measure runs scrapes, with a change of the jobs before each that is not counted, and reports CPU time.
func measure(b *testing.B, n int, encoding string, against time.Duration, share float64, nth int) {
	h, cur := ours(n, encoding)
	runtime.GC()
	var cpu time.Duration
	size := 0
	for b.Loop() {
		if share > 0 {
			cur.Store(collectortest.Change(cur.Load(), share, nth))
		}
		cpu += timed(func() { size = scrape(h, encoding) })
	}
	each := cpu / time.Duration(b.N)
	b.ReportMetric(float64(each.Nanoseconds())/float64(n), "cpu-ns/series")
	b.ReportMetric(float64(each.Microseconds())/1000, "cpu-ms/op")
	b.ReportMetric(float64(size)/float64(n), "body-B/series")
	if against > 0 {
		b.ReportMetric(float64(against)/float64(max(each, time.Microsecond)), "x-less-cpu")
	}
}

func BenchmarkScrape(b *testing.B) {
	n := series()
	b.Run("plain", func(b *testing.B) { measure(b, n, "", peer().plain, 0, 1) })
	b.Run("gzip/unchanged", func(b *testing.B) { measure(b, n, "gzip", peer().gzip, 0, 1) })
	b.Run("gzip/tenth-clustered", func(b *testing.B) { measure(b, n, "gzip", peer().gzip, 0.1, 1) })
	b.Run("gzip/tenth-spread", func(b *testing.B) { measure(b, n, "gzip", peer().gzip, 1, 10) })
	b.Run("plain/tenth-clustered", func(b *testing.B) { measure(b, n, "", peer().plain, 0.1, 1) })
	b.Run("plain/tenth-spread", func(b *testing.B) { measure(b, n, "", peer().plain, 1, 10) })
	b.Run("plain/small", func(b *testing.B) { measure(b, 10_000, "", 0, 0, 1) })
	b.Run("gzip/first", func(b *testing.B) {
		s := collectortest.Many(n / collectortest.SeriesPerJob)
		for b.Loop() {
			scrape(prom.New(prom.Options{Snapshot: func() *collector.Snapshot { return s }}), "gzip")
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/series")
	})
}

// BenchmarkMemory reports bytes of heap per series: of the jobs themselves, of the encoder after plain and after gzip
// answers, and of the peer.
func BenchmarkMemory(b *testing.B) {
	n := series()
	for b.Loop() {
		at := heap()
		s := collectortest.Many(n / collectortest.SeriesPerJob)
		jobs := heap()
		h := prom.New(prom.Options{Snapshot: func() *collector.Snapshot { return s }})
		scrape(h, "")
		plain := heap()
		scrape(h, "gzip")
		packed := heap()
		b.ReportMetric(float64(jobs-at)/float64(n), "core-B/series")
		b.ReportMetric(float64(plain-jobs)/float64(n), "plain-B/series")
		b.ReportMetric(float64(packed-jobs)/float64(n), "gzip-B/series")
		b.ReportMetric(float64(packed-at)/float64(n), "all-B/series")
		b.ReportMetric(float64(peer().heap)/float64(n), "peer-B/series")
		runtime.KeepAlive(h)
	}
}

// BenchmarkSize compares the compressed body with what level 6 and the fastest level of other libraries make of the same
// text, and the time with the latter's.
func BenchmarkSize(b *testing.B) {
	n := series()
	h, _ := ours(n, "gzip")
	var plain bytes.Buffer
	scrapeTo(h, "", &plain)
	for b.Loop() {
		size := scrape(h, "gzip")
		own := timed(func() { scrape(h, "gzip") })
		var std counter
		z, _ := stdgzip.NewWriterLevel(&std, 6)
		_, _ = z.Write(plain.Bytes())
		_ = z.Close()
		var fast counter
		f, _ := gzip.NewWriterLevel(&fast, gzip.BestSpeed)
		other := timed(func() { _, _ = f.Write(plain.Bytes()); _ = f.Close() })
		b.ReportMetric(float64(size)/float64(n), "body-B/series")
		b.ReportMetric(float64(std.bytes)/float64(n), "level6-B/series")
		b.ReportMetric(float64(fast.bytes)/float64(n), "fast-B/series")
		b.ReportMetric(float64(other)/float64(max(own, time.Microsecond)), "x-less-cpu-than-fast")
	}
}

// BenchmarkFiveScrapers reports how long answers take while five scrapers ask at once and a tenth of the jobs change each time.
func BenchmarkFiveScrapers(b *testing.B) {
	h, cur := ours(200_000, "gzip")
	var mu sync.Mutex
	var took []time.Duration
	for b.Loop() {
		cur.Store(collectortest.Change(cur.Load(), 0.1, 1))
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				start := time.Now()
				scrape(h, "gzip")
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(start))
			})
		}
		all.Wait()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
