package collector

import (
	"cmp"
	"slices"
)

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
	keep := min(max(windowSize, f.u.Window), maxWindowSize)
	window := slices.Clone(f.job.Window)
	for _, e := range fresh[max(0, len(fresh)-keep):] {
		window = append(window, e.hash)
	}
	f.job.Window = slices.Clip(window[max(0, len(window)-keep):])
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
		f.phaseEvent(e, at)
	case NoticeEvent:
		f.notice(e, at)
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
	f.enter(Running, at)
}

// restart begins a new attempt: the same job, a new trace.
func (f *fold) restart(at Time) {
	f.finish(f.job.Ended)
	f.phaseSpan(at)
	f.closeAttempt("restarted", at)
	j := f.job
	j.Attempt++
	j.trace = TraceIDOf(j.Key, j.Attempt)
	j.Restarts++
	j.Trace = TraceState{Phase: Pending, Since: f.orNow(at)}
	j.Phase, j.PhaseSeq, j.Since = Pending, 1, f.orNow(at)
	j.Started, j.Ended, j.Result, j.ErrorType, j.Message = 0, 0, NoResult, "", ""
	j.Gone, j.Hidden, j.Reconciled, j.Intervals = false, false, 0, nil
}

func (f *fold) step(e pass, at Time) {
	j := f.job
	j.Steps++
	j.Trace.Steps++
	if !j.Phase.Ended() {
		f.enter(Running, at)
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
	f.finish(at)
}
