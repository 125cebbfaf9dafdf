package web

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// crowd is a world of many jobs, of which some fail, stall, wait and end, with curves of the first two thousand.
func crowd(n int) *world {
	w := &world{}
	w.history = NewHistory(HistoryOptions{Snapshot: w.snapshot})
	w.source("s", true)
	for i := range n {
		w.job(fmt.Sprintf("7d0f6e0a-4b1e-4a57-9b1c-%012x", i), with(collector.Loss, "train", float64(i%977)), with(collector.Progress, "", 0.5), func(j *collector.Job) {
			j.Info.Name, j.Info.Owner, j.Info.BaseModel = fmt.Sprintf("run-%d", i), "team", "Qwen/Qwen3-14B"
			switch i % 10 {
			case 1:
				failedAt(time.Duration(i%7200) * time.Second)(j)
			case 2:
				j.LastStep = ago(time.Duration(i%3600) * time.Second)
			case 3, 4, 5:
				j.Phase, j.Ended = collector.Succeeded, ago(time.Hour)
			case 6:
				j.Phase, j.Since = collector.Pending, ago(time.Duration(i%7200)*time.Second)
			}
		})
	}
	w.history.Look(at.Add(-time.Hour)) // that what is judged by what was before is judged
	for i := range 100 {               // curves
		for k := range 5000 {
			if k < len(w.jobs) && w.jobs[k].Phase == collector.Running {
				next := *w.jobs[k]
				next.Readings = []collector.Reading{{Metric: collector.Loss, Label: "train", Value: float64(i * k % 17), At: ago(time.Duration(100-i) * time.Second)}}
				w.jobs[k] = &next
			}
		}
		w.history.Look(at)
	}
	snap := w.snapshot()
	w.history.o.Snapshot = func() *collector.Snapshot { return snap }
	return w
}

func benchmarkPage(b *testing.B, jobs int, path string) {
	w := crowd(jobs)
	snap := w.snapshot()
	s := w.site(b)
	now := at
	s.now = func() time.Time { return now }
	s.look.snapshot = func() *collector.Snapshot { return snap }
	size := 0
	for b.Loop() {
		now = now.Add(time.Second) // nothing is reused
		r := get(s, http.MethodGet, path)
		size = r.Body.Len()
	}
	b.ReportMetric(float64(size), "bytes/page")
}

func BenchmarkPage100kJobs(b *testing.B)     { benchmarkPage(b, 100_000, "/") }
func BenchmarkPage100kJobs1000(b *testing.B) { benchmarkPage(b, 100_000, "/?rows=1000") }
func BenchmarkPage100kJobsSearch(b *testing.B) {
	benchmarkPage(b, 100_000, "/?q=qwen+team+77&sort=name&rows=1000")
}
func BenchmarkPage100kJobsLast(b *testing.B) {
	benchmarkPage(b, 100_000, "/?rows=1000&page=100&sort=name")
}
func BenchmarkPage1000Jobs(b *testing.B) { benchmarkPage(b, 1000, "/?rows=1000") }
func BenchmarkJobPage(b *testing.B) {
	benchmarkPage(b, 100_000, "/jobs?source=s&id=7d0f6e0a-4b1e-4a57-9b1c-000000000000")
}

// BenchmarkUpdate is what one look costs for a viewer of 1,000 rows of 100,000 jobs, of which a hundred changed.
func BenchmarkUpdate(b *testing.B) {
	w := crowd(100_000)
	snap := w.snapshot()
	s := w.site(b)
	now := at
	s.now = func() time.Time { return now }
	s.look.snapshot = func() *collector.Snapshot { return snap }
	v := &viewer{site: s, query: queryOf(map[string][]string{"rows": {"1000"}, "sort": {"name"}}), has: map[string]any{}}
	size := 0
	for b.Loop() {
		now = now.Add(time.Second)
		next := *snap.Jobs.Blocks[0]
		for i := range 100 {
			j := *next.Items[i*3]
			j.Steps++
			next.Items[i*3] = &j
		}
		blocks := append([]*collector.Block[collector.Job]{&next}, snap.Jobs.Blocks[1:]...)
		snap = &collector.Snapshot{Sources: snap.Sources, Jobs: collector.Table[collector.Job]{Blocks: blocks}}
		text, err := v.next()
		if err != nil {
			b.Fatal(err)
		}
		size = len(text)
	}
	b.ReportMetric(float64(size), "bytes/update")
}
