package otlp

import (
	"bytes"
	"math"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

func sampleSpans() []collector.Span {
	at := collector.TimeOf(collectortest.Now())
	trace := collector.TraceIDOf(collector.Key{Source: "rl-team", ID: "7d0f"}, 1)
	return []collector.Span{
		{
			TraceID: trace, ID: collector.SpanID{1}, Name: "training", Start: at.Add(-time.Hour), End: at, Failed: true,
			Message: "CUDA out of memory",
			Attrs: []collector.Attr{
				{Key: "training.job.id", Text: "7d0f"}, {Key: "empty"},
				{Key: "training.steps", Number: 12, IsNumber: true, IsInt: true}, {Key: "negative", Number: -3, IsNumber: true, IsInt: true},
				{Key: "training.loss", Number: 0.25, IsNumber: true}, {Key: "zero", IsNumber: true},
				{Key: "diverged", Number: math.NaN(), IsNumber: true},
			},
		},
		{TraceID: trace, ID: collector.SpanID{2}, Parent: collector.SpanID{1}, Name: "phase running", Start: at.Add(-time.Minute), End: at},
		{
			TraceID: trace, ID: collector.SpanID{4}, Parent: collector.SpanID{1}, Name: "queue", Start: at.Add(-time.Hour), End: at, Dropped: 3,
			Events: []collector.SpanEvent{
				{At: at.Add(-time.Minute), Name: "FailedScheduling", Attrs: []collector.Attr{{Key: "training.event.message", Text: "0/8 nodes"}, {Key: "none"}}},
				{At: at, Name: "bad \xff"},
			},
		},
		{TraceID: trace, ID: collector.SpanID{3}, Parent: collector.SpanID{1}, Name: "bad \xff text", Start: at, End: at, Failed: true},
	}
}

// TestSpanGolden shows spans as they go out, decoded by types the encoder does not use.
func TestSpanGolden(t *testing.T) {
	var text []byte
	for _, s := range sampleSpans() {
		var m tracepb.Span
		if err := proto.Unmarshal(EncodeSpan(s), &m); err != nil {
			t.Fatal(err)
		}
		text = append(append(text, oneLine(t, &m)...), '\n')
	}
	golden(t, "spans.otlp.json", text)
}

// TestSpanBytes are the same for equal spans; a change of this number of bytes changes what is stored in outboxes.
func TestSpanBytes(t *testing.T) {
	for i, s := range sampleSpans() {
		if !bytes.Equal(EncodeSpan(s), EncodeSpan(sampleSpans()[i])) {
			t.Errorf("%s: two encodings differ", s.Name)
		}
	}
}

// TestSpanRequest holds the bytes of the rows unchanged.
func TestSpanRequest(t *testing.T) {
	var rows []OutboxRow
	for i, s := range sampleSpans() {
		rows = append(rows, OutboxRow{uint64(i), EncodeSpan(s)})
	}
	f := newFrame(testResource, "1.2.3")
	body := f.appendSpans(nil, rows)
	for _, r := range rows {
		if !bytes.Contains(body, r.Span) {
			t.Errorf("row %d is not in the request", r.Seq)
		}
	}
	var m coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	scope := m.ResourceSpans[0].ScopeSpans[0]
	if len(scope.Spans) != len(rows) || scope.Scope.Name != scopeName || scope.Scope.Version != "1.2.3" {
		t.Errorf("got %v", &m)
	}
	if got := attributes(m.ResourceSpans[0].Resource.Attributes); got["service_name"] != "trainbridge" {
		t.Errorf("resource %v", got)
	}
	if n := len(body) - len(f.appendSpans(nil, nil)); n > len(body) || f.size() < len(f.appendSpans(nil, nil)) {
		t.Errorf("frame.size %d is no upper bound of %d", f.size(), len(f.appendSpans(nil, nil)))
	}
}

func FuzzEncodeSpan(f *testing.F) {
	f.Add("name", "key", "text", 1.5, true, "message", int64(1))
	f.Add("\xff", "", "", -1.0, false, "\xc3\x28", int64(-5))
	f.Fuzz(func(t *testing.T, name, key, text string, number float64, isNumber bool, message string, at int64) {
		s := collector.Span{Name: name, Message: message, Failed: true, Start: collector.Time(at), End: collector.Time(at), Attrs: []collector.Attr{
			{Key: key, Text: text, Number: number, IsNumber: isNumber},
		}}
		var m tracepb.Span
		if err := proto.Unmarshal(EncodeSpan(s), &m); err != nil {
			t.Fatal(err)
		}
		if m.Name != valid(name) || m.Status.Message != valid(message) || m.EndTimeUnixNano != uint64(at) {
			t.Errorf("got %v", &m)
		}
	})
}
