package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/model"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// These tests hold the helpers to their word, against an exporter and an OTLP client that are not ours.

func TestPrometheusScrapes(t *testing.T) {
	for _, protocol := range []string{"PrometheusText0.0.4", "OpenMetricsText1.0.0", "PrometheusProto"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			accept := new(atomic.Value)
			target := exporter(t, accept)
			p := StartPrometheus(t, PrometheusConfig{
				Targets:          []string{target},
				Protocols:        []string{protocol},
				NativeHistograms: protocol == "PrometheusProto",
			})
			p.Scraped(t, 2, 20*time.Second)
			steps := p.Query(t, `training_job_gradient_steps_total{training_job_id="j1"}`)
			if len(steps) != 1 || steps[0].Value != 7 {
				t.Errorf("the counter came back as %v, want 7", steps)
			}
			native := p.Query(t, `histogram_count(training_job_step_duration_seconds)`)
			if got, want := len(native) == 1, protocol == "PrometheusProto"; got != want {
				t.Errorf("native histogram there: %t, want %t: %v", got, want, native)
			}
			if protocol != "PrometheusText0.0.4" {
				checkExemplar(t, p)
			}
			if asked, _ := accept.Load().(string); !strings.Contains(asked, map[string]string{
				"PrometheusText0.0.4": "text/plain;version=0.0.4", "OpenMetricsText1.0.0": "application/openmetrics-text;version=1.0.0",
				"PrometheusProto": "application/vnd.google.protobuf",
			}[protocol]) {
				t.Errorf("Prometheus asked for %q", asked)
			}
		})
	}
}

func checkExemplar(t *testing.T, p *Prometheus) {
	t.Helper()
	results, err := p.API.QueryExemplars(t.Context(), "training_job_step_duration_seconds_bucket or training_job_step_duration_seconds",
		time.Now().Add(-time.Hour), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatalf("query exemplars: %v", err)
	}
	for _, result := range results {
		for _, exemplar := range result.Exemplars {
			if exemplar.Labels["trace_id"] == "0af7651916cd43dd8448eb211c80319c" {
				return
			}
		}
	}
	t.Errorf("no exemplar came back: %v", results)
}

// exporter serves one job's metrics through client_golang, and stores what the last scraper said it accepts.
func exporter(t *testing.T, accept *atomic.Value) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	steps := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "training_job_gradient_steps_total", Help: "Steps.",
	}, []string{"training_source", "training_job_id"})
	duration := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "training_job_step_duration_seconds", Help: "Duration of a step.",
		Buckets: []float64{0.1, 1, 10}, NativeHistogramBucketFactor: 1.1,
	})
	registry.MustRegister(steps, duration)
	steps.WithLabelValues("fake", "j1").Add(7)
	duration.(prometheus.ExemplarObserver).ObserveWithExemplar(0.5, prometheus.Labels{"trace_id": "0af7651916cd43dd8448eb211c80319c"})
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		accept.Store(r.Header.Get("Accept"))
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// A scrape that Prometheus dislikes must be seen: a duplicate sample, then a page that is no exposition at all.
func TestPrometheusTroubleIsSeen(t *testing.T) {
	for name, page := range map[string]string{
		"duplicate": "# TYPE x gauge\nx{a=\"1\"} 1\nx{a=\"1\"} 2\n",
		"garbage":   "this is {no page\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain; version=0.0.4")
				_, _ = fmt.Fprint(w, page)
			}))
			t.Cleanup(server.Close)
			p := StartPrometheus(t, PrometheusConfig{Targets: []string{strings.TrimPrefix(server.URL, "http://")}, TroubleExpected: true})
			p.Eventually(t, 20*time.Second, `up`, Any)
			for deadline := time.Now().Add(10 * time.Second); len(p.Trouble()) == 0; time.Sleep(pollEvery) {
				if time.Now().After(deadline) {
					t.Fatal("a bad page was scraped and Trouble is empty")
				}
			}
			t.Log(p.Trouble()[0])
		})
	}
}

func TestPrometheusTakesOTLP(t *testing.T) {
	t.Parallel()
	p := StartPrometheus(t, PrometheusConfig{})
	exporter, err := otlpmetrichttp.New(t.Context(), otlpmetrichttp.WithEndpointURL(p.OTLPURL()))
	if err != nil {
		t.Fatal(err)
	}
	export(t, exporter)
	got := p.Eventually(t, 20*time.Second, `training_job_gradient_steps_total{training_job_id="j1"}`, Any)
	if got[0].Value != 7 {
		t.Errorf("the counter came back as %v, want 7", got)
	}
	if got := p.Query(t, `training_job_progress_ratio`); len(got) != 1 || got[0].Value != model.SampleValue(0.25) {
		t.Errorf("the gauge came back as %v, want 0.25", got)
	}
}

