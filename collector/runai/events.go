package runai

import (
	"context"
	"net/url"
	"slices"
	"strconv"
)

const (
	leastPage    = 50     // rows of the first page of events, where few are expected
	longBacklog  = 20_000 // events; a backlog of more is read oldest first, in several polls
	maxBacklog   = 100_000
	forwardPages = 8 // of a long backlog in one poll
)

// order is how events are asked for.
type order string

const (
	newestFirst order = "desc"
	oldestFirst order = "asc"
)

// pageAsker answers with a page of a list.
type pageAsker func(ctx context.Context, list int, o order, offset, limit int) (recordPage, error)

// ask asks the service. Before version 2.20 events have no sortOrder, and no documented order.
func (p *poll) ask(ctx context.Context, list int, o order, offset, limit int) (recordPage, error) {
	operation, r := "events", recordPage{list: eventList}
	q := url.Values{"offset": {strconv.Itoa(offset)}, "limit": {strconv.Itoa(limit)}}
	if list == inHistory {
		operation, r.list = "history", historyList
	} else {
		q.Set("sortOrder", string(o))
	}
	err := p.s.get(ctx, operation, q, r.read, append(slices.Clone(p.path), operation)...)
	return r, err
}

// page reads rows of one of the lists and keeps them.
func (p *poll) page(list int, o order) page {
	return func(ctx context.Context, offset, limit int) (sheet, bool, error) {
		r, err := p.asker(ctx, list, o, offset, limit)
		if err != nil {
			return sheet{}, r.inside, err
		}
		s := sheet{lines: lines(r.records), more: r.more, next: r.next}
		if list == inEvents && s.descending() {
			date(r.records)
			s.lines = lines(r.records)
		}
		p.odd = append(p.odd, r.odd...)
		p.pile.add(list, r.records)
		return s, false, nil
	}
}

// fetch is page for a walk.
func (p *poll) fetch(list int, o order) func(context.Context, int, int) (sheet, error) {
	pages := p.page(list, o)
	return func(ctx context.Context, offset, limit int) (sheet, error) {
		return pages.patient(ctx, offset, limit, func() { p.odd = append(p.odd, [...]string{"event", "history"}[list]) })
	}
}

// readEvents reads the events back to the cut, or all of them to count them. A long backlog is read oldest first.
func (p *poll) readEvents(ctx context.Context) error {
	c := &p.cursor
	if c.Offset > 0 {
		return p.readForward(ctx)
	}
	first := c.Cut == 0 && c.Offset == 0 && p.job.EventCount() == 0
	sorted, rows, long := true, 0, false
	w := walk{limit: p.s.config.PageSize, fetch: p.fetch(inEvents, newestFirst), again: func() { sorted, rows, p.newest = true, 0, 0 }}
	if !first && !p.counting() {
		w.first = min(max(2*p.memo.rows+2*overlap, leastPage), w.limit)
	}
	w.enough = func(s sheet) bool {
		sorted = sorted && s.descending()
		rows += len(s.lines)
		p.see(&s, rows)
		long = first && rows > p.s.longBacklog
		if long {
			return true
		}
		oldest := s.oldest() // older than another row, else the order may be any
		return rows > maxBacklog || !p.counting() && sorted && oldest.Known() && oldest <= c.Cut && oldest < p.newest
	}
	var err error
	if p.events, err = w.run(ctx); err != nil {
		return err
	}
	if first && !p.events.torn && (long || !p.events.whole) {
		*p.pile, p.newest, p.rows, c.Offset = *newPile(), 0, 0, 0
		return p.readForward(ctx)
	}
	p.gap = p.events.torn && first || !p.events.torn && !p.events.whole || rows > maxBacklog
	return nil
}

// see notes the times of a page.
func (p *poll) see(s *sheet, rows int) {
	if rows == len(s.lines) {
		p.rows = 0
	}
	for _, l := range s.lines {
		p.newest = max(p.newest, l.at)
		if l.at > p.cursor.Cut {
			p.rows++
		}
	}
}

// readForward reads a part of a long backlog, oldest first. Where rows before it vanished meanwhile, the place is found again by
// the time of the last row that was read.
func (p *poll) readForward(ctx context.Context) error {
	c := &p.cursor
	fetch := p.fetch(inEvents, oldestFirst)
	limit := p.s.config.PageSize
	p.more, p.forward, p.lastBefore = true, true, c.Last
	for range forwardPages {
		start := max(0, c.Offset-min(overlap, limit/2))
		s, err := fetch(ctx, start, limit)
		if err != nil {
			return err
		}
		if !s.ascending() {
			return p.readWhole(ctx)
		}
		if start > 0 && !p.connects(&s) {
			c.Offset = max(1, start-forwardPages*limit)
			continue
		}
		for _, l := range s.lines {
			p.newest, c.Last = max(p.newest, l.at), max(c.Last, min(l.at, p.begun))
		}
		c.Offset = max(start+len(s.lines), 1)
		if s.ends(false) {
			p.more, c.Offset, c.Last = false, 0, 0
			return nil
		}
	}
	return nil
}

// connects reports whether a page of a backlog begins with what was read before.
func (p *poll) connects(s *sheet) bool {
	if len(s.lines) > 0 && s.lines[0].at.Known() && s.lines[0].at < p.cursor.Last {
		return true
	}
	for i, l := range s.lines {
		if i > 2*overlap {
			break
		}
		if l.key != "" && p.job.Knows(l.key) {
			return true
		}
	}
	return false
}

// readWhole reads a long backlog at once, from a service that does not list oldest first.
func (p *poll) readWhole(ctx context.Context) error {
	c := &p.cursor
	p.more, p.forward, p.newest, p.rows = false, false, 0, 0
	*p.pile, c.Offset, c.Last = *newPile(), 0, 0
	rows := 0
	w := walk{limit: p.s.config.PageSize, fetch: p.fetch(inEvents, newestFirst), again: func() { rows = 0 }}
	w.enough = func(s sheet) bool {
		rows += len(s.lines)
		p.see(&s, rows)
		return rows > maxBacklog
	}
	var err error
	p.events, err = w.run(ctx)
	p.gap = p.events.torn || rows > maxBacklog
	return err
}
