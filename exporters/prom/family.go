package prom

import (
	"math"
	"slices"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

// family is what the encoders know about a row beforehand.
type family struct {
	name   string // of the family; samples of counters and histograms add to it
	help   string
	unit   string // empty, or a word the name ends with
	kind   collector.Kind
	labels []label // the row's own
	bounds []bound // classic buckets of a distribution, without +Inf
	lines  lineStarts
}

// label is one of a row's own labels. A hidden one is already among the identity labels.
type label struct {
	name   string
	hidden bool
}

type bound struct {
	exponent int
	le       string
	value    float64
}

// newFamily prepares a row. Labels in identity are on every series already and not repeated.
func newFamily[E collector.Entity](r *collector.Row[E], identity []string) *family {
	f := &family{name: r.Prom, help: r.Help, kind: r.Kind, unit: unitWord(r.Unit, r.Kind)}
	if !strings.HasSuffix(strings.TrimSuffix(f.name, "_total"), "_"+f.unit) {
		f.unit = ""
	}
	for _, key := range r.Labels {
		f.labels = append(f.labels, label{collector.PromLabel(key), slices.Contains(identity, key)})
	}
	for _, e := range r.Bounds {
		v := math.Ldexp(1, e)
		f.bounds = append(f.bounds, bound{e, string(appendBound(nil, v)), v})
	}
	f.lines = newLineStarts(f.name)
	return f
}

// unitWord is the word for a unit that Prometheus has in names.
func unitWord(unit string, k collector.Kind) string {
	if unit == "1" && k == collector.Gauge {
		return "ratio"
	}
	return map[string]string{
		"s": "seconds", "By": "bytes", "J": "joules", "W": "watts", "Hz": "hertz", "Cel": "celsius",
	}[unit]
}

// exemplarBucket is the position of the classic bucket that an exemplar belongs to; len(bounds) is +Inf.
func (f *family) exemplarBucket(e *collector.Exemplar) int {
	for i, b := range f.bounds {
		if e.Value <= b.value {
			return i
		}
	}
	return len(f.bounds)
}
