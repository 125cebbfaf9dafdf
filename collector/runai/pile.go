package runai

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/trainbridge/trainbridge/collector"
)

// pile puts together what several readings of both lists say: one event for each thing that happened.
//
// The list of events decides. Its records with an id are one by it; of those without, as many are taken as have the same content in
// any one page. The history shows the same events, perhaps without their ids: what it has more of the same content is extra.
type pile struct {
	named   [2]map[string]record // by id
	crowds  [2]map[string]*crowd // by content
	phases  map[string]*crowd
	undated int // rows without a time that can be told
}

// crowd is records of the same content, without ids.
type crowd struct {
	record
	most int // in any page
}

// The numbers of the lists in a pile.
const (
	inEvents = iota
	inHistory
)

func newPile() *pile {
	p := &pile{phases: map[string]*crowd{}}
	for list := range p.named {
		p.named[list], p.crowds[list] = map[string]record{}, map[string]*crowd{}
	}
	return p
}

// add takes in a page of a list.
func (p *pile) add(list int, records []*record) {
	count := map[string]int{}
	for _, r := range records {
		switch {
		case r == nil:
		case !r.at.Known():
			p.undated++
		case r.id != "":
			if had, ok := p.named[list][r.id]; !ok || r.at > had.at { // an event that Kubernetes repeats moves
				p.named[list][r.id] = *r
			}
		default:
			of := p.crowds[list]
			if r.phase {
				of = p.phases
			}
			if of[r.content] == nil {
				of[r.content] = &crowd{record: *r}
			}
			count[r.content]++
			of[r.content].most = max(of[r.content].most, count[r.content])
		}
	}
}

// dropEvents leaves the changes of phase.
func (p *pile) dropEvents() {
	p.named, p.crowds = newPile().named, newPile().crowds
}

// events are those that the list of events shows, oldest first, with the ids that the core counts them by.
func (p *pile) events() []collector.Event {
	var out []collector.Event
	for id, r := range p.named[inEvents] {
		out = append(out, r.as(id))
	}
	for _, c := range p.crowds[inEvents] {
		out = c.repeat(out, 0, c.most)
	}
	sortEvents(out)
	return out
}

// extras are the events that only the history shows.
func (p *pile) extras() []collector.Event {
	shown := map[string]int{} // by content, those that the history has not under the same id
	for content, c := range p.crowds[inEvents] {
		shown[content] += c.most
	}
	for id, r := range p.named[inEvents] {
		if _, both := p.named[inHistory][id]; !both {
			shown[r.content]++
		}
	}
	var out []collector.Event
	for _, id := range slices.Sorted(maps.Keys(p.named[inHistory])) {
		r := p.named[inHistory][id]
		if _, both := p.named[inEvents][id]; both {
			continue
		}
		if shown[r.content] > 0 {
			shown[r.content]--
			continue
		}
		out = append(out, r.as(id))
	}
	for content, c := range p.crowds[inHistory] {
		had := 0
		if e := p.crowds[inEvents][content]; e != nil {
			had = e.most
		}
		out = c.repeat(out, had, had+c.most-min(c.most, shown[content]))
	}
	sortEvents(out)
	return out
}

// changes are the changes of phase, oldest first.
func (p *pile) changes() []collector.Event {
	var out []collector.Event
	for _, c := range p.phases {
		out = c.repeat(out, 0, c.most)
	}
	sortEvents(out)
	return out
}

func (r *record) as(id string) collector.Event {
	e := r.event
	e.ID, e.At = id, r.at
	return e
}

// repeat appends events of the same content, from one number to another, each with an id of its own.
func (c *crowd) repeat(to []collector.Event, from, until int) []collector.Event {
	for i := from; i < until; i++ {
		id := c.content
		if i > 0 {
			id += "-" + strconv.Itoa(i+1)
		}
		to = append(to, c.as(id))
	}
	return to
}

// sortEvents brings events into the order in which the core folds them.
func sortEvents(events []collector.Event) {
	slices.SortFunc(events, func(a, b collector.Event) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
}

// lines are the rows of a page for the walk.
func lines(records []*record) []line {
	out := make([]line, len(records))
	for i, r := range records {
		if r != nil {
			out[i] = line{key: r.key(), at: r.at}
		}
	}
	return out
}

// date gives rows with an id, but no time that can be read, the time of a neighbour in a list that is sorted by time.
func date(records []*record) {
	at := collector.Time(0)
	give := func(r *record) {
		switch {
		case r == nil:
		case r.at.Known():
			at = r.at
		case r.id != "":
			r.at = at
		}
	}
	for _, r := range slices.Backward(records) {
		give(r)
	}
	for _, r := range records {
		give(r)
	}
}
