package otlp

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	"google.golang.org/grpc"

	"github.com/trainbridge/trainbridge/collector"
)

// selfPusher sends the bridge's own metrics with the OpenTelemetry SDK: a few hundred cumulative series, for which its limits
// and its loss of failed exports do no harm. Names go out as the registry has them, without a unit, and so come back
// as the same Prometheus names.
type selfPusher struct {
	reader   *metric.ManualReader
	provider *metric.MeterProvider
	exporter metric.Exporter
	report   *reporter
	hide     func(string) string // takes secrets out of what the receiver says
}

func newSelfPusher(g prometheus.Gatherer, attrs []Attribute, x metric.Exporter, r *reporter) *selfPusher {
	var kvs []attribute.KeyValue
	for _, a := range attrs {
		kvs = append(kvs, attribute.String(a.Key, a.Value))
	}
	producer := bridge.NewMetricProducer(bridge.WithGatherer(lenient{g, r.log}))
	reader := metric.NewManualReader(metric.WithProducer(producer))
	provider := metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(resource.NewSchemaless(kvs...)))
	return &selfPusher{reader: reader, provider: provider, exporter: x, report: r, hide: strings.Clone}
}

// lenient keeps what a gatherer could gather. The bridge would drop all of it for one error.
type lenient struct {
	prometheus.Gatherer
	log *slog.Logger
}

// Gather implements prometheus.Gatherer.
func (l lenient) Gather() ([]*dto.MetricFamily, error) {
	families, err := l.Gatherer.Gather()
	if err != nil {
		l.log.Debug("some of the bridge's own metrics could not be gathered", "err", err)
	}
	return families, nil
}

// selfRetry is short: the next push says everything again.
const (
	selfRetryFirst = 500 * time.Millisecond
	selfRetryMost  = 2 * time.Second
	selfRetryTotal = 5 * time.Second
)

func newSelfHTTP(ctx context.Context, s Signal, h *http.Client) (metric.Exporter, error) {
	plain := *s.URL
	plain.RawQuery = "" // the transport has the full address; errors need not show it
	compression := otlpmetrichttp.NoCompression
	if s.Gzip {
		compression = otlpmetrichttp.GzipCompression
	}
	return otlpmetrichttp.New(ctx,
		otlpmetrichttp.WithEndpointURL(plain.String()),
		otlpmetrichttp.WithTLSClientConfig(nil), // the client's; not that of the environment
		otlpmetrichttp.WithHeaders(nil),
		otlpmetrichttp.WithHTTPClient(h),
		otlpmetrichttp.WithCompression(compression),
		otlpmetrichttp.WithTimeout(s.Timeout),
		otlpmetrichttp.WithMaxResponseSize(maxAnswer),
		otlpmetrichttp.WithTemporalitySelector(metric.CumulativeTemporalitySelector),
		otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{
			Enabled: true, InitialInterval: selfRetryFirst, MaxInterval: selfRetryMost, MaxElapsedTime: selfRetryTotal,
		}),
	)
}

func newSelfGRPC(ctx context.Context, s Signal, conn *grpc.ClientConn) (metric.Exporter, error) {
	return otlpmetricgrpc.New(ctx,
		otlpmetricgrpc.WithGRPCConn(conn),
		otlpmetricgrpc.WithHeaders(nil),
		otlpmetricgrpc.WithTimeout(s.Timeout),
		otlpmetricgrpc.WithTemporalitySelector(metric.CumulativeTemporalitySelector),
		otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{
			Enabled: true, InitialInterval: selfRetryFirst, MaxInterval: selfRetryMost, MaxElapsedTime: selfRetryTotal,
		}),
	)
}

func (p *selfPusher) push(ctx context.Context) error {
	var data metricdata.ResourceMetrics
	if err := p.reader.Collect(ctx, &data); err != nil {
		return fmt.Errorf("gather the bridge's own metrics: %w", err)
	}
	err := p.exporter.Export(ctx, &data)
	a := answer{}
	if err != nil {
		a = answer{verdict: retry, why: p.hide(collector.Clean(reason(err)))}
		err = fmt.Errorf("the bridge's own metrics: %s", a.why)
	}
	p.report.request(a, points(&data))
	return err
}

// points counts the data points of a gathered registry.
func points(data *metricdata.ResourceMetrics) int {
	n := 0
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Gauge[float64]:
				n += len(d.DataPoints)
			case metricdata.Sum[float64]:
				n += len(d.DataPoints)
			case metricdata.Histogram[float64]:
				n += len(d.DataPoints)
			case metricdata.ExponentialHistogram[float64]:
				n += len(d.DataPoints)
			case metricdata.Summary:
				n += len(d.DataPoints)
			}
		}
	}
	return n
}

func (p *selfPusher) close(ctx context.Context) {
	_ = p.exporter.Shutdown(ctx)
	_ = p.provider.Shutdown(ctx)
}
