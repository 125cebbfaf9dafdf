package wandb

import (
	"context"
	"errors"
	"fmt"
)

// The ways in which a service can make a list unreadable beyond its first page.
var (
	errIgnored = errors.New("the service answers the same page whatever event it is asked after, so the rest of the list cannot be " +
		"read: check whether a proxy drops the query parameter \"after\"")
	errRefused = errors.New("the service does not take an event id that it listed itself, so the rest of the list cannot be read")
)

// next fetches the page after an event that the service has just listed. That it does not take the id says nothing about the job.
func (r *reader) next(ctx context.Context, after string) (*page, error) {
	pg, err := r.fetch(ctx, after)
	if after != "" && isRefused(err) {
		return nil, fmt.Errorf("%w (%s)", errRefused, err.Error()) // not wrapped: a 404 would look like that of the job
	}
	return pg, err
}

// search walks the list from its start to find where a job's reading had come to, when its bookmark is refused or leads
// elsewhere. It keeps a few ids only, and goes on in a later call where one is not enough.
type search struct {
	origin string   // the job's bookmark
	after  string   // where to go on
	start  []string // the first two of the list
	recent []string // the last few
	mark   string   // the bookmark overlap events before the last known one
	found  bool     // a known event was listed
	walked bool     // there was more than one page
}

// run walks on, from the page that is given if one is. A nil pass without an error means that the end was not reached: run
// it again.
func (s *search) run(ctx context.Context, r *reader, pg *page) (*pass, error) {
	previous := ""
	for range maxPages {
		if pg == nil {
			next, err := r.next(ctx, s.after)
			if err != nil {
				return nil, err
			}
			pg = next
		}
		if pg.index(s.origin) >= 0 {
			return r.read(ctx, s.origin, pg)
		}
		repeated := previous != "" && previous == pg.first()
		if repeated && len(pg.items) >= smallPage {
			return nil, errIgnored
		}
		if !repeated {
			s.note(r, pg)
		}
		next := pg.last()
		if repeated || pg.final() || next == "" || next == s.after {
			return s.conclude(ctx, r, pg)
		}
		s.walked = true
		s.after, previous, pg = next, pg.first(), nil
	}
	return nil, nil
}

// note remembers where the last known event of a page is.
func (s *search) note(r *reader, pg *page) {
	for i := range pg.items {
		id := pg.items[i].id
		if id == "" {
			continue
		}
		if len(s.start) < 2 {
			s.start = append(s.start, id)
		}
		s.recent = append(s.recent, id)
		if len(s.recent) > overlap+1 {
			s.recent = s.recent[1:]
		}
		if !r.job.Knows(id) {
			continue
		}
		s.found, s.mark = true, ""
		if len(s.recent) > overlap {
			s.mark = s.recent[0]
		}
	}
}

// conclude reads on from the last known event. Without one, the service has dropped events that were not read: everything
// is new.
func (s *search) conclude(ctx context.Context, r *reader, pg *page) (*pass, error) {
	if len(s.start) == 0 && len(pg.items) == 0 {
		return newPass(s.origin), nil
	}
	if s.walked && len(pg.items) == 0 {
		if err := s.trust(ctx, r); err != nil {
			return nil, err
		}
	}
	switch i := pg.index(s.mark); {
	case s.mark != "" && i >= 0:
		pg = pg.from(i + 1)
	case s.mark != "" || s.walked:
		pg = nil
	}
	p, err := r.read(ctx, s.mark, pg)
	if err == nil {
		p.gap = !s.found
	}
	return p, err
}

// trust makes sure that pages after an event are what they should be, before it is believed that an empty one is the end.
func (s *search) trust(ctx context.Context, r *reader) error {
	if len(s.start) < 2 {
		return nil
	}
	pg, err := r.next(ctx, s.start[0])
	if err == nil && pg.index(s.start[1]) < 0 {
		return errIgnored
	}
	return err
}
