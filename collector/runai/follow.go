package runai

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Follow implements [collector.Follower].
func (s *Source) Follow(ctx context.Context, job *collector.Job) (collector.Update, error) {
	u := collector.Update{Key: job.Key, Polled: true}
	p, ok := s.newPoll(job)
	if !ok {
		return u, fmt.Errorf("source %s: workload id %q is none that the service gives", s.name, job.Key.ID)
	}
	err := p.read(ctx)
	u.At = collector.TimeOf(time.Now())
	switch {
	case isMissing(err) && !p.asked && !p.listed():
		u.NotFound = true
		return u, nil
	case err != nil:
		return u, s.explain(job.Key.ID, err)
	}
	err = p.report(&u)
	return u, err
}

// poll is one poll of one job.
type poll struct {
	s      *Source
	asker  pageAsker
	job    *collector.Job
	path   []string // of the workload or revision, below /api/v1
	memo   memo     // as it was at first
	begun  collector.Time
	cursor cursor
	pile   *pile
	odd    []string

	newest     collector.Time // of the events that were read
	events     walked
	history    walked
	asked      bool // the service knows the job
	historic   bool // the history was read
	more       bool
	forward    bool           // the events are a part of a long backlog
	lastBefore collector.Time // the newest event of the parts before
	gap        bool
	readings   []collector.Reading
	rows       int // events after the cut
}

func (s *Source) newPoll(job *collector.Job) (*poll, bool) {
	workload, revision, isRevision := strings.Cut(job.Key.ID, "/")
	if !checkID(workload) || isRevision && !checkID(revision) {
		return nil, false
	}
	p := &poll{
		s: s, job: job, path: []string{"workloads", workload}, memo: s.look(job.Key.ID), begun: collector.TimeOf(time.Now()),
		cursor: cursorOf(job, s.window), pile: newPile(),
	}
	p.asker = p.ask
	if isRevision {
		p.path = []string{"workloads", "inferences", "revisions", revision}
	}
	return p, true
}

// isRevision reports whether the job is a revision of an inference workload, which has no metrics.
func (p *poll) isRevision() bool { return len(p.path) > 2 }

// listed reports whether the newest listing has the workload, so that it cannot be missing.
func (p *poll) listed() bool {
	return !p.job.Phase.Ended() && !p.memo.listed.IsZero() && p.memo.listed.Equal(p.s.lastListing())
}

// counting reports whether the job has ended and been told of, so that everything is read to be counted.
func (p *poll) counting() bool { return p.job.Phase.Ended() && !p.job.Trace.Open }

func (p *poll) read(ctx context.Context) error {
	if *p.s.config.Events {
		if err := p.readEvents(ctx); err != nil || p.more {
			return err
		}
		p.asked = true
	}
	if err := p.readHistory(ctx); err != nil {
		return err
	}
	return p.readMetrics(ctx)
}

// report says what was read.
func (p *poll) report(u *collector.Update) error {
	c := &p.cursor
	shown, extras, phases := p.pile.events(), p.pile.extras(), p.pile.changes()
	u.Listed = len(shown) + len(extras) + len(phases)
	u.Counted = p.counting() && p.wholeCount()

	c.follow(shown)
	cut, stuck := c.Cut, c.stuck
	extras = after(extras, c.Seen, func(e collector.Event) bool { return e.At > p.begun })
	notices := after(slices.Concat(shown, extras), cut, func(e collector.Event) bool { return stuck(e.ID) })
	phases = p.freshPhases(phases)
	if *p.s.config.Events {
		c.Seen = max(c.Seen, p.begun)
	}
	if !p.events.torn {
		c.advance(min(p.newest, p.begun).Add(-p.s.window))
	}
	p.s.with(p.job.Key.ID, func(m *memo) { m.rows = p.rows })
	u.Events = slices.Concat(notices, phases)
	sortEvents(u.Events)
	if p.forward {
		u.Window = c.rememberForward(p.job, notices, p.lastBefore)
	} else {
		u.Window = c.remember(p.job, notices, phases)
	}
	p.readings = append(p.readings, p.lostPods()...)
	u.More, u.Gap, u.Readings = p.more, p.gap, p.readings

	if p.pile.undated > 0 {
		p.odd = append(p.odd, "event.createdAt")
	}
	p.s.with(p.job.Key.ID, func(m *memo) { u.Unknown = m.fresh(p.odd) })
	text, err := c.text()
	u.Cursor, u.HasCursor = text, err == nil
	return err
}

// after are the events after a moment, but for some.
func after(events []collector.Event, cut collector.Time, but func(collector.Event) bool) []collector.Event {
	out := events[:0]
	for _, e := range events {
		if e.At > cut && !but(e) {
			out = append(out, e)
		}
	}
	return out
}

// wholeCount reports whether all that the service shows was read.
func (p *poll) wholeCount() bool {
	events := !*p.s.config.Events || p.events.whole && !p.gap
	history := !*p.s.config.History || p.historic && p.history.whole || !p.historic && p.cursor.Mark == ""
	return events && history
}
