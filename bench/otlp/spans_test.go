package otlp

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/trainbridge/trainbridge/collector"
	exporter "github.com/trainbridge/trainbridge/exporters/otlp"
)

// BenchmarkSpans makes spans and sends them until the receiver has all.
func BenchmarkSpans(b *testing.B) {
	n := size(b, "TRAINBRIDGE_BENCH_SPANS", 10_000)
	for _, compression := range []string{"gzip", "none"} {
		b.Run(compression, func(b *testing.B) {
			url, sent := discard(b)
			box := &queue{}
			x := ours(b, url, compression, false, exporter.Options{Outbox: box})
			bridge := func(ctx context.Context) error {
				for i := range n {
					box.rows = append(box.rows, exporter.OutboxRow{Seq: uint64(i), Span: exporter.EncodeSpan(span(i))})
				}
				return x.Flush(ctx)
			}
			compare(b, n, sent, bridge, sdkSpans(b, url, compression, n))
		})
	}
}

func span(i int) collector.Span {
	at := collector.Time(1_773_480_413_000_000_000 + int64(i)*1_000_000)
	return collector.Span{
		TraceID: collector.TraceID{1, byte(i >> 8)}, ID: collector.SpanID{1, byte(i >> 16), byte(i >> 8), byte(i)}, Parent: collector.SpanID{9},
		Name: "gradient_step", Start: at, End: at.Add(time.Second),
		Attrs: []collector.Attr{
			{Key: "training.source", Text: "rl-team"},
			{Key: "training.job.id", Text: "7d0f6e0a-4b1e-4a57-9b1c-6a2f0f0c2f11"},
			{Key: "training.step", Number: float64(i), IsNumber: true, IsInt: true},
			{Key: "training.loss", Number: 0.25, IsNumber: true},
		},
	}
}

// sdkSpans makes the same spans with sdk/trace. Its queue blocks when it is full, for it would drop spans otherwise.
func sdkSpans(b *testing.B, url, compression string, n int) func(context.Context) error {
	how := otlptracehttp.NoCompression
	if compression == "gzip" {
		how = otlptracehttp.GzipCompression
	}
	x, err := otlptracehttp.New(b.Context(), otlptracehttp.WithEndpointURL(url+"/v1/traces"), otlptracehttp.WithCompression(how))
	if err != nil {
		b.Fatal(err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(x, sdktrace.WithBlocking()))
	b.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	tracer := provider.Tracer("bench")
	return func(ctx context.Context) error {
		for i := range n {
			s := span(i)
			_, t := tracer.Start(ctx, s.Name, trace.WithTimestamp(s.Start.Std()), trace.WithAttributes(
				attribute.String("training.source", "rl-team"),
				attribute.String("training.job.id", "7d0f6e0a-4b1e-4a57-9b1c-6a2f0f0c2f11"),
				attribute.Int("training.step", i),
				attribute.Float64("training.loss", 0.25),
			))
			t.End(trace.WithTimestamp(s.End.Std()))
		}
		return provider.ForceFlush(ctx)
	}
}

// queue is an outbox in memory whose rows leave in order.
type queue struct {
	mu   sync.Mutex
	rows []exporter.OutboxRow
}

func (q *queue) Peek(_ context.Context, maxRows, maxBytes int) ([]exporter.OutboxRow, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.rows[:min(maxRows, len(q.rows))]), nil
}

func (q *queue) Remove(_ context.Context, seqs []uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rows = q.rows[len(seqs):]
	return nil
}

func (q *queue) Wake() <-chan struct{} { return nil }
