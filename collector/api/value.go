package api

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// A Value is one JSON value as it was written.
type Value struct {
	Kind Kind
	Raw  []byte // without surrounding white space
}

// maxNumberBytes is the longest text that is read as a number.
const maxNumberBytes = 1024

func kindOf(b byte) Kind {
	switch b {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return String
	case '{':
		return Object
	case '[':
		return Array
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return Number
	}
	return Invalid
}

// isVerbatim reports whether a quoted string means what it says, byte for byte.
func isVerbatim(raw []byte) bool {
	return bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw)
}

// Float judges the value as a number. Numbers, numbers written as strings, and bools (true is 1) are ok; so are NaN and
// infinities as words in a string. A number too large for a float64, such as 1e999, is infinite: that it is not finite is what a
// watcher must hear. null is reported apart, because some services write NaN so. Anything else is not ok.
func (v Value) Float() (f float64, ok bool, null bool) {
	switch v.Kind {
	case Null:
		return 0, false, true
	case Bool:
		if v.Raw[0] == 't' {
			return 1, true, false
		}
		return 0, true, false
	case Number:
		f, ok = parseFloat(v.Raw)
	case String:
		f, ok = parseFloat(v.numeric())
	}
	return f, ok, false
}

// numeric is the text of a string that may be a number, in the form that [strconv.ParseFloat] takes.
func (v Value) numeric() []byte {
	if len(v.Raw) > maxNumberBytes {
		return nil
	}
	b := v.Raw[1 : len(v.Raw)-1]
	if !isVerbatim(v.Raw) {
		b, _ = jsontext.AppendUnquote(nil, v.Raw)
	}
	b = bytes.TrimSpace(b)
	if bytes.ContainsAny(b, "xX_") { // Go's own forms of numbers
		return nil
	}
	if len(b) == 4 && bytes.EqualFold(b[1:], []byte("nan")) { // C prints -nan
		b = b[1:]
	}
	return b
}

func parseFloat(b []byte) (float64, bool) {
	if len(b) == 0 || len(b) > maxNumberBytes {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(b), 64)
	return f, err == nil || math.IsInf(f, 0)
}

// Int judges the value as a whole number: 7, 7.0 and "7" are.
func (v Value) Int() (int64, bool) {
	if v.Kind == Number && len(v.Raw) < 20 {
		if n, err := strconv.ParseInt(string(v.Raw), 10, 64); err == nil {
			return n, true
		}
	}
	if v.Kind == Bool {
		return 0, false
	}
	f, ok, _ := v.Float()
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// Bool is the value of a JSON bool.
func (v Value) Bool() (value, ok bool) {
	return v.Kind == Bool && v.Raw[0] == 't', v.Kind == Bool
}

// Text is the text of a string, in memory of its own. Anything but a string is not ok.
func (v Value) Text() (s string, ok bool) {
	if v.Kind != String {
		return "", false
	}
	if isVerbatim(v.Raw) {
		return string(v.Raw[1 : len(v.Raw)-1]), true
	}
	b, _ := jsontext.AppendUnquote(nil, v.Raw)
	return strings.ToValidUTF8(string(b), "\uFFFD"), true
}
