package collector

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// causeWithin is how long before the end of a job a warning can stand that says why.
const causeWithin = 15 * time.Minute

// firstEnded is how old a job can be that had ended at first sight, and still be news, where nobody tells when it ended.
const firstEnded = 24 * time.Hour

// settleAfter is how long the end of a job waits for the poll that tells how it came to it.
const settleAfter = 5 * time.Minute

// phase takes a state that the provider reports outside events.
func (f *fold) phase() {
	if !f.u.HasPhase {
		return
	}
	at := f.u.At
	switch {
	case f.u.PhaseAt.Known():
		at = min(f.u.PhaseAt, f.u.At)
	case f.u.Phase.Ended() && f.job.Ended.Known():
		at = f.job.Ended
	}
	before := f.job.Phase
	f.reported(f.u.Phase, f.u.Status, f.u.Message, at, f.u.PhaseAt.Known())
	if f.first && !f.u.PhaseAt.Known() {
		f.firstSight()
		return
	}
	if f.job.Phase == Running && f.u.Phase == Running && f.u.PhaseAt.Known() {
		f.ran(at)
	}
	if f.u.Observed && f.job.Phase != before {
		f.observed()
	}
}

// firstSight begins the trace of a job that was past its queue when it was first seen, and of which nobody tells when it came
// to its phase. An end that was there already and may be old is shown, and is no news.
func (f *fold) firstSight() {
	j := f.job
	switch {
	case j.Phase == Pending, len(f.u.Events) > 0:
	case j.Started.Known():
		f.trace(Running, "", j.Started)
	default:
		j.Trace.Phase, j.Trace.Since, j.Trace.Status = j.Phase, f.u.At, j.Status
	}
	if f.u.Observed && j.Phase.Ended() && !f.u.Ended.Known() && f.u.At.Sub(f.u.Created) > firstEnded {
		j.Ended, j.Trace.Open, j.Trace.Root = 0, false, true
	}
}

// observed counts a change of phase that nobody but us has a record of.
func (f *fold) observed() {
	f.job.Events = bump(slices.Clone(f.job.Events), PhaseEvent.String(), eventTypeCount)
	f.tally.Events = addEvents(f.tally.Events, EventSum{Type: PhaseEvent, N: 1})
	f.tally.Read++
	f.tally.LastEvent = f.u.At
}

// phaseEvent takes one line of the provider's history. It may tell of times before the phase that a listing has told of
// already: then it only belongs to the trace.
func (f *fold) phaseEvent(e pass, at Time) {
	j := f.job
	if j.Status == "" || !at.Known() || at >= j.Since {
		f.reported(e.Phase, e.Status, e.Message, at, at.Known())
	}
	if e.Phase.Ended() && j.Trace.Open && at.Known() && at < j.Ended { // it had ended before what the listing told of
		f.trueEnd(e, at)
	}
	if at.Known() && at < j.Trace.Since && j.PhaseSeq > 1 {
		return // its place in the trace is taken
	}
	f.trace(e.Phase, e.Status, at)
	if e.Phase == Running && at.Known() {
		f.ran(at)
	}
	if e.Phase.Ended() && j.Phase.Ended() {
		f.finish(at)
	}
}

// trueEnd replaces an end that was shown and not yet counted: a job that is deleted after its end was not cancelled.
func (f *fold) trueEnd(e pass, at Time) {
	j := f.job
	j.Phase, j.Since, j.Ended = e.Phase, at, at
	j.Result, j.Message = resultOf(e.Phase), Clean(e.Message)
	f.changed, f.news = true, true
}

// ran notes when training first ran in this attempt.
func (f *fold) ran(at Time) {
	if j := f.job; !j.Started.Known() || at < j.Started {
		j.Started, f.changed = at, true
	}
}

// reported takes a phase that the provider states, and dates if told is set.
func (f *fold) reported(p Phase, status, message string, at Time, told bool) {
	j := f.job
	if status = Clean(status); status != "" && status != j.Status {
		j.Status, f.changed = status, true
	}
	switch {
	case p == j.Phase && told:
		f.backdate(at)
	case p == j.Phase:
	case p.Ended():
		f.end(p, message, at)
	case !j.Phase.Ended():
		f.setPhase(p, at)
	case countOf(j.Events, EndedEvent.String()) == 0 && p == Running && f.afterEnd(at, told):
		f.restart(at)
		f.setPhase(p, at)
	}
}

// afterEnd reports whether what was stated of a job that ended is younger than its end: by the provider's time, or because the
// question was asked after the end was known.
func (f *fold) afterEnd(at Time, told bool) bool {
	if told {
		return at > f.job.Ended
	}
	began := f.u.Began
	if !began.Known() {
		began = f.u.At
	}
	return began > f.job.Trace.EndSeen
}

// backdate believes the provider's earlier date of the phase that the job is in: the bridge may have seen it late. A phase
// cannot be older than the job, nor than what its trace already tells of another phase. Spans keep their times, and
// an end stays as it was first told.
func (f *fold) backdate(at Time) {
	j := f.job
	began := cmp.Or(f.u.Created, j.Created)
	if j.PhaseSeq > 1 || j.Trace.Phase != j.Phase {
		began = j.Trace.Since
	}
	if j.Phase.Ended() || at >= j.Since || at < began {
		return
	}
	j.Since, f.changed = at, true
}

