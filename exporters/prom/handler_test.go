package prom

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

var accepts = map[Format]string{
	Text:        "text/plain;version=0.0.4",
	OpenMetrics: "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
	Protobuf:    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
}

func scrape(h http.Handler, f Format, gz bool) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accepts[f])
	if gz {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// unzip reads a gzip body that must be one member, because many readers stop after the first.
func unzip(t *testing.T, w *httptest.ResponseRecorder) []byte {
	t.Helper()
	if w.Header().Get("Content-Encoding") != "gzip" {
		t.Fatalf("not compressed: %v", w.Header())
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	plain := readAll(t, z)
	if w.Body.Len() > 0 {
		t.Errorf("%d bytes after the first member", w.Body.Len())
	}
	return plain
}

func TestGzipIsTheSameAnswer(t *testing.T) {
	for f := range Format(formatCount) {
		var snap *collector.Snapshot
		h := New(Options{Snapshot: func() *collector.Snapshot { return snap }})
		for _, snap = range []*collector.Snapshot{
			collectortest.Fixture(), collectortest.Many(1500), {}, collectortest.Fixture(),
		} {
			want := scrape(h, f, false).Body.Bytes()
			if got := unzip(t, scrape(h, f, true)); !bytes.Equal(got, want) {
				t.Errorf("format %d: gzip has %d bytes, plain %d, and they differ", f, len(got), len(want))
			}
			if got := write(t, snap, f); !bytes.Equal(got, want) {
				t.Errorf("format %d: the handler's answer is not what Write writes", f)
			}
		}
	}
}

// TestAcceptHeaders has what real scrapers send.
func TestAcceptHeaders(t *testing.T) {
	h := New(Options{Snapshot: collectortest.Fixture})
	for _, c := range []struct{ name, accept, want string }{
		{
			"Prometheus 3",
			"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5," +
				"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
			"application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
		},
		{
			"Prometheus 3 with native histograms",
			"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," +
				"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4," +
				"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
			"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
		},
		{"Prometheus 3, text only", "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5", "text/plain; version=0.0.4; charset=utf-8"},
		{"Prometheus 2", "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/openmetrics-text; version=1.0.0"},
		{"old OpenMetrics", "application/openmetrics-text; version=0.0.1", "text/plain; version=0.0.4"},
		{"a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/plain; version=0.0.4"},
		{"curl", "*/*", "text/plain; version=0.0.4"},
		{"nothing", "", "text/plain; version=0.0.4"},
		{"nonsense", ";;q=x,,", "text/plain; version=0.0.4"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", c.accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, c.want) || w.Code != http.StatusOK {
			t.Errorf("%s: %d %q, want %q", c.name, w.Code, got, c.want)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "deflate, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.000": false,
		"*": true, "*;q=0": false, "identity": false, "br, zstd": false, "x-gzip": true, "gzip;q=x": false, "*, gzip;q=0": false,
	} {
		if got := acceptsGzip(http.Header{"Accept-Encoding": {header}}); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func TestNoAnswerIsNotAnEmptyOne(t *testing.T) {
	h := New(Options{Snapshot: func() *collector.Snapshot { return nil }})
	if w := scrape(h, Text, false); w.Code != http.StatusServiceUnavailable {
		t.Errorf("no snapshot: %d", w.Code)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/metrics", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d %v", w.Code, w.Header())
	}
}

func TestJobLabelsArePromoted(t *testing.T) {
	h := New(Options{Snapshot: collectortest.Fixture, JobLabels: []string{"training.job.name", "no.such.key", "training.job.name"}})
	body := scrape(h, OpenMetrics, false).Body.String()
	if err := checkOpenMetrics([]byte(body)); err != nil {
		t.Error(err)
	}
	want := `training_job_loss{training_source="rl-team",training_job_id="sft-0001",training_job_name="summarizer",training_split="train"} 1.0625` + "\n"
	if !strings.Contains(body, want) {
		t.Errorf("no line %s", want)
	}
	for l := range strings.Lines(body) {
		if strings.Count(l, "training_job_name=") > 1 {
			t.Errorf("the label stands twice: %s", l)
		}
	}
	proto := samples(decodeProto(t, scrape(h, Protobuf, false).Body.Bytes()))
	compare(t, samples(parseText(t, scrape(h, Text, false).Body.Bytes())), proto)
	if !slices.Contains(JobLabels(), "training.job.name") {
		t.Error("JobLabels lacks the name")
	}
}

// failing is a collector whose metric cannot be gathered.
type failing struct{}

func (failing) Describe(chan<- *prometheus.Desc) {}
func (failing) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("trainbridge_broken", "x", nil, nil), errors.New("broken"))
}

func TestSelfMetricsFollowInEveryFormat(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "trainbridge_x", Help: "X."}, func() float64 { return 3 }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "trainbridge_y_total", Help: "Y."}, func() float64 { return 4 }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "training_job_loss", Help: "A clash."}, func() float64 { return 5 }),
		prometheus.NewHistogram(prometheus.HistogramOpts{Name: "trainbridge_z_seconds", Help: "Z.", NativeHistogramBucketFactor: 1.1}),
		failing{},
	)
	h := New(Options{Snapshot: collectortest.Fixture, Self: reg})
	om := scrape(h, OpenMetrics, false).Body.Bytes()
	if err := checkOpenMetrics(om); err != nil {
		t.Error(err)
	}
	if !bytes.Contains(om, []byte("trainbridge_x 3.0\n")) {
		t.Error("no self metrics in OpenMetrics")
	}
	text := samples(parseText(t, scrape(h, Text, false).Body.Bytes()))
	if text["trainbridge_y_total{}"] != "COUNTER 4" || strings.HasSuffix(text["training_job_loss{}"], "5") {
		t.Errorf("y %q, clash %q", text["trainbridge_y_total{}"], text["training_job_loss{}"])
	}
	proto := samples(decodeProto(t, unzip(t, scrape(h, Protobuf, true))))
	for key := range text {
		if strings.HasPrefix(key, "trainbridge_z_seconds_bucket") {
			delete(text, key) // client_golang adds no +Inf bucket in protobuf
		}
	}
	compare(t, text, proto)
}

