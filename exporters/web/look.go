package web

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// overview is what a pass over all jobs finds, whatever was asked for. It is immutable.
type overview struct {
	snap     *collector.Snapshot
	at       time.Time
	kinds    map[string]string
	findings []finding // worst and newest first; at most problemsMost
	count    [critical + 1]int
	failed   int // jobs that failed within the last hour
	jobs     int
	levels   map[*collector.Job]level // of jobs with findings
	names    map[collector.Key]string // of the jobs that GPUs belong to
}

// selection is the jobs that a query asks for. It is immutable.
type selection struct {
	*overview
	query   query
	shown   []*collector.Job
	matched int
	pages   int
}

// looker makes passes over all jobs for whoever looks: one at a time, and for all viewers at most one a second of each kind.
type looker struct {
	snapshot func() *collector.Snapshot
	kinds    func() map[string]string
	now      func() time.Time

	mu      sync.Mutex
	last    *overview
	answers map[string]*selection
	took    time.Duration // of the latest pass and selection together
}

// freshFor is how long one pass serves everybody.
const freshFor = 900 * time.Millisecond

// find answers a query; nil while the state is being loaded.
func (l *looker) find(q query) *selection {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	key := q.String()
	if s := l.answers[key]; s != nil && now.Sub(s.at) < freshFor && s.at.Compare(now) <= 0 {
		return s
	}
	began := time.Now()
	o := l.overview(now)
	if o == nil {
		return nil
	}
	s := o.choose(q)
	for k, a := range l.answers {
		if a.overview != o {
			delete(l.answers, k)
		}
	}
	if l.answers == nil {
		l.answers = map[string]*selection{}
	}
	l.answers[key], l.took = s, time.Since(began)
	return s
}

// glance is the overview alone.
func (l *looker) glance() *overview {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.overview(l.now())
}

// pace is how long a viewer waits between looks, so that so many viewers together take a twentieth of one core at most.
func (l *looker) pace(viewers int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(time.Second, time.Duration(20*viewers)*l.took)
}

func (l *looker) overview(now time.Time) *overview {
	if o := l.last; o != nil && now.Sub(o.at) < freshFor && o.at.Compare(now) <= 0 {
		return o
	}
	snap := l.snapshot()
	if snap == nil {
		l.last = nil
		return nil
	}
	o := &overview{snap: snap, at: now, kinds: l.kinds(), levels: map[*collector.Job]level{}, names: wanted(snap.GPUs)}
	c := newChecks(snap, now)
	for j := range snap.Jobs.All {
		o.jobs++
		if _, asked := o.names[j.Key]; asked { // a nil map has none
			o.names[j.Key] = displayName(j)
		}
		n := len(o.findings)
		o.findings = c.job(o.findings, j)
		for _, f := range o.findings[n:] {
			o.count[f.level]++
			o.levels[j] = max(o.levels[j], f.level)
			if f.kind == jobFailed {
				o.failed++
			}
		}
	}
	slices.SortFunc(o.findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(b.level, a.level), cmp.Compare(b.at, a.at), cmp.Compare(a.kind, b.kind), compareKeys(a.job, b.job))
	})
	o.findings = slices.Clone(o.findings[:min(len(o.findings), problemsMost)])
	l.last = o
	return o
}

// wanted are the jobs whose names the table of GPUs needs.
func wanted(v *collector.GPUView) map[collector.Key]string {
	if v == nil {
		return nil
	}
	names := map[collector.Key]string{}
	for _, g := range v.GPUs {
		for _, k := range g.Jobs[:min(len(g.Jobs), jobsOfGPU)] {
			names[k] = k.String()
		}
	}
	return names
}

func compareKeys(a, b *collector.Job) int {
	return cmp.Or(cmp.Compare(a.Key.Source, b.Key.Source), cmp.Compare(a.Key.ID, b.Key.ID))
}

// findingsOf are the findings of one job.
func (o *overview) findingsOf(j *collector.Job) []finding {
	if o.levels[j] == fine {
		return nil
	}
	return newChecks(o.snap, o.at).job(nil, j)
}

