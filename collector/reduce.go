package collector

import (
	"cmp"
	"slices"
)

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

// windowSize is how many event ids a job remembers. It is well above the overlap that a source re-reads.
const windowSize = 64

// goneAfter is how many polls in a row must not find a job before it counts as gone.
const goneAfter = 3

// Reduce folds an update into a job; a nil job is new. It is pure, and reading the same events again, in overlapping pages or
// after a restart, gives the same job and the same spans as one clean pass.
func Reduce(prev *Job, u Update, o ReduceOptions) Reduced {
	f := newFold(prev, u, o)
	f.info()
	f.presence()
	f.events()
	f.polled()
	f.times()
	f.phase()
	f.reconcile()
	f.bookmark()
	f.tally.Unknown = u.Unknown
	f.changed = f.changed || len(u.Unknown) > 0 || u.Gap
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
	owned   bool // job.Readings is our copy
}

func newFold(prev *Job, u Update, o ReduceOptions) *fold {
	f := &fold{u: u, o: o}
	if prev == nil {
		f.job = newJob(u)
		f.changed = true
	} else {
		copied := *prev
		f.job = &copied
		f.over = prev.Phase.Ended()
	}
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
	case j.Phase.Ended():
	case f.u.NotFound:
		j.Missing = min(j.Missing+1, goneAfter)
		f.changed = true
		if j.Missing == goneAfter {
			f.leave("not_found")
		}
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
	f.setPhase(Unknown, f.u.At)
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
		f.setPhase(Running, f.u.At)
		return
	}
	f.setPhase(Pending, f.u.At)
}

// pass is an event that is new, with what its place among the others says.
type pass struct {
	Event
	hash uint64 // of the id
	late bool   // older than what is known
}

func (f *fold) events() {
	fresh := f.dedupe()
	f.tally.Read = uint64(len(f.u.Events))
	f.tally.Duplicate = f.tally.Read - uint64(len(fresh))
	if f.u.Gap {
		f.tally.Gaps = 1
	}
	if len(fresh) == 0 {
		return
	}
	f.changed, f.news = true, true
	if !f.backlog {
		f.tally.LastEvent = f.u.At
	}
	f.job.Events = slices.Clone(f.job.Events)
	f.job.NonFinite = slices.Clone(f.job.NonFinite)
	for i, e := range fresh {
		f.event(e, f.timeOf(e, i, len(fresh)))
	}
	f.flushBacklog()
}

// dedupe returns the events not seen before, in order, and remembers them.
func (f *fold) dedupe() []pass {
	seen := make(map[uint64]bool, len(f.job.Window)+len(f.u.Events))
	for _, h := range f.job.Window {
		seen[h] = true
	}
	lastKnown := -1
	var fresh []pass
	var at []int // position in the update
	for i, e := range f.u.Events {
		h := hashID(e.ID)
		if seen[h] {
			if slices.Contains(f.job.Window, h) {
				lastKnown = i
			}
			continue
		}
		seen[h] = true
		fresh = append(fresh, pass{Event: e, hash: h})
		at = append(at, i)
	}
	for i := range fresh {
		fresh[i].late = at[i] < lastKnown
	}
	sortTimed(fresh)
	f.remember(fresh)
	return fresh
}

func (f *fold) remember(fresh []pass) {
	if len(fresh) == 0 {
		return
	}
	window := slices.Clone(f.job.Window)
	for _, e := range fresh[max(0, len(fresh)-windowSize):] {
		window = append(window, e.hash)
	}
	f.job.Window = slices.Clip(window[max(0, len(window)-windowSize):])
}

// sortTimed orders events by the provider's time, where all have one. Events without keep the provider's order.
func sortTimed(events []pass) {
	for _, e := range events {
		if !e.At.Known() {
			return
		}
	}
	slices.SortStableFunc(events, func(a, b pass) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID))
	})
}

// timeOf is when new event i of n happened: the provider's time, never later than now; else spread over the time since the
// job was last asked; else, in a backlog, unknown.
func (f *fold) timeOf(e pass, i, n int) Time {
	switch {
	case e.At.Known():
		return min(e.At, f.u.At)
	case f.backlog:
		return 0
	case e.late || !f.u.Asked.Known() || f.u.Asked >= f.u.At:
		return f.u.At
	}
	span := f.u.At - f.u.Asked
	return f.u.Asked + span/Time(n)*Time(i+1)
}

