package otlp

import (
	"math"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of one request. A stock OpenTelemetry Collector takes 4 MiB by gRPC and 20 MiB by HTTP; receivers behind it have
// been seen to refuse 25,000 points and to take 5,000.
const (
	maxBody   = 4 << 20
	maxPoints = 5_000
	maxSpans  = 512
)

const scopeName = "github.com/trainbridge/trainbridge"

// The numbers of protobuf fields below are those of opentelemetry-proto 1.x: common/v1, resource/v1, metrics/v1, trace/v1.

func appendText(b []byte, field protowire.Number, s string) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}

func appendMessage(b []byte, field protowire.Number, m []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, m)
}

func appendFixed(b []byte, field protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, field, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, v)
}

func appendDouble(b []byte, field protowire.Number, v float64) []byte {
	return appendFixed(b, field, math.Float64bits(v))
}

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

// sizeBytes is what a field with a number below 16 and n bytes of content takes.
func sizeBytes(n int) int { return 1 + protowire.SizeBytes(n) }

// valid is s as protobuf demands text to be.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, string(utf8.RuneError))
}

// label is an attribute's key, encoded once: the field 1 of a KeyValue.
type label []byte

func newLabel(key string) label { return appendText(nil, 1, key) }

func newLabels(keys []string) []label {
	labels := make([]label, len(keys))
	for i, k := range keys {
		labels[i] = newLabel(k)
	}
	return labels
}

// size is what append will write.
func (l label) size(value string) int {
	return sizeBytes(len(l) + sizeBytes(sizeBytes(len(value))))
}

// append writes a KeyValue with a string value as the given field of the message around it.
func (l label) append(b []byte, field protowire.Number, value string) []byte {
	any := sizeBytes(len(value))
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(l)+sizeBytes(any)))
	b = append(b, l...)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(any))
	return appendText(b, 1, value)
}

// encodeResource is a Resource.
func encodeResource(attrs []Attribute) []byte {
	var b []byte
	for _, a := range attrs {
		b = newLabel(valid(a.Key)).append(b, 1, valid(a.Value))
	}
	return b
}

// encodeScope is an InstrumentationScope.
func encodeScope(version string) []byte {
	b := appendText(nil, 1, scopeName)
	if version != "" {
		b = appendText(b, 2, valid(version))
	}
	return b
}

// frame is what stands around the payload of a request: Resource{Metrics,Spans} and Scope{Metrics,Spans} have the same
// fields, and so do the two requests.
type frame struct {
	resource, scope []byte // with tag and length
}

func newFrame(resource []Attribute, version string) frame {
	return frame{appendMessage(nil, 1, encodeResource(resource)), appendMessage(nil, 1, encodeScope(version))}
}

// size bounds what the frame adds to the payload.
func (f frame) size() int { return len(f.resource) + len(f.scope) + 32 }

// open begins a request whose scope will hold size bytes of payload, which the caller appends.
func (f frame) open(b []byte, size int) []byte {
	scope := len(f.scope) + size
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(f.resource)+sizeBytes(scope)))
	b = append(b, f.resource...)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(scope))
	return append(b, f.scope...)
}
