package api

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"

	"github.com/go-json-experiment/json/jsontext"
)

// A Kind is what a JSON value is.
type Kind uint8

// The kinds of values. Invalid is the end of an object, array or document, and what is not JSON.
const (
	Invalid Kind = iota
	Null
	Bool
	Number
	String
	Object
	Array
)

// String is the kind as a word for error texts.
func (k Kind) String() string {
	return [...]string{"nothing", "null", "a bool", "a number", "a string", "an object", "an array"}[min(k, Array)]
}

// A Decoder reads one JSON document value by value, inside its [Limits]. It is not safe for concurrent use, and is valid
// only during the call it was handed to.
//
// Keys are case-sensitive. A key may come twice: a caller that assigns keeps the last. Bytes that are not UTF-8 become
// U+FFFD in keys and texts. After an error that is the document's fault every further call returns that error.
type Decoder struct {
	jd       *jsontext.Decoder
	filter   filter
	maxItems int // of one array; 0 is no bound of its own
	err      error
	names    [nameSlots]string // keys seen before, to not allocate them again
	seed     maphash.Seed      // of the slots of names
	scratch  []byte
	largest  int // value handed out
	head     head
}

const (
	nameSlots    = 512 // a key may stand in two of them
	maxNameBytes = 64
	keepBuffer   = 64 << 10 // a decoder whose buffer grew beyond is not used again
)

// Decode reads the one document in r with fn, which may leave any part of it unread. A document that is too large, is no
// JSON or is followed by anything is an [Error]; so is an error of fn, which it wraps. A failing reader's error is returned as it is.
func Decode(r io.Reader, l Limits, fn func(*Decoder) error) error {
	d := &Decoder{}
	d.reset(r, l, 0)
	return d.document(fn)
}

func (d *Decoder) reset(r io.Reader, l Limits, maxItems int) {
	d.filter.reset(r, l)
	d.maxItems, d.err, d.largest = maxItems, nil, 0
	if d.jd == nil {
		d.jd, d.seed = new(jsontext.Decoder), maphash.MakeSeed()
	}
	d.jd.Reset(&d.filter, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// document runs fn over the whole of one document.
func (d *Decoder) document(fn func(*Decoder) error) error {
	err := d.fill()
	if err == nil {
		err = fn(d)
	}
	if d.err == nil && err == nil {
		err = d.end()
	}
	if d.err != nil {
		return d.err
	}
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{Class: classDecode, Detail: err.Error(), Err: err}
}

// fill refuses a document of no value.
func (d *Decoder) fill() error {
	if d.jd.PeekKind() != 0 {
		return nil
	}
	if _, err := d.jd.ReadToken(); !errors.Is(err, io.EOF) {
		return d.fail(err)
	}
	d.err = &Error{Class: classDecode, Detail: "the answer is empty"}
	return d.err
}

// end reads what is left of the document, and finds that nothing follows.
func (d *Decoder) end() error {
	if err := d.settle(0, 0); err != nil {
		return err
	}
	if _, err := d.jd.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("a second document")
		}
		return d.fail(err)
	}
	return nil
}

// fail keeps the error of the document, in words that hold nothing of it.
func (d *Decoder) fail(err error) error {
	if d.err != nil {
		return d.err
	}
	var limit *limitError
	switch broken := d.filter.broken(); {
	case broken != nil:
		d.err = broken
	case errors.As(err, &limit):
		d.err = &Error{Class: classTooLarge, Detail: limit.Error()}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		d.err = &Error{Class: classDecode, Detail: fmt.Sprintf("the answer ends in the middle, after %d bytes", d.filter.total)}
	default:
		d.err = &Error{Class: classDecode, Detail: fmt.Sprintf("the answer is not valid JSON near byte %d", d.jd.InputOffset())}
	}
	return d.err
}

// Kind says what the next value is, without reading it.
func (d *Decoder) Kind() Kind { return kindOf(byte(d.jd.PeekKind())) }

// Skip passes over the next value.
func (d *Decoder) Skip() error {
	if d.err != nil {
		return d.err
	}
	if err := d.jd.SkipValue(); err != nil {
		return d.fail(err)
	}
	return nil
}

// Value reads the next value whole. Its Raw is valid until the next call on the decoder.
func (d *Decoder) Value() (Value, error) {
	if d.err != nil {
		return Value{}, d.err
	}
	raw, err := d.jd.ReadValue()
	if err != nil {
		return Value{}, d.fail(err)
	}
	d.largest = max(d.largest, len(raw))
	return Value{Kind: kindOf(raw[0]), Raw: raw}, nil
}

