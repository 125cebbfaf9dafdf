package runai

import (
	"cmp"
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// The core remembers the newest ids that it counted: 64 of them, or as many as it is told to, up to 4,096.
const (
	leastWindow = 64
	mostWindow  = 4096
)

// remember decides how many ids the core must remember after it has folded fresh, so that it knows again all events after the cut.
// Where that is more than it can, the cut moves on, or the few newest that it will forget are kept in the cursor.
//
// events are those after the cut, known ones included, sorted as the core sorts them; other are further ids that the core will
// remember with them.
func (c *cursor) remember(job *collector.Job, events, other []collector.Event) int {
	all := slices.Concat(events, other)
	sortEvents(all)
	fresh := slices.DeleteFunc(all, func(e collector.Event) bool { return job.Knows(e.ID) })
	total := len(job.Window) + len(fresh)
	if len(fresh) == 0 || total <= leastWindow {
		return leastWindow
	}
	place := make(map[string]int, len(fresh)) // among all ids, oldest first
	for i, e := range fresh {
		place[e.ID] = len(job.Window) + i
	}
	for keep := leastWindow; ; keep = min(2*keep, mostWindow) {
		lost := c.lost(job, events, place, total-keep)
		if len(lost) == 0 {
			return keep
		}
		if keep == mostWindow {
			c.letGo(lost)
			return keep
		}
	}
}

// rememberForward is remember for a part of a long backlog that is read oldest first. Its events alone do not tell what else after the
// cut was counted: all ids are remembered, or none of the parts before.
func (c *cursor) rememberForward(job *collector.Job, events []collector.Event, lastBefore collector.Time) int {
	if len(job.Window)+len(events) > mostWindow {
		c.advance(lastBefore)
		c.remember(job, events, nil)
	}
	return mostWindow
}

// lost are the events after the cut that the core will not know again if it forgets the first n ids.
func (c *cursor) lost(job *collector.Job, events []collector.Event, place map[string]int, n int) []collector.Event {
	if n <= 0 {
		return nil
	}
	rest := collector.Job{Window: job.Window[min(n, len(job.Window)):]}
	var out []collector.Event
	for _, e := range events {
		at, fresh := place[e.ID]
		if e.At > c.Cut && (fresh && at < n || !fresh && !rest.Knows(e.ID)) {
			out = append(out, e)
		}
	}
	return out
}

// letGo keeps the newest of the events that will be forgotten in the cursor, and moves the cut beyond the others.
func (c *cursor) letGo(lost []collector.Event) {
	slices.SortFunc(lost, func(a, b collector.Event) int { return cmp.Compare(b.At, a.At) })
	for _, e := range lost {
		if len(c.Sticky) == maxSticky {
			c.advance(e.At)
			return
		}
		c.Sticky = append(c.Sticky, sticky{Key: e.ID, At: e.At})
	}
}
