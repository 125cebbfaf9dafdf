package wandbtest

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
)

// The four documented types of event.
const (
	TypeStarted = "training_started"
	TypeStep    = "gradient_step"
	TypeEnded   = "training_ended"
	TypeFailed  = "training_failed"
)

// Value is one number of an event's data.
type Value struct {
	Key    string
	Number float64
}

// Event is one entry of a job's event list. Its data is the first that is set of Raw, Data and Values; with none, it
// is an empty object.
type Event struct {
	ID     string          // a UUID made from the server's seed when empty
	Type   string          // one of the four types, or anything for a type that clients do not know
	Values []Value         // numbers, sent in this order; NaN and infinities are sent as the server's Nonfinite says
	Data   map[string]any  // sent with sorted keys; NaN and infinities as in Values, nested ones too
	Raw    json.RawMessage // sent as it is, valid or not
}

// Started is a training_started event that announces planned gradient steps.
func Started(planned int) Event {
	return Event{Type: TypeStarted, Values: []Value{{"num_sequences", float64(planned)}}}
}

// Step is a gradient_step event.
func Step(values ...Value) Event { return Event{Type: TypeStep, Values: values} }

// Ended is a training_ended event.
func Ended() Event { return Event{Type: TypeEnded} }

// Failed is a training_failed event. An empty message is left out, as the service may.
func Failed(message string) Event {
	if message == "" {
		return Event{Type: TypeFailed}
	}
	return Event{Type: TypeFailed, Data: map[string]any{"error_message": message}}
}

// Nonfinite says how the server writes NaN and infinities in an event's data.
type Nonfinite string

// The ways to write a non-finite number. The service's framework most likely gives null; which one is in use has not been seen.
const (
	NonfiniteNull     Nonfinite = "null"     // null
	NonfiniteString   Nonfinite = "string"   // "NaN", "Infinity", "-Infinity"
	NonfiniteBare     Nonfinite = "bare"     // NaN, Infinity, -Infinity: not JSON, but written by many encoders
	NonfiniteOverflow Nonfinite = "overflow" // 1e999 or -1e999: JSON, and too large for a float64
	NonfiniteError    Nonfinite = "error"    // the whole page is answered with status 500
)

// Marks stand for non-finite numbers in encoded events until a page is written. They cannot appear in JSON.
const (
	markNaN byte = 1 + iota
	markInf
	markMinusInf
)

var nonfiniteWords = map[Nonfinite][4]string{
	NonfiniteNull:     {markNaN: "null", markInf: "null", markMinusInf: "null"},
	NonfiniteString:   {markNaN: `"NaN"`, markInf: `"Infinity"`, markMinusInf: `"-Infinity"`},
	NonfiniteBare:     {markNaN: "NaN", markInf: "Infinity", markMinusInf: "-Infinity"},
	NonfiniteOverflow: {markNaN: "1e999", markInf: "1e999", markMinusInf: "-1e999"},
}

// expand appends an encoded event, with its marks written as mode says.
func expand(b []byte, enc string, mode Nonfinite) []byte {
	words, ok := nonfiniteWords[mode]
	if !ok {
		words = nonfiniteWords[NonfiniteNull]
	}
	for i := range len(enc) {
		if c := enc[i]; c >= markNaN && c <= markMinusInf {
			b = append(b, words[c]...)
		} else {
			b = append(b, c)
		}
	}
	return b
}

// row is a stored event: encoded once, sent many times.
type row struct {
	enc     string // the JSON object, with marks if special
	id      string
	special bool // holds marks
}

func encodeEvent(e Event) row {
	b := make([]byte, 0, 160)
	b = append(b, `{"id":`...)
	b = appendString(b, e.ID)
	b = append(b, `,"type":`...)
	b = appendString(b, e.Type)
	b = append(b, `,"data":`...)
	special := false
	switch {
	case e.Raw != nil:
		b = append(b, e.Raw...)
	case e.Data != nil:
		b, special = appendAny(b, e.Data)
	default:
		b, special = appendValues(b, e.Values)
	}
	b = append(b, '}')
	return row{enc: string(b), id: e.ID, special: special}
}

func appendValues(b []byte, values []Value) ([]byte, bool) {
	special := false
	b = append(b, '{')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, v.Key)
		b = append(b, ':')
		var marked bool
		b, marked = appendNumber(b, v.Number)
		special = special || marked
	}
	return append(b, '}'), special
}

// appendNumber writes v, or its mark if it is not finite, and says which.
func appendNumber(b []byte, v float64) ([]byte, bool) {
	switch {
	case math.IsNaN(v):
		return append(b, markNaN), true
	case math.IsInf(v, 1):
		return append(b, markInf), true
	case math.IsInf(v, -1):
		return append(b, markMinusInf), true
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		format = 'e'
	}
	return strconv.AppendFloat(b, v, format, -1, 64), false
}

func appendAny(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case float64:
		return appendNumber(b, v)
	case float32:
		return appendNumber(b, float64(v))
	case map[string]any:
		return appendMap(b, v)
	case []any:
		special := false
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			var marked bool
			b, marked = appendAny(b, item)
			special = special || marked
		}
		return append(b, ']'), special
	}
	enc, err := json.Marshal(v)
	if err != nil {
		enc = []byte("null")
	}
	return append(b, enc...), false
}

func appendMap(b []byte, m map[string]any) ([]byte, bool) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	special := false
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		var marked bool
		b, marked = appendAny(b, m[k])
		special = special || marked
	}
	return append(b, '}'), special
}

// appendString writes s as a JSON string; plain ASCII without a copy.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			enc, err := json.Marshal(s)
			if err != nil { // a string always encodes
				enc = []byte(`""`)
			}
			return append(b, enc...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
