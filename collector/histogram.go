package collector

import (
	"math"
	"slices"
	"sort"
)

// HistogramSchema is the resolution of every histogram: 2^3 buckets for each doubling, as Prometheus native histograms
// and OTLP exponential histograms count it.
const HistogramSchema = 3

const subBuckets = 1 << HistogramSchema

// zeroThreshold bounds the bucket that takes zero and whatever is too small to matter.
const zeroThreshold = 1e-9

// Histogram counts observations in sparse exponential buckets. Bucket i holds (2^((i-1)/8), 2^(i/8)], so that every
// power of two is a boundary and classic buckets with such bounds are exact sums of them. Values are immutable
// once published: With makes a new one.
type Histogram struct {
	Sum      float64   `cbor:"1,keyasint"`
	Count    uint64    `cbor:"2,keyasint"`
	Zero     uint64    `cbor:"3,keyasint,omitempty"`
	Index    []int16   `cbor:"4,keyasint"` // ascending
	N        []uint64  `cbor:"5,keyasint"` // observations of the bucket with the same position in Index
	Exemplar *Exemplar `cbor:"6,keyasint,omitempty"`
}

// Exemplar points from a histogram into a trace.
type Exemplar struct {
	Value   float64 `cbor:"1,keyasint"`
	At      Time    `cbor:"2,keyasint"`
	TraceID TraceID `cbor:"3,keyasint"`
	SpanID  SpanID  `cbor:"4,keyasint"`
}

// With returns h with one more observation. h may be nil. NaN and negative values are not durations and change nothing.
func (h *Histogram) With(v float64) *Histogram {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return h
	}
	next := h.clone()
	next.observe(v)
	return next
}

func (h *Histogram) clone() *Histogram {
	if h == nil {
		return &Histogram{}
	}
	next := *h
	next.Index = slices.Clone(h.Index)
	next.N = slices.Clone(h.N)
	return &next
}

func (h *Histogram) observe(v float64) {
	h.Sum += v
	h.Count++
	if v <= zeroThreshold {
		h.Zero++
		return
	}
	i := bucketIndex(v)
	at, found := slices.BinarySearch(h.Index, i)
	if found {
		h.N[at]++
		return
	}
	h.Index = slices.Insert(h.Index, at, i)
	h.N = slices.Insert(h.N, at, 1)
}

// Below returns how many observations are at most 2^exponent.
func (h *Histogram) Below(exponent int) uint64 {
	n := h.Zero
	for i, index := range h.Index {
		if int(index) > exponent*subBuckets {
			break
		}
		n += h.N[i]
	}
	return n
}

// bucketBounds are the upper bounds of the buckets of one doubling, scaled to [0.5, 1) as math.Frexp returns.
var bucketBounds = func() (b [subBuckets]float64) {
	for i := range b {
		b[i] = math.Exp2(float64(i)/subBuckets) / 2
	}
	return b
}()

func bucketIndex(v float64) int16 {
	fraction, exponent := math.Frexp(v)
	i := sort.SearchFloat64s(bucketBounds[:], fraction)
	return int16(i + (exponent-1)*subBuckets)
}
