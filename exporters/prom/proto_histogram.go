package prom

import (
	"math"

	"github.com/trainbridge/trainbridge/collector"
	"google.golang.org/protobuf/encoding/protowire"
)

// appendHistogram writes a Histogram with both kinds of buckets: classic ones for servers that do not take native
// histograms, and native ones.
func appendHistogram(dst []byte, f *family, start collector.Time, h *collector.Histogram) []byte {
	dst = appendUint(dst, histogramCount, h.Count)
	dst = appendDouble(dst, histogramSum, h.Sum)
	marked := -1
	if h.Exemplar != nil {
		marked = f.exemplarBucket(h.Exemplar)
	}
	for i := range len(f.bounds) + 1 {
		le, n := math.Inf(+1), h.Count
		if i < len(f.bounds) {
			le, n = f.bounds[i].value, h.Below(f.bounds[i].exponent)
		}
		dst = appendNested(dst, histogramBucket, func(dst []byte) []byte {
			dst = appendUint(dst, bucketCount, n)
			dst = appendDouble(dst, bucketBound, le)
			if i == marked {
				dst = appendProtoExemplar(dst, bucketExemplar, h.Exemplar)
			}
			return dst
		})
	}
	dst = appendUint(dst, histogramSchema, protowire.EncodeZigZag(collector.HistogramSchema))
	dst = appendDouble(dst, histogramZeroBound, zeroBound)
	dst = appendUint(dst, histogramZeros, h.Zero)
	dst = appendNative(dst, h)
	dst = appendTime(dst, histogramCreated, start)
	if h.Exemplar != nil && h.Exemplar.At.Known() {
		dst = appendProtoExemplar(dst, histogramExemplar, h.Exemplar)
	}
	return dst
}

// appendNative writes the sparse buckets: spans of neighbours, each with its distance to the one before, and for each
// bucket the difference to the one before.
func appendNative(dst []byte, h *collector.Histogram) []byte {
	next := 0 // the index that would continue the last span
	for from := 0; from < len(h.Index); {
		to := from + 1
		for to < len(h.Index) && h.Index[to] == h.Index[to-1]+1 {
			to++
		}
		gap := int64(h.Index[from]) - int64(next)
		dst = appendNested(dst, histogramSpan, func(dst []byte) []byte {
			dst = appendUint(dst, spanOffset, protowire.EncodeZigZag(gap))
			return appendUint(dst, spanLength, uint64(to-from))
		})
		next = int(h.Index[to-1]) + 1
		from = to
	}
	before := int64(0)
	for _, n := range h.N {
		dst = appendUint(dst, histogramDelta, protowire.EncodeZigZag(int64(n)-before))
		before = int64(n)
	}
	return dst
}

func appendProtoExemplar(dst []byte, field protowire.Number, e *collector.Exemplar) []byte {
	return appendNested(dst, field, func(dst []byte) []byte {
		dst = appendPair(dst, exemplarLabel, "trace_id", e.TraceID.String())
		dst = appendPair(dst, exemplarLabel, "span_id", e.SpanID.String())
		dst = appendDouble(dst, exemplarValue, e.Value)
		return appendTime(dst, exemplarTime, e.At)
	})
}
