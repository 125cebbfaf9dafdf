package tensorone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// jobList remembers what GET /training/jobs was like. It is safe for concurrent use, but for the fields of List.
type jobList struct {
	next     time.Time // when to ask again; these three belong to List
	refusals int
	answered bool

	mu    sync.Mutex
	found map[string]*found
}

// found is a job that the listing shows.
type found struct {
	status string         // as the listing last said
	newest collector.Time // lastUpdated of the newest answer about it
}

// noted remembers how new an answer about a job was.
func (l *jobList) noted(id string, updated collector.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.found[id]; f != nil {
		f.newest = max(f.newest, updated)
	}
}

const (
	// retryListing is how soon a listing that failed is tried again, if list_interval is longer.
	retryListing = time.Minute
	// retryRefused is how soon it is tried again whether the service lists jobs.
	retryRefused = time.Hour
	// refusedForGood is how many refusals make it sure that it does not.
	refusedForGood = 2
)

// List implements [collector.Source]. Jobs of the configuration and of files come first, then those that the service lists.
func (s *Source) List(ctx context.Context) (collector.Listing, error) {
	s.listing.Lock()
	defer s.listing.Unlock()
	inFiles, err := s.files.refresh()
	if err != nil {
		err = fmt.Errorf("source %s: find jobs: %w", s.name, err)
	}
	named := append(slices.Clone(s.static), inFiles...)
	s.label(named)
	lines, asked, listErr := s.askList(ctx)
	out := collector.Listing{
		Jobs: s.union(named, lines), Local: !asked,
		Partial: err != nil || listErr != nil || !s.listsNothing(),
	}
	return out, errors.Join(err, listErr)
}

// listsNothing reports whether jobs come from the configuration and files alone. Otherwise a job that is not listed may still be there: the
// listing is not documented, and polls tell.
func (s *Source) listsNothing() bool {
	return s.config.List == listOff || s.config.List == listAuto && s.jobs.refusals >= refusedForGood && !s.jobs.answered
}

// union makes one update of each job.
func (s *Source) union(named []target, lines []collector.Update) []collector.Update {
	place := make(map[string]int, len(named)+len(lines))
	out := make([]collector.Update, 0, len(named)+len(lines))
	for _, t := range named {
		if _, twice := place[t.id]; !twice {
			place[t.id] = len(out)
			out = append(out, s.update(t.id, collector.Info{}))
		}
	}
	for _, u := range lines {
		if i, ok := place[u.Key.ID]; ok {
			out[i] = u
			continue
		}
		out = append(out, u)
	}
	return out
}

func (s *Source) update(id string, info collector.Info) collector.Update {
	return collector.Update{
		Key: collector.Key{Source: s.name, ID: id}, At: collector.TimeOf(time.Now()), Info: s.infoOf(id, info), Origin: collector.Listed,
	}
}

// askList asks the service for its jobs when it is time.
func (s *Source) askList(ctx context.Context) (lines []collector.Update, asked bool, err error) {
	now, every := time.Now(), time.Duration(s.config.ListInterval)
	if s.config.List == listOff || now.Before(s.jobs.next) {
		return nil, false, nil
	}
	reports, err := s.readList(ctx)
	lines = s.lines(reports, err == nil)
	switch {
	case err == nil:
		s.jobs.next, s.jobs.answered = now.Add(every), true
		return lines, true, nil
	case s.config.List == listAuto && isUnlisted(err):
		s.jobs.next = now.Add(retryRefused)
		s.jobs.refusals++
		if s.told.First("list") {
			s.log.Info("the service does not list jobs: only those in jobs and job_files are watched; it is asked again in an hour "+
				"(list: off would not ask)", "err", err)
		}
		return lines, true, nil
	}
	s.jobs.next = now.Add(min(every, retryListing))
	return lines, true, s.explain("list jobs", err)
}

// isUnlisted reports whether a refusal may mean that there is no such listing, or not for this key.
func isUnlisted(err error) bool {
	var e *api.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone,
		http.StatusUnprocessableEntity, http.StatusNotImplemented:
		return true
	}
	return false
}

// lines makes updates of what the service lists, and remembers it. Jobs that ended long ago and were not known are left out.
func (s *Source) lines(reports []*report, whole bool) []collector.Update {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	horizon := collector.TimeOf(time.Now().Add(-time.Duration(s.config.ListEnded)))
	var out []collector.Update
	seen := make(map[string]bool, len(reports))
	for _, r := range reports {
		before := s.jobs.found[r.id]
		if r.isOld(before, horizon) {
			continue
		}
		seen[r.id] = true
		u := s.update(r.id, r.info)
		r.tellListed(before, &u)
		if before == nil {
			before = &found{}
			s.jobs.found[r.id] = before
		}
		before.status, before.newest = r.status, max(before.newest, r.updated)
		u.Unknown = s.news(r.id, r.odd)
		out = append(out, u)
	}
	if whole {
		for id := range s.jobs.found {
			if !seen[id] {
				delete(s.jobs.found, id)
			}
		}
	}
	return out
}

// isOld reports whether a job that nobody knew running ended before the horizon, or nobody can say when.
func (r *report) isOld(before *found, horizon collector.Time) bool {
	phase, _ := phaseOf(r.status)
	if !phase.Ended() {
		return false
	}
	if before != nil {
		if was, _ := phaseOf(before.status); !was.Ended() {
			return false
		}
	}
	at := r.ended
	if !at.Known() {
		at = r.updated
	}
	return at < horizon
}

// tellListed puts what a line says into an update. A line that is older than what is known says nothing but that the job is there.
func (r *report) tellListed(before *found, u *collector.Update) {
	u.Soon = before != nil && before.status != r.status
	stale := before != nil && r.updated.Known() && r.updated < before.newest
	phase, known := phaseOf(r.status)
	if stale || !known { // the poll will tell
		return
	}
	r.tellPhase(nil, u)
	if phase == collector.Running {
		u.PhaseAt = r.runningSince(before)
		u.HasPhase = u.PhaseAt.Known() // else the line may be from before the end
	}
	for _, rd := range r.readings {
		if !rd.Null && u.HasPhase {
			u.Readings = append(u.Readings, rd)
		}
	}
}

// runningSince is when the running phase began, as well as a listing can tell.
func (r *report) runningSince(before *found) collector.Time {
	if before != nil {
		if was, _ := phaseOf(before.status); was == collector.Paused || was == collector.Stopping {
			return r.updated
		}
	}
	if r.started.Known() {
		return r.started
	}
	return r.updated
}
