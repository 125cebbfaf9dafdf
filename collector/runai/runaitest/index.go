package runaitest

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// query is what a listing is asked for, but for its page.
type query struct {
	deleted bool
	sortBy  string
	filters []condition
	filter  string // as it was sent
	search  string
}

// selection reads the parameters that the listing and the count share.
func (c *call) selection() (query, reply, bool) {
	q := query{sortBy: "createdAt"}
	if text, given := c.param("deleted"); given {
		yes, err := strconv.ParseBool(text)
		if err != nil {
			return q, c.bad("bad_filter", "deleted must be true or false"), false
		}
		q.deleted = yes
	}
	if text, given := c.param("sortBy"); given {
		if _, known := fields[text]; !known {
			return q, c.bad("bad_sort", "sortBy is not one of the allowed values"), false
		}
		q.sortBy = text
	}
	q.search, _ = c.param("search")
	filter, given := c.param("filterBy")
	if !given {
		return q, reply{}, true
	}
	if len(c.q["filterBy"]) > 1 {
		c.violate("repeated_filter")
	}
	q.filter = filter
	for text := range strings.SplitSeq(filter, ",") {
		condition, ok := parseFilter(text)
		if !ok {
			return q, c.bad("bad_filter", "filterBy does not match the pattern: "+text), false
		}
		if condition.name == "clusterId" {
			id := c.s.cluster.ID
			condition.text = func(*workload) string { return id }
		}
		q.filters = append(q.filters, condition)
	}
	return q, reply{}, true
}

func (q *query) moving() bool {
	return fields[q.sortBy].moving || slices.ContainsFunc(q.filters, func(c condition) bool { return c.moving })
}

func (q *query) matches(w *workload, now time.Time) bool {
	for i := range q.filters {
		if !q.filters[i].holds(w, now) {
			return false
		}
	}
	if q.search == "" {
		return true
	}
	sought := strings.ToLower(q.search)
	for _, text := range [...]string{w.Name, w.ID, w.Project, w.SubmittedBy, w.Type, w.phase} {
		if strings.Contains(strings.ToLower(text), sought) {
			return true
		}
	}
	return false
}

// indexes are sorted lists of workloads, made when they are asked for and kept while they hold.
type indexes struct {
	mu     sync.Mutex
	orders map[orderKey]*order
	views  map[string]*view
}

type orderKey struct {
	deleted bool
	sortBy  string
}

// order is all workloads, active or deleted, in ascending order. Its list is never written to.
type order struct {
	at   uint64 // Server.changes when it was made
	list []*workload
}

// view is an order without what a filter takes away.
type view struct {
	at   uint64
	list []*workload
}

// maxViews bounds how many views are kept.
const maxViews = 16

// find returns the workloads that a query selects, in ascending order. The caller holds the read lock and may not change them.
func (s *Server) find(q query, now time.Time) []*workload {
	s.indexes.mu.Lock()
	defer s.indexes.mu.Unlock()
	list := s.sorted(orderKey{q.deleted, q.sortBy}, now)
	if len(q.filters) == 0 && q.search == "" {
		return list
	}
	key := strconv.FormatBool(q.deleted) + "\x00" + q.sortBy + "\x00" + q.filter + "\x00" + q.search
	if v := s.indexes.views[key]; v != nil && v.at == s.changes && !q.moving() {
		return v.list
	}
	v := &view{at: s.changes}
	for _, w := range list {
		if q.matches(w, now) {
			v.list = append(v.list, w)
		}
	}
	if len(s.indexes.views) >= maxViews {
		clear(s.indexes.views)
	}
	s.indexes.views[key] = v
	return v.list
}

// sorted returns an order as it is now. What has not changed since it was made keeps its place.
func (s *Server) sorted(key orderKey, now time.Time) []*workload {
	f := fields[key.sortBy]
	o := s.indexes.orders[key]
	if o != nil && o.at == s.changes && !f.moving {
		return o.list
	}
	if o == nil || f.moving {
		o = &order{}
		s.indexes.orders[key] = o
	}
	belongs := func(w *workload) bool { return !w.gone && w.deleted.IsZero() != key.deleted }
	less := func(a, b *workload) int { return f.compare(a, b, now) }
	var moved []*workload
	for _, w := range s.all {
		if w.changed > o.at && belongs(w) {
			moved = append(moved, w)
		}
	}
	slices.SortFunc(moved, less)
	o.list = merge(o.list, moved, less, func(w *workload) bool { return w.changed <= o.at && belongs(w) })
	o.at = s.changes
	return o.list
}

// merge makes a sorted list of two, of the first only what is kept.
func merge(a, b []*workload, less func(a, b *workload) int, keep func(*workload) bool) []*workload {
	out := make([]*workload, 0, len(a)+len(b))
	for _, w := range a {
		if !keep(w) {
			continue
		}
		for len(b) > 0 && less(b[0], w) < 0 {
			out, b = append(out, b[0]), b[1:]
		}
		out = append(out, w)
	}
	return append(out, b...)
}

// list answers GET /workloads.
func (s *Server) list(c *call) reply {
	p, bad, ok := c.paging()
	if !ok {
		return bad
	}
	q, bad, ok := c.selection()
	if !ok {
		return bad
	}
	ascending, bad, ok := c.ascending(true)
	if !ok {
		return bad
	}
	found := s.find(q, c.now)
	return c.listing("workloads", p, len(found), func(i int) {
		if !ascending {
			i = len(found) - 1 - i
		}
		c.item(found[i])
	})
}

// count answers GET /workloads/count.
func (s *Server) count(c *call) reply {
	q, bad, ok := c.selection()
	if !ok {
		return bad
	}
	c.enc.open()
	c.enc.int("count", len(s.find(q, c.now)))
	c.enc.close()
	return c.ok()
}
