package wandb

import (
	"context"

	"github.com/trainbridge/trainbridge/collector"
)

// reader reads the list of events of one job.
type reader struct {
	job   *collector.Job
	fetch func(ctx context.Context, after string) (*page, error)
}

// pass is what one walk along the list brought: the events after a bookmark, each once, in the order of the list.
type pass struct {
	cursor string // the bookmark the pass began at; "" is the start of the list
	events []item
	more   bool  // the list goes on
	stuck  bool  // the service shows one page whatever it is asked after
	gap    bool  // nothing that was known is listed any more
	err    error // why the pass ended early
	odd    []string

	names nameless
	seen  map[string]bool
}

func newPass(cursor string) *pass {
	return &pass{cursor: cursor, seen: map[string]bool{}, names: nameless{anchor: cursor}}
}

// add takes a page and reports whether it brought anything that the pass had not seen.
func (p *pass) add(pg *page) bool {
	p.odd = append(p.odd, pg.odd...)
	brought := false
	for _, e := range pg.items {
		e.event.ID = p.names.id(&e)
		if p.seen[e.event.ID] {
			continue
		}
		p.seen[e.event.ID] = true
		p.events = append(p.events, e)
		brought = true
	}
	return brought
}

// bookmark is the id to ask after next time: the one that has overlap events behind it. Where there are fewer, the
// bookmark stays.
func (p *pass) bookmark() string {
	for i := len(p.events) - overlap - 1; i >= 0; i-- {
		if p.events[i].id != "" {
			return p.events[i].id
		}
	}
	return p.cursor
}

// read walks from a bookmark to the end of the list or the bound of a pass. The first page may be given, if it was fetched
// already. When a later page fails, what was read before it stands, and the next pass meets the failure first.
func (r *reader) read(ctx context.Context, cursor string, pg *page) (*pass, error) {
	p := newPass(cursor)
	after, previous := cursor, ""
	for n := range maxPages {
		if pg == nil {
			next, err := r.next(ctx, after)
			if err != nil && n > 0 {
				p.more, p.err = true, err
				return p, nil
			}
			if err != nil {
				return nil, err
			}
			pg = next
		}
		brought := p.add(pg.from(r.skip(p, pg)))
		repeated := pg.first() == previous && len(pg.items) >= smallPage
		next := pg.last()
		if pg.final() || next == "" || next == after || !brought && n > 0 {
			p.stuck = !brought && repeated && pg.more == moreYes
			return p, nil
		}
		after, previous, pg = next, pg.first(), nil
	}
	p.more = true
	return p, nil
}

// skip is how many elements of a page stand before the pass's bookmark or are it: some services start a page early, or over.
// A bookmark that is listed twice must not hide what stands between, so what follows it decides.
func (r *reader) skip(p *pass, pg *page) int {
	i := -1
	if p.cursor != "" {
		i = pg.index(p.cursor)
	}
	if i < 0 || i+1 == len(pg.items) {
		return i + 1
	}
	behind := pg.from(i + 1)
	if len(p.events) == 0 && r.known(behind.items) == 0 || len(p.events) > 0 && !p.seen[behind.items[0].id] {
		return 0
	}
	return i + 1
}

// starts reports whether a page asked after the job's bookmark begins as it should: bookmarks have known events behind them,
// and only few can have been listed late between those.
func (r *reader) starts(pg *page) bool {
	head := pg.items[:min(overlap, len(pg.items))]
	return pg.first() != "" && r.job.Knows(pg.first()) && 2*r.known(head) >= len(head)
}

// known counts the elements that are known.
func (r *reader) known(items []item) (n int) {
	for i := range items {
		if id := items[i].id; id != "" && r.job.Knows(id) {
			n++
		}
	}
	return n
}
