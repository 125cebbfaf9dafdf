package prom

import (
	"fmt"
	"io"

	"github.com/trainbridge/trainbridge/collector"
)

// answer is one exposition, complete before its first byte is written. Its parts are immutable and shared with other
// answers; its buffers are its own and are used again for the next one.
type answer struct {
	format Format
	gzip   bool
	syntax syntax
	parts  []part
	sum    checksum // of a gzip answer so far

	arena []byte // ready bytes of small parts
	head  []byte
	self  []byte // families of the bridge itself, in the format
	tail  []byte // everything after jobs and groups
	list  []byte
	out   output
}

// part is either ready bytes or a column to put together while writing.
type part struct {
	ready    []byte
	family   *family
	identity *cells
	cells    *cells
}

func (a *answer) begin(format Format, gzip bool) {
	a.format, a.gzip = format, gzip
	a.sum, a.arena, a.self, a.tail = checksum{}, a.arena[:0], a.self[:0], a.tail[:0]
	if gzip {
		a.parts = append(a.parts, part{ready: []byte(gzipHeader)})
	}
}

// end lets go of what is shared, so that an idle answer keeps nothing alive.
func (a *answer) end() {
	clear(a.parts)
	a.parts, a.syntax = a.parts[:0], nil
	a.out.w = nil
}

// small adds a few bytes.
func (a *answer) small(b []byte) {
	from := len(a.arena)
	if !a.gzip {
		a.arena = append(a.arena, b...)
	} else {
		var s segment
		a.arena, s = appendStored(a.arena, b)
		a.sum.add(&s)
	}
	a.parts = append(a.parts, part{ready: a.arena[from:len(a.arena):len(a.arena)]})
}

// table adds the families of a rendered table. It is called under the encoder's lock.
func (a *answer) table(families []*family, blocks []*block, p *packer) error {
	for r, f := range families {
		size, any := 0, false
		for _, b := range blocks {
			if c := b.columns[r]; c != nil {
				size, any = size+c.size, true
			}
		}
		if !any {
			continue
		}
		a.head = a.syntax.head(a.head[:0], f, size, a.format)
		a.small(a.head)
		for _, b := range blocks {
			if b.columns[r] == nil {
				continue
			}
			if err := a.column(f, b.identity, b.columns[r], p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *answer) column(f *family, identity *cells, c *column, p *packer) error {
	plain := part{family: f, identity: identity, cells: c.cells}
	if !a.gzip {
		a.parts = append(a.parts, plain)
		return nil
	}
	at := &c.packed[0]
	if f.kind == collector.Distribution && a.format == OpenMetrics { // the only series that differ from Text
		at = &c.packed[1]
	}
	if *at == nil {
		s, err := a.pack(plain, p)
		if err != nil {
			return err
		}
		*at = s
	}
	a.sum.add(*at)
	a.parts = append(a.parts, part{ready: (*at).data})
	return nil
}

func (a *answer) pack(plain part, p *packer) (*segment, error) {
	p.reset()
	a.out.w = p
	a.write(plain)
	if err := a.out.flush(); err != nil {
		return nil, fmt.Errorf("compress %s: %w", plain.family.name, err)
	}
	return p.segment()
}

// finish adds the tail and ends the answer. It is called under the encoder's lock.
func (a *answer) finish(p *packer) error {
	if !a.gzip {
		a.parts = append(a.parts, part{ready: a.tail})
		return nil
	}
	s, err := a.pack(part{ready: a.tail}, p)
	if err != nil {
		return err
	}
	a.sum.add(s)
	a.parts = append(a.parts, part{ready: s.data}, part{ready: a.sum.appendTrailer(nil)})
	return nil
}

// writeTo writes the answer.
func (a *answer) writeTo(w io.Writer) error {
	a.out.w = w
	for i := range a.parts {
		a.write(a.parts[i])
		if a.out.err != nil {
			break
		}
	}
	return a.out.flush()
}

func (a *answer) write(p part) {
	if p.cells == nil {
		a.out.ready(p.ready)
		return
	}
	for i := range blockSize {
		if cell := p.cells.at(i); len(cell) > 0 {
			a.out.buf = a.syntax.series(a.out.buf, p.family, p.identity.at(i), cell, a.format)
			a.out.spill()
		}
	}
}

// chunk is how much is written at once: enough that the cost of a write does not count, little enough for ten readers.
const chunk = 128 << 10

// output gathers writes into large ones. After an error it swallows everything.
type output struct {
	w   io.Writer
	buf []byte
	err error
}

func (o *output) ready(b []byte) {
	o.buf = append(o.buf, b...)
	o.spill()
}

func (o *output) spill() {
	if len(o.buf) >= chunk {
		o.send()
	}
}

func (o *output) send() {
	if o.err == nil && len(o.buf) > 0 {
		_, o.err = o.w.Write(o.buf)
	}
	o.buf = o.buf[:0]
}

// flush writes what is left, and returns the first error since the last flush.
func (o *output) flush() error {
	o.send()
	err := o.err
	o.err = nil
	return err
}
