package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/trainbridge/trainbridge/collector"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			t.Fatalf("%s line %d:\n got %s\nwant %s\n(go test -update writes it)", file, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d (go test -update writes it)", file, len(g), len(w))
}

// oneLine is protojson without its random white space.
func oneLine(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// memBox is an outbox in memory.
type memBox struct {
	mu      sync.Mutex
	rows    []OutboxRow
	next    uint64
	wake    chan struct{}
	failing error // of Remove
}

func newBox() *memBox { return &memBox{wake: make(chan struct{}, 1)} }

func (b *memBox) add(spans ...[]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range spans {
		b.next++
		b.rows = append(b.rows, OutboxRow{b.next, s})
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *memBox) Peek(_ context.Context, maxRows, maxBytes int) ([]OutboxRow, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	size, n := 0, 0
	for _, r := range b.rows {
		if size += len(r.Span); n == maxRows || n > 0 && size > maxBytes {
			break
		}
		n++
	}
	return slices.Clone(b.rows[:n]), nil
}

func (b *memBox) Remove(_ context.Context, seqs []uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing != nil {
		return b.failing
	}
	b.rows = slices.DeleteFunc(b.rows, func(r OutboxRow) bool { return slices.Contains(seqs, r.Seq) })
	return nil
}

func (b *memBox) Wake() <-chan struct{} { return b.wake }

func (b *memBox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.rows)
}

// testSpan is the nth of distinct spans.
func testSpan(n int) []byte {
	return EncodeSpan(collector.Span{
		TraceID: collector.TraceIDOf(collector.Key{Source: "s", ID: "j"}, 1),
		ID:      collector.SpanID{1, 2, 3, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 9},
		Name:    fmt.Sprintf("span %d", n), Start: 1, End: 2,
	})
}

func testSpans(n int) (spans [][]byte) {
	for i := range n {
		spans = append(spans, testSpan(i))
	}
	return spans
}

// traceReceiver is an OTLP/HTTP receiver. The answer of each request is decided by a function; spans of requests answered
// with a 2xx are kept.
type traceReceiver struct {
	t      testing.TB
	answer func(n int, spans []*tracepb.Span, w http.ResponseWriter)

	mu       sync.Mutex
	requests int
	spans    []*tracepb.Span
	raw      [][]byte
}

func (r *traceReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body := readBody(r.t, req)
	var m coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &m); err != nil {
		r.t.Errorf("request: %v", err)
	}
	var spans []*tracepb.Span
	for _, rs := range m.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			spans = append(spans, ss.Spans...)
		}
	}
	rec := httptest.NewRecorder()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	if r.answer != nil {
		r.answer(r.requests, spans, rec)
	}
	r.raw = append(r.raw, body)
	if rec.Code/100 == 2 {
		r.spans = append(r.spans, spans...)
	}
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (r *traceReceiver) names() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		names = append(names, s.Name)
	}
	return names
}

func (r *traceReceiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func readBody(t testing.TB, req *http.Request) []byte {
	var in io.Reader = req.Body
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(in)
		if err != nil {
			t.Errorf("request: %v", err)
			return nil
		}
		in = z
	}
	body, err := io.ReadAll(in)
	if err != nil {
		t.Errorf("request: %v", err)
	}
	return body
}

// settings are what the given variables decide.
func settings(t testing.TB, c Config, env map[string]string) Settings {
	t.Helper()
	s, err := c.WithEnvironment(func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
