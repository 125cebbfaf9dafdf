package prom

import (
	"bytes"
	"strconv"

	"github.com/trainbridge/trainbridge/collector"
)

// syntax is how a format spells series. An answer is put together from three pieces: the head of a family, the identity of
// an entity, and the cell with an entity's values in a family. Identities and cells are kept; Text and OpenMetrics share them.
type syntax interface {
	// identity renders the labels that all series of an entity carry. Names come with every value, in order.
	identity(dst []byte, names, values []string) []byte
	// cell renders an entity's points of a family. start is when its counters began.
	cell(dst []byte, f *family, start collector.Time, p *collector.Points) []byte
	// size is how many bytes series makes of a cell, where the format's heads need to know.
	size(identity, cell []byte) int
	// series puts an identity and a cell together.
	series(dst []byte, f *family, identity, cell []byte, format Format) []byte
	// head starts a family whose series together have size bytes.
	head(dst []byte, f *family, size int, format Format) []byte
}

// textSyntax is Text and OpenMetrics. A cell holds one line for each sample, without the part up to the identity. In
// a distribution each line begins with a byte that says which sample it is.
type textSyntax struct{}

// The samples of a distribution. The bucket with an exemplar stands twice, because only OpenMetrics can have it.
const (
	bucketLine = 'b'
	textBucket = 't' // for Text only
	openBucket = 'o' // for OpenMetrics only
	sumLine    = 's'
	countLine  = 'c'
)

// lineStarts are the starts of lines up to the identity.
type lineStarts struct {
	plain, bucket, sum, count string
}

func newLineStarts(name string) lineStarts {
	return lineStarts{plain: name + "{", bucket: name + "_bucket{", sum: name + "_sum{", count: name + "_count{"}
}

func (textSyntax) identity(dst []byte, names, values []string) []byte {
	for i, v := range values {
		if v == "" && i > 0 {
			continue
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, names[i]...)
		dst = append(dst, `="`...)
		dst = appendLabelValue(dst, v)
		dst = append(dst, '"')
	}
	return dst
}

func (textSyntax) cell(dst []byte, f *family, _ collector.Time, p *collector.Points) []byte {
	for i := range p.Len() {
		if f.kind == collector.Distribution {
			dst = appendBuckets(dst, f, p.Histogram(i), p.Labels(i))
			continue
		}
		dst = appendLabels(dst, f, p.Labels(i))
		dst = append(dst, "} "...)
		dst = appendFloat(dst, p.Value(i))
		dst = append(dst, '\n')
	}
	return dst
}

// appendLabels writes the row's own labels, each after a comma. An empty value is an absent label.
func appendLabels(dst []byte, f *family, values []string) []byte {
	for i, v := range values {
		if v == "" || f.labels[i].hidden {
			continue
		}
		dst = append(dst, ',')
		dst = append(dst, f.labels[i].name...)
		dst = append(dst, `="`...)
		dst = appendLabelValue(dst, v)
		dst = append(dst, '"')
	}
	return dst
}

func appendBuckets(dst []byte, f *family, h *collector.Histogram, labels []string) []byte {
	marked := -1
	if h.Exemplar != nil {
		marked = f.exemplarBucket(h.Exemplar)
	}
	for i := range len(f.bounds) + 1 {
		le, n := "+Inf", h.Count
		if i < len(f.bounds) {
			le, n = f.bounds[i].le, h.Below(f.bounds[i].exponent)
		}
		if i != marked {
			dst = append(appendBucket(dst, bucketLine, f, labels, le, n), '\n')
			continue
		}
		dst = append(appendBucket(dst, textBucket, f, labels, le, n), '\n')
		dst = appendBucket(dst, openBucket, f, labels, le, n)
		dst = append(appendExemplar(dst, h.Exemplar), '\n')
	}
	dst = append(appendLabels(append(dst, sumLine), f, labels), "} "...)
	dst = append(appendFloat(dst, h.Sum), '\n')
	dst = append(appendLabels(append(dst, countLine), f, labels), "} "...)
	return append(strconv.AppendUint(dst, h.Count, 10), '\n')
}

func appendBucket(dst []byte, line byte, f *family, labels []string, le string, n uint64) []byte {
	dst = appendLabels(append(dst, line), f, labels)
	dst = append(dst, `,le="`...)
	dst = append(dst, le...)
	dst = append(dst, `"} `...)
	return strconv.AppendUint(dst, n, 10)
}

func appendExemplar(dst []byte, e *collector.Exemplar) []byte {
	dst = append(dst, ` # {trace_id="`...)
	dst = append(dst, e.TraceID.String()...)
	dst = append(dst, `",span_id="`...)
	dst = append(dst, e.SpanID.String()...)
	dst = append(dst, `"} `...)
	dst = appendFloat(dst, e.Value)
	if e.At.Known() {
		dst = appendFloat(append(dst, ' '), e.At.Seconds())
	}
	return dst
}

func (textSyntax) size(_, _ []byte) int { return 0 }

func (textSyntax) series(dst []byte, f *family, identity, cell []byte, format Format) []byte {
	start := f.lines.plain
	for {
		end := bytes.IndexByte(cell, '\n') + 1
		if end == 0 {
			return dst
		}
		line := cell[:end]
		cell = cell[end:]
		if f.kind == collector.Distribution {
			start = f.lines.of(line[0], format)
			if start == "" {
				continue
			}
			line = line[1:]
		}
		if len(identity) == 0 {
			dst = appendUnidentified(dst, start, line)
			continue
		}
		dst = append(dst, start...)
		dst = append(dst, identity...)
		dst = append(dst, line...)
	}
}

// appendUnidentified writes a line of an entity without labels: its own begin without a comma, and without any there are no braces.
func appendUnidentified(dst []byte, start string, line []byte) []byte {
	if line[0] == ',' {
		return append(append(dst, start...), line[1:]...)
	}
	return append(append(dst, start[:len(start)-1]...), line[1:]...)
}

// of is the start of a distribution's line, empty if the format does not have the line.
func (s *lineStarts) of(line byte, format Format) string {
	switch {
	case line == sumLine:
		return s.sum
	case line == countLine:
		return s.count
	case line == textBucket && format != Text, line == openBucket && format != OpenMetrics:
		return ""
	default:
		return s.bucket
	}
}

func (textSyntax) head(dst []byte, f *family, _ int, format Format) []byte {
	name, kind := f.name, "gauge"
	switch f.kind {
	case collector.Counter:
		kind = "counter"
		if format == OpenMetrics { // the sample has the suffix, the family has not
			name = name[:len(name)-len("_total")]
		}
	case collector.Distribution:
		kind = "histogram"
	}
	dst = append(dst, "# HELP "...)
	dst = append(dst, name...)
	dst = append(dst, ' ')
	dst = appendHelp(dst, f.help, format)
	dst = append(dst, "\n# TYPE "...)
	dst = append(dst, name...)
	dst = append(dst, ' ')
	dst = append(dst, kind...)
	if format == OpenMetrics && f.unit != "" {
		dst = append(dst, "\n# UNIT "...)
		dst = append(dst, name...)
		dst = append(dst, ' ')
		dst = append(dst, f.unit...)
	}
	return append(dst, '\n')
}
