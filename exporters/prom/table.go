package prom

import (
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// entity is a pointer to T that rows can be read from.
type entity[T any] interface {
	*T
	collector.Entity
}

// table keeps the rendered form of a table of entities. It is not safe for concurrent use; the blocks it returns may be
// read by anyone.
type table[T any, E entity[T]] struct {
	rows     []collector.Row[E]
	families []*family
	names    []string // of the identity labels
	extra    []int    // own labels of the first row that are promoted to the identity
	syntax   syntax

	source []*collector.Block[T] // what blocks were rendered from
	blocks []*block

	points collector.Points
	values []string
	data   []byte
	ends   []int
	merge  []byte
	places []int
}

// newTable prepares a table. promoted are attribute keys of the first row that every series shall carry.
func newTable[T any, E entity[T]](rows []collector.Row[E], identity, promoted []string, s syntax) *table[T, E] {
	t := &table[T, E]{rows: rows, syntax: s}
	keys := slices.Clone(identity)
	for _, key := range promoted {
		if i := slices.Index(rows[0].Labels, key); i >= 0 && !slices.Contains(keys, key) {
			keys = append(keys, key)
			t.extra = append(t.extra, i)
		}
	}
	for _, key := range keys {
		t.names = append(t.names, collector.PromLabel(key))
	}
	for i := range rows {
		t.families = append(t.families, newFamily(&rows[i], keys))
	}
	return t
}

// refresh renders what differs from the last call.
func (t *table[T, E]) refresh(now collector.Table[T]) []*block {
	if slices.Equal(t.source, now.Blocks) {
		return t.blocks
	}
	blocks := make([]*block, len(now.Blocks))
	for i, b := range now.Blocks {
		var before *collector.Block[T]
		old := &block{columns: make([]*column, 0)}
		if i < len(t.source) {
			before, old = t.source[i], t.blocks[i]
		}
		if before == b {
			blocks[i] = old
			continue
		}
		blocks[i] = t.block(old, before, b)
	}
	t.source, t.blocks = slices.Clone(now.Blocks), blocks
	return blocks
}

// block renders the entities that differ between two versions of a block.
func (t *table[T, E]) block(old *block, before, now *collector.Block[T]) *block {
	t.places = t.places[:0]
	for i, item := range now.Items {
		if before == nil && item != nil || before != nil && item != before.Items[i] {
			t.places = append(t.places, i)
		}
	}
	next := &block{columns: make([]*column, len(t.rows))}
	next.identity = t.render(old.identity, now, t.identity)
	for r := range t.rows {
		var was *column
		if r < len(old.columns) {
			was = old.columns[r]
		}
		next.columns[r] = t.column(was, next.identity, next.identity != old.identity, now, r)
	}
	return next
}

// column renders one family of a block anew, or returns was where its series are still the same.
func (t *table[T, E]) column(was *column, identity *cells, moved bool, now *collector.Block[T], row int) *column {
	var old *cells
	if was != nil {
		old = was.cells
	}
	c := t.render(old, now, func(dst []byte, e E) []byte { return t.cell(dst, e, row) })
	switch {
	case c == nil:
		return nil
	case c == old && !moved:
		return was
	}
	next := &column{cells: c}
	for i := range blockSize {
		next.size += t.syntax.size(identity.at(i), c.at(i))
	}
	return next
}

// render makes the pieces of the changed places.
func (t *table[T, E]) render(old *cells, now *collector.Block[T], piece func([]byte, E) []byte) *cells {
	t.data, t.ends = t.data[:0], t.ends[:0]
	for _, i := range t.places {
		if item := now.Items[i]; item != nil {
			t.data = piece(t.data, E(item))
		}
		t.ends = append(t.ends, len(t.data))
	}
	old, t.merge = old.with(t.places, t.data, t.ends, t.merge)
	return old
}

func (t *table[T, E]) identity(dst []byte, e E) []byte {
	t.values = e.Identity(t.values[:0])
	if len(t.extra) > 0 {
		t.points.Reset()
		t.rows[0].Read(e, &t.points)
		for _, i := range t.extra {
			v := ""
			if t.points.Len() > 0 {
				v = t.points.Labels(0)[i]
			}
			t.values = append(t.values, v)
		}
	}
	return t.syntax.identity(dst, t.names, t.values)
}

func (t *table[T, E]) cell(dst []byte, e E, row int) []byte {
	t.points.Reset()
	t.rows[row].Read(e, &t.points)
	if t.points.Len() == 0 {
		return dst
	}
	return t.syntax.cell(dst, t.families[row], t.rows[row].Start(e), &t.points)
}

// list writes the families of a few entities that are always rendered anew. buf is scratch; both are returned.
func (t *table[T, E]) list(dst, buf []byte, entities []E, format Format) (out, scratch []byte) {
	for r, f := range t.families {
		buf = buf[:0]
		for _, e := range entities {
			t.data = t.cell(t.data[:0], e, r)
			if len(t.data) == 0 {
				continue
			}
			from := len(t.data)
			t.data = t.identity(t.data, e)
			buf = t.syntax.series(buf, f, t.data[from:], t.data[:from], format)
		}
		if len(buf) > 0 {
			dst = t.syntax.head(dst, f, len(buf), format)
			dst = append(dst, buf...)
		}
	}
	return dst, buf
}
