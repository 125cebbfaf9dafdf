package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits bound one JSON document. They act while it is read.
type Limits struct {
	Bytes       int64 // of the document, after decompression
	Items       int   // elements of all its arrays together; objects may have sixteen times as many members in all
	Depth       int   // of objects and arrays, at most 63
	StringBytes int   // of one string as written, escapes and all
}

// membersPerItem is how many object members may come with each array element that the limits allow.
const membersPerItem = 16

// maxDepth is the deepest nesting that the filter can follow.
const maxDepth = 63

// A limitError is a document that goes beyond its limits.
type limitError struct{ what string }

func (e *limitError) Error() string { return "the answer is too large: " + e.what }

// What a byte outside of strings means to the filter.
const (
	plain = iota
	quote
	openObject
	openArray
	closing
	comma
	special // may begin a bare word that JSON forbids
)

// classes maps a byte outside of strings to what it means. It is never written to.
var classes = [256]uint8{
	'"': quote, '{': openObject, '[': openArray, '}': closing, ']': closing, ',': comma,
	'N': special, 'I': special, '-': special,
}

// bareWords are written by Python's json module with allow_nan, which is its default.
func isBareWord(b []byte) (complete, begun bool) {
	for _, w := range [...]string{"NaN", "Infinity", "-Infinity"} {
		if strings.HasPrefix(w, string(b)) {
			return len(b) == len(w), true
		}
	}
	return false, false
}

// filter hands a document on, byte for byte, and holds the limits. Outside of strings it writes bare words as strings. It
// judges nothing else: the decoder behind it finds what is not JSON.
type filter struct {
	src    io.Reader
	limits Limits
	err    error // of src or a limit; given once everything before it was handed on

	total          int64
	items, members int
	depth          int
	arrays         uint64 // bit i is set if level i is an array
	inString       bool
	escaped        bool // the next byte of the string has no meaning
	length         int  // of the string so far

	held []byte // the begin of what may be a bare word
	buf  []byte // backs out
	out  []byte // rewritten and not yet handed on
}

// reset makes the filter read another document, keeping its buffers.
func (f *filter) reset(src io.Reader, l Limits) {
	*f = filter{src: src, limits: l, held: f.held[:0], buf: f.buf[:0]}
}

// Read implements [io.Reader].
func (f *filter) Read(p []byte) (int, error) {
	for len(f.out) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		n, err := f.src.Read(p)
		done, limit := f.take(p[:n])
		if limit != nil {
			err = limit
		}
		if f.err = err; err != nil && len(f.held) > 0 {
			f.buf = append(f.buf, f.held...)
			f.held = f.held[:0]
		}
		f.out = f.buf
		if done > 0 || n == 0 && err == nil {
			return done, nil
		}
	}
	n := copy(p, f.out)
	if f.out = f.out[n:]; len(f.out) == 0 {
		f.buf = f.buf[:0]
	}
	return n, nil
}

// take says how many of the bytes just read can be handed on as they are; what comes after them went to f.buf. Beyond a limit
// that is everything before the value that broke it, so that the reader knows what the document held up to there.
func (f *filter) take(b []byte) (done int, err error) {
	var tooLong error
	if f.total += int64(len(b)); f.total > f.limits.Bytes {
		b = b[:max(0, int64(len(b))-(f.total-f.limits.Bytes))]
		tooLong = &limitError{fmt.Sprintf("more than %d bytes (max_body_bytes)", f.limits.Bytes)}
	}
	if len(f.held) == 0 {
		done, err = f.scan(b)
	}
	if err == nil && done < len(b) {
		err = f.rewrite(b[done:])
	}
	if err == nil {
		err = tooLong
	}
	return done, err
}

// rewrite appends b to f.buf with bare words quoted. It begins at one, or inside of one that is held.
func (f *filter) rewrite(b []byte) error {
	for len(b) > 0 {
		b = f.word(b)
		n, err := f.scan(b)
		f.buf = append(f.buf, b[:n]...)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// word takes bytes as long as they may be a bare word. At the end of b they stay held.
func (f *filter) word(b []byte) []byte {
	for i, c := range b {
		f.held = append(f.held, c)
		complete, begun := isBareWord(f.held)
		switch {
		case complete:
			f.buf = append(f.buf, '"')
			f.buf = append(f.buf, f.held...)
			f.buf = append(f.buf, '"')
			f.held = f.held[:0]
			return b[i+1:]
		case !begun:
			f.buf = append(f.buf, f.held[:len(f.held)-1]...)
			f.held = f.held[:0]
			return b[i:]
		}
	}
	return nil
}

// scan walks over b up to the first byte that may begin a bare word, or to what goes beyond a limit.
func (f *filter) scan(b []byte) (int, error) {
	i := 0
	for i < len(b) {
		if f.inString {
			n, err := f.str(b[i:])
			if err != nil {
				return i, err
			}
			i += n
			continue
		}
		switch c := classes[b[i]]; c {
		case plain:
			for i++; i < len(b) && classes[b[i]] == plain; i++ {
			}
		case quote:
			f.inString, f.length = true, 0
			i++
		case special:
			if i+1 == len(b) || b[i] != '-' || b[i+1] == 'I' {
				return i, nil
			}
			i++
		default:
			if err := f.structure(c); err != nil {
				return i, err
			}
			i++
		}
	}
	return i, nil
}

// str walks over the rest of a string and says how far it came.
func (f *filter) str(b []byte) (int, error) {
	i := bytes.IndexByte(b, '"')
	switch {
	case i >= 0 && !f.escaped && bytes.IndexByte(b[:i], '\\') < 0:
		i++
		f.inString = false
	default:
		i = f.escapes(b)
	}
	if f.length += i; f.length > f.limits.StringBytes+1 {
		return i, &limitError{fmt.Sprintf("a string of more than %d bytes (max_string_bytes)", f.limits.StringBytes)}
	}
	return i, nil
}

// escapes walks byte for byte: over a string with escapes, or the part of one.
func (f *filter) escapes(b []byte) int {
	i := 0
	for f.inString && i < len(b) {
		switch c := b[i]; {
		case f.escaped:
			f.escaped = false
		case c == '\\':
			f.escaped = true
		case c == '"':
			f.inString = false
		}
		i++
	}
	return i
}

// structure follows the shape of the document and counts.
func (f *filter) structure(class uint8) error {
	switch class {
	case closing:
		f.depth = max(f.depth-1, 0)
		return nil
	case openObject, openArray:
		if f.depth >= f.limits.Depth {
			return &limitError{fmt.Sprintf("nested more than %d deep (max_depth)", f.limits.Depth)}
		}
		f.depth++
		f.arrays &^= 1 << f.depth
		if class == openArray {
			f.arrays |= 1 << f.depth
		}
	}
	if f.arrays&(1<<f.depth) != 0 {
		f.items++
	} else {
		f.members++
	}
	if f.items > f.limits.Items || f.members/membersPerItem > f.limits.Items {
		return &limitError{fmt.Sprintf("more than %d items (max_items)", f.limits.Items)}
	}
	return nil
}

// broken is the reader's own failure, as opposed to an end or a limit.
func (f *filter) broken() error {
	var limit *limitError
	if f.err == nil || errors.Is(f.err, io.EOF) || errors.As(f.err, &limit) {
		return nil
	}
	return f.err
}
