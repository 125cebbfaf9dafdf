package wandb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// List implements [collector.Source]. The service cannot list jobs: those of the configuration, of files and of HTTP
// endpoints are put together, in this order; where two name one job, the first knows better. A listing of what was listed
// before costs a look at each file, however many jobs there are.
func (s *Source) List(ctx context.Context) (collector.Listing, error) {
	s.listing.Lock()
	defer s.listing.Unlock()
	now := time.Now()
	unknown, err := s.files.refresh()
	out := collector.Listing{Local: true}
	for _, u := range s.urls {
		asked, names, urlErr := u.refresh(ctx, now)
		out.Local = out.Local && !asked
		unknown = append(unknown, names...)
		err = errors.Join(err, urlErr)
		out.Partial = out.Partial || !u.answered
	}
	if err != nil {
		out.Partial = true
		err = fmt.Errorf("source %s: find jobs: %w", s.name, err)
	}
	lists := s.lists()
	out.Unchanged = err == nil && !out.Partial && len(unknown) == 0 && slices.EqualFunc(s.listed, lists, sameList)
	if out.Unchanged {
		return out, nil
	}
	if s.listed = lists; err != nil || out.Partial {
		s.listed = nil
	}
	out.Jobs = s.union(lists, collector.TimeOf(now))
	if len(out.Jobs) > 0 {
		out.Jobs[0].Unknown = distinct(unknown)
	}
	return out, err
}

// Relist implements [collector.Relister].
func (s *Source) Relist() {
	s.listing.Lock()
	defer s.listing.Unlock()
	s.listed = nil
}

// lists are the jobs of each place where some are named, the one that knows best first. It is never empty.
func (s *Source) lists() [][]target {
	lists := make([][]target, 0, 1+len(s.files.paths)+len(s.urls))
	lists = append(lists, s.static)
	for _, path := range s.files.paths {
		lists = append(lists, s.files.known[path].content.list)
	}
	for _, u := range s.urls {
		lists = append(lists, u.content.list)
	}
	return lists
}

// sameList reports whether two lists are one in memory: a file or answer that is read again with other content makes a new one.
func sameList(a, b []target) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// union makes one update of each job that any list names.
func (s *Source) union(lists [][]target, now collector.Time) []collector.Update {
	n := 0
	for _, l := range lists {
		n += len(l)
	}
	jobs := make([]collector.Update, 0, n)
	place := make(map[string]int, n)
	for _, l := range lists {
		for _, t := range l {
			if i, ok := place[t.id]; ok {
				jobs[i].Info = fill(jobs[i].Info, t.info)
				continue
			}
			place[t.id] = len(jobs)
			jobs = append(jobs, collector.Update{
				Key: collector.Key{Source: s.name, ID: t.id}, At: now, Info: t.info, Origin: collector.Listed,
			})
		}
	}
	return jobs
}

// distinct is the list without repeats, in order of first appearance.
func distinct(names []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
