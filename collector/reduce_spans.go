package collector

import "strconv"

// Names of spans.
const (
	rootSpan    = "training_job"
	markerSpan  = "training_started"
	failureSpan = "training_failed"
	stepSpan    = "gradient_step"
	windowSpan  = "gradient_steps"
)

// singleSteps is how many steps of an attempt get a span each.
const singleSteps = 1000

// stepWindows are the sizes of later windows, by the step they end at most at. Together with the single steps they
// make fewer than 2,000 spans, however long the job: 1,000 + 390 + 260 + 194 + 140.
var stepWindows = []struct{ until, size uint64 }{
	{40_000, 100}, {300_000, 1_000}, {10_000_000, 50_000}, {150_000_000, 1_000_000},
}

// windowEnd is the last step of the window that a step falls in, 0 where windows have ended and only the end of the job closes one.
func windowEnd(step uint64) uint64 {
	for _, w := range stepWindows {
		if step <= w.until {
			return (step + w.size - 1) / w.size * w.size
		}
	}
	return 0
}

func (f *fold) root() SpanID { return spanIDOf(f.job.trace, "root", "") }

func (f *fold) phaseSpanID() SpanID {
	return spanIDOf(f.job.trace, "phase", f.job.Trace.Phase.String()+"#"+strconv.FormatUint(uint64(f.job.PhaseSeq), 10))
}

func (f *fold) emit(s Span) SpanID {
	if !f.o.Spans {
		return SpanID{}
	}
	s.TraceID = f.job.trace
	s.End = max(s.Start, s.End)
	f.spans = append(f.spans, s)
	return s.ID
}

// identity are the attributes that say whose trace it is.
func (f *fold) identity() []Attr {
	j := f.job
	attrs := []Attr{text("training.source", j.Key.Source), text("training.job.id", j.Key.ID), integer("training.job.attempt", uint64(j.Attempt))}
	for _, a := range []Attr{
		text("training.job.name", j.Info.Name), text("training.provider", j.Info.Provider), text("training.project", j.Info.Project),
		text("training.group", j.Info.Group), text("training.owner", j.Info.Owner), text("training.framework", j.Info.Framework),
		text("training.base_model", j.Info.BaseModel), text("training.job.kind", j.Info.Kind), text("training.job.url", j.Info.URL),
	} {
		if a.Text != "" {
			attrs = append(attrs, a)
		}
	}
	return attrs
}

// timing says where the times of a span come from.
func timing(provider bool) Attr {
	if provider {
		return text("training.time.source", "provider")
	}
	return text("training.time.source", "first_seen")
}

// marker shows the trace while the job still runs.
func (f *fold) marker(at Time) {
	if f.job.Trace.Marker {
		return
	}
	f.job.Trace.Marker = true
	now := f.orNow(at)
	f.emit(Span{ID: spanIDOf(f.job.trace, "marker", ""), Parent: f.root(), Name: markerSpan, Start: now, End: now, Attrs: f.identity()})
}

// phaseSpan closes the phase the job is in. A phase that began and ended within one look has no length worth a span, but for
// the running one, which steps belong to.
func (f *fold) phaseSpan(at Time) {
	t := &f.job.Trace
	f.flushWindow(at)
	end := f.orNow(at)
	if t.Phase.Ended() || t.Root || end <= t.Since && t.Phase != Running {
		return
	}
	name := t.Phase.String()
	if t.Phase == Pending {
		name = "queue"
	}
	s := Span{
		ID: f.phaseSpanID(), Parent: f.root(), Name: name, Start: t.Since, End: end,
		Attrs: []Attr{text("training.job.phase", t.Phase.String()), text("training.job.status", t.Status)},
	}
	f.notes(&s)
	f.emit(s)
}

// stepSpan makes the span of a step, or adds the step to the open window, and returns the id of the span it stands in.
func (f *fold) stepSpan(e pass, at Time) SpanID {
	t := &f.job.Trace
	if f.mode() == NoSteps || f.job.Phase.Ended() {
		return SpanID{}
	}
	if !at.Known() {
		t.Pending++ // of the backlog
		return SpanID{}
	}
	from := max(t.From, f.job.Started)
	if f.mode() == EachStep && t.Steps <= singleSteps {
		t.From = max(t.From, at)
		return f.emit(f.single(e, from, at))
	}
	if t.Pending == 0 {
		t.From = max(from, f.job.Trace.Since)
	}
	t.Pending++
	id := f.windowID()
	if t.Steps == windowEnd(t.Steps) {
		f.flushWindow(at)
	}
	return id
}

func (f *fold) mode() StepSpans {
	if f.o.StepSpans == "" {
		return EachStep
	}
	return f.o.StepSpans
}

