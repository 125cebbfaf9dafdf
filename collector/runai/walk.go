package runai

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

const (
	overlap     = 5   // rows at the end of a page that are read again with the next
	maxRestarts = 6   // of a walk in which rows vanished
	maxPages    = 400 // of a walk
	maxIdle     = 3   // pages in a row without anything new
)

// line is what is to be known of a row of a list to read the list to its end.
type line struct {
	key string         // what the row is; empty if that cannot be told
	at  collector.Time // what it is sorted by, if that is known
}

// sheet is one page of a list.
type sheet struct {
	lines []line
	asked int  // rows that were asked for
	more  bool // the service says that there is more
	next  int  // where, if it says
}

// walk reads a list page by page, by offset. Rows that come or go while it is read shift all others: a few rows are therefore read
// twice, and if none of them comes again the walk begins anew. The rows of all attempts are good: they were there.
type walk struct {
	limit int // rows of a page
	first int // rows of the first page, if it is to be another number
	// fetch reads a page and keeps its rows.
	fetch func(ctx context.Context, offset, limit int) (sheet, error)
	// enough reports whether what comes after a page is of no interest. It is called with each page in turn.
	enough func(sheet) bool
	// again is called before the walk begins anew.
	again func()
}

// walked is how a walk ended.
type walked struct {
	whole bool // the end was reached, or enough
	torn  bool // rows vanished each time
	pages int
}

func (w *walk) run(ctx context.Context) (walked, error) {
	var out walked
	for restarts := 0; ; restarts++ {
		if restarts > 0 && w.again != nil {
			w.again()
		}
		shifted, err := w.once(ctx, &out, restarts < maxRestarts)
		if err != nil || !shifted {
			return out, err
		}
	}
}

// once reads the list once. It reports whether rows vanished; if it is not strict, it goes on nevertheless.
func (w *walk) once(ctx context.Context, out *walked, strict bool) (shifted bool, err error) {
	seen := map[string]bool{}
	var tail []line                      // the rows that must come again
	offset, limit, idle := 0, w.limit, 0 // idle pages in a row had nothing new
	if w.first > 0 {
		limit = w.first
	}
	for ; out.pages < maxPages; out.pages++ {
		s, err := w.fetch(ctx, offset, limit)
		if err != nil {
			return false, err
		}
		if len(tail) > 0 && !s.has(tail) {
			if strict {
				return true, nil
			}
			out.torn = true
		}
		fresh := s.mark(seen)
		if idle++; fresh || s.asked < minPage { // small pages look for a row that cannot be read
			idle = 0
		}
		if idle >= maxIdle { // the service ignores offset
			return false, nil
		}
		if w.enough(s) || s.ends(fresh) {
			out.whole = !out.torn
			return false, nil
		}
		offset, tail = s.following(offset, limit < w.limit)
		limit = w.limit
	}
	return false, nil
}

// has reports whether one of the rows is in the page.
func (s *sheet) has(tail []line) bool {
	for _, t := range tail {
		for _, l := range s.lines {
			if l.key == t.key {
				return true
			}
		}
	}
	return false
}

// mark notes the rows of the page as seen, and reports whether any is new.
func (s *sheet) mark(seen map[string]bool) (fresh bool) {
	for _, l := range s.lines {
		if l.key != "" && !seen[l.key] {
			seen[l.key] = true
			fresh = true
		}
	}
	return fresh
}

// ends reports whether the list ends with the page. That a full page is the last is not believed: whether such a page says that
// there is more is not documented. Nor is a short page believed that says so and has nothing new.
func (s *sheet) ends(fresh bool) bool {
	switch {
	case len(s.lines) == 0:
		return true
	case len(s.lines) >= s.asked:
		return false
	}
	return !s.more || !fresh
}

// following is where to read on after the page that was asked for at offset, and which of its rows must come again. All rows of
// the time of the last one are read again, in case that their order is another each time; but if they fill the
// page, and the next one is no larger.
func (s *sheet) following(offset int, larger bool) (next int, tail []line) {
	n := len(s.lines)
	if s.next > offset+n && s.next <= offset+s.asked { // rows are hidden from us: positions are not ours to count
		return max(s.next-overlap, offset+1), nil
	}
	from := n - min(overlap, n/2)
	for _, l := range s.lines[from:] {
		if l.key != "" {
			tail = append(tail, l)
		}
	}
	if at := s.lines[n-1].at; at.Known() {
		tie := n
		for tie > 0 && s.lines[tie-1].at == at {
			tie--
		}
		if tie >= max(1, n/4) || larger && n == s.asked {
			from = min(from, tie)
		}
	}
	return offset + from, tail
}

// sortedAs reports whether no row of a page is before one that must come after it, by times that compare in this way or are equal.
func (s *sheet) sortedAs(direction int) bool {
	last := collector.Time(0)
	for _, l := range s.lines {
		if !l.at.Known() {
			continue
		}
		if last.Known() && cmp.Compare(l.at, last) == -direction {
			return false
		}
		last = l.at
	}
	return true
}

// descending reports whether a page is sorted by time, newest first; a page of one time is.
func (s *sheet) descending() bool { return s.sortedAs(-1) }

// ascending reports whether a page is sorted by time, oldest first.
func (s *sheet) ascending() bool { return s.sortedAs(1) }

// oldest is the time of the last row of a page.
func (s *sheet) oldest() collector.Time {
	for i := len(s.lines) - 1; i >= 0; i-- {
		if s.lines[i].at.Known() {
			return s.lines[i].at
		}
	}
	return 0
}

// page asks for rows of a list. inside says, with an error, that it was a row that could not be read.
type page func(ctx context.Context, offset, limit int) (s sheet, inside bool, err error)

// patient asks for fewer and fewer rows where one of them cannot be read by any limit, and at last leaves that one out.
// A service that answers so to everything is a failure.
func (p page) patient(ctx context.Context, offset, limit int, skipped func()) (sheet, error) {
	for {
		s, inside, err := p(ctx, offset, limit)
		if s.asked = limit; err == nil || !inside || !isPoison(err) {
			return s, err
		}
		if limit > 1 {
			limit = max(1, limit/8)
			continue
		}
		next, _, after := p(ctx, offset+1, 1)
		if after != nil {
			return sheet{}, err
		}
		skipped()
		next.lines = append([]line{{}}, next.lines...)
		next.asked, next.more, next.next = 2, len(next.lines) > 1, 0
		return next, nil
	}
}

// isPoison reports whether an answer was cut off by what it holds, and not by the way it came.
func isPoison(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && (e.Class == "too_large" || e.Class == "decode" && !strings.Contains(e.Detail, "ends in the middle"))
}
