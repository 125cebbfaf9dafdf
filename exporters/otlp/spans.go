package otlp

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trainbridge/trainbridge/collector"
)

// EncodeSpan is the encoding of a span as an opentelemetry.proto.trace.v1.Span. The same span gives the same bytes, in every
// process and version of the bridge: they are stored, and sent again as they are.
func EncodeSpan(s collector.Span) []byte {
	b := make([]byte, 0, spanBound(&s))
	b = appendMessage(b, 1, s.TraceID[:])
	b = appendMessage(b, 2, s.ID[:])
	if s.Parent != (collector.SpanID{}) {
		b = appendMessage(b, 4, s.Parent[:])
	}
	b = appendText(b, 5, valid(s.Name))
	b = appendNumber(b, 6, 1) // SPAN_KIND_INTERNAL
	b = appendFixed(b, 7, uint64(s.Start))
	b = appendFixed(b, 8, uint64(s.End))
	for _, a := range s.Attrs {
		b = appendAttr(b, 9, a)
	}
	for i := range s.Events {
		b = appendEvent(b, 11, &s.Events[i])
	}
	if s.Dropped > 0 {
		b = appendNumber(b, 12, s.Dropped)
	}
	if s.Failed {
		b = appendError(b, 15, s.Message)
	}
	return b
}

// appendEvent writes a Span.Event.
func appendEvent(b []byte, field protowire.Number, e *collector.SpanEvent) []byte {
	var event []byte
	event = appendFixed(event, 1, uint64(e.At))
	event = appendText(event, 2, valid(e.Name))
	for _, a := range e.Attrs {
		event = appendAttr(event, 3, a)
	}
	return appendMessage(b, field, event)
}

// spanBound is at least the size of the encoding, unless text is invalid and grows.
func spanBound(s *collector.Span) int {
	n := 96 + len(s.Name) + len(s.Message)
	for i := range s.Attrs {
		n += 24 + len(s.Attrs[i].Key) + len(s.Attrs[i].Text)
	}
	return n
}

// appendError writes a Status with STATUS_CODE_ERROR.
func appendError(b []byte, field protowire.Number, message string) []byte {
	message = valid(message)
	size := 2
	if message != "" {
		size += sizeBytes(len(message))
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	if message != "" {
		b = appendText(b, 2, message)
	}
	return appendNumber(b, 3, 2)
}

// appendAttr writes a KeyValue. A text that is empty is an absent attribute.
func appendAttr(b []byte, field protowire.Number, a collector.Attr) []byte {
	if !a.IsNumber && a.Text == "" {
		return b
	}
	key, text := valid(a.Key), valid(a.Text)
	size := sizeBytes(len(text))
	switch {
	case a.IsInt:
		size = 1 + protowire.SizeVarint(uint64(int64(a.Number)))
	case a.IsNumber:
		size = 9
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(sizeBytes(len(key))+sizeBytes(size)))
	b = appendText(b, 1, key)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	switch {
	case a.IsInt:
		return appendNumber(b, 3, uint64(int64(a.Number)))
	case a.IsNumber:
		return appendDouble(b, 4, a.Number)
	}
	return appendText(b, 1, text)
}

// appendSpans appends an ExportTraceServiceRequest that holds the rows' bytes unchanged.
func (f frame) appendSpans(b []byte, rows []OutboxRow) []byte {
	size := 0
	for _, r := range rows {
		size += sizeBytes(len(r.Span))
	}
	b = f.open(b, size)
	for _, r := range rows {
		b = appendMessage(b, 2, r.Span)
	}
	return b
}
