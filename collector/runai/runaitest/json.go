package runaitest

import (
	"encoding/json"
	"strconv"
	"time"
)

// enc writes JSON. Its format of times is a fault of the server.
type enc struct {
	b        []byte
	zoneless bool // times without a zone
	numbers  bool // ids of projects and departments as numbers
}

// key begins the member of an object; the first one of an object has no comma before it.
func (e *enc) key(name string) {
	if last := e.b[len(e.b)-1]; last != '{' {
		e.b = append(e.b, ',')
	}
	e.b = append(append(append(e.b, '"'), name...), `":`...)
}

func (e *enc) open()  { e.b = append(e.b, '{') }
func (e *enc) close() { e.b = append(e.b, '}') }

func (e *enc) raw(name, text string) {
	e.key(name)
	e.b = append(e.b, text...)
}

func (e *enc) text(name, value string) {
	e.key(name)
	e.b = appendString(e.b, value)
}

// digits writes an id that holds digits.
func (e *enc) digits(name, value string) {
	if _, err := strconv.Atoi(value); e.numbers && err == nil {
		e.raw(name, value)
		return
	}
	e.text(name, value)
}

func (e *enc) int(name string, n int) {
	e.key(name)
	e.b = strconv.AppendInt(e.b, int64(n), 10)
}

func (e *enc) float(name string, v float64) {
	e.key(name)
	e.b = strconv.AppendFloat(e.b, v, 'f', -1, 64)
}

// time writes a time, or null for none.
func (e *enc) time(name string, t time.Time) {
	e.key(name)
	e.b = appendTime(e.b, t, e.zoneless)
}

func appendTime(b []byte, t time.Time, zoneless bool) []byte {
	switch {
	case t.IsZero():
		return append(b, "null"...)
	case zoneless:
		return t.UTC().AppendFormat(b, `"2006-01-02 15:04:05.000"`)
	}
	return t.UTC().AppendFormat(b, `"2006-01-02T15:04:05.000Z"`)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			quoted, err := json.Marshal(s)
			if err != nil { // no string fails
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
