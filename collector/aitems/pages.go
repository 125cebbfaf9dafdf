package aitems

// keyed is an item of a list.
type keyed interface {
	// key is unique in the list.
	key() string
}

// page is one answer of a list.
type page[T keyed] struct {
	items []T
	size  int      // elements in the answer, those included that could not be read
	limit int      // that the service says it kept to; 0 if it says none
	odd   []string // what was not understood
}

// list is what was read of a list.
type list[T keyed] struct {
	items []T
	place map[string]int // of each key in items
	odd   []string
	doubt string // why it may lack something; empty if it is complete
}

const (
	// serviceLimit is how many items the service gives if nothing is asked for.
	serviceLimit = 1000
	// maxPages and maxItems end a list that has no end.
	maxPages = 100
	maxItems = 100_000
	// maxOverlap is how many items two pages have in common.
	maxOverlap = 10
	// round is what limits are multiples of that a service keeps to without saying so: a page of so many items may be a full one.
	round = 50
)

// readAll reads a list page by page. asked is the limit that ask sends, 0 for none. With an error it returns what was read.
func readAll[T keyed](asked int, ask func(offset int) (*page[T], error)) (*list[T], error) {
	w := walk[T]{asked: asked, list: &list[T]{place: map[string]int{}}}
	for {
		p, err := ask(w.offset)
		if err != nil {
			w.question("it could not be read to its end")
			return w.list, err
		}
		if w.take(p) {
			return w.list, nil
		}
		if w.pages >= maxPages || len(w.list.items) >= maxItems {
			w.question("it has more pages than are read")
			return w.list, nil
		}
	}
}

// walk is a list being read. Each page begins with the last items of the page before, so that a list that moved meanwhile, or
// that is paged in another way than was thought, is noticed.
type walk[T keyed] struct {
	list    *list[T]
	asked   int
	pages   int
	offset  int    // of the next page
	overlap int    // items that it has in common with the page before
	last    string // the last of them
	beyond  bool   // the first page did not hold just its limit: if it comes again, there are no others
}

// take adds a page and reports whether it was the last.
func (w *walk[T]) take(p *page[T]) (done bool) {
	linked := w.overlap == 0 || p.has(w.last)
	fresh := w.list.add(p)
	w.pages++
	switch {
	case w.pages == 1 && !p.full(w.asked):
		w.settle(w.offset + p.size)
		return true
	case w.pages == 1:
		w.beyond = p.size != p.bound(w.asked)
	case !linked:
		w.question("it changed while it was read, or is paged in an unknown way")
	case fresh > 0:
	case p.size <= w.overlap: // nothing follows
		w.settle(w.offset + p.size)
	case w.beyond: // the whole list once more
		w.settle(p.size)
	default:
		w.question("the service gives the same full page again")
	}
	if w.pages > 1 && fresh == 0 {
		return true
	}
	w.next(p)
	return false
}

// next goes on behind p.
func (w *walk[T]) next(p *page[T]) {
	w.overlap = min(maxOverlap, max(p.size-1, 0))
	w.offset += p.size - w.overlap
	if n := len(p.items); n > 0 {
		w.last = p.items[n-1].key()
	}
}

// settle ends a list that has that many places. What came twice may have come instead of something else.
func (w *walk[T]) settle(places int) {
	if places != len(w.list.items) {
		w.question("some of its items came twice or could not be read")
	}
}

func (w *walk[T]) question(why string) {
	if w.list.doubt == "" {
		w.list.doubt = why
	}
}

// add takes the items of a page; of two with one key the later one is newer. It returns how many are new.
func (l *list[T]) add(p *page[T]) (fresh int) {
	l.odd = append(l.odd, p.odd...)
	for _, item := range p.items {
		if i, known := l.place[item.key()]; known {
			l.items[i] = item
			continue
		}
		l.place[item.key()] = len(l.items)
		l.items = append(l.items, item)
		fresh++
	}
	return fresh
}

func (p *page[T]) has(key string) bool {
	for _, item := range p.items {
		if item.key() == key {
			return true
		}
	}
	return false
}

// bound is how many items the page can have had at most.
func (p *page[T]) bound(asked int) int {
	limit := asked
	if limit == 0 {
		limit = serviceLimit
	}
	if p.limit > 0 {
		limit = min(limit, p.limit)
	}
	return limit
}

// full reports whether another page may follow.
func (p *page[T]) full(asked int) bool {
	return p.size >= p.bound(asked) || p.size > 0 && p.size%round == 0
}

// memory is what the last reading of each list held, by the list's name, if that was complete. It is not safe for concurrent use.
type memory map[string]map[string]int

// confirms reports whether nothing is missing that was there the time before. A list is not confirmed where the time before was
// in doubt or had failed, or was before the start of the bridge: what is known from then is not known here.
func (m memory) confirms(name string, place map[string]int) bool {
	before, known := m[name]
	m[name] = place
	for key := range before {
		if _, ok := place[key]; !ok {
			return false
		}
	}
	return known
}
