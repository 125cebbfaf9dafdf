package runai

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

const (
	maxPods    = 1024 // of a workload
	maxPodName = 253  // bytes, as Kubernetes allows
)

// pod is one row of the list of pods.
type pod struct {
	id, workload, name, phase   string
	created, completed, deleted collector.Time
}

// runs reports whether the pod has a place and has not ended.
func (p *pod) runs() bool {
	return strings.EqualFold(p.phase, "Running") && !p.completed.Known() && !p.deleted.Known()
}

// podList is what a listing read of pods.
type podList struct {
	read  bool                       // any was read
	whole bool                       // all were
	names map[string]map[string]bool // by workload
}

// podPage is one answer of the list of pods.
type podPage struct {
	pods          []pod
	more          bool
	next          int
	bad           int // rows that cannot be used
	found, inside bool
}

func (p *podPage) read(d *api.Decoder) error {
	*p = podPage{}
	err := d.Object(func(key string) error {
		switch key {
		case "pods":
			return p.readList(d)
		case "next":
			return readNext(d, &p.more, &p.next)
		}
		return nil
	})
	if err == nil && !p.found {
		return errors.New(`the answer has no list "pods"`)
	}
	return err
}

func (p *podPage) readList(d *api.Decoder) error {
	p.found, p.pods, p.bad = true, p.pods[:0], 0
	if d.Kind() == api.Null {
		return nil
	}
	return d.Array(func(int) error {
		p.inside = true
		var row pod
		if d.Kind() == api.Object {
			if err := d.Object(func(key string) error { return row.readField(d, key) }); err != nil {
				return err
			}
		}
		p.inside = false
		row.id = cmp.Or(row.id, row.workload+"/"+row.name)
		if row.name = collector.Clean(row.name); row.name == "" || len(row.name) > maxPodName || row.workload == "" {
			p.bad++
			row = pod{}
		}
		p.pods = append(p.pods, row)
		return nil
	})
}

func (p *pod) readField(d *api.Decoder, key string) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	switch key {
	case "id":
		p.id = shortID(textIn(v))
	case "workloadId":
		p.workload = clip(textIn(v))
	case "name":
		p.name = clip(textIn(v))
	case "k8sPhase":
		p.phase = textIn(v)
	case "createdAt":
		p.created, _ = timeIn(v)
	case "completedAt":
		p.completed, _ = timeIn(v)
	case "deletedAt":
		p.deleted, _ = timeIn(v)
	}
	return nil
}

// readPods lists all pods that have not ended, at most once in a metrics interval. That there are none is no failure of the
// listing.
func (l *lister) readPods(ctx context.Context) error {
	s := l.s
	if !s.config.Pods || !s.pods.available(l.now) || l.now.Sub(s.podsAsked) < time.Duration(s.config.MetricsInterval) {
		return nil
	}
	s.podsAsked = l.now
	l.pods.names = map[string]map[string]bool{}
	damaged := false
	w := walk{limit: s.podPage, enough: func(sheet) bool { return false }}
	w.fetch = func(ctx context.Context, offset, limit int) (sheet, error) {
		out, err := page(l.podPage).patient(ctx, offset, limit, func() {
			damaged, l.odd = true, append(l.odd, "pod")
		})
		if err == nil && out.asked < limit && out.asked >= minPage {
			s.podPage = min(s.podPage, out.asked)
		}
		return out, err
	}
	out, err := w.run(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		if isRefused(err) || isBadRequest(err) {
			s.pods.refuse(l.now, err)
		}
		s.log.Debug("The pods could not be read", "err", err)
		return nil
	}
	s.pods.worked()
	l.pods.read, l.pods.whole = true, out.whole && !damaged
	if l.pods.whole {
		s.tellPods(l.now)
	}
	return nil
}

