package otlp

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// grpcReceiver is an OTLP/gRPC receiver.
type grpcReceiver struct {
	coltracepb.UnimplementedTraceServiceServer
	colmetricpb.UnimplementedMetricsServiceServer
	answer func(n int, spans []*tracepb.Span) (*coltracepb.ExportTraceServiceResponse, error)

	mu       sync.Mutex
	requests int
	spans    []*tracepb.Span
	metrics  []*colmetricpb.ExportMetricsServiceRequest
	headers  []metadata.MD
}

type traceService struct{ *grpcReceiver }

func (s traceService) Export(ctx context.Context, r *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	md, _ := metadata.FromIncomingContext(ctx)
	s.headers = append(s.headers, md)
	var spans []*tracepb.Span
	for _, rs := range r.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			spans = append(spans, ss.Spans...)
		}
	}
	if s.answer != nil {
		if resp, err := s.answer(s.requests, spans); resp != nil || err != nil {
			return resp, err
		}
	}
	s.spans = append(s.spans, spans...)
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

type metricsService struct{ *grpcReceiver }

func (s metricsService) Export(ctx context.Context, r *colmetricpb.ExportMetricsServiceRequest) (*colmetricpb.ExportMetricsServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	md, _ := metadata.FromIncomingContext(ctx)
	s.headers = append(s.headers, md)
	s.metrics = append(s.metrics, r)
	return &colmetricpb.ExportMetricsServiceResponse{}, nil
}

func serveGRPC(t *testing.T, r *grpcReceiver) (endpoint string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(srv, traceService{r})
	colmetricpb.RegisterMetricsServiceServer(srv, metricsService{r})
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	return "http://" + l.Addr().String()
}

func grpcExporter(t *testing.T, endpoint string, o Options) *Exporter {
	t.Helper()
	c := decode(t, "protocol: grpc\nheaders: {X-Tenant: blue}\nendpoint: "+endpoint)
	if o.Snapshot == nil {
		off := false
		c.Metrics.Enabled = &off
	}
	o.Log = quiet()
	x, err := New(settings(t, c, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.close)
	return x
}

func TestGRPCDelivery(t *testing.T) {
	r, box := &grpcReceiver{}, newBox()
	box.add(testSpans(600)...)
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "trainbridge_x_total"}, func() float64 { return 7 }))
	x := grpcExporter(t, serveGRPC(t, r), Options{Outbox: box, Snapshot: collectortest.Fixture, Self: registry})
	if err := x.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(r.spans) != 600 || box.len() != 0 || r.requests != 2 {
		t.Errorf("%d spans in %d requests, %d left", len(r.spans), r.requests, box.len())
	}
	if len(r.metrics) != 2 || pointCount(r.metrics[0]) < 200 || metricsOf(r.metrics[1])[0].Name != "trainbridge_x_total" {
		t.Errorf("%d requests with metrics", len(r.metrics))
	}
	for _, h := range r.headers {
		if !slices.Equal(h.Get("x-tenant"), []string{"blue"}) || !strings.HasPrefix(h.Get("user-agent")[0], "trainbridge/") {
			t.Errorf("headers %v", h)
		}
	}
}

func TestGRPCAnswers(t *testing.T) {
	withInfo, _ := status.New(codes.ResourceExhausted, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(20 * time.Second)})
	for _, tt := range []struct {
		name  string
		err   error
		want  verdict
		after time.Duration
	}{
		{"unavailable", status.Error(codes.Unavailable, ""), retry, 0},
		{"aborted", status.Error(codes.Aborted, ""), retry, 0},
		{"canceled", status.Error(codes.Canceled, ""), retry, 0},
		{"exhausted, with time", withInfo.Err(), retry, 20 * time.Second},
		{"exhausted", status.Error(codes.ResourceExhausted, "quota"), retry, 0},
		{"exhausted by size", status.Error(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"), tooLarge, 0},
		{"unauthenticated", status.Error(codes.Unauthenticated, ""), denied, 0},
		{"unimplemented", status.Error(codes.Unimplemented, ""), denied, 0},
		{"invalid", status.Error(codes.InvalidArgument, ""), rejected, 0},
		{"internal", status.Error(codes.Internal, ""), unclear, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &grpcReceiver{answer: func(int, []*tracepb.Span) (*coltracepb.ExportTraceServiceResponse, error) { return nil, tt.err }}
			box := newBox()
			x := grpcExporter(t, serveGRPC(t, r), Options{Outbox: box})
			if a := x.traces.to.send(t.Context(), x.traces.frame.appendSpans(nil, []OutboxRow{{1, testSpan(1)}})); a.verdict != tt.want || a.after != tt.after {
				t.Errorf("got %+v", a)
			}
			box.add(testSpans(3)...)
			if err := x.Flush(t.Context()); err == nil || box.len() != 3 {
				t.Errorf("err %v, %d left", err, box.len())
			}
		})
	}
}

func TestGRPCRefusedAndHanging(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never speaks
	if err != nil {
		t.Fatal(err)
	}
	box := newBox()
	box.add(testSpan(1))
	x := grpcExporter(t, "http://"+l.Addr().String(), Options{Outbox: box})
	x.traces.to.(discreet).client.(*grpcClient).timeout = 200 * time.Millisecond
	if err := x.Flush(t.Context()); err == nil || box.len() != 1 {
		t.Errorf("hanging: err %v, %d left", err, box.len())
	}
	_ = l.Close()
	x = grpcExporter(t, "http://"+l.Addr().String(), Options{Outbox: box})
	if err := x.Flush(t.Context()); err == nil || box.len() != 1 {
		t.Errorf("refused: err %v, %d left", err, box.len())
	}
}

func TestGRPCPartialAndPoison(t *testing.T) {
	r := &grpcReceiver{answer: func(_ int, spans []*tracepb.Span) (*coltracepb.ExportTraceServiceResponse, error) {
		if slices.ContainsFunc(spans, func(s *tracepb.Span) bool { return s.Name == "span 3" }) {
			return nil, status.Error(codes.InvalidArgument, "bad span")
		}
		return &coltracepb.ExportTraceServiceResponse{PartialSuccess: &coltracepb.ExportTracePartialSuccess{RejectedSpans: 1}}, nil
	}}
	box := newBox()
	box.add(testSpans(8)...)
	x := grpcExporter(t, serveGRPC(t, r), Options{Outbox: box})
	if err := x.Flush(t.Context()); err != nil || box.len() != 0 {
		t.Errorf("err %v, %d left", err, box.len())
	}
	_, poison := counter(t, x, resultRejected)
	_, refused := counter(t, x, resultPartial)
	if got := fmt.Sprint(poison, refused); got != "1 3" {
		t.Errorf("poison and refused: %s", got)
	}
}

// TestGRPCLargeRequest stays below the 4 MiB that a stock server takes.
func TestGRPCLargeRequest(t *testing.T) {
	r, box := &grpcReceiver{}, newBox()
	for i := range 600 {
		box.add(EncodeSpan(collector.Span{ID: collector.SpanID{byte(i), byte(i >> 8), 1}, Name: strings.Repeat("x", 20_000)}))
	}
	x := grpcExporter(t, serveGRPC(t, r), Options{Outbox: box})
	if err := x.Flush(t.Context()); err != nil || len(r.spans) != 600 {
		t.Errorf("err %v, %d arrived", err, len(r.spans))
	}
}