// export sends one counter and one gauge through the OpenTelemetry SDK.
func export(t *testing.T, exporter sdkmetric.Exporter) {
	t.Helper()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)))
	meter := provider.Meter("e2e")
	steps, err := meter.Int64Counter("training.job.gradient_steps", metric.WithUnit("{step}"))
	if err != nil {
		t.Fatal(err)
	}
	progress, err := meter.Float64Gauge("training.job.progress", metric.WithUnit("1"))
	if err != nil {
		t.Fatal(err)
	}
	job := metric.WithAttributes(attribute.String("training.source", "fake"), attribute.String("training.job.id", "j1"))
	steps.Add(t.Context(), 7, job)
	progress.Record(t.Context(), 0.25, job)
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatalf("export by OTLP: %v", err)
	}
}

func TestReceiverTakesMetrics(t *testing.T) {
	for name, dial := range map[string]func(*Receiver) (sdkmetric.Exporter, error){
		"http": func(r *Receiver) (sdkmetric.Exporter, error) {
			return otlpmetrichttp.New(t.Context(), otlpmetrichttp.WithEndpointURL(r.HTTP+"/v1/metrics"))
		},
		"grpc": func(r *Receiver) (sdkmetric.Exporter, error) {
			return otlpmetricgrpc.New(t.Context(), otlpmetricgrpc.WithEndpoint(r.GRPC), otlpmetricgrpc.WithInsecure())
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := StartReceiver(t)
			exporter, err := dial(r)
			if err != nil {
				t.Fatal(err)
			}
			export(t, exporter)
			families := r.Families()
			if got := families["training.job.gradient_steps"]; len(got) != 1 || got[0].Sum().DataPoints().At(0).IntValue() != 7 {
				t.Errorf("the counter came as %v, want one of 7", got)
			}
		})
	}
}

// exportTrace sends a root and a child through the OpenTelemetry SDK and returns the id of their trace.
func exportTrace(t *testing.T, url string) string {
	t.Helper()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(url+"/v1/traces"))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	ctx, root := provider.Tracer("e2e").Start(t.Context(), "training")
	_, child := provider.Tracer("e2e").Start(ctx, "step")
	child.End()
	root.End()
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Fatalf("export by OTLP: %v", err)
	}
	return root.SpanContext().TraceID().String()
}

func TestReceiverTakesSpans(t *testing.T) {
	r := StartReceiver(t)
	id := exportTrace(t, r.HTTP)
	spans := r.Spans()
	if len(spans) != 2 || spans[0].Name() != "step" || spans[0].ParentSpanID() != spans[1].SpanID() {
		t.Fatalf("received %v, want a step and then its parent", spans)
	}
	if got := spans[1].TraceID().String(); got != id {
		t.Errorf("the trace id is %s, want %s", got, id)
	}
	if spans[0].Resource["service.name"] == nil {
		t.Errorf("the resource is %v, want a service.name in it", spans[0].Resource)
	}
}

func TestJaegerGivesTheTraceBack(t *testing.T) {
	t.Parallel()
	j := StartJaeger(t)
	id := exportTrace(t, j.HTTP)
	if got := j.EventuallyTrace(t, 20*time.Second, id, 2).SpanCount(); got != 2 {
		t.Errorf("Jaeger has %d spans, want 2", got)
	}
	if _, found := j.Trace(t, "0123456789abcdef0123456789abcdef"); found {
		t.Error("Jaeger has a trace that nobody sent")
	}
}

func TestMissingToolSaysWhatToDo(t *testing.T) {
	_, err := findTool("no-such-server")
	if err == nil || !strings.Contains(err.Error(), "NO_SUCH_SERVER") || !strings.Contains(err.Error(), ".ci/tools") {
		t.Errorf("got %v, want an error that names the variable and the script", err)
	}
	t.Setenv("NO_SUCH_SERVER", t.TempDir()+"/gone")
	if _, err := findTool("no-such-server"); err == nil || !strings.Contains(err.Error(), "NO_SUCH_SERVER") {
		t.Errorf("got %v, want an error that names the variable", err)
	}
}
