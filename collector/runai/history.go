package runai

import (
	"context"
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

const (
	againAfter  = time.Minute     // a history that lacks the phase of the listing is read again
	failedAfter = 5 * time.Minute // so is one that could not be read
)

// readHistory reads the history if there may be something new in it. Its order is not documented, so that it is read whole.
func (p *poll) readHistory(ctx context.Context) error {
	now := p.begun.Std()
	if !p.historyDue() || !p.s.history.available(now) || now.Before(p.memo.historyAfter) {
		return nil
	}
	w := walk{limit: p.s.config.PageSize, fetch: p.fetch(inHistory, ""), enough: func(sheet) bool { return false }}
	if !*p.s.config.Events {
		w.fetch = p.fetchPhases()
	}
	var err error
	p.history, err = w.run(ctx)
	if err != nil {
		return p.historyFailed(ctx, now, err)
	}
	p.s.history.worked()
	p.s.with(p.job.Key.ID, func(m *memo) { m.historyFails, m.historyAfter = 0, time.Time{} })
	p.historic = true
	p.schedule()
	return nil
}

// fetchPhases leaves out the events, which the operator does not want.
func (p *poll) fetchPhases() func(context.Context, int, int) (sheet, error) {
	all := p.fetch(inHistory, "")
	return func(ctx context.Context, offset, limit int) (sheet, error) {
		s, err := all(ctx, offset, limit)
		p.pile.dropEvents()
		return s, err
	}
}

// historyDue reports whether the history may have something new: at first, when the listing shows another phase, some time after
// that, in case that something came late, and to count.
func (p *poll) historyDue() bool {
	c := &p.cursor
	switch {
	case !*p.s.config.History:
		return false
	case p.counting(), c.Mark == "", p.memo.mark != "" && p.memo.mark != c.Mark:
		return true
	}
	return c.Next.Known() && p.begun >= c.Next
}

// historyFailed decides what a history means that could not be read. It is needed to tell how a job came to its phase, so that
// the poll is repeated; but not for ever.
func (p *poll) historyFailed(ctx context.Context, now time.Time, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if isRefused(err) && p.s.history.refuse(now, err) {
		return nil
	}
	fails := 0
	p.s.with(p.job.Key.ID, func(m *memo) {
		m.historyFails++
		fails = m.historyFails
		if fails > patience {
			m.historyFails, m.historyAfter = 0, now.Add(failedAfter)
		}
	})
	if fails <= patience {
		return err
	}
	p.s.log.Warn("the history of a workload cannot be read, going on without for now", "job", p.job.Key.ID, "retry", failedAfter, "err", err)
	return nil
}

// schedule decides when the history is read again, after it was read.
func (p *poll) schedule() {
	c := &p.cursor
	mark := p.memo.mark
	if mark == "" {
		mark = "-" // read, and nobody knows for which phase
	}
	if mark != c.Mark {
		c.Until = p.begun.Add(p.s.window)
	}
	c.Mark, c.Next = mark, 0
	switch {
	case p.begun >= c.Until:
		c.Until = 0
	case p.shows(mark):
		c.Next = c.Until
	default:
		c.Next = min(p.begun.Add(againAfter), c.Until)
	}
}

// shows reports whether the history has the phase that the listing told of.
func (p *poll) shows(mark string) bool {
	for _, ph := range p.pile.phases {
		for _, apart := range []time.Duration{0, time.Second, -time.Second} { // the two clocks of the service are not one
			if sameMark(markOf(ph.event.Status, ph.at.Add(apart)), mark) {
				return true
			}
		}
	}
	return mark == "-"
}

// sameMark compares two marks to the second.
func sameMark(a, b string) bool { return len(a) > 3 && len(b) > 3 && a[:len(a)-3] == b[:len(b)-3] }

// markOf is a phase and when it began.
func markOf(phase string, at collector.Time) string { return clip(phase) + "@" + millis(at) }

// freshPhases are the changes of phase that were not counted yet. Those that later readings may show again are kept in the cursor.
func (p *poll) freshPhases(phases []collector.Event) []collector.Event {
	c := &p.cursor
	if !p.historic {
		return nil
	}
	fresh := after(slices.Clone(phases), c.PhaseCut, func(e collector.Event) bool { return slices.Contains(c.Phases, e.ID) })
	for _, e := range phases {
		c.PhaseCut = max(c.PhaseCut, min(e.At, p.begun).Add(-p.s.window))
	}
	var kept []string
	for i := len(phases) - 1; i >= 0 && phases[i].At > c.PhaseCut; i-- { // newest first
		if len(kept) == maxPhases {
			c.PhaseCut = phases[i].At
			break
		}
		kept = append(kept, phases[i].ID)
	}
	if !p.history.whole { // what was not shown this time may be the next
		kept = append(kept, slices.DeleteFunc(c.Phases, func(id string) bool { return slices.Contains(kept, id) })...)
		kept = kept[:min(len(kept), maxPhases)]
	}
	c.Phases = kept
	return fresh
}