// podPage asks for pods and keeps those that run.
func (l *lister) podPage(ctx context.Context, offset, limit int) (sheet, bool, error) {
	q := url.Values{
		"offset": {strconv.Itoa(offset)}, "limit": {strconv.Itoa(limit)}, "sortBy": {"createdAt"}, "sortOrder": {"asc"},
		"completed": {"false"}, // versions that do not know it list them all
	}
	var p podPage
	if err := l.s.get(ctx, "pods", q, p.read, "workloads", "pods"); err != nil {
		return sheet{}, p.inside, err
	}
	if p.bad > 0 {
		l.odd = append(l.odd, "pod")
	}
	out := sheet{more: p.more, next: p.next, lines: make([]line, len(p.pods))}
	for i, row := range p.pods {
		out.lines[i] = line{key: row.id, at: row.created}
		if !row.runs() {
			continue
		}
		of := l.pods.names[row.workload]
		if of == nil {
			of = map[string]bool{}
			l.pods.names[row.workload] = of
		}
		of[row.name] = true
	}
	return out, false, nil
}

// podsKeep is how long pods are shown that nobody tells of any more.
func (s *Source) podsKeep() time.Duration {
	return metricsBack + time.Duration(s.config.MetricsInterval)
}

// tellPods notes when all pods were last read.
func (s *Source) tellPods(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.podsAt, s.podsKnown = at, true
}

// toldPods is when all pods were last read, or when the source was made, and whether they were.
func (s *Source) toldPods() (at time.Time, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.podsAt, s.podsKnown
}

// addPods adds the pods of a workload to what the listing says of it, and withdraws those that are gone.
func (l *lister) addPods(u *collector.Update, w *workload) {
	if !l.s.config.Pods {
		return
	}
	running := u.HasPhase && u.Phase == collector.Running
	at, _ := l.s.toldPods()
	old := l.now.Sub(at) > l.s.podsKeep()
	var now []string
	if running && l.pods.read {
		now = l.podsOf(u, w)
	}
	l.s.with(u.Key.ID, func(m *memo) {
		for _, label := range m.podsGiven {
			switch _, there := slices.BinarySearch(now, label); {
			case there:
			case !running, old, l.pods.read && l.pods.whole:
				u.Readings = append(u.Readings, collector.Reading{Metric: collector.JobPod, Label: label, Gone: true})
			case len(now) < maxPods:
				now = append(now, label)
				slices.Sort(now)
			}
		}
		m.podsGiven = now
	})
}

// podsOf are the labels of the pods of a workload, sorted. They become readings each time that they are read.
func (l *lister) podsOf(u *collector.Update, w *workload) []string {
	names := l.pods.names[w.id]
	namespace := collector.Clean(w.namespace)
	if namespace == "" && len(names) > 0 {
		u.Unknown = append(u.Unknown, l.s.freshOdd(u.Key.ID, "workload.namespace")...)
		return nil
	}
	labels := make([]string, 0, len(names))
	for name := range names {
		labels = append(labels, collector.JoinLabels(namespace, name))
	}
	slices.Sort(labels)
	if len(labels) > maxPods {
		u.Unknown = append(u.Unknown, l.s.freshOdd(u.Key.ID, "workload.pods")...)
		labels = labels[:maxPods]
	}
	for _, label := range labels {
		u.Readings = append(u.Readings, collector.Reading{Metric: collector.JobPod, Label: label, Value: 1})
	}
	return labels
}

// freshOdd is the name of a field that was not understood, if it was not told of the job yet.
func (s *Source) freshOdd(id, name string) (fresh []string) {
	s.with(id, func(m *memo) { fresh = m.fresh([]string{name}) })
	return fresh
}

// lostPods withdraws pods that the job still has from before a restart, or from before the setting was changed.
func (p *poll) lostPods() []collector.Reading {
	labels := p.job.Labels(collector.JobPod)
	if len(labels) == 0 {
		return nil
	}
	at, known := p.s.toldPods()
	m := p.s.look(p.job.Key.ID)
	running := m.running || m.mark == "" && p.job.Phase == collector.Running
	waits := (!known || m.listed.IsZero()) && p.begun.Std().Sub(at) <= p.s.podsKeep() // for the first list of all pods
	var out []collector.Reading
	for _, label := range labels {
		if p.s.config.Pods && running && (waits || slices.Contains(m.podsGiven, label)) {
			continue
		}
		out = append(out, collector.Reading{Metric: collector.JobPod, Label: label, Gone: true, At: p.begun})
	}
	return out
}