func (f *fold) event(e pass, at Time) {
	if e.Bad {
		f.job.Bad++
		f.tally.Quarantined++
		return
	}
	started := countOf(f.job.Events, StartedEvent.String())
	f.job.Events = bump(f.job.Events, e.Type.String(), eventTypeCount)
	f.tally.Events = addEvents(f.tally.Events, EventSum{Type: e.Type, Reason: Clean(e.Reason), N: 1})
	switch e.Type {
	case StartedEvent:
		f.started(e, at, started > 0)
	case StepEvent:
		f.step(e, at)
	case CheckpointEvent:
		f.mark("checkpoint", e, at)
	case PhaseEvent:
		f.reported(e.Phase, e.Status, e.Message, at)
	case EndedEvent:
		f.ended(e, at)
	}
	f.readings(e.Readings, at, e.late && !e.At.Known())
}

func countOf(counts []Count, name string) uint64 {
	for _, c := range counts {
		if c.Name == name {
			return c.N
		}
	}
	return 0
}

func (f *fold) started(e pass, at Time, again bool) {
	if e.late {
		return
	}
	if again {
		f.restart(at)
	}
	if at.Known() {
		f.job.Started = at
	}
	if e.Limit > 0 {
		f.set(Reading{Metric: StepLimit, Value: e.Limit, At: at})
	}
	f.setPhase(Running, at)
}

// restart begins a new attempt: the same job, a new trace.
func (f *fold) restart(at Time) {
	f.closeAttempt("restarted", at)
	j := f.job
	j.Attempt++
	j.trace = TraceIDOf(j.Key, j.Attempt)
	j.Restarts++
	j.Trace = TraceState{}
	j.Phase, j.PhaseSeq, j.Since = Pending, 1, f.orNow(at)
	j.Started, j.Ended, j.Result, j.ErrorType, j.Message = 0, 0, NoResult, "", ""
	j.Gone, j.Hidden, j.Reconciled, j.Intervals = false, false, 0, nil
}

func (f *fold) step(e pass, at Time) {
	j := f.job
	j.Steps++
	j.Trace.Steps++
	if !j.Phase.Ended() {
		f.setPhase(Running, at)
		f.set(Reading{Metric: Step, Value: float64(j.Trace.Steps), At: at})
		if limit, ok := j.Reading(StepLimit, ""); ok {
			f.set(Reading{Metric: Progress, Value: min(1, float64(j.Trace.Steps)/limit), At: at})
		}
	}
	spanID := f.stepSpan(e, at)
	if e.Duration > 0 {
		j.StepTimes = j.StepTimes.With(e.Duration.Seconds())
		j.StepTimes.Exemplar = f.exemplar(e.Duration.Seconds(), at, spanID)
		f.set(Reading{Metric: LastStepDuration, Value: e.Duration.Seconds(), At: at})
	}
	if at > j.LastStep {
		f.interval(at)
		j.LastStep = at
		f.estimate(at)
	}
}

// estimate says when the job will end if the steps that are left take as long as those before.
func (f *fold) estimate(at Time) {
	limit, planned := f.job.Reading(StepLimit, "")
	median, paced := medianInterval(f.job.Intervals)
	if !planned || !paced {
		return
	}
	left := max(0, limit-float64(f.job.Trace.Steps))
	f.set(Reading{Metric: EstimatedEnd, Value: at.Seconds() + left*median, At: at})
}

func (f *fold) exemplar(seconds float64, at Time, id SpanID) *Exemplar {
	if id == (SpanID{}) {
		return f.job.StepTimes.Exemplar
	}
	return &Exemplar{Value: seconds, At: f.orNow(at), TraceID: f.job.trace, SpanID: id}
}

// maxIntervals bounds the times between steps that the median is taken of.
const maxIntervals = 31

func (f *fold) interval(at Time) {
	j := f.job
	if !j.LastStep.Known() {
		return
	}
	kept := j.Intervals[max(0, len(j.Intervals)+1-maxIntervals):]
	j.Intervals = append(slices.Clone(kept), float32(at.Sub(j.LastStep).Seconds()))
}

func (f *fold) ended(e pass, at Time) {
	switch {
	case e.Failed:
		f.end(Failed, e.Message, at)
	case e.Canceled:
		f.end(Cancelled, e.Message, at)
	default:
		f.end(Succeeded, e.Message, at)
	}
}

// end is the first word about how the job ended; later ones change nothing.
func (f *fold) end(p Phase, message string, at Time) {
	j := f.job
	if j.Phase.Ended() {
		return
	}
	f.setPhase(p, at)
	j.Gone, j.Hidden = false, false
	j.Ended, j.Result, j.Message = f.orNow(at), resultOf(p), Clean(message)
	if p == Failed {
		j.ErrorType = FailureClass(message)
	}
	if _, planned := j.Reading(StepLimit, ""); planned && p == Succeeded {
		f.set(Reading{Metric: Progress, Value: 1, At: at})
	}
	f.tally.Ended = append(f.tally.Ended, EndedSum{Result: j.Result, ErrorType: j.ErrorType, N: 1})
	f.failureSpan()
	f.closeAttempt(j.Result.String(), j.Ended)
}

