package otlp

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/otlptranslator"
	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// metricReceiver is an OTLP/HTTP receiver of metrics.
type metricReceiver struct {
	t      testing.TB
	answer func(n, points int, w http.ResponseWriter)

	mu       sync.Mutex
	n        int
	accepted []*colmetricpb.ExportMetricsServiceRequest
	headers  []http.Header
}

func (r *metricReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var m colmetricpb.ExportMetricsServiceRequest
	if err := proto.Unmarshal(readBody(r.t, req), &m); err != nil {
		r.t.Errorf("request: %v", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	r.headers = append(r.headers, req.Header)
	rec := httptest.NewRecorder()
	if r.answer != nil {
		r.answer(r.n, pointCount(&m), rec)
	}
	if rec.Code/100 == 2 {
		r.accepted = append(r.accepted, &m)
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (r *metricReceiver) points() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.accepted {
		n += pointCount(m)
	}
	return n
}

func metricExporter(t *testing.T, r http.Handler, o Options) *Exporter {
	t.Helper()
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	off := false
	o.Log = quiet()
	x, err := New(settings(t, Config{Target: Target{Endpoint: srv.URL}, Traces: SignalConfig{Enabled: &off}}, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.close)
	return x
}

func many(jobs int) func() *collector.Snapshot {
	s := collectortest.Many(jobs)
	return func() *collector.Snapshot { return s }
}

// TestPushRetries a request that fails for a moment, within one push.
func TestPushRetries(t *testing.T) {
	r := &metricReceiver{t: t, answer: func(n, _ int, w http.ResponseWriter) {
		if n == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}}
	x := metricExporter(t, r, Options{Snapshot: many(1_000)})
	if err := x.Flush(t.Context()); err != nil || r.points() != 20_000 || r.n != 5 {
		t.Errorf("err %v, %d points in %d requests", err, r.points(), r.n)
	}
}

// TestPushRefused: content that is refused does not stop the rest; a refusing endpoint does.
func TestPushRefused(t *testing.T) {
	r := &metricReceiver{t: t, answer: func(n, _ int, w http.ResponseWriter) {
		if n == 2 {
			w.WriteHeader(http.StatusBadRequest)
		}
	}}
	x := metricExporter(t, r, Options{Snapshot: many(1_000)})
	if err := x.Flush(t.Context()); err != nil || r.points() != 15_000 {
		t.Errorf("err %v, %d points", err, r.points())
	}
	if n := testutil.ToFloat64(x.meters.items.WithLabelValues("metrics", resultRejected)); n != 5_000 {
		t.Errorf("counted %v", n)
	}
	r = &metricReceiver{t: t, answer: func(_, _ int, w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }}
	x = metricExporter(t, r, Options{Snapshot: many(1_000)})
	if err := x.Flush(t.Context()); err == nil || r.n != 1 {
		t.Errorf("err %v, %d requests", err, r.n)
	}
}

// TestPushShrinks for a receiver that takes only 700 points at a time.
func TestPushShrinks(t *testing.T) {
	r := &metricReceiver{t: t, answer: func(_, points int, w http.ResponseWriter) {
		if points > 700 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	}}
	x := metricExporter(t, r, Options{Snapshot: many(100)})
	if err := x.Flush(t.Context()); err != nil || r.points() != 2_000 {
		t.Errorf("err %v, %d points", err, r.points())
	}
}

// TestSelf: the bridge's own metrics arrive under the names they have on /metrics.
func TestSelf(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "trainbridge_commit_duration_seconds", Buckets: []float64{1, 2}})
	h.Observe(1.5)
	registry.MustRegister(h)
	r := &metricReceiver{t: t}
	x := metricExporter(t, r, Options{Snapshot: many(1), Self: registry, Registerer: registry, Version: "1.2.3"})
	if err := x.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(r.accepted) != 2 {
		t.Fatalf("%d requests", len(r.accepted))
	}
	first, second := r.accepted[0].ResourceMetrics[0].Resource, r.accepted[1].ResourceMetrics[0].Resource
	if !proto.Equal(first, second) {
		t.Errorf("resources differ:\n%v\n%v", first, second)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, f := range families {
		want = append(want, f.GetName())
	}
	got := promNames(t, r.accepted[1])
	if runtime.GOOS == "linux" && !slices.Contains(want, "process_cpu_seconds_total") || !slices.Contains(want, "trainbridge_otlp_exports_total") {
		t.Fatalf("registry has only %v", want)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("names:\n got %v\nwant %v", got, want)
	}
}

// promNames are the names that Prometheus makes of a request's metrics, sorted.
func promNames(t *testing.T, r *colmetricpb.ExportMetricsServiceRequest) (names []string) {
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	for _, m := range metricsOf(r) {
		var kind otlptranslator.MetricType = otlptranslator.MetricTypeGauge
		switch {
		case m.GetSum().GetIsMonotonic():
			kind = otlptranslator.MetricTypeMonotonicCounter
		case m.GetHistogram() != nil:
			kind = otlptranslator.MetricTypeHistogram
		case m.GetSummary() != nil:
			kind = otlptranslator.MetricTypeSummary
		}
		name, err := namer.Build(otlptranslator.Metric{Name: m.Name, Unit: m.Unit, Type: kind})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestPushHourDown: an hour without a receiver costs nothing but the hour: the next push says everything.
func TestPushHourDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, points, late := time.Now(), 0, time.Duration(0)
		s := settings(t, Config{Target: Target{Endpoint: "http://receiver"}}, nil)
		h := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			var m colmetricpb.ExportMetricsServiceRequest
			_ = proto.Unmarshal(readBody(t, r), &m)
			_ = r.Body.Close()
			if since := time.Since(began); since < time.Hour {
				return reply(503, http.Header{"Retry-After": {"7"}}), nil
			} else if points == 0 {
				late = since - time.Hour
			}
			points += pointCount(&m)
			return reply(200, nil), nil
		})}
		m := newMeters()
		p := &pusher{
			snapshot: many(10), interval: time.Minute, to: newHTTPClient(s.Metrics, h), enc: testEncoder(t),
			report: newReporter("metrics", m, quiet()),
		}
		ctx, cancel := context.WithTimeout(t.Context(), 63*time.Minute+time.Second)
		defer cancel()
		p.run(ctx, t.Context())
		if late > time.Minute+20*time.Second || points < 4*200 || points > 6*200 {
			t.Errorf("first push %v after the hour, %d points", late, points)
		}
	})
}

