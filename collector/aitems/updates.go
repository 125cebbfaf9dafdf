package aitems

import (
	"cmp"
	"context"
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// maxUpdates is how many refresh runs of a training are taken, the newest.
const maxUpdates = 500

// updates reads the refresh runs of the newest completed training of each type: older models are refreshed no more. What
// is read here says nothing about whether the list of trainings is complete.
func (p *pass) updates(ctx context.Context, v service, l *list[training]) {
	first := len(p.out.Jobs) - len(l.items)
	for _, i := range p.newest(l) {
		t, u := &l.items[i], &p.out.Jobs[first+i]
		runs, err := p.source.refreshes(ctx, v, t)
		switch {
		case err == nil:
			p.source.addRefreshes(u, runs)
		case isHidden(err):
			p.warn("updates/"+v.id, "the refresh runs of a service cannot be seen", "service", v.id, "err", p.source.explain("list updates", err))
		case isGeneral(err):
			p.failure("list updates of service "+v.id, err)
			return
		default: // the trainings of other services are not to wait for this
			p.warn("updates/"+v.id, "the refresh runs of a service cannot be read", "service", v.id, "err", p.source.explain("list updates", err))
			return
		}
	}
}

// newest are the places of the newest completed training of each type.
func (p *pass) newest(l *list[training]) []int {
	best := map[string]int{}
	var kinds []string
	for i, t := range l.items {
		if states[t.status].phase != collector.Succeeded {
			continue
		}
		j, known := best[t.kind]
		if !known {
			kinds = append(kinds, t.kind)
		}
		if !known || p.source.date(t.created) > p.source.date(l.items[j].created) {
			best[t.kind] = i
		}
	}
	out := make([]int, 0, len(types))
	for _, kind := range kinds[:min(len(kinds), len(types))] {
		out = append(out, best[kind])
	}
	return out
}

func (s *Source) date(text string) collector.Time {
	t, _ := parseDate(text, s.zone)
	return t
}

// refreshes asks for the refresh runs of one training.
func (s *Source) refreshes(ctx context.Context, v service, t *training) ([]update, error) {
	u := s.at("services", v.id, "updates")
	q := u.Query()
	q.Set("trainVersion", t.version)
	q.Set("type", t.kind)
	u.RawQuery = q.Encode()
	page, err := ask(ctx, s, "updates", u, readUpdates)
	if err != nil {
		return nil, err
	}
	runs := page.items
	slices.SortStableFunc(runs, func(a, b update) int {
		return cmp.Or(cmp.Compare(s.date(a.created), s.date(b.created)), cmp.Compare(a.version, b.version))
	})
	return runs[max(0, len(runs)-maxUpdates):], nil
}

// addRefreshes tells of refresh runs as notices. A date that cannot be read is left out: the notice is then of the moment it was
// first seen.
func (s *Source) addRefreshes(u *collector.Update, runs []update) {
	var numbers []collector.Reading
	var newest collector.Time
	for _, r := range runs {
		created, finished := min(s.date(r.created), u.At), min(s.date(r.finished), u.At)
		u.Events = append(u.Events, collector.Event{
			ID: "refresh/" + r.version, Type: collector.NoticeEvent, Reason: "refresh", At: created, Message: "refresh " + r.version,
		})
		if !finished.Known() {
			continue
		}
		u.Events = append(u.Events, collector.Event{
			ID: "refresh_finished/" + r.version, Type: collector.NoticeEvent, Reason: "refresh_finished", At: finished,
			Message: "refresh " + r.version + ": " + r.status,
		})
		if finished >= newest && len(r.numbers) > 0 {
			numbers, newest = r.numbers, finished
		}
	}
	for _, n := range numbers {
		n.At = newest
		u.Readings = append(u.Readings, n)
	}
	u.Window = len(u.Events)
}
