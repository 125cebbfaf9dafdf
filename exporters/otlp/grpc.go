package otlp

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/trainbridge/trainbridge/collector"
)

// The methods of the OTLP services.
const (
	metricsMethod = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
	tracesMethod  = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
)

// newConn is the connection that every request of a signal goes over, the SDK's included. Nothing is dialled yet.
// A changed client certificate is used for the next connection; a changed ca_file needs a restart.
func newConn(s Signal, agent string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if s.URL.Scheme == "https" {
		t, err := config.NewTLSConfig(&s.TLS)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		creds = credentials.NewTLS(t)
	}
	calls := []grpc.CallOption{grpc.MaxCallRecvMsgSize(maxAnswer)}
	if s.Gzip {
		calls = append(calls, grpc.UseCompressor(gzip.Name))
	}
	return grpc.NewClient(s.URL.Host,
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent(agent),
		grpc.WithDefaultCallOptions(calls...),
		grpc.WithUnaryInterceptor(addHeaders(headersOf(s))),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		grpc.WithMaxHeaderListSize(maxAnswer),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
	)
}

// addHeaders puts the configured headers on every call.
func addHeaders(h headerSource) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		var pairs []string
		if err := h.add(func(name, value string) { pairs = append(pairs, strings.ToLower(name), value) }); err != nil {
			return status.Error(codes.Unauthenticated, err.Error())
		}
		return call(metadata.AppendToOutgoingContext(ctx, pairs...), method, req, reply, cc, opts...)
	}
}

// rawCodec passes bytes that are encoded already. It is chosen for single calls and not registered.
type rawCodec struct{}

// Marshal implements encoding.CodecV2. The bytes are copied, because gRPC may still hold them after a call that was cut off.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(append([]byte(nil), b...))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("cannot receive a %T", v)
	}
	*b = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2: what is sent is protobuf.
func (rawCodec) Name() string { return "proto" }

// grpcClient is OTLP/gRPC.
type grpcClient struct {
	method  string
	timeout time.Duration
	conn    *grpc.ClientConn
}

func (c *grpcClient) close() { _ = c.conn.Close() }

func (c *grpcClient) send(ctx context.Context, body []byte) answer {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var reply []byte
	err := c.conn.Invoke(ctx, c.method, body, &reply, grpc.ForceCodecV2(rawCodec{}))
	if err == nil {
		return acceptedWith(reply)
	}
	return judgeStatus(status.Convert(err))
}

// judgeStatus reads a gRPC status as the OTLP specification has it, with the exceptions that judge makes.
func judgeStatus(s *status.Status) answer {
	a := answer{verdict: denied, why: collector.Clean(s.Code().String() + ": " + s.Message())}
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		a.verdict = retry
	case codes.ResourceExhausted:
		a.verdict = retry
		if strings.Contains(s.Message(), "larger than max") { // the words of gRPC implementations
			a.verdict = tooLarge
		}
	case codes.InvalidArgument:
		a.verdict = rejected
	case codes.Internal, codes.Unknown:
		a.verdict = unclear
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			a.after = clampWait(info.GetRetryDelay().AsDuration())
		}
	}
	return a
}
