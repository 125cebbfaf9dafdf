package otlp

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	exporter "github.com/trainbridge/trainbridge/exporters/otlp"
)

// BenchmarkMetrics pushes a snapshot of running jobs.
func BenchmarkMetrics(b *testing.B) {
	jobs := max(size(b, "TRAINBRIDGE_BENCH_POINTS", 20_000)/collectortest.SeriesPerJob, 1)
	snap := collectortest.Many(jobs)
	for _, compression := range []string{"gzip", "none"} {
		b.Run(compression, func(b *testing.B) {
			url, sent := discard(b)
			x := ours(b, url, compression, true, exporter.Options{Snapshot: func() *collector.Snapshot { return snap }})
			compare(b, jobs*collectortest.SeriesPerJob, sent, x.Flush, sdkMetrics(b, url, compression, snap))
		})
	}
}

// sdkMetrics pushes the same snapshot through sdk/metric and its OTLP exporter.
func sdkMetrics(b *testing.B, url, compression string, snap *collector.Snapshot) func(context.Context) error {
	how := otlpmetrichttp.NoCompression
	if compression == "gzip" {
		how = otlpmetrichttp.GzipCompression
	}
	x, err := otlpmetrichttp.New(b.Context(), otlpmetrichttp.WithEndpointURL(url+"/v1/metrics"),
		otlpmetrichttp.WithCompression(how), otlpmetrichttp.WithMaxRequestSize(0))
	if err != nil {
		b.Fatal(err)
	}
	reader := metric.NewManualReader(metric.WithProducer(producer{snap}))
	_ = metric.NewMeterProvider(metric.WithReader(reader))
	return func(ctx context.Context) error {
		var data metricdata.ResourceMetrics
		if err := reader.Collect(ctx, &data); err != nil {
			return err
		}
		return x.Export(ctx, &data)
	}
}

// producer reads the rows as an application of the SDK would.
type producer struct{ snap *collector.Snapshot }

// Produce implements metric.Producer.
func (p producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	rows, identity, now := collector.JobRows(), collector.JobIdentity(), time.Now()
	points := make([][]metricdata.DataPoint[float64], len(rows))
	var read collector.Points
	for j := range p.snap.Jobs.All {
		id := j.Identity(nil)
		for i := range rows {
			read.Reset()
			rows[i].Read(j, &read)
			for n := range read.Len() {
				kvs := make([]attribute.KeyValue, 0, 4)
				for k, v := range id {
					kvs = append(kvs, attribute.String(identity[k], v))
				}
				for k, v := range read.Labels(n) {
					kvs = append(kvs, attribute.String(rows[i].Labels[k], v))
				}
				points[i] = append(points[i], metricdata.DataPoint[float64]{
					Attributes: attribute.NewSet(kvs...), StartTime: j.Birth.Std(), Time: now, Value: read.Value(n),
				})
			}
		}
	}
	scope := metricdata.ScopeMetrics{Scope: instrumentation.Scope{Name: "bench"}}
	for i, r := range rows {
		if len(points[i]) > 0 {
			scope.Metrics = append(scope.Metrics, metricdata.Metrics{Name: r.Name, Description: r.Help, Unit: r.Unit, Data: data(r.Kind, points[i])})
		}
	}
	return []metricdata.ScopeMetrics{scope}, nil
}

func data(k collector.Kind, points []metricdata.DataPoint[float64]) metricdata.Aggregation {
	if k == collector.Gauge {
		return metricdata.Gauge[float64]{DataPoints: points}
	}
	return metricdata.Sum[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: k == collector.Counter}
}
