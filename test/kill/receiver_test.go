//go:build unix

package kill

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver takes spans by OTLP over HTTP and remembers each id with its content.
type receiver struct {
	url string

	mu       sync.Mutex
	down     bool
	spans    map[string][]byte // by trace and span id
	changed  []string          // spans that came again with another content
	repeated int
	stepSum  int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{spans: map[string][]byte{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil || request.URL.Path != "/v1/traces" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var in collectortrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, resource := range in.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				r.take(span)
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *receiver) take(s *trace.Span) {
	content, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		r.changed = append(r.changed, err.Error())
		return
	}
	id := fmt.Sprintf("%x/%x", s.TraceId, s.SpanId)
	before, known := r.spans[id]
	if known {
		r.repeated++
		if !bytes.Equal(before, content) {
			r.changed = append(r.changed, fmt.Sprintf("span %s %s came again with another content", s.Name, id))
		}
		return
	}
	r.spans[id] = content
	switch s.Name {
	case "gradient_step":
		r.stepSum++
	case "gradient_steps":
		for _, a := range s.Attributes {
			if a.Key == "training.job.steps" {
				r.stepSum += int(a.Value.GetIntValue())
			}
		}
	}
}

// steps is how many gradient steps the spans received stand for.
func (r *receiver) steps() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stepSum
}

func (r *receiver) audit(steps int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	problems := r.changed[:min(len(r.changed), 5)]
	if r.stepSum != steps {
		problems = append(problems, fmt.Sprintf("spans stand for %d steps, %d happened (%d spans came again)", r.stepSum, steps, r.repeated))
	}
	return problems
}
