package web

import (
	"cmp"
	"maps"
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
	findings []finding     // in the order of the page, see placeOf; at most problemsMost
	alike    map[alike]int // how many jobs have the same trouble; failures are compared by their words, and only where they are shown
	count    [critical + 1]int
	failed   int // jobs that failed within the last hour
	jobs     int
	marks    map[*collector.Job]mark // of jobs with findings
	storms   map[storm]int           // failures of half an hour
	phases   map[string]*[9]int      // jobs that are shown, by source and phase
	lost     int                     // jobs that were lost within the last hour
	checks   *checks
	names    map[collector.Key]string // of the jobs that GPUs belong to
}

// mark is what is wrong with a job, in short.
type mark struct {
	level level
	now   bool  // it is not over
	worst kind  // what is said first
	n     uint8 // findings
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
	history  *History // may be nil

	mu      sync.Mutex
	last    *overview
	answers map[string]*selection
	took    time.Duration // of the latest pass and selection together
	made    time.Duration // of the latest update that was made of one
}

// freshFor is how long one pass serves everybody.
const (
	freshFor    = 900 * time.Millisecond
	answersMost = 64 // queries whose answers are kept so long
)

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
	maps.DeleteFunc(l.answers, func(_ string, a *selection) bool { return a.overview != o })
	if l.answers == nil || len(l.answers) >= answersMost {
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
	return max(time.Second, time.Duration(20*viewers)*(l.took+l.made))
}

// spent tells what it took to make an update.
func (l *looker) spent(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = d
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
	o := &overview{
		snap: snap, at: now, kinds: l.kinds(), marks: map[*collector.Job]mark{}, names: wanted(snap.GPUs), storms: map[storm]int{},
		phases: map[string]*[9]int{}, alike: map[alike]int{}, checks: newChecks(snap, now, l.history),
	}
	for j := range snap.Jobs.All {
		o.take(j)
	}
	o.findings = slices.Clone(smallest(o.findings, problemsMost, compareFindings))
	slices.SortFunc(o.findings, compareFindings)
	l.last = o
	return o
}

// take looks at one job.
func (o *overview) take(j *collector.Job) {
	o.jobs++
	if o.phases[j.Key.Source] == nil {
		o.phases[j.Key.Source] = &[9]int{}
	}
	o.phases[j.Key.Source][j.Phase]++
	if _, asked := o.names[j.Key]; asked { // a nil map has none
		o.names[j.Key] = displayName(j)
	}
	n := len(o.findings)
	o.findings = o.checks.job(o.findings, j)
	for i, f := range o.findings[n:] {
		m := o.marks[j]
		if i == 0 {
			m.worst = f.kind
		}
		o.marks[j] = mark{max(m.level, f.level), m.now || !f.kind.past(), m.worst, m.n + 1}
		switch f.kind {
		case jobFailed:
			o.failed++
			if o.checks.stormy(j) {
				o.storms[storm{j.Key.Source, j.Info.Project}]++
			}
		case jobLost:
			o.lost++
		default:
			o.count[f.level]++
		}
		if f.kind != jobFailed {
			o.alike[alike{kind: f.kind, source: j.Key.Source}]++
		}
	}
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

func compareFindings(a, b finding) int {
	if c := cmp.Or(cmp.Compare(placeOf(a.level, a.kind.past()), placeOf(b.level, b.kind.past())), cmp.Compare(b.level, a.level), cmp.Compare(b.at, a.at), cmp.Compare(a.kind, b.kind)); c != 0 {
		return c
	}
	return compareKeys(a.job, b.job)
}

func compareKeys(a, b *collector.Job) int {
	if c := cmp.Compare(a.Key.Source, b.Key.Source); c != 0 {
		return c
	}
	return cmp.Compare(a.Key.ID, b.Key.ID)
}

// findingsOf are the findings of one job.
func (o *overview) findingsOf(j *collector.Job) []finding {
	if o.marks[j].level == fine {
		return nil
	}
	return o.checks.job(nil, j)
}

// choose finds, sorts and cuts.
func (o *overview) choose(q query) *selection {
	s := &selection{overview: o, query: q}
	var found []place
	if !q.filtered() {
		found = make([]place, 0, o.jobs)
	}
	for j := range o.snap.Jobs.All {
		if q.takes(j) && (q.Phase != "trouble" || o.marks[j].level > fine) {
			found = append(found, o.place(q.Sort, j))
		}
	}
	s.matched = len(found)
	s.pages = max(1, (s.matched+q.Rows-1)/q.Rows)
	from := min((min(q.Page, s.pages)-1)*q.Rows, s.matched)
	to := min(from+q.Rows, s.matched)
	compare := comparePlaces(q.Down)
	if to*8 < len(found) { // a page of many: only what comes before its end is put in order
		found = smallest(found, to, compare)
	}
	slices.SortFunc(found, compare)
	for _, p := range found[from:to] {
		s.shown = append(s.shown, p.job)
	}
	return s
}
