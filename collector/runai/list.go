package runai

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// List implements [collector.Source]. Workloads that are deleted while it is under way stand in both lists, because the second is read
// after the first; the second knows better.
func (s *Source) List(ctx context.Context) (collector.Listing, error) {
	s.listing.Lock()
	defer s.listing.Unlock()
	l := newLister(s)
	out := collector.Listing{Partial: true}
	err := l.readActive(ctx)
	if err == nil {
		err = l.readDeleted(ctx)
	}
	if err == nil {
		err = l.readPods(ctx)
	}
	if err == nil && s.config.Revisions {
		err = l.readRevisions(ctx)
	}
	out.Partial = err != nil || l.partial
	out.Jobs = l.updates(!out.Partial)
	if !out.Partial {
		s.mu.Lock()
		s.listedAt = l.now
		s.mu.Unlock()
		s.forget(l.now)
	}
	return out, s.explain("", err)
}

// lastListing is when the newest complete listing began.
func (s *Source) lastListing() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listedAt
}

// lister is one listing under way.
type lister struct {
	s       *Source
	now     time.Time
	order   []string // ids, as they were found
	found   map[string]workload
	deleted map[string]bool
	old     map[string]bool // ended longer ago than is of interest: known ones are told of, new ones are not taken up
	partial bool
	odd     []string
	pods    podList
}

func newLister(s *Source) *lister {
	return &lister{s: s, now: time.Now(), found: map[string]workload{}, deleted: map[string]bool{}, old: map[string]bool{}}
}

// listQuery is the query for a page of workloads.
func (s *Source) listQuery(deleted bool, offset, limit int) url.Values {
	q := url.Values{"offset": {strconv.Itoa(offset)}, "limit": {strconv.Itoa(limit)}, "sortBy": {"createdAt"}, "sortOrder": {"asc"}}
	if deleted {
		q.Set("deleted", "true")
		q.Set("sortBy", "deletedAt")
		q.Set("sortOrder", "desc")
	}
	if s.filter != "" {
		q.Set("filterBy", s.filter)
	}
	return q
}

// page asks for workloads and hands them on.
func (l *lister) page(deleted bool, keep func(workload)) page {
	return func(ctx context.Context, offset, limit int) (sheet, bool, error) {
		operation := "list"
		if deleted {
			operation = "list_deleted"
		}
		r := workloadReader{}
		if err := l.s.get(ctx, operation, l.s.listQuery(deleted, offset, limit), r.read, "workloads"); err != nil {
			return sheet{}, r.inside, err
		}
		if r.bad > 0 { // any workload may be behind it
			l.partial, l.odd = true, append(l.odd, "workload")
		}
		out := sheet{more: r.more, next: r.next, lines: make([]line, len(r.workloads))}
		for i, w := range r.workloads {
			out.lines[i] = line{key: w.id, at: w.created}
			if deleted {
				out.lines[i].at = w.deleted
			}
			if w.id != "" {
				keep(w)
			}
		}
		return out, false, nil
	}
}

// run reads a list with pages as small as they have proved to need to be.
func (l *lister) run(ctx context.Context, p page, enough func(sheet) bool) (walked, error) {
	w := walk{limit: l.s.page, enough: enough}
	w.fetch = func(ctx context.Context, offset, limit int) (sheet, error) {
		s, err := p.patient(ctx, offset, limit, func() { // a workload that cannot be read may be any
			l.partial, l.odd = true, append(l.odd, "workload")
		})
		if err == nil && s.asked < limit && s.asked >= minPage {
			l.s.page = min(l.s.page, s.asked)
		}
		return s, err
	}
	return w.run(ctx)
}

// minPage is the smallest page that is asked for again because a larger one was too large.
const minPage = 50

func (l *lister) readActive(ctx context.Context) error {
	keep := func(w workload) {
		if !l.s.wants(&w) {
			return
		}
		l.old[w.id] = l.endedLongAgo(&w)
		if _, ok := l.found[w.id]; !ok {
			l.order = append(l.order, w.id)
		}
		l.found[w.id] = w
	}
	out, err := l.run(ctx, l.page(false, keep), func(sheet) bool { return false })
	l.partial = l.partial || !out.whole
	return err
}

// endedLongAgo reports whether a workload is of no interest any more.
func (l *lister) endedLongAgo(w *workload) bool {
	phase, _ := phaseOf(w.word())
	at := max(w.completed, w.phaseAt)
	return phase.Ended() && at.Known() && l.now.Sub(at.Std()) > time.Duration(l.s.config.EndedWithin)
}

// readDeleted reads the workloads that were deleted lately, or since this was last read.
func (l *lister) readDeleted(ctx context.Context) error {
	s := l.s
	if !*s.config.Deleted || !s.deleted.available(l.now) {
		return nil
	}
	since := l.now.Add(-time.Duration(s.config.DeletedWithin))
	if !s.since.IsZero() && s.since.Before(since) {
		since = s.since
	}
	cut := collector.TimeOf(since)
	keep := func(w workload) {
		_, active := l.found[w.id]
		if !w.deleted.Known() && !active { // it may be null
			w.deleted = max(w.updated, w.phaseAt)
		}
		switch {
		case !s.wants(&w), w.deleted.Known() && w.deleted < cut:
		case active && !w.deleted.Known(): // it cannot be both: one of the answers is not what was asked for
			l.partial = true
		default:
			if !active {
				l.order = append(l.order, w.id)
			}
			l.found[w.id], l.deleted[w.id] = w, true
		}
	}
	sorted := true
	out, err := l.run(ctx, l.page(true, keep), func(p sheet) bool {
		sorted = sorted && p.descending()
		return sorted && p.oldest().Known() && p.oldest() < cut
	})
	if err != nil {
		if isRefused(err) && s.deleted.refuse(l.now, err) {
			return nil
		}
		return err
	}
	s.deleted.worked()
	l.partial = l.partial || !out.whole
	if out.whole {
		s.since = l.now.Add(-time.Minute)
	}
	return nil
}

