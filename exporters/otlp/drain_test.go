package otlp

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traceExporter sends the spans of box to a server that answers with r.
func traceExporter(t *testing.T, r http.Handler, box Outbox) (*Exporter, *prometheus.Registry) {
	t.Helper()
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	registry := prometheus.NewRegistry()
	no := false
	c := Config{Target: Target{Endpoint: srv.URL}, Metrics: SignalConfig{Enabled: &no}}
	x, err := New(settings(t, c, nil), Options{Outbox: box, Registerer: registry, Log: quiet(), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.close)
	return x, registry
}

func counter(t *testing.T, x *Exporter, result string) (exports, items float64) {
	t.Helper()
	return testutil.ToFloat64(x.meters.exports.WithLabelValues("traces", result)),
		testutil.ToFloat64(x.meters.items.WithLabelValues("traces", result))
}

func always(code int) func(int, []*tracepb.Span, http.ResponseWriter) {
	return func(_ int, _ []*tracepb.Span, w http.ResponseWriter) { w.WriteHeader(code) }
}

func TestDelivery(t *testing.T) {
	box, r := newBox(), &traceReceiver{t: t}
	box.add(testSpans(1_300)...)
	x, _ := traceExporter(t, r, box)
	if err := x.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	names := r.names()
	if box.len() != 0 || len(names) != 1_300 || names[0] != "span 0" || names[1_299] != "span 1299" {
		t.Errorf("%d left, %d arrived", box.len(), len(names))
	}
	if r.count() != 3 {
		t.Errorf("%d requests", r.count())
	}
	if exports, items := counter(t, x, resultSuccess); exports != 3 || items != 1_300 {
		t.Errorf("counted %v requests, %v spans", exports, items)
	}
}

// TestAnswers says for every kind of answer whether the spans stay and how it is counted.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		code   int
		left   int
		result string
	}{
		{200, 0, resultSuccess}, {202, 0, resultSuccess},
		{408, 3, resultRetry}, {429, 3, resultRetry}, {502, 3, resultRetry}, {503, 3, resultRetry}, {504, 3, resultRetry},
		{301, 3, resultError}, {307, 3, resultError}, {401, 3, resultError}, {403, 3, resultError}, {404, 3, resultError},
		{405, 3, resultError}, {415, 3, resultError}, {500, 3, resultError}, {501, 3, resultError},
		{400, 3, resultRejected}, {422, 3, resultRejected}, {413, 3, resultRejected}, // everything is refused: the endpoint is at fault
	} {
		t.Run(fmt.Sprint(tt.code), func(t *testing.T) {
			box := newBox()
			box.add(testSpans(3)...)
			x, _ := traceExporter(t, &traceReceiver{t: t, answer: always(tt.code)}, box)
			err := x.Flush(t.Context())
			if (err == nil) != (tt.left == 0) || box.len() != tt.left {
				t.Errorf("%d left, err %v", box.len(), err)
			}
			if exports, _ := counter(t, x, tt.result); exports == 0 {
				t.Errorf("no request counted as %s", tt.result)
			}
			if _, items := counter(t, x, resultRejected); items != 0 {
				t.Errorf("%v spans counted as lost", items)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	for _, code := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		requests, reached := 0, 0
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
		box := newBox()
		box.add(testSpan(1))
		x, _ := traceExporter(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			http.Redirect(w, r, other.URL, code)
		}), box)
		err := x.Flush(t.Context())
		other.Close()
		if err == nil || requests != 1 || reached != 0 || box.len() != 1 {
			t.Errorf("%d: err %v, %d requests, followed %d times, %d left", code, err, requests, reached, box.len())
		}
	}
}

