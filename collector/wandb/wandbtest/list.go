package wandbtest

import "slices"

// list is the event list of one job: oldest first, append-only but for what tests do to it. The first part of it may
// be generated when read, so that a backlog of millions of events costs nothing to hold.
type list struct {
	gen  backlog
	rows []row
	far  map[string]int // id to place in rows, made when a cursor is far from the end; nil when out of date
}

// near is how many of the newest events are searched one by one before an index is built.
const near = 128

func (l *list) len() int { return l.gen.len() + len(l.rows) }

// append writes event i to b.
func (l *list) append(b []byte, i int, mode Nonfinite) []byte {
	n := l.gen.len()
	if i < n {
		return l.gen.append(b, i)
	}
	r := &l.rows[i-n]
	if r.special {
		return expand(b, r.enc, mode)
	}
	return append(b, r.enc...)
}

func (l *list) id(i int) string {
	if n := l.gen.len(); i >= n {
		return l.rows[i-n].id
	}
	return l.gen.id(i)
}

func (l *list) special(i int) bool {
	n := l.gen.len()
	return i >= n && l.rows[i-n].special
}

// find returns the place of the event with this id, or -1.
func (l *list) find(id string) int {
	if i := l.findRow(id); i >= 0 {
		return l.gen.len() + i
	}
	return l.gen.find(id)
}

func (l *list) findRow(id string) int {
	stop := max(0, len(l.rows)-near)
	for i := len(l.rows) - 1; i >= stop; i-- {
		if l.rows[i].id == id {
			return i
		}
	}
	if stop == 0 {
		return -1
	}
	if l.far == nil {
		l.far = make(map[string]int, len(l.rows))
		for i := range l.rows {
			l.far[l.rows[i].id] = i
		}
	}
	if i, ok := l.far[id]; ok {
		return i
	}
	return -1
}

func (l *list) push(r row) {
	if l.far != nil {
		l.far[r.id] = len(l.rows)
	}
	l.rows = append(l.rows, r)
}

// insert puts r before event i; i is clipped to the list.
func (l *list) insert(i int, r row) {
	if n := l.gen.len(); i < n {
		l.materialize()
	} else {
		i -= n
	}
	i = min(max(i, 0), len(l.rows))
	l.rows = slices.Insert(l.rows, i, r)
	l.far = nil
}

// materialize turns the generated part into stored rows.
func (l *list) materialize() {
	n := l.gen.len()
	rows := make([]row, 0, n+len(l.rows)+1)
	for i := range n {
		rows = append(rows, row{enc: string(l.gen.append(nil, i)), id: l.gen.id(i)})
	}
	l.rows = append(rows, l.rows...)
	l.gen = backlog{}
	l.far = nil
}

// prune drops the n oldest events.
func (l *list) prune(n int) {
	n = min(max(n, 0), l.len())
	g := min(n, l.gen.len())
	l.gen.from += g
	l.rows = slices.Clone(l.rows[n-g:])
	l.far = nil
}