// setPhase shows the phase that the job is in. Its spans follow with trace.
func (f *fold) setPhase(p Phase, at Time) {
	j := f.job
	if p == j.Phase {
		return
	}
	j.Phase, j.Since = p, f.orNow(at)
	f.changed, f.news = true, true
}

// enter shows a phase of which it is known how the job came to it.
func (f *fold) enter(p Phase, at Time) {
	f.setPhase(p, at)
	f.trace(p, "", at)
}

// trace closes the span of the phase before and opens that of p, which the provider calls status.
func (f *fold) trace(p Phase, status string, at Time) {
	t := &f.job.Trace
	if p != t.Phase {
		f.phaseSpan(at)
		t.Phase, t.Since, t.Status = p, f.orNow(at), Clean(status)
		if p == Running { // warnings of the wait are over
			t.Cause = ""
		}
		f.job.PhaseSeq++
		f.changed = true
	}
	if p == Running {
		f.marker(at)
	}
}

// settle completes the trace from what was reported, once a poll was read to its end: nobody knows more. A job that ended
// and cannot be polled is not waited for.
func (f *fold) settle() {
	j := f.job
	asked := f.u.Polled && !f.u.More && !f.u.Early
	waited := j.Trace.Open && f.u.At.Sub(j.Trace.EndSeen) >= settleAfter
	if !asked && !waited {
		return
	}
	if j.Phase != j.Trace.Phase {
		f.trace(j.Phase, j.Status, max(j.Since, j.Trace.Since))
	}
	f.finish(j.Ended)
}

// end is the first word about how the job ended; later ones change nothing. It is shown at once, and counted by finish.
func (f *fold) end(p Phase, message string, at Time) {
	j := f.job
	if j.Phase.Ended() {
		return
	}
	f.setPhase(p, at)
	j.Gone, j.Hidden = false, false
	j.Ended, j.Result, j.Message = f.orNow(at), resultOf(p), Clean(message)
	j.Trace.Open, j.Trace.EndSeen = true, f.u.At
	if _, planned := j.Reading(StepLimit, ""); planned && p == Succeeded {
		f.set(Reading{Metric: Progress, Value: 1, At: at})
	}
}

// finish counts the end and closes the trace.
func (f *fold) finish(at Time) {
	j := f.job
	if !j.Trace.Open {
		return
	}
	j.Trace.Open, f.changed = false, true
	if j.Phase == Failed {
		j.ErrorType = f.failureClass()
	}
	f.trace(j.Phase, j.Status, at)
	f.tally.Ended = append(f.tally.Ended, EndedSum{Result: j.Result, ErrorType: j.ErrorType, N: 1})
	f.failureSpan()
	f.closeAttempt(j.Result.String(), j.Ended)
}

// failureClass is what the provider's message says, or else the warnings before it.
func (f *fold) failureClass() string {
	class, cause := f.classOf(f.job.Message), f.job.Trace.Cause
	if f.job.Ended.Sub(f.job.Trace.CauseAt) > causeWithin {
		return class
	}
	if cause != "" && (class == unspecified || class == OtherClass || class == crashed) {
		return cause
	}
	return class
}

// classOf is the class of a message. The job's own name in it says nothing: "tokenizer" may stand there.
func (f *fold) classOf(message string) string {
	if name := f.job.Info.Name; name != "" && message != name {
		message = strings.ReplaceAll(message, name, " ")
	}
	return FailureClass(message)
}

// tells reports whether a class says anything.
func tells(class string) bool { return class != OtherClass && class != unspecified }

// maxNotes bounds the notices of one phase that become events of its span.
const maxNotes = 16

// notice keeps what happened for the span of the phase.
func (f *fold) notice(e pass, at Time) {
	t := &f.job.Trace
	if t.Root {
		return
	}
	if class := f.classOf(e.Reason + " " + e.Message); e.Warning && tells(class) && (class != crashed || t.Cause == "") {
		t.Cause, t.CauseAt = class, f.orNow(at)
	}
	if !f.o.Spans {
		return
	}
	if len(t.Notes) >= maxNotes {
		t.Lost++
		return
	}
	t.Notes = append(slices.Clone(t.Notes), Note{At: f.orNow(at), Name: Clean(e.Reason), Message: Clean(e.Message)})
}

// notes are the events of the span that is being closed. Later ones stay for the next.
func (f *fold) notes(s *Span) {
	t := &f.job.Trace
	var rest []Note
	for _, n := range t.Notes {
		if n.At > s.End {
			rest = append(rest, n)
			continue
		}
		name := n.Name
		if name == "" {
			name = NoticeEvent.String()
		}
		s.Events = append(s.Events, SpanEvent{At: n.At, Name: name, Attrs: []Attr{text("training.event.message", n.Message)}})
	}
	t.Notes = rest
	if len(rest) == 0 {
		s.Dropped, t.Lost = t.Lost, 0
	}
}
