package wandb

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/trainbridge/trainbridge/collector"
)

// pageLimit is the largest page the API gives.
const pageLimit = 100

// smallPage is the size of a page where none is asked for. A shorter one is all of a list.
const smallPage = 20

// overlap is how many events are read again with every poll. Events carry no time, so that one which is listed late, before
// events already read, is only found by looking back; re-reading 20 costs no request.
const overlap = 20

// maxPages bounds one pass; a longer backlog is read in several.
const maxPages = 50

// hasMore is what a page says about further pages. The reference client stops at false, goes on when it is missing,
// and never trusts true on an empty page.
type hasMore uint8

const (
	moreUnsaid hasMore = iota
	moreYes
	moreNo
)

// page is one answer of the events route, in the order of the list: oldest first.
type page struct {
	items []item
	more  hasMore
	odd   []string // names of fields not understood in the page itself
}

// item is one element of a page.
type item struct {
	id    string // the service's; empty if it gave none that can be used
	event collector.Event
	odd   []string // names of fields not understood
}

// first is the oldest id of the page.
func (p *page) first() string {
	for i := range p.items {
		if p.items[i].id != "" {
			return p.items[i].id
		}
	}
	return ""
}

// last is the newest id that can be asked after.
func (p *page) last() string {
	for i := len(p.items) - 1; i >= 0; i-- {
		if p.items[i].id != "" {
			return p.items[i].id
		}
	}
	return ""
}

// final reports whether the list ends here. A full page that claims to be the last is not believed: it costs one more
// request, and a wrong claim would show old events as news later.
func (p *page) final() bool {
	return len(p.items) == 0 || p.more == moreNo && len(p.items) < pageLimit
}

// index is the place of an id in the page, or -1.
func (p *page) index(id string) int {
	for i := range p.items {
		if p.items[i].id == id {
			return i
		}
	}
	return -1
}

// from is the page without its first n elements.
func (p *page) from(n int) *page { return &page{items: p.items[n:], more: p.more, odd: p.odd} }

// nameless gives events without an id one that every reading of the list finds again: the event before it that has an
// id, what it holds, and how many like it stand between.
type nameless struct {
	anchor string
	seen   map[string]int
}

func (n *nameless) id(e *item) string {
	if e.id != "" {
		n.anchor, n.seen = e.id, nil
		return e.id
	}
	if n.seen == nil {
		n.seen = map[string]int{}
	}
	content := e.event.ID // the hash of what was read
	n.seen[content]++
	sum := sha256.Sum256([]byte(n.anchor + "\x00" + content + "\x00" + strconv.Itoa(n.seen[content])))
	return "unnamed-" + hex.EncodeToString(sum[:12])
}
