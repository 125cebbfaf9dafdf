package runaitest_test

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

// AddMany adds quiet workloads.
func (w *world) AddMany(n int) []string { return w.AddWorkloads(runaitest.Many{Workloads: n}) }

func TestQuietWorkloads(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	ids := w.AddWorkloads(runaitest.Many{Workloads: 3, Events: 6})
	done := w.AddWorkloads(runaitest.Many{Workloads: 1, Phase: "Completed"})[0]
	listed := texts(w.all("/api/v1/workloads", "workloads", 2), "id")
	if len(listed) != 4 || !slices.Contains(listed, done) {
		t.Errorf("listed %v", listed)
	}
	read := func() (events, records []string) {
		events = texts(w.all(ids[1]+"/events", "events", 4), "id")
		return events, kinds(w.all(ids[1]+"/history", "records", 5))
	}
	events, records := read()
	if len(events) != 6 || len(records) != 9 {
		t.Errorf("%d events, %d records: %v", len(events), len(records), records)
	}
	if tr := w.JobTruth(ids[1]); tr.Distinct() != 6 || len(tr.Phases) != 3 || tr.Phase != "Running" || tr.Records != 9 || tr.Events["Scheduled"] != 2 {
		t.Errorf("truth %+v", tr)
	}
	item := w.object(ids[1])
	if item["phase"] != "Running" || item["runningPods"] != 1.0 || item["totalPendingTimeSeconds"] != 30.0 {
		t.Errorf("item %v", item)
	}
	if item := w.object(done); item["completedAt"] == nil || item["runningPods"] != 0.0 {
		t.Errorf("item %v", item)
	}
	w.AddEvent(ids[1], runaitest.Event{ID: "new"}) // makes the rest real
	w.SetPhase(ids[1], "Failed", "")
	after, afterRecords := read()
	if !slices.Equal(after[1:], events) || after[0] != "new" || len(afterRecords) != 11 {
		t.Errorf("after a change: %v, %v", after, afterRecords)
	}
	if tr := w.JobTruth(ids[1]); tr.Distinct() != 7 || len(tr.Phases) != 4 || tr.Events["Scheduled"] != 2 {
		t.Errorf("truth %+v", tr)
	}
	w.wantClean()
}

var many = flag.Int("many", 20_000, "how many workloads TestManyWorkloads makes")

// TestManyWorkloads lists 10,000 of them; the time is generous, for slow machines. In full: go test -run ManyWorkloads -args -many 100000
func TestManyWorkloads(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	began := time.Now()
	w.AddMany(*many)
	w.login()
	made := time.Since(began)
	seen := make(map[string]bool)
	began = time.Now()
	for offset := 0; offset < 10_000; offset += 500 {
		for _, id := range texts(elements(w.object("/api/v1/workloads?limit=500&offset="+strconv.Itoa(offset))), "id") {
			seen[id] = true
		}
	}
	listed := time.Since(began)
	if len(seen) != 10_000 || w.object("count")["count"] != float64(*many) {
		t.Errorf("%d workloads listed", len(seen))
	}
	if made > 20*time.Second || listed > 20*time.Second {
		t.Errorf("made in %v, 10,000 listed in %v", made, listed)
	}
}

func elements(page map[string]any) []map[string]any {
	var out []map[string]any
	for _, e := range page["workloads"].([]any) {
		out = append(out, e.(map[string]any))
	}
	return out
}

// sink is a ResponseWriter that keeps nothing.
type sink struct{ h http.Header }

func (s sink) Header() http.Header         { return s.h }
func (s sink) Write(b []byte) (int, error) { return len(b), nil }
func (s sink) WriteHeader(int)             {}

// bench asks again and again.
func bench(b *testing.B, w *world, path string) {
	w.login()
	r := httptest.NewRequest("GET", "/api/v1/workloads"+path, nil)
	r.Header.Set("Authorization", "Bearer "+w.token)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "bench/1")
	out := sink{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		w.ServeHTTP(out, r)
	}
}

func BenchmarkQuietEvents(b *testing.B) {
	w := newWorld(b, runaitest.Options{})
	bench(b, w, "/"+w.AddMany(1000)[500]+"/events?limit=50")
}

func BenchmarkQuietHistory(b *testing.B) {
	w := newWorld(b, runaitest.Options{})
	bench(b, w, "/"+w.AddMany(1000)[500]+"/history?limit=50")
}

func BenchmarkPage(b *testing.B) {
	w := newWorld(b, runaitest.Options{})
	w.AddMany(10_000)
	bench(b, w, "?limit=500&offset=5000&sortBy=phaseUpdatedAt")
}

func BenchmarkFilteredPage(b *testing.B) {
	w := newWorld(b, runaitest.Options{})
	w.AddMany(10_000)
	bench(b, w, "?limit=500&offset=50&filterBy=projectName==team-3")
}

// BenchmarkPageOfMoving lists while phases change.
func BenchmarkPageOfMoving(b *testing.B) {
	w := newWorld(b, runaitest.Options{})
	ids := w.AddMany(100_000)
	w.login()
	n := 0
	for b.Loop() {
		n++
		w.now = w.now.Add(time.Second)
		w.SetPhase(ids[n*7919%len(ids)], "Running", "")
		w.get("/api/v1/workloads?limit=500&sortOrder=desc&sortBy=phaseUpdatedAt")
	}
}

func BenchmarkMetrics(b *testing.B) {
	w := newWorld(b, runaitest.Options{})
	id := w.AddMany(1000)[500]
	w.SetMetric(id, "GPU_UTILIZATION", "85")
	bench(b, w, "/"+id+"/metrics?metricType=GPU_UTILIZATION,GPU_ALLOCATION,RUNNING_POD_COUNT&numberOfSamples=1&"+window)
}

func BenchmarkAddMany(b *testing.B) {
	for b.Loop() {
		newWorld(b, runaitest.Options{}).AddMany(10_000)
	}
}
