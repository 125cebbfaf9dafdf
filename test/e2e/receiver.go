package e2e

import (
	"context"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A Receiver is the OTLP receiver of the OpenTelemetry Collector, within the test's own process.
type Receiver struct {
	GRPC string // host:port that takes OTLP over gRPC, without TLS
	HTTP string // http://host:port that takes OTLP over HTTP (OTEL_EXPORTER_OTLP_ENDPOINT)

	// What arrived, request by request. The sinks may be read and reset at any time.
	Metrics *consumertest.MetricsSink
	Traces  *consumertest.TracesSink
}

// StartReceiver starts a receiver, which is stopped when the test ends.
func StartReceiver(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{Metrics: new(consumertest.MetricsSink), Traces: new(consumertest.TracesSink)}
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	config.Protocols.GRPC.GetOrInsertDefault().NetAddr.Endpoint = "127.0.0.1:0"
	config.Protocols.HTTP.GetOrInsertDefault().ServerConfig.NetAddr.Endpoint = "127.0.0.1:0"
	core, log := observer.New(zap.InfoLevel)
	settings := receivertest.NewNopSettings(factory.Type())
	settings.Logger = zap.New(core)

	// Both come from one configuration and so share one server, as in a Collector.
	metrics, err := factory.CreateMetrics(t.Context(), settings, config, r.Metrics)
	if err != nil {
		t.Fatalf("make the OTLP metrics receiver: %v", err)
	}
	traces, err := factory.CreateTraces(t.Context(), settings, config, r.Traces)
	if err != nil {
		t.Fatalf("make the OTLP traces receiver: %v", err)
	}
	for _, part := range []component.Component{metrics, traces} {
		run(t, part)
	}
	r.GRPC = endpoint(t, log, "Starting GRPC server")
	r.HTTP = "http://" + endpoint(t, log, "Starting HTTP server")
	return r
}

func run(t testing.TB, part component.Component) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if err := part.Start(ctx, componenttest.NewNopHost()); err != nil {
		t.Fatalf("start the OTLP receiver: %v", err)
	}
	t.Cleanup(func() {
		if err := part.Shutdown(ctx); err != nil {
			t.Errorf("stop the OTLP receiver: %v", err)
		}
	})
}

// endpoint reads the address that the kernel chose from the receiver's log, the only place that has it.
func endpoint(t testing.TB, log *observer.ObservedLogs, message string) string {
	t.Helper()
	for _, entry := range log.FilterMessage(message).All() {
		if address, ok := entry.ContextMap()["endpoint"].(string); ok {
			return address
		}
	}
	t.Fatalf("the OTLP receiver did not log %q with its endpoint", message)
	return ""
}

// A ReceivedSpan is one span with the resource it came under.
type ReceivedSpan struct {
	ptrace.Span
	Resource map[string]any
}

// Spans returns every span received so far, in the order of arrival. One that came twice is there twice.
func (r *Receiver) Spans() []ReceivedSpan {
	var spans []ReceivedSpan
	for _, request := range r.Traces.AllTraces() {
		for _, resource := range request.ResourceSpans().All() {
			attributes := resource.Resource().Attributes().AsRaw()
			for _, scope := range resource.ScopeSpans().All() {
				for _, span := range scope.Spans().All() {
					spans = append(spans, ReceivedSpan{Span: span, Resource: attributes})
				}
			}
		}
	}
	return spans
}

// Families returns every metric received so far, in the order of arrival, by its OpenTelemetry name.
func (r *Receiver) Families() map[string][]pmetric.Metric {
	families := map[string][]pmetric.Metric{}
	for _, request := range r.Metrics.AllMetrics() {
		for _, resource := range request.ResourceMetrics().All() {
			for _, scope := range resource.ScopeMetrics().All() {
				for _, metric := range scope.Metrics().All() {
					families[metric.Name()] = append(families[metric.Name()], metric)
				}
			}
		}
	}
	return families
}