// place is where a job stands in an order.
type place struct {
	job    *collector.Job
	text   string
	first  float64
	second int64
	known  bool
}

// choose finds, sorts and cuts.
func (o *overview) choose(q query) *selection {
	s := &selection{overview: o, query: q}
	var found []place
	for j := range o.snap.Jobs.All {
		if q.takes(j) && (q.Phase != "trouble" || o.levels[j] > fine) {
			found = append(found, o.place(q.Sort, j))
		}
	}
	s.matched = len(found)
	s.pages = max(1, (s.matched+q.Rows-1)/q.Rows)
	from := min((min(q.Page, s.pages)-1)*q.Rows, s.matched)
	to := min(from+q.Rows, s.matched)
	compare := comparePlaces(q.Down)
	if to*8 < len(found) { // a page of many: only what is shown is put in order
		found = smallest(found, to, compare)
	}
	slices.SortFunc(found, compare)
	for _, p := range found[from:to] {
		s.shown = append(s.shown, p.job)
	}
	return s
}

func comparePlaces(down bool) func(a, b place) int {
	sign := 1
	if down {
		sign = -1
	}
	return func(a, b place) int {
		if a.known != b.known {
			if a.known {
				return -1
			}
			return 1
		}
		if c := cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.text, b.text), cmp.Compare(a.second, b.second)); c != 0 {
			return sign * c
		}
		return compareKeys(a.job, b.job)
	}
}

// smallest are the n smallest places, in no order: a heap of them with the largest on top takes each place once.
func smallest(all []place, n int, compare func(a, b place) int) []place {
	heap := all[:0:0]
	heap = append(heap, all[:n]...)
	for i := n/2 - 1; i >= 0; i-- {
		sink(heap, i, compare)
	}
	for _, p := range all[n:] {
		if n > 0 && compare(p, heap[0]) < 0 {
			heap[0] = p
			sink(heap, 0, compare)
		}
	}
	return heap
}

func sink(heap []place, i int, compare func(a, b place) int) {
	for {
		largest := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(heap); c++ {
			if compare(heap[c], heap[largest]) > 0 {
				largest = c
			}
		}
		if largest == i {
			return
		}
		heap[i], heap[largest] = heap[largest], heap[i]
		i = largest
	}
}

func (o *overview) place(column string, j *collector.Job) place {
	p := place{job: j, known: true}
	switch column {
	case "name":
		p.text = displayName(j)
	case "source":
		p.text = j.Key.Source
	case "phase":
		p.first = float64(slices.Index(collector.Phases(), j.Phase))
	case "progress":
		p.first, p.known = progressOf(j)
	case "loss":
		_, p.first, p.known = lossOf(j)
		if p.known && math.IsNaN(p.first) {
			p.first = math.Inf(1)
		}
	case "rate":
		p.first, _, p.known = rateOf(j)
	case "step":
		p.second, p.known = int64(j.LastStep), j.LastStep.Known()
	case "cost":
		p.first, _, p.known = costOf(j)
	case "began":
		began := firstKnown(j.Started, j.Created, j.FirstSeen)
		p.second, p.known = int64(began), began.Known()
	default:
		p.first, p.second = o.rank(j)
	}
	return p
}

// rank puts what is wrong first, then what runs, what waits, and what ended last; the newest first in each.
func (o *overview) rank(j *collector.Job) (class float64, newest int64) {
	switch o.levels[j] {
	case critical:
		return 0, -int64(max(endOf(j), j.LastStep))
	case warning:
		return 1, -int64(j.Updated)
	}
	switch j.Phase {
	case collector.Running, collector.Initializing, collector.Stopping:
		return 2, -int64(firstKnown(j.Started, j.Since))
	case collector.Pending, collector.Paused:
		return 3, -int64(j.Since)
	case collector.Unknown:
		return 4, -int64(j.Updated)
	}
	return 5, -int64(endOf(j))
}

func firstKnown(times ...collector.Time) collector.Time {
	for _, t := range times {
		if t.Known() {
			return t
		}
	}
	return 0
}
