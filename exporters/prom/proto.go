package prom

import (
	"math"

	"github.com/trainbridge/trainbridge/collector"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of client_model's metrics.proto.
const (
	familyName, familyHelp, familyType, familyMetric, familyUnit = 1, 2, 3, 4, 5

	metricLabel, metricGauge, metricCounter, metricHistogram = 1, 2, 3, 7

	pairName, pairValue = 1, 2

	gaugeValue                    = 1
	counterValue, counterCreated  = 1, 3
	exemplarLabel, exemplarValue  = 1, 2
	exemplarTime                  = 3
	bucketCount, bucketBound      = 1, 2
	bucketExemplar                = 3
	spanOffset, spanLength        = 1, 2
	timestampSeconds              = 1
	timestampNanos                = 2
	histogramCount, histogramSum  = 1, 2
	histogramBucket               = 3
	histogramSchema               = 5
	histogramZeroBound            = 6
	histogramZeros                = 7
	histogramSpan, histogramDelta = 12, 13
	histogramCreated              = 15
	histogramExemplar             = 16
)

// Values of the enumeration MetricType.
const (
	typeCounter   = 0
	typeGauge     = 1
	typeHistogram = 4
)

// zeroBound is the width of the zero bucket of [collector.Histogram]. A test holds the two together.
const zeroBound = 1e-9

// protoSyntax is delimited protobuf. A cell holds one message Metric for each point, with its length before it and without
// the labels of the identity.
type protoSyntax struct{}

func (protoSyntax) identity(dst []byte, names, values []string) []byte {
	for i, v := range values {
		if v != "" {
			dst = appendPair(dst, metricLabel, names[i], v)
		}
	}
	return dst
}

// appendPair writes a LabelPair as the given field.
func appendPair(dst []byte, field protowire.Number, name, value string) []byte {
	value = validText(value)
	size := protowire.SizeTag(pairName) + protowire.SizeBytes(len(name)) +
		protowire.SizeTag(pairValue) + protowire.SizeBytes(len(value))
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = appendString(dst, pairName, name)
	return appendString(dst, pairValue, value)
}

func appendString(dst []byte, field protowire.Number, s string) []byte {
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

func appendUint(dst []byte, field protowire.Number, n uint64) []byte {
	dst = protowire.AppendTag(dst, field, protowire.VarintType)
	return protowire.AppendVarint(dst, n)
}

func appendDouble(dst []byte, field protowire.Number, v float64) []byte {
	dst = protowire.AppendTag(dst, field, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, math.Float64bits(v))
}

// appendNested writes what fill appends as a message of the given field.
func appendNested(dst []byte, field protowire.Number, fill func([]byte) []byte) []byte {
	return appendSized(protowire.AppendTag(dst, field, protowire.BytesType), fill)
}

// appendSized writes what fill appends with its length before it.
func appendSized(dst []byte, fill func([]byte) []byte) []byte {
	from := len(dst)
	dst = fill(append(dst, 0)) // most messages are short: one byte of length
	n := len(dst) - from - 1
	if extra := protowire.SizeVarint(uint64(n)) - 1; extra > 0 {
		dst = append(dst, make([]byte, extra)...)
		copy(dst[from+1+extra:], dst[from+1:from+1+n])
	}
	protowire.AppendVarint(dst[:from], uint64(n))
	return dst
}

func appendTime(dst []byte, field protowire.Number, t collector.Time) []byte {
	if !t.Known() {
		return dst
	}
	return appendNested(dst, field, func(dst []byte) []byte {
		std := t.Std()
		dst = appendUint(dst, timestampSeconds, uint64(std.Unix()))
		return appendUint(dst, timestampNanos, uint64(std.Nanosecond()))
	})
}

func (protoSyntax) cell(dst []byte, f *family, start collector.Time, p *collector.Points) []byte {
	for i := range p.Len() {
		dst = appendSized(dst, func(dst []byte) []byte {
			for k, v := range p.Labels(i) {
				if v != "" && !f.labels[k].hidden {
					dst = appendPair(dst, metricLabel, f.labels[k].name, v)
				}
			}
			return appendValue(dst, f, start, p, i)
		})
	}
	return dst
}

func appendValue(dst []byte, f *family, start collector.Time, p *collector.Points, i int) []byte {
	switch f.kind {
	case collector.Counter:
		return appendNested(dst, metricCounter, func(dst []byte) []byte {
			return appendTime(appendDouble(dst, counterValue, p.Value(i)), counterCreated, start)
		})
	case collector.Distribution:
		return appendNested(dst, metricHistogram, func(dst []byte) []byte {
			return appendHistogram(dst, f, start, p.Histogram(i))
		})
	default:
		return appendNested(dst, metricGauge, func(dst []byte) []byte { return appendDouble(dst, gaugeValue, p.Value(i)) })
	}
}

func (protoSyntax) size(identity, cell []byte) int {
	total := 0
	for len(cell) > 0 {
		metric, n := protowire.ConsumeBytes(cell)
		cell = cell[n:]
		total += protowire.SizeTag(familyMetric) + protowire.SizeBytes(len(identity)+len(metric))
	}
	return total
}

func (protoSyntax) series(dst []byte, _ *family, identity, cell []byte, _ Format) []byte {
	for len(cell) > 0 {
		metric, n := protowire.ConsumeBytes(cell)
		cell = cell[n:]
		dst = protowire.AppendTag(dst, familyMetric, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(len(identity)+len(metric)))
		dst = append(dst, identity...)
		dst = append(dst, metric...)
	}
	return dst
}

// head is all of a MetricFamily but its metrics, after the length of both.
func (protoSyntax) head(dst []byte, f *family, size int, _ Format) []byte {
	kind := uint64(typeGauge)
	switch f.kind {
	case collector.Counter:
		kind = typeCounter
	case collector.Distribution:
		kind = typeHistogram
	}
	fields := appendString(make([]byte, 0, len(f.name)+len(f.help)+len(f.unit)+16), familyName, f.name)
	fields = appendString(fields, familyHelp, f.help)
	fields = appendUint(fields, familyType, kind)
	if f.unit != "" {
		fields = appendString(fields, familyUnit, f.unit)
	}
	dst = protowire.AppendVarint(dst, uint64(len(fields)+size))
	return append(dst, fields...)
}
