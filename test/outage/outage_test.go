// Package outage holds the test of what happens to spans while no receiver takes them, with the real recorder, ledger and
// exporter.
package outage

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/ledger"
	"github.com/trainbridge/trainbridge/exporters/otlp"
)

const produced = 5000 // spans of steps, and a few more

type outbox struct{ ledger.Engine }

func (o outbox) Peek(ctx context.Context, maxRows, maxBytes int) ([]otlp.OutboxRow, error) {
	rows, err := o.Engine.Peek(ctx, maxRows, maxBytes)
	out := make([]otlp.OutboxRow, len(rows))
	for i, r := range rows {
		out[i] = otlp.OutboxRow(r)
	}
	return out, err
}

// receiver answers 503 until it is up, and counts distinct spans.
type receiver struct {
	up    atomic.Bool
	mu    sync.Mutex
	spans map[string]string
	t     *testing.T
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if !r.up.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	var in collectortrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &in); err != nil {
		r.t.Error(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range in.ResourceSpans[0].ScopeSpans[0].Spans {
		r.spans[fmt.Sprintf("%x%x", s.TraceId, s.SpanId)] = s.Name
	}
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.spans)
}

// TestOutage keeps the receiver down while spans are made: below the bound of the outbox every one arrives, above it the
// dropped ones are counted to the last, in memory as on disk.
func TestOutage(t *testing.T) {
	for name, c := range map[string]struct {
		bound   int
		durable bool
	}{
		"memory, below the bound": {bound: 2 * produced},
		"memory, above the bound": {bound: produced / 5},
		"disk, below the bound":   {bound: 2 * produced, durable: true},
		"disk, above the bound":   {bound: produced / 5, durable: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := open(t, c.bound, c.durable)
			r := &receiver{spans: map[string]string{}, t: t}
			stop := export(t, state, r)
			train(t, state)
			down := state.OutboxStats()
			if down.Queued > uint64(c.bound) || down.Produced < produced || down.Produced != down.Queued+down.Dropped {
				t.Errorf("while the receiver is down: %+v", down)
			}
			if above := c.bound < produced; above != (down.Dropped > 0) {
				t.Errorf("bound %d: %+v", c.bound, down)
			}
			r.up.Store(true)
			deadline := time.Now().Add(30 * time.Second)
			for state.OutboxStats().Queued > 0 && time.Now().Before(deadline) {
				time.Sleep(20 * time.Millisecond)
			}
			stop()
			end := state.OutboxStats()
			if end.Queued != 0 || end.Sent != uint64(r.count()) || end.Produced != end.Sent+end.Dropped {
				t.Errorf("after recovery: %+v, %d received", end, r.count())
			}
		})
	}
}

func open(t *testing.T, bound int, durable bool) ledger.Engine {
	t.Helper()
	o := ledger.Options{Log: slog.New(slog.DiscardHandler), MaxOutboxRows: bound}
	if !durable {
		return ledger.Memory(o)
	}
	state, err := ledger.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	return state
}

func export(t *testing.T, state ledger.Engine, r *receiver) (stop func()) {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	off := false
	config := otlp.Config{Target: otlp.Target{Endpoint: server.URL, Compression: "none"}, Metrics: otlp.SignalConfig{Enabled: &off}}
	settings, err := config.WithEnvironment(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	x, err := otlp.New(settings, otlp.Options{
		Outbox: outbox{state}, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		Snapshot: func() *collector.Snapshot { return &collector.Snapshot{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// train records jobs whose steps make the spans.
func train(t *testing.T, state ledger.Engine) {
	t.Helper()
	recorder := collector.NewRecorder(state, collector.NewStore(collector.Limits{}), collector.RecorderOptions{EncodeSpan: otlp.EncodeSpan})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- recorder.Run(ctx) }()
	for job := range produced / 500 {
		key := collector.Key{Source: "outage", ID: fmt.Sprint("job-", job)}
		now := collector.TimeOf(time.Now())
		u := collector.Update{Key: key, At: now, Asked: now.Add(-time.Minute), Polled: true, Fresh: true}
		for i := range 500 {
			u.Events = append(u.Events, collector.Event{ID: fmt.Sprint("step-", i), Type: collector.StepEvent})
		}
		if err := recorder.Apply(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