// orNow is at, or the moment of the update where at is not known.
func (f *fold) orNow(at Time) Time {
	if at.Known() {
		return at
	}
	return f.u.At
}

// reported takes a phase that the provider states.
func (f *fold) reported(p Phase, status, message string, at Time) {
	j := f.job
	if status = Clean(status); status != "" && status != j.Status {
		j.Status, f.changed = status, true
	}
	switch {
	case p == j.Phase:
	case p.Ended():
		f.end(p, message, at)
	case !j.Phase.Ended():
		f.setPhase(p, at)
	case countOf(j.Events, EndedEvent.String()) == 0 && p == Running:
		f.restart(at)
		f.setPhase(p, at)
	}
}

func (f *fold) setPhase(p Phase, at Time) {
	j := f.job
	if p == j.Phase {
		if p == Running {
			f.marker(at)
		}
		return
	}
	f.phaseSpan(at)
	j.Phase, j.Since = p, f.orNow(at)
	j.PhaseSeq++
	f.changed, f.news = true, true
	if p == Running {
		f.marker(at)
	}
}

// readings takes values; those of an event that is older than what is known do not replace anything.
func (f *fold) readings(rs []Reading, at Time, late bool) {
	for _, r := range rs {
		if !r.At.Known() {
			r.At = f.orNow(at)
		}
		if r.Metric == FreeForm { // two names that are one when cleaned must not become two series
			r.Label = Clean(r.Label)
		}
		if !r.finite() {
			f.job.NonFinite = bump(slices.Clone(f.job.NonFinite), Clean(r.key()), maxNonFinite)
			f.changed = true
		}
		if _, found := findReading(f.job.Readings, r.Metric, r.Label); late && found {
			continue
		}
		f.set(r)
	}
}

// polled takes values that a poll found rather than an event carried: the same value found again is not news.
func (f *fold) polled() {
	for _, r := range f.u.Readings {
		i, found := findReading(f.job.Readings, r.Metric, r.Label)
		if found && f.job.Readings[i].sameValue(r) {
			continue
		}
		f.news = true
		f.readings([]Reading{r}, f.u.At, false)
	}
}

// maxNonFinite bounds the names in training_job_nonfinite_values_total.
const maxNonFinite = 32

// set keeps the newer of two readings.
func (f *fold) set(r Reading) {
	j := f.job
	r.At = f.orNow(r.At)
	i, found := findReading(j.Readings, r.Metric, r.Label)
	if found && (j.Readings[i].At > r.At || j.Readings[i].At == r.At && j.Readings[i].sameValue(r)) {
		return
	}
	if !found && r.Metric == FreeForm && f.freeForm() >= f.freeFormLimit() {
		f.tally.Held++
		return
	}
	if !f.owned {
		j.Readings, f.owned = slices.Clone(j.Readings), true
	}
	f.changed = true
	if found {
		j.Readings[i] = r
		return
	}
	j.Readings = slices.Insert(j.Readings, i, r)
}

func (f *fold) freeForm() int {
	from, _ := findReading(f.job.Readings, FreeForm, "")
	to, _ := findReading(f.job.Readings, FreeForm+1, "")
	return to - from
}

func (f *fold) freeFormLimit() int { return cmp.Or(f.o.FreeForm, 64) }

// times takes the moments that the provider states outside events.
func (f *fold) times() {
	for _, t := range []struct {
		to   *Time
		from Time
	}{{&f.job.Created, f.u.Created}, {&f.job.Started, f.u.Started}, {&f.job.Ended, f.u.Ended}} {
		if at := min(t.from, f.u.At); at.Known() && *t.to != at {
			*t.to, f.changed = at, true
		}
	}
}

func (f *fold) phase() {
	if !f.u.HasPhase {
		return
	}
	at := f.u.At
	if f.u.Phase.Ended() && f.job.Ended.Known() {
		at = f.job.Ended
	}
	f.reported(f.u.Phase, f.u.Status, f.u.Message, at)
}

// reconcile notes that an ended job was looked at once more, and compares a full count with what was counted. A service that
// has forgotten the job, or cannot be counted, was looked at too.
func (f *fold) reconcile() {
	if !f.over || !f.u.Polled || f.u.More || !f.job.Phase.Ended() {
		return
	}
	j := f.job
	j.Reconciled = min(j.Reconciled+1, 255)
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
	if !f.u.Polled || f.u.More || f.u.NotFound || j.Live {
		return
	}
	j.Live, f.changed = true, true
	if j.EventCount() == 0 {
		j.Birth = j.FirstSeen
	}
}
