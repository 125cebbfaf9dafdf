package prom

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// plainFrom and plainTo bound the sizes of numbers that are written without an exponent.
const (
	plainFrom = 1e-4
	plainTo   = 1e15
)

// appendFloat writes v so that reading it gives v again: the shortest digits, and an exponent only for very small and very
// large numbers, so that timestamps stay readable.
func appendFloat(dst []byte, v float64) []byte {
	size := math.Abs(v)
	switch {
	case size < plainTo && v == math.Trunc(v) && !(v == 0 && math.Signbit(v)):
		return strconv.AppendInt(dst, int64(v), 10)
	case size >= plainFrom && size < plainTo:
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	case math.IsInf(v, +1):
		return append(dst, "+Inf"...)
	default:
		return strconv.AppendFloat(dst, v, 'g', -1, 64)
	}
}

// appendBound writes a bucket bound as OpenMetrics wants it, with a point or an exponent. The text format gets the same
// spelling, so that a bucket is one series in both.
func appendBound(dst []byte, v float64) []byte {
	from := len(dst)
	dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
	for _, c := range dst[from:] {
		if c == '.' || c == 'e' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

// appendLabelValue writes a label value without its quotes. This is the one place where text from outside is escaped.
func appendLabelValue(dst []byte, v string) []byte {
	v = validText(v)
	for {
		i := strings.IndexAny(v, "\\\"\n")
		if i < 0 {
			return append(dst, v...)
		}
		dst = append(dst, v[:i]...)
		switch v[i] {
		case '\n':
			dst = append(dst, `\n`...)
		default:
			dst = append(dst, '\\', v[i])
		}
		v = v[i+1:]
	}
}

// appendHelp writes a help text. OpenMetrics escapes quotes in it, the text format does not.
func appendHelp(dst []byte, help string, f Format) []byte {
	for i := range len(help) {
		switch c := help[i]; {
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\\' || c == '"' && f == OpenMetrics:
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// validText replaces what is not UTF-8.
func validText(v string) string {
	if utf8.ValidString(v) {
		return v
	}
	return strings.ToValidUTF8(v, string(utf8.RuneError))
}
