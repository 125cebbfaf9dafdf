package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
)

//go:embed testdata/jaeger.yaml
var jaegerConfig []byte

// A Jaeger is a running Jaeger server that keeps traces in memory.
type Jaeger struct {
	*Process
	GRPC  string // host:port that takes OTLP over gRPC, without TLS
	HTTP  string // http://host:port that takes OTLP over HTTP (OTEL_EXPORTER_OTLP_ENDPOINT)
	Query string // http://host:port of the query API
}

// StartJaeger starts a Jaeger, which is stopped when the test ends, and returns when it is ready.
func StartJaeger(t testing.TB) *Jaeger {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jaeger.yaml")
	if err := os.WriteFile(file, jaegerConfig, 0o600); err != nil {
		t.Fatalf("write the configuration of Jaeger: %v", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), Tool(t, "jaeger"), "--config="+file)
	j := &Jaeger{Process: Start(t, "jaeger", cmd)}
	j.Query = "http://" + j.WaitFor(t, startTimeout, `"msg":"Query server started".*"http_addr":"([^"]+)"`)[1]
	j.GRPC = j.WaitFor(t, startTimeout, `"msg":"Starting GRPC server".*"otelcol.component.id":"otlp".*"endpoint":"([^"]+)"`)[1]
	j.HTTP = "http://" + j.WaitFor(t, startTimeout, `"msg":"Starting HTTP server".*"otelcol.component.id":"otlp".*"endpoint":"([^"]+)"`)[1]
	j.WaitFor(t, startTimeout, `"msg":"Everything is ready. Begin running and processing data."`)
	return j
}

// Trace reads one trace back by its id (32 hexadecimal digits), and reports whether Jaeger has it.
func (j *Jaeger) Trace(t testing.TB, id string) (ptrace.Traces, bool) {
	t.Helper()
	traces, found, err := j.trace(t.Context(), id)
	if err != nil {
		t.Fatalf("read trace %s from Jaeger: %v", id, err)
	}
	return traces, found
}

func (j *Jaeger) trace(ctx context.Context, id string) (ptrace.Traces, bool, error) {
	none := ptrace.NewTraces()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.Query+"/api/v3/traces/"+id, http.NoBody)
	if err != nil {
		return none, false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return none, false, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return none, false, err
	case response.StatusCode == http.StatusNotFound:
		return none, false, nil
	case response.StatusCode != http.StatusOK:
		return none, false, fmt.Errorf("status %s: %s", response.Status, body)
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return none, false, fmt.Errorf("decode %.200s: %w", body, err)
	}
	traces, err := new(ptrace.JSONUnmarshaler).UnmarshalTraces(answer.Result)
	return traces, err == nil && traces.SpanCount() > 0, err
}

// EventuallyTrace waits until Jaeger has at least n spans of trace id. The test fails after timeout.
func (j *Jaeger) EventuallyTrace(t testing.TB, timeout time.Duration, id string, n int) ptrace.Traces {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(pollEvery) {
		traces, _ := j.Trace(t, id)
		if traces.SpanCount() >= n {
			return traces
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v Jaeger has %d spans of trace %s, not %d", timeout, traces.SpanCount(), id, n)
		}
	}
}
