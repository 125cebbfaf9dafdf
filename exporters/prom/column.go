package prom

import (
	"bytes"
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// blockSize is how many entities a block has.
const blockSize = collector.BlockSize

// cells are pieces of rendered bytes, one for each place of a block. They are immutable.
type cells struct {
	data []byte
	ends [blockSize]uint32
}

func (c *cells) at(i int) []byte {
	if c == nil {
		return nil
	}
	from := uint32(0)
	if i > 0 {
		from = c.ends[i-1]
	}
	return c.data[from:c.ends[i]]
}

// with returns c with new pieces at some places, ascending; c itself if nothing differs, and nil if nothing is left. The
// pieces stand one after the other in data. c may be nil. buf is scratch, returned for the next call.
func (c *cells) with(places []int, data []byte, ends []int, buf []byte) (changed *cells, scratch []byte) {
	if c.same(places, data, ends) {
		return c, buf
	}
	next := &cells{}
	buf = buf[:0]
	from := 0
	for i := range blockSize {
		piece := c.at(i)
		if len(places) > 0 && places[0] == i {
			piece = data[from:ends[0]]
			from = ends[0]
			places, ends = places[1:], ends[1:]
		}
		buf = append(buf, piece...)
		next.ends[i] = uint32(len(buf))
	}
	if len(buf) == 0 {
		return nil, buf
	}
	next.data = slices.Clone(buf)
	return next, buf
}

func (c *cells) same(places []int, data []byte, ends []int) bool {
	from := 0
	for k, i := range places {
		if !bytes.Equal(c.at(i), data[from:ends[k]]) {
			return false
		}
		from = ends[k]
	}
	return true
}

// column holds the values of one family in one block.
type column struct {
	*cells
	size   int         // of the series, where the format's heads need it
	packed [2]*segment // compressed series, made when first asked for; guarded by the encoder's lock
}

// block is what is kept of one block of entities. But for packed, it is immutable.
type block struct {
	identity *cells
	columns  []*column // by family, nil where there are no points
}