// TestRun pushes at the start, at every interval, and once more at the end, with the spans that are left.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, snap, times := newBox(), many(1), []time.Duration{}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		box.add(testSpan(1))
		d, m := virtual(t, box, func([]byte, *http.Request) (*http.Response, error) {
			if ctx.Err() == nil {
				return reply(503, http.Header{"Retry-After": {"100"}}), nil
			}
			return reply(200, nil), nil
		})
		x := &Exporter{traces: d, meters: m, metrics: &pusher{
			snapshot: snap, interval: time.Minute, enc: testEncoder(t), report: newReporter("metrics", m, quiet()),
			to: clientFunc(func(context.Context, []byte) answer {
				times = append(times, time.Since(began))
				return answer{}
			}),
		}}
		if err := x.Run(ctx); err != nil || box.len() != 0 {
			t.Errorf("err %v, %d spans left", err, box.len())
		}
		if got := fmt.Sprint(times); got != "[0s 1m0s 2m0s 2m30s]" {
			t.Error(got)
		}
	})
}

// TestRunEndsInTime although the receiver hangs.
func TestRunEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := newBox()
		box.add(testSpan(1))
		hang := clientFunc(func(ctx context.Context, _ []byte) answer {
			<-ctx.Done()
			return answer{verdict: retry}
		})
		m := newMeters()
		x := &Exporter{
			meters:  m,
			traces:  newDrainer(box, hang, frame{}, newReporter("traces", m, quiet())),
			metrics: &pusher{snapshot: many(1), interval: time.Minute, to: hang, enc: testEncoder(t), report: newReporter("metrics", m, quiet())},
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if err := x.Run(ctx); err != nil || time.Since(began) > 13*time.Second || box.len() != 1 {
			t.Errorf("err %v after %v, %d left", err, time.Since(began), box.len())
		}
	})
}

type clientFunc func(context.Context, []byte) answer

func (f clientFunc) send(ctx context.Context, body []byte) answer { return f(ctx, body) }
func (f clientFunc) close()                                       {}

func TestNewErrors(t *testing.T) {
	for want, c := range map[string]Config{
		"metrics: tls":    decode(t, "endpoint: https://h\ntls: {ca_file: /does/not/exist}"),
		"traces: tls":     decode(t, "endpoint: https://h\nprotocol: grpc\nmetrics: {enabled: false}\ntls: {ca_file: /does/not/exist}"),
		"job label \"x\"": decode(t, "endpoint: https://h"),
	} {
		_, err := New(settings(t, c, nil), Options{Log: quiet(), JobLabels: []string{"x"}[:boolInt(strings.Contains(want, "label"))]})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