// updates are what the listing says of each job.
func (l *lister) updates(whole bool) []collector.Update {
	out := make([]collector.Update, 0, len(l.order))
	for _, id := range l.order {
		w := l.found[id]
		out = append(out, l.update(id, &w, l.deleted[id], whole))
	}
	if len(l.odd) > 0 && len(out) > 0 {
		l.s.with("", func(m *memo) { // of the list itself
			m.listed = l.now
			out[0].Unknown = append(out[0].Unknown, m.fresh(l.odd)...)
		})
	}
	return out
}

// word is the service's word for the phase.
func (w *workload) word() string {
	if w.phase != "" {
		return w.phase
	}
	return w.actual
}

// update is what a row says.
func (l *lister) update(id string, w *workload, deleted, whole bool) collector.Update {
	u := collector.Update{
		Key: collector.Key{Source: l.s.name, ID: id}, At: collector.TimeOf(l.now), Info: l.s.info(w), Origin: collector.Listed,
		Created: w.created,
	}
	odd := w.odd
	if word := w.word(); word != "" {
		phase, known := phaseOf(word)
		if !known {
			odd = append(odd, "workload.phase")
		}
		u.HasPhase, u.Phase, u.Status, u.PhaseAt = true, phase, word, w.phaseAt
	}
	at := w.phaseAt
	switch {
	case deleted && !u.Phase.Ended():
		at = w.deleted
		u.HasPhase, u.Phase, u.Status, u.PhaseAt, u.Ended = true, collector.Cancelled, deletedStatus, w.deleted, w.deleted
	case u.Phase.Ended():
		u.Ended = w.completed
		if !u.Ended.Known() {
			u.Ended = w.phaseAt
		}
	}
	if u.Phase == collector.Failed {
		u.Message = w.message
		if u.Message == "" {
			u.Message = w.cause
		}
	}
	if l.old[id] && !deleted {
		u.IfKnown = true
		return u
	}
	l.note(&u, w, markOf(u.Status, at), odd, whole)
	l.addPods(&u, w)
	return u
}

// note compares a row with what was known of the job. A number that is null is told only if there was one before: nothing is
// withdrawn that never was.
func (l *lister) note(u *collector.Update, w *workload, mark string, odd []string, whole bool) {
	l.s.with(u.Key.ID, func(m *memo) {
		moved := m.mark != "" && m.mark != mark
		news := m.updated.Known() && m.updated != w.updated && u.Phase != collector.Running && !u.Phase.Ended()
		u.Soon = moved || news
		if whole {
			m.listed = l.now
		} else if m.listed.IsZero() {
			m.listed = l.now.Add(-time.Nanosecond)
		}
		m.mark, m.updated, m.running = mark, w.updated, u.Phase == collector.Running
		m.allocated, m.pods = w.amounts[allocatedGPUs].set, w.amounts[runningPods].set
		u.Unknown = m.fresh(odd)
		for _, r := range w.readings() {
			name := strconv.Itoa(int(r.Metric)) + r.Label
			had := slices.Contains(m.gave, name)
			switch {
			case r.Gone && !had:
				continue
			case r.Gone:
				m.gave = slices.DeleteFunc(slices.Clone(m.gave), func(n string) bool { return n == name })
			case !had:
				m.gave = append(slices.Clone(m.gave), name)
			}
			u.Readings = append(u.Readings, r)
		}
	})
	if u.HasPhase && u.Phase != collector.Running && !u.Phase.Ended() { // what it used it uses no more
		for _, m := range usage() {
			u.Readings = append(u.Readings, collector.Reading{Metric: m, Gone: true})
		}
	}
}

// info is who the workload is.
func (s *Source) info(w *workload) collector.Info {
	i := collector.Info{
		Provider: provider, Name: w.name, Project: w.project, Owner: w.owner, Framework: w.framework, Kind: w.category,
	}
	if i.Project == "" {
		i.Project = w.projectID
	}
	if w.typ != "" {
		i.Kind = strings.TrimPrefix(i.Kind+"/"+w.typ, "/")
	}
	switch s.config.GroupBy {
	case groupProject:
		i.Group = i.Project
	case groupDepartment:
		i.Group = w.dept
	case groupPrefix:
		name, _, _ := strings.Cut(w.name, "/") // a revision belongs to its workload
		i.Group = namePrefix(name)
	}
	if s.config.JobURL != "" {
		i.URL = strings.NewReplacer("{id}", url.PathEscape(w.id), "{name}", url.PathEscape(w.name), "{project}", url.PathEscape(w.project)).
			Replace(s.config.JobURL)
	}
	return i
}

// namePrefix is a name without a number at its end: bert-12 is one of the bert.
func namePrefix(name string) string {
	cut := strings.TrimRight(name, "0123456789")
	if cut = strings.TrimRight(cut, "-_."); cut == "" {
		return name
	}
	return cut
}