func TestConnectionRefused(t *testing.T) {
	srv := httptest.NewServer(nil)
	srv.Close()
	box := newBox()
	box.add(testSpan(1))
	x, err := New(settings(t, Config{Traces: SignalConfig{Target: Target{Endpoint: srv.URL}}}, nil), Options{Outbox: box, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Flush(t.Context()); err == nil || box.len() != 1 || strings.Contains(err.Error(), "Post") {
		t.Errorf("err %v, %d left", err, box.len())
	}
}

// TestHang: a receiver that never answers is given up after the timeout, and its answer, when it comes, removes nothing.
func TestHang(t *testing.T) {
	release := make(chan struct{})
	r := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
	box := newBox()
	box.add(testSpan(1))
	x, _ := traceExporter(t, r, box)
	x.traces.to.(discreet).client.(*httpClient).timeout = 100 * time.Millisecond
	err := x.Flush(t.Context())
	close(release)
	if err == nil || !strings.Contains(err.Error(), "in time") || box.len() != 1 {
		t.Errorf("err %v, %d left", err, box.len())
	}
}

func partial(w http.ResponseWriter, refused int64, why string) {
	b, _ := proto.Marshal(&coltracepb.ExportTraceServiceResponse{
		PartialSuccess: &coltracepb.ExportTracePartialSuccess{RejectedSpans: refused, ErrorMessage: why},
	})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(b)
}

// TestPartialSuccess is never sent again.
func TestPartialSuccess(t *testing.T) {
	box := newBox()
	box.add(testSpans(10)...)
	r := &traceReceiver{t: t, answer: func(_ int, _ []*tracepb.Span, w http.ResponseWriter) { partial(w, 4, "too old\x1b[31m") }}
	x, _ := traceExporter(t, r, box)
	if err := x.Flush(t.Context()); err != nil || box.len() != 0 || r.count() != 1 {
		t.Errorf("err %v, %d left, %d requests", err, box.len(), r.count())
	}
	_, lost := counter(t, x, resultPartial)
	exports, _ := counter(t, x, resultPartial)
	if _, kept := counter(t, x, resultSuccess); lost != 4 || kept != 6 || exports != 1 {
		t.Errorf("lost %v, kept %v", lost, kept)
	}
}

// TestPoison: a span that the receiver refuses, or breaks on, takes no other with it.
func TestPoison(t *testing.T) {
	for _, tt := range []struct {
		name   string
		code   int
		poison []string
		rounds int
	}{
		{"one of many", 400, []string{"span 77"}, 1},
		{"several", 422, []string{"span 0", "span 5", "span 6", "span 511", "span 512"}, 1},
		{"ten in a row", 400, []string{"span 0", "span 1", "span 2", "span 3", "span 4", "span 5", "span 6", "span 7", "span 8", "span 9"}, 1},
		{"too large", 413, []string{"span 300"}, 1},
		{"breaks the receiver", 500, []string{"span 9"}, unclearLimit + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			box := newBox()
			box.add(testSpans(700)...)
			r := &traceReceiver{t: t, answer: func(_ int, spans []*tracepb.Span, w http.ResponseWriter) {
				if slices.ContainsFunc(spans, func(s *tracepb.Span) bool { return slices.Contains(tt.poison, s.Name) }) {
					w.WriteHeader(tt.code)
				}
			}}
			x, _ := traceExporter(t, r, box)
			for range tt.rounds {
				if box.len() < 700-512 {
					t.Fatal("the culprit was searched too early")
				}
				_ = x.Flush(t.Context())
			}
			want := 700 - len(tt.poison)
			if box.len() != 0 || len(r.names()) != want {
				t.Errorf("%d left, %d arrived, want %d", box.len(), len(r.names()), want)
			}
			if _, lost := counter(t, x, resultRejected); int(lost) != len(tt.poison) {
				t.Errorf("counted %v", lost)
			}
			if r.count() > 150 {
				t.Errorf("%d requests", r.count())
			}
		})
	}
}

// TestOnlyPoison: when nothing else waits, an empty request tells a bad span from a bad endpoint.
func TestOnlyPoison(t *testing.T) {
	box := newBox()
	box.add(testSpan(1))
	r := &traceReceiver{t: t, answer: func(_ int, spans []*tracepb.Span, w http.ResponseWriter) {
		if len(spans) > 0 {
			w.WriteHeader(http.StatusBadRequest)
		}
	}}
	x, _ := traceExporter(t, r, box)
	if err := x.Flush(t.Context()); err != nil || box.len() != 0 {
		t.Errorf("err %v, %d left", err, box.len())
	}
}

// TestWrongEndpoint: a server that refuses everything with 400 costs no spans and few requests.
func TestWrongEndpoint(t *testing.T) {
	box := newBox()
	box.add(testSpans(512)...)
	r := &traceReceiver{t: t, answer: always(400)}
	x, _ := traceExporter(t, r, box)
	if err := x.Flush(t.Context()); err == nil || box.len() != 512 || r.count() > 40 {
		t.Errorf("err %v, %d left, %d requests", err, box.len(), r.count())
	}
}

// TestRemoveFails: spans that the receiver has are not sent again because the outbox is broken for a while.
func TestRemoveFails(t *testing.T) {
	box, r := newBox(), &traceReceiver{t: t}
	box.add(testSpans(5)...)
	box.failing = errors.New("disk full")
	x, _ := traceExporter(t, r, box)
	for range 3 {
		if err := x.Flush(t.Context()); err == nil {
			t.Fatal("no error")
		}
	}
	box.failing = nil
	if err := x.Flush(t.Context()); err != nil || box.len() != 0 || r.count() != 1 {
		t.Errorf("err %v, %d left, %d requests", err, box.len(), r.count())
	}
}

// TestRawBytesAgain compares whole requests: an unanswered one is repeated byte by byte.
func TestRawBytesAgain(t *testing.T) {
	box := newBox()
	box.add(testSpans(20)...)
	r := &traceReceiver{t: t, answer: func(n int, _ []*tracepb.Span, w http.ResponseWriter) {
		if n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}}
	x, _ := traceExporter(t, r, box)
	_ = x.Flush(t.Context())
	if err := x.Flush(t.Context()); err != nil || len(r.raw) != 2 || !bytes.Equal(r.raw[0], r.raw[1]) {
		t.Errorf("err %v, %d requests", err, len(r.raw))
	}
}
