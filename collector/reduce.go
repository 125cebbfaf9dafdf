package collector

import "slices"

// StepSpans says how gradient steps become spans.
type StepSpans string

// The choices.
const (
	EachStep StepSpans = "each"    // one each up to 1,000 steps, then windows
	Windows  StepSpans = "windows" // one for a fixed number of steps
	NoSteps  StepSpans = "none"
)

// ReduceOptions are the operator's choices that Reduce depends on.
type ReduceOptions struct {
	FreeForm  int       // free-form names kept per job; 0 is 64
	StepSpans StepSpans // empty is EachStep
	Spans     bool      // make spans at all
}

// Reduced is the result of Reduce.
type Reduced struct {
	Job     *Job   // the next version; the same pointer if nothing changed
	Spans   []Span // closed by the update, in the order they are to be sent
	Tally   Tally  // what the update adds to the source's totals
	Changed bool   // something besides duplicates was seen
}

// windowSize is how many event ids a job remembers, unless its source asks for more with Update.Window. It is well above
// the overlap that a source re-reads.
const (
	windowSize    = 64
	maxWindowSize = 4096
)

// goneAfter is how many polls in a row must not find a job before it counts as gone.
const goneAfter = 3

// Reduce folds an update into a job; a nil job is new. It is pure, and reading the same events again, in overlapping pages or
// after a restart, gives the same job and the same spans as one clean pass.
func Reduce(prev *Job, u Update, o ReduceOptions) Reduced {
	f := newFold(prev, u, o)
	said := f.job.Info.Budget
	f.info()
	f.presence()
	f.events()
	f.polled()
	f.budget(said)
	f.times()
	f.phase()
	f.settle()
	f.reconcile()
	f.bookmark()
	f.tally.Unknown = slices.Concat(f.unknown, u.Unknown)
	f.changed = f.changed || len(f.tally.Unknown) > 0 || u.Gap
	if !f.changed {
		return Reduced{Job: prev, Tally: f.tally}
	}
	if f.news {
		f.job.Updated = max(f.job.Updated, u.At)
	}
	return Reduced{Job: f.job, Spans: f.spans, Tally: f.tally, Changed: true}
}

// fold is one reduction under way. The job is a copy; its slices are replaced, never written.
type fold struct {
	job     *Job
	u       Update
	o       ReduceOptions
	spans   []Span
	tally   Tally
	changed bool // there is something to commit
	news    bool // there is something that happened to the job
	backlog bool // untimed events happened at an unknown time before now
	over    bool // the job had ended before this update
	first   bool // the job is new
	owned   bool // job.Readings is our copy

	unknown []string // names of what the core did not understand
}

func newFold(prev *Job, u Update, o ReduceOptions) *fold {
	f := &fold{u: u, o: o}
	if prev == nil {
		f.job = newJob(u)
		f.changed, f.first = true, true
	} else {
		copied := *prev
		f.job = &copied
		f.over = prev.Phase.Ended() && !prev.Trace.Open
	}
	if t := &f.job.Trace; !t.Since.Known() { // of a new job, attempt or an older record
		t.Phase, t.Since = f.job.Phase, f.job.Since
	}
	f.u.At = max(f.u.At, f.job.Updated) // a clock that was set back must not make news old
	f.job.trace = f.job.TraceID()
	f.backlog = !f.job.Live
	return f
}

func newJob(u Update) *Job {
	j := &Job{
		Key: u.Key, Info: &Info{}, Origin: u.Origin, Attempt: 1, Phase: Pending, PhaseSeq: 1,
		FirstSeen: u.At, Since: u.At, Updated: u.At,
	}
	if u.Fresh {
		j.Live, j.Birth = true, u.At
	}
	j.Trace.Phase, j.Trace.Since = Pending, u.At
	if u.Created.Known() {
		j.Trace.Since = min(u.Created, u.At)
	}
	return j
}

