package otlp

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trainbridge/trainbridge/collector"
)

// The attributes of the two kinds of points.
const (
	numberAttributes    protowire.Number = 7
	histogramAttributes protowire.Number = 9
)

const cumulative = 2 // AGGREGATION_TEMPORALITY_CUMULATIVE

// part is one metric in the request that is being built.
type part struct {
	kind   collector.Kind
	head   []byte // name, description and unit
	field  protowire.Number
	tail   []byte // what follows the points: temporality and whether the sum is monotonic
	labels []label
	bounds []int
	bucket []byte // encoded bounds
	bare   bool   // has labels of its own that are promoted elsewhere
	points []byte // encoded, each with tag and length
	counts []byte
}

func newPart[T collector.Entity](r *collector.Row[T]) *part {
	p := &part{kind: r.Kind, labels: newLabels(r.Labels), bounds: r.Bounds}
	p.head = appendText(p.head, 1, r.Name)
	p.head = appendText(p.head, 2, r.Help)
	if r.Unit != "" {
		p.head = appendText(p.head, 3, r.Unit)
	}
	switch r.Kind {
	case collector.Gauge:
		p.field = gaugeData
	case collector.Counter:
		p.field = sumData
		p.tail = appendNumber(appendNumber(p.tail, 2, cumulative), 3, 1)
	case collector.UpDown:
		p.field = sumData
		p.tail = appendNumber(p.tail, 2, cumulative)
	case collector.Distribution:
		p.field = histogramData
		p.tail = appendNumber(p.tail, 2, cumulative)
		for _, e := range r.Bounds {
			p.bucket = protowire.AppendFixed64(p.bucket, math.Float64bits(math.Ldexp(1, e)))
		}
	}
	return p
}

// overhead bounds what the metric adds to a request when its first point comes.
func (p *part) overhead() int {
	if len(p.points) > 0 {
		return 0
	}
	return len(p.head) + len(p.tail) + 24
}

// size is the length of the Metric.
func (p *part) size() int { return len(p.head) + sizeBytes(len(p.points)+len(p.tail)) }

// append writes the Metric as a field of ScopeMetrics.
func (p *part) append(b []byte) []byte {
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(p.size()))
	b = append(b, p.head...)
	b = protowire.AppendTag(b, p.field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(p.points)+len(p.tail)))
	b = append(b, p.points...)
	return append(b, p.tail...)
}

// numberSize is the length of the NumberDataPoint that appendNumber writes.
func (p *part) numberSize(id []byte, labels []string, start uint64) int {
	size := 9 + 9 + len(id)
	if p.starts(start) {
		size += 9
	}
	for i, v := range labels {
		if v != "" {
			size += p.labels[i].size(v)
		}
	}
	return size
}

// appendNumber appends a NumberDataPoint of the given size to the points.
func (p *part) appendNumber(size int, id []byte, labels []string, value float64, start, now uint64) {
	b := protowire.AppendTag(p.points, 1, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = p.appendTimes(b, start, now)
	b = appendDouble(b, 4, value)
	b = append(b, id...)
	p.points = p.appendLabels(b, numberAttributes, labels)
}

// histogramPoint appends a HistogramDataPoint with explicit bounds to b.
func (p *part) histogramPoint(b, id []byte, labels []string, h *collector.Histogram, start, now uint64) []byte {
	b = p.appendTimes(b, start, now)
	b = appendFixed(b, 4, h.Count)
	b = appendDouble(b, 5, h.Sum)
	p.counts = p.counts[:0]
	below := uint64(0)
	for _, e := range p.bounds {
		n := h.Below(e)
		p.counts = protowire.AppendFixed64(p.counts, n-below)
		below = n
	}
	b = appendMessage(b, 6, protowire.AppendFixed64(p.counts, h.Count-below))
	b = appendMessage(b, 7, p.bucket)
	if h.Exemplar != nil {
		b = appendMessage(b, 8, encodeExemplar(h.Exemplar))
	}
	b = append(b, id...)
	return p.appendLabels(b, histogramAttributes, labels)
}

// appendTimes writes the start where it means something and is known, and the time.
func (p *part) appendTimes(b []byte, start, now uint64) []byte {
	if p.starts(start) {
		b = appendFixed(b, 2, start)
	}
	return appendFixed(b, 3, now)
}

// starts reports whether points carry their start.
func (p *part) starts(start uint64) bool {
	return start != 0 && p.kind != collector.Gauge && p.kind != collector.UpDown
}

func (p *part) appendLabels(b []byte, field protowire.Number, values []string) []byte {
	for i, v := range values {
		if v != "" {
			b = p.labels[i].append(b, field, v)
		}
	}
	return b
}

func encodeExemplar(e *collector.Exemplar) []byte {
	var b []byte
	if e.At.Known() {
		b = appendFixed(b, 2, uint64(e.At))
	}
	b = appendDouble(b, 3, e.Value)
	if e.TraceID != (collector.TraceID{}) {
		b = appendMessage(b, 4, e.SpanID[:])
		b = appendMessage(b, 5, e.TraceID[:])
	}
	return b
}