// slowWriter blocks until it is let go.
type slowWriter struct {
	http.ResponseWriter
	entered, leave chan struct{}
}

func (w *slowWriter) Write(b []byte) (int, error) {
	close(w.entered)
	<-w.leave
	return 0, errors.New("gone")
}

// TestSlowReaderHoldsOneSlot: with one slot the second scrape is refused, with two it is answered while the first hangs.
func TestSlowReaderHoldsOneSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for slots, want := range map[int]int{1: http.StatusServiceUnavailable, 2: http.StatusOK} {
			h := New(Options{Snapshot: collectortest.Fixture, MaxRequests: slots})
			slow := &slowWriter{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
			go h.ServeHTTP(slow, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			<-slow.entered
			if w := scrape(h, Text, false); w.Code != want {
				t.Errorf("%d slots: %d, want %d", slots, w.Code, want)
			}
			close(slow.leave)
			synctest.Wait()
			if w := scrape(h, Text, false); w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), write(t, collectortest.Fixture(), Text)) {
				t.Errorf("%d slots: after the slow reader: %d", slots, w.Code)
			}
		}
	})
}

// TestSlowReaderIsCut has a real connection whose reader stops.
func TestSlowReaderIsCut(t *testing.T) {
	snap := collectortest.Many(20_000)
	h := New(Options{Snapshot: func() *collector.Snapshot { return snap }, MaxRequests: 1, Timeout: 50 * time.Millisecond})
	done := make(chan struct{}, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		done <- struct{}{}
	}))
	defer srv.Close()
	resp, err := (&http.Client{Transport: &http.Transport{DisableCompression: true}}).Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the answer to a reader that stopped was not given up")
	}
}
