package wandb

import (
	"context"
	"fmt"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Follow implements [collector.Follower].
func (s *Source) Follow(ctx context.Context, job *collector.Job) (collector.Update, error) {
	u := collector.Update{Key: job.Key, Polled: true}
	if err := checkID(job.Key.ID); err != nil {
		return u, fmt.Errorf("source %s: job id %q: %w", s.name, job.Key.ID, err)
	}
	var detail *jobDetail
	if s.readJob && !job.Phase.Ended() {
		detail = s.readDetail(ctx, job.Key.ID)
	}
	err := s.readEvents(ctx, job, &u)
	u.At = collector.TimeOf(time.Now())
	if isMissing(err) {
		s.missing(job, &u)
		return u, nil
	}
	if err != nil {
		return u, s.explain(job.Key.ID, err)
	}
	detail.tell(job, &u)
	return u, nil
}

// missing is what a job that the service does not know means: nothing while it may not have been created yet in every place.
func (s *Source) missing(job *collector.Job, u *collector.Update) {
	young := u.At.Sub(job.FirstSeen) < s.grace && job.EventCount() == 0
	u.NotFound, u.Early = !young, young
}

// readEvents reads what is new, and after the end of the job counts all that is listed.
func (s *Source) readEvents(ctx context.Context, job *collector.Job, u *collector.Update) error {
	r := &reader{job: job, fetch: func(ctx context.Context, after string) (*page, error) {
		return s.fetchPage(ctx, job.Key.ID, after)
	}}
	p, err := s.resume(ctx, r)
	if err != nil {
		return err
	}
	if p == nil {
		u.More = true
		return nil
	}
	if err := r.report(p, u); err != nil {
		return err
	}
	if !job.Phase.Ended() || p.more {
		return nil
	}
	return s.count(ctx, r, p, u)
}

// resume reads on from the job's bookmark, or finds the place again. A nil pass means that the search for it goes on with
// the next call.
func (s *Source) resume(ctx context.Context, r *reader) (*pass, error) {
	cursor := r.job.Cursor
	if begun := s.walks.search(r.job); begun != nil {
		return s.search(ctx, r, begun, nil)
	}
	pg, err := r.fetch(ctx, cursor)
	switch {
	case err != nil && (cursor == "" || !isRefused(err)):
		return nil, err
	case cursor == "":
		return r.readStart(ctx, pg)
	case err == nil && (r.starts(pg) || pg.index(cursor) >= 0):
		return r.read(ctx, cursor, pg)
	}
	return s.verify(ctx, r, pg)
}

// verify finds out what a page is that does not begin as one after the bookmark must; it is nil if the bookmark was refused.
func (s *Source) verify(ctx context.Context, r *reader, pg *page) (*pass, error) {
	start, err := r.fetch(ctx, "")
	if err != nil {
		return nil, err
	}
	if pg != nil && r.known(pg.items) > 0 && pg.first() != start.first() {
		return r.read(ctx, r.job.Cursor, pg) // an event was listed late, right after the bookmark
	}
	return s.search(ctx, r, &search{origin: r.job.Cursor}, start)
}

// readStart reads a list whose job has no bookmark yet.
func (r *reader) readStart(ctx context.Context, pg *page) (*pass, error) {
	p, err := r.read(ctx, "", pg)
	if err != nil || len(r.job.Window) == 0 || len(p.events) == 0 {
		return p, err
	}
	p.gap = true
	for i := range p.events {
		if r.job.Knows(p.events[i].event.ID) {
			p.gap = false
			break
		}
	}
	return p, nil
}

func (s *Source) search(ctx context.Context, r *reader, found *search, pg *page) (*pass, error) {
	p, err := found.run(ctx, r, pg)
	if p == nil && err == nil {
		s.walks.keep(r.job, found)
	}
	return p, err
}

// report turns a pass into what the core wants to know. What was not understood is told with new events only: the events
// before the bookmark's end are read again and again.
func (r *reader) report(p *pass, u *collector.Update) error {
	u.Events = make([]collector.Event, len(p.events))
	unknown := p.odd
	news := false
	for i := range p.events {
		e := &p.events[i]
		u.Events[i] = e.event
		if !r.job.Knows(e.event.ID) {
			news = true
			unknown = append(unknown, e.odd...)
		}
	}
	if p.err != nil && !news {
		return p.err
	}
	if p.stuck && !news {
		return errIgnored
	}
	if p.stuck {
		unknown = append(unknown, "after")
	}
	if news {
		u.Unknown = distinct(unknown)
	}
	u.Cursor, u.HasCursor = p.bookmark(), true
	u.More, u.Gap = p.more, p.gap
	return nil
}
