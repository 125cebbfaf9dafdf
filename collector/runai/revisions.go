package runai

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"
)

// revisionsEvery is how often the revisions of a workload are asked for that does not change.
const revisionsEvery = 10 * time.Minute

// readRevisions adds the revisions of inference workloads, each as a job of its own. They are asked for when a workload has changed;
// those of a deleted workload end with it.
func (l *lister) readRevisions(ctx context.Context) error {
	for _, id := range slices.Clone(l.order) {
		w := l.found[id]
		if !strings.Contains(strings.ToLower(w.typ), "inference") {
			continue
		}
		m := l.s.look(id)
		list := m.revisions
		changed := m.revisionsMark != w.updated || l.now.Sub(m.revisionsAt) >= revisionsEvery
		if !l.deleted[id] && changed && l.s.revisions.available(l.now) {
			var err error
			switch list, err = l.s.askRevisions(ctx, id); {
			case err == nil:
				l.s.revisions.worked()
				l.s.with(id, func(m *memo) { m.revisions, m.revisionsMark, m.revisionsAt = list, w.updated, l.now })
			case isRefused(err):
				l.s.revisions.refuse(l.now, err)
				list, l.partial = m.revisions, true
			default:
				return err
			}
		}
		l.partial = l.partial || !l.s.revisions.available(l.now)
		for _, r := range list {
			l.addRevision(&w, r, l.deleted[id])
		}
	}
	return nil
}

func (s *Source) askRevisions(ctx context.Context, id string) ([]workload, error) {
	r := workloadReader{list: "revisions"}
	err := s.get(ctx, "revisions", url.Values{}, r.read, "workloads", "inferences", id, "revisions")
	return r.workloads, err
}

func (l *lister) addRevision(of *workload, r workload, deleted bool) {
	id := of.id + "/" + r.id
	if _, twice := l.found[id]; twice || !checkID(r.id) {
		return
	}
	r.project, r.projectID, r.dept, r.owner, r.category = of.project, of.projectID, of.dept, of.owner, of.category
	r.name = strings.TrimPrefix(of.name+"/"+r.name, "/")
	if deleted {
		r.deleted = of.deleted
	}
	l.order = append(l.order, id)
	l.found[id], l.deleted[id] = r, deleted
}