func (f *fold) info() {
	if merged := f.job.Info.merge(f.u.Info); merged != *f.job.Info {
		f.job.Info = &merged
		f.changed = true
	}
	if f.u.Origin == Registered && f.job.Origin != Registered {
		f.job.Origin, f.changed = Registered, true
	}
}

// presence follows whether the provider still knows the job. What a listing says about a job that polls do not find proves
// nothing: lists may be files.
func (f *fold) presence() {
	j := f.job
	switch {
	case j.Phase.Ended(), f.u.Early:
	case f.u.Origin == Registered && j.Gone: // someone says that it is there
		j.Missing = 0
		f.comeBack()
	case f.u.NotFound:
		j.Missing = min(j.Missing+1, goneAfter)
		f.changed = true
		if j.Missing == goneAfter {
			f.leave("not_found")
		}
	case f.u.Absent && j.Phase == Stopping: // it was on its way out
		f.end(Cancelled, "", f.u.At)
		f.finish(f.u.At)
		f.job.Status = "absent"
	case f.u.Absent:
		f.leave("absent")
	case f.u.Polled, j.Missing < goneAfter:
		f.comeBack()
	}
}

func (f *fold) leave(status string) {
	if f.job.Gone {
		return
	}
	f.enter(Unknown, f.u.At)
	f.job.Gone, f.job.Status = true, status
	f.changed, f.news = true, true
	f.closeAttempt("gone", f.u.At)
}

func (f *fold) comeBack() {
	if f.u.Polled && f.job.Missing > 0 {
		f.job.Missing, f.changed = 0, true
	}
	if !f.job.Gone {
		return
	}
	f.job.Gone, f.job.Hidden, f.job.Status, f.job.Missing = false, false, "", 0
	f.changed = true
	if f.job.Steps > 0 {
		f.enter(Running, f.u.At)
		return
	}
	f.enter(Pending, f.u.At)
}

// orNow is at, or the moment of the update where at is not known.
func (f *fold) orNow(at Time) Time {
	if at.Known() {
		return at
	}
	return f.u.At
}

// times takes the moments that the provider states outside events.
func (f *fold) times() {
	over := f.job.Phase.Ended() && f.job.Ended.Known() // how a job ended does not change when it is deleted
	for _, t := range []struct {
		to   *Time
		from Time
	}{{&f.job.Created, f.u.Created}, {&f.job.Started, f.u.Started}, {&f.job.Ended, f.u.Ended}} {
		if t.to == &f.job.Ended && over {
			continue
		}
		if at := min(t.from, f.u.At); at.Known() && *t.to != at {
			*t.to, f.changed = at, true
		}
	}
	if j := f.job; j.PhaseSeq == 1 && j.Trace.Phase == Pending && j.Created.Known() { // the queue begins with the job, not with our first look
		j.Trace.Since = min(j.Trace.Since, j.Created)
	}
}

// maxCounts bounds the looks at an ended job that are noted.
const maxCounts = 8

// reconcile notes that an ended job was looked at once more, and compares a full count with what was counted. A service that
// has forgotten the job, or cannot be counted, was looked at too.
func (f *fold) reconcile() {
	if !f.over || !f.u.Polled || f.u.More || !f.job.Phase.Ended() {
		return
	}
	j := f.job
	if j.Reconciled >= maxCounts {
		return
	}
	j.Reconciled++
	f.changed = true
	if !f.u.Counted {
		return
	}
	listed, counted := uint64(max(0, f.u.Listed)), j.EventCount()+j.Late
	switch {
	case listed > counted:
		f.tally.Late = listed - counted
		j.Late += listed - counted
	case listed < counted && j.Reconciled == 1:
		f.tally.Mismatches = 1
	}
}

func (f *fold) bookmark() {
	j := f.job
	if f.u.HasCursor && j.Cursor != f.u.Cursor {
		j.Cursor, f.changed = f.u.Cursor, true
	}
	if !f.u.Polled || f.u.More || f.u.NotFound || f.u.Early || j.Live {
		return
	}
	j.Live, f.changed = true, true
	if j.EventCount() == 0 {
		j.Birth = j.FirstSeen
	}
}
