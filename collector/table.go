package collector

import "slices"

// BlockSize is how many entries of a table are published together. It is a compromise: publishing copies one block of
// pointers, and encoders keep what they rendered for a block that did not change.
const BlockSize = 512

// Block is a run of entries. It is immutable once published: comparing pointers tells whether anything changed. Free
// places are nil.
type Block[T any] struct {
	Items [BlockSize]*T
	Used  int
}

// Table is an immutable list of blocks. Places are stable: an entry keeps its place until it is removed, and busy and quiet
// entries live in different blocks, so that what changes often does not spoil what does not.
type Table[T any] struct {
	Blocks []*Block[T]
}

// All calls yield for every entry.
func (t Table[T]) All(yield func(*T) bool) {
	for _, b := range t.Blocks {
		for _, item := range b.Items {
			if item != nil && !yield(item) {
				return
			}
		}
	}
}

// Len counts the entries.
func (t Table[T]) Len() int {
	n := 0
	for _, b := range t.Blocks {
		n += b.Used
	}
	return n
}

// tableWriter makes the next version of a table. It copies each block at most once between publications.
type tableWriter[T any] struct {
	blocks []*Block[T]
	owned  map[int]bool // blocks copied since the last publication
	quiet  []bool       // by block: it holds entries that rarely change
	free   [2][]int     // places that may be free, busy and quiet
}

type place int // block*BlockSize + index

func newTableWriter[T any]() *tableWriter[T] { return &tableWriter[T]{owned: map[int]bool{}} }

// publish returns what was written so far as an immutable table.
func (w *tableWriter[T]) publish() Table[T] {
	clear(w.owned)
	return Table[T]{Blocks: slices.Clone(w.blocks)}
}

func (w *tableWriter[T]) block(i int) *Block[T] {
	if !w.owned[i] {
		copied := *w.blocks[i]
		w.blocks[i] = &copied
		w.owned[i] = true
	}
	return w.blocks[i]
}

func (w *tableWriter[T]) set(p place, item *T) { w.block(int(p) / BlockSize).Items[p%BlockSize] = item }

func (w *tableWriter[T]) isQuiet(p place) bool { return w.quiet[int(p)/BlockSize] }

func (w *tableWriter[T]) add(item *T, quiet bool) place {
	side := 0
	if quiet {
		side = 1
	}
	if len(w.free[side]) == 0 {
		w.grow(quiet, side)
	}
	last := len(w.free[side]) - 1
	p := place(w.free[side][last])
	w.free[side] = w.free[side][:last]
	b := w.block(int(p) / BlockSize)
	b.Items[p%BlockSize] = item
	b.Used++
	return p
}

func (w *tableWriter[T]) grow(quiet bool, side int) {
	i := len(w.blocks)
	w.blocks = append(w.blocks, &Block[T]{})
	w.owned[i] = true
	w.quiet = append(w.quiet, quiet)
	for at := BlockSize - 1; at >= 0; at-- {
		w.free[side] = append(w.free[side], i*BlockSize+at)
	}
}

func (w *tableWriter[T]) remove(p place) {
	b := w.block(int(p) / BlockSize)
	b.Items[p%BlockSize] = nil
	b.Used--
	side := 0
	if w.isQuiet(p) {
		side = 1
	}
	w.free[side] = append(w.free[side], int(p))
}