func (f *fold) single(e pass, from, at Time) Span {
	start := from
	switch {
	case e.Duration > 0 && e.At.Known():
		start = max(at.Add(-e.Duration), f.job.Started)
	case e.Duration > 0: // the end is a guess, and so the step before it must not be overlapped
		start = min(max(at.Add(-e.Duration), from, f.job.Trace.Since), at)
	case !from.Known() || e.late || from > at:
		start = at
	}
	s := Span{
		ID: spanIDOf(f.job.trace, "event", e.ID), Parent: f.phaseSpanID(), Name: stepSpan, Start: start, End: at,
		Attrs: []Attr{integer("training.job.step", f.job.Trace.Steps), timing(e.At.Known())},
	}
	for _, r := range e.Readings {
		if r.Metric == Loss && !r.Null {
			s.Attrs = append(s.Attrs, number("training.job.loss."+r.Label, r.Value))
		}
	}
	return s
}

// windowID is the id of the open window, by its first step: a window may be closed early, and the rest is another one.
func (f *fold) windowID() SpanID {
	if !f.o.Spans {
		return SpanID{}
	}
	t := f.job.Trace
	return spanIDOf(f.job.trace, "steps", strconv.FormatUint(t.Steps-t.Pending+1, 10))
}

// flushWindow closes the open window of steps, which starts at Trace.From.
func (f *fold) flushWindow(at Time) {
	t := &f.job.Trace
	if t.Pending == 0 || !t.From.Known() {
		return
	}
	end := f.orNow(at)
	f.emit(Span{
		ID: f.windowID(), Parent: f.phaseSpanID(), Name: windowSpan, Start: t.From, End: end,
		Attrs: []Attr{integer("training.job.steps", t.Pending), integer("training.job.step", t.Steps)},
	})
	t.Pending, t.From = 0, end
}

// flushBacklog makes one span for the steps that happened at unknown times before the bridge looked.
func (f *fold) flushBacklog() {
	t := &f.job.Trace
	if !f.backlog || t.Pending == 0 || t.From.Known() {
		return
	}
	f.emit(Span{
		ID: spanIDOf(f.job.trace, "backlog", strconv.FormatUint(t.Steps, 10)), Parent: f.root(), Name: windowSpan,
		Start: f.u.At, End: f.u.At,
		Attrs: []Attr{integer("training.job.steps", t.Pending), integer("training.job.step", t.Steps), boolean("training.backlog")},
	})
	t.Pending = 0
}

// mark makes a zero-length span of something that happened.
func (f *fold) mark(name string, e pass, at Time) {
	now := f.orNow(at)
	s := Span{
		ID: spanIDOf(f.job.trace, "event", e.ID), Parent: f.phaseSpanID(), Name: name, Start: now, End: now,
		Attrs: []Attr{timing(e.At.Known())},
	}
	for _, r := range e.Readings {
		if key := markKeys()[r.Metric]; key != "" && r.finite() {
			s.Attrs = append(s.Attrs, number(key, r.Value))
		}
	}
	f.emit(s)
}

// markKeys are the attributes of readings that say more about what happened.
func markKeys() map[Metric]string {
	return map[Metric]string{
		CheckpointLastStep: "training.job.checkpoint.step", CheckpointLastSize: "training.job.checkpoint.size", Epoch: "training.job.epoch",
	}
}

func (f *fold) failureSpan() {
	j := f.job
	if j.Result != Failure {
		return
	}
	f.emit(Span{
		ID: spanIDOf(f.job.trace, "failure", ""), Parent: f.root(), Name: failureSpan, Start: j.Ended, End: j.Ended,
		Failed: true, Message: j.Message, Attrs: []Attr{text("error.type", j.ErrorType)},
	})
}

// closeAttempt sends the root: the last span of an attempt, once.
func (f *fold) closeAttempt(result string, end Time) {
	j := f.job
	if j.Trace.Root {
		return
	}
	f.flushBacklog()
	f.flushWindow(end)
	j.Trace.Root = true
	end = f.orNow(end)
	s := Span{
		ID: f.root(), Name: rootSpan, Start: min(f.began(), end), End: end,
		Failed: j.Result == Failure, Message: j.Message, Attrs: f.identity(),
	}
	s.Attrs = append(s.Attrs, text("training.job.result", result), integer("training.job.steps", j.Trace.Steps))
	if j.ErrorType != "" {
		s.Attrs = append(s.Attrs, text("error.type", j.ErrorType))
	}
	f.notes(&s)
	f.emit(s)
}

// began is when the attempt began, as well as is known.
func (f *fold) began() Time {
	j := f.job
	switch {
	case j.Attempt > 1 && j.Started.Known():
		return j.Started
	case j.Created.Known():
		return j.Created
	case j.Started.Known():
		return min(j.Started, j.FirstSeen)
	}
	return j.FirstSeen
}