// Object reads the next value, which must be an object, calling fn at the value of each key. What fn leaves unread, also
// in the middle, is skipped. An error of fn ends the reading and is returned.
func (d *Decoder) Object(fn func(key string) error) error {
	depth, err := d.open(Object)
	if err != nil {
		return err
	}
	for n := int64(0); d.jd.PeekKind() != '}'; n += 2 {
		raw, err := d.jd.ReadValue()
		if err != nil {
			return d.fail(err)
		}
		if err := d.visit(fn(d.name(raw)), depth, n+1); err != nil {
			return err
		}
	}
	return d.shut()
}

// Array reads the next value, which must be an array, calling fn at each element with its index. It treats what fn leaves
// and returns as [Decoder.Object] does.
func (d *Decoder) Array(fn func(i int) error) error {
	depth, err := d.open(Array)
	if err != nil {
		return err
	}
	for i := 0; d.jd.PeekKind() != ']'; i++ {
		if d.jd.PeekKind() == 0 {
			_, err := d.jd.ReadToken()
			return d.fail(err)
		}
		if d.maxItems > 0 && i >= d.maxItems {
			d.err = &Error{Class: classTooLarge, Detail: fmt.Sprintf("the answer holds a list of more than the %d items asked for", d.maxItems)}
			return d.err
		}
		if err := d.visit(fn(i), depth, int64(i)); err != nil {
			return err
		}
	}
	return d.shut()
}

// open reads the begin of an object or array and says at which depth its elements are.
func (d *Decoder) open(want Kind) (depth int, err error) {
	if d.err != nil {
		return 0, d.err
	}
	got := d.Kind()
	if got != want && got != Invalid {
		return 0, &Error{Class: classDecode, Detail: fmt.Sprintf("expected %s, found %s near byte %d", want, got, d.jd.InputOffset())}
	}
	if _, err := d.jd.ReadToken(); err != nil {
		return 0, d.fail(err)
	}
	return d.jd.StackDepth(), nil
}

// shut reads the end of an object or array.
func (d *Decoder) shut() error {
	if _, err := d.jd.ReadToken(); err != nil {
		return d.fail(err)
	}
	return nil
}

// visit follows a callback that returned err.
func (d *Decoder) visit(err error, depth int, n int64) error {
	if d.err != nil {
		return d.err
	}
	if err != nil {
		return err
	}
	return d.settle(depth, n)
}

// settle reads on until the value behind the nth token of depth is passed.
func (d *Decoder) settle(depth int, n int64) error {
	for d.jd.StackDepth() > depth {
		if _, err := d.jd.ReadToken(); err != nil {
			return d.fail(err)
		}
	}
	if _, read := d.jd.StackIndex(depth); read == n {
		return d.Skip()
	}
	return nil
}

// name is the key written as raw.
func (d *Decoder) name(raw []byte) string {
	if len(raw) > maxNameBytes {
		return string(d.unquote(raw))
	}
	// A slot holds only keys that are written as they are read, so a match needs no look at escapes.
	written := raw[1 : len(raw)-1]
	h := maphash.Bytes(d.seed, written)
	first, second := &d.names[h%nameSlots], &d.names[h>>32%nameSlots]
	switch string(written) {
	case *first:
		return *first
	case *second:
		return *second
	}
	key := string(d.unquote(raw))
	if key == string(written) {
		if *first != "" && *second == "" {
			first = second
		}
		*first = key
	}
	return key
}

// unquote is the text of the string raw, valid until the next call on the decoder.
func (d *Decoder) unquote(raw []byte) []byte {
	if isVerbatim(raw) {
		return raw[1 : len(raw)-1]
	}
	d.scratch, _ = jsontext.AppendUnquote(d.scratch[:0], raw) // the error says only that bytes were replaced
	return d.scratch
}

// reusable reports whether the decoder's buffer is small enough to keep.
func (d *Decoder) reusable() bool {
	return d.largest <= keepBuffer && cap(d.jd.UnreadBuffer()) <= keepBuffer
}

// Decode reads the value with fn as [Decode] does a document. It is for values that must be looked at twice.
func (v Value) Decode(fn func(*Decoder) error) error {
	return Decode(bytes.NewReader(v.Raw), Limits{Bytes: math.MaxInt64, Items: math.MaxInt32, Depth: maxDepth, StringBytes: math.MaxInt32 - 1}, fn)
}
