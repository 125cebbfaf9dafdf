package otlp

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// TestSecrets: header values, from the file and from headers_file, are sent and are in no log line, error or metric, even
// when the receiver sends them back.
func TestSecrets(t *testing.T) {
	const canary, other = "canary-c0ffee", "canary-deadbeef"
	seen := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen[r.Header.Get("Authorization")+" "+r.Header.Get("X-Token")] = true
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "invalid key %q, token %s", r.Header.Get("Authorization"), r.Header.Get("X-Token"))
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "headers")
	write(t, file, "# comment\nX-Token: "+other+"\n")
	var logs bytes.Buffer
	registry := prometheus.NewRegistry()
	x := secretExporter(t, srv.URL, canary, file, &logs, registry)
	errs := []error{x.Flush(t.Context())}
	write(t, file, "X-Token: "+other+"-rotated\n")
	errs = append(errs, x.Flush(t.Context()))
	srv.Close()
	errs = append(errs, x.Flush(t.Context()))
	write(t, file, other+" is no header\n")
	errs = append(errs, x.Flush(t.Context()))

	if !seen[canary+" "+other] || !seen[canary+" "+other+"-rotated"] {
		t.Errorf("the headers did not arrive: %v", len(seen))
	}
	all := fmt.Sprint(errs, x.Troubles()) + logs.String()
	if !strings.Contains(all, "invalid key") {
		t.Error("what the receiver says is not told")
	}
	families, _ := registry.Gather()
	all += fmt.Sprint(families)
	if strings.Contains(all, "canary") {
		t.Errorf("a secret came out:\n%s", all)
	}
	if !strings.Contains(logs.String(), "401") || strings.Count(logs.String(), "\n") > 6 {
		t.Errorf("log:\n%s", logs.String())
	}
}

// TestSecretsGRPC: a receiver that quotes a credential, and a part of it, gets neither into what is told.
func TestSecretsGRPC(t *testing.T) {
	long := "canary" + strings.Repeat("-and-on", 100) // longer than what is shown of an answer
	r := &grpcReceiver{answer: func(int, []*tracepb.Span) (*coltracepb.ExportTraceServiceResponse, error) {
		return nil, status.Error(codes.Unauthenticated, "unknown: Bearer canary-c0ffee, key canary-c0ffee, token "+long)
	}}
	box := newBox()
	box.add(testSpan(1))
	off := false
	c := decode(t, "protocol: grpc\nheaders: {Authorization: Bearer canary-c0ffee, X-Token: "+long+"}\nendpoint: "+serveGRPC(t, r))
	c.Metrics.Enabled = &off
	x, err := New(settings(t, c, nil), Options{Outbox: box, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.close)
	all := fmt.Sprint(x.Flush(t.Context()), x.Troubles())
	if strings.Contains(all, "canary") || !strings.Contains(all, "unknown: <secret>, key <secret>, token <secret>") {
		t.Error(all)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func secretExporter(t *testing.T, url, secret, file string, logs *bytes.Buffer, registry *prometheus.Registry) *Exporter {
	t.Helper()
	c := decode(t, "interval: 1s\nheaders: {Authorization: "+secret+"}\nheaders_file: "+file+"\nendpoint: "+url)
	box := newBox()
	box.add(testSpan(1))
	x, err := New(settings(t, c, nil), Options{
		Outbox: box, Snapshot: collectortest.Fixture, Self: registry, Registerer: registry,
		Log: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.close)
	return x
}

// TestHostileAnswer: text of the receiver is short and clean in the log, and an answer without end is not read on.
func TestHostileAnswer(t *testing.T) {
	var endless atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		chunk := bytes.Repeat([]byte("\x1b[2Jforged\nlevel=INFO "), 1<<10)
		for range 64 << 20 / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		endless.Store(true)
	}))
	defer srv.Close()
	var logs bytes.Buffer
	x := secretExporter(t, srv.URL, "x", "", &logs, prometheus.NewRegistry())
	err := x.Flush(t.Context())
	if err == nil || len(err.Error()) > 1_000 || strings.ContainsAny(err.Error(), "\x1b") {
		t.Errorf("error of %d bytes: %.200s", len(fmt.Sprint(err)), err)
	}
	if endless.Load() {
		t.Error("64 MiB of an answer were read")
	}
	if logs.Len() > 2_000 || bytes.Contains(logs.Bytes(), []byte("\x1b")) {
		t.Errorf("log of %d bytes:\n%.500s", logs.Len(), logs.String())
	}
}

// TestOneLinePerChange: a receiver that stays down is reported once, and once when it is back.
func TestOneLinePerChange(t *testing.T) {
	var logs bytes.Buffer
	r := newReporter("traces", newMeters(), slog.New(slog.NewTextHandler(&logs, nil)))
	for range 50 {
		r.request(answer{verdict: retry, why: "503"}, 1)
	}
	for range 50 {
		r.request(answer{}, 1)
	}
	for range 50 {
		r.request(answer{refused: 1, why: "old"}, 1)
	}
	if got := strings.Count(logs.String(), "\n"); got != 3 {
		t.Errorf("%d lines:\n%s", got, logs.String())
	}
}
