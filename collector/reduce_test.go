package collector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

var testKey = Key{Source: "rl-team", ID: "job-1"}

const t0 = Time(1_780_000_000_000_000_000)

func at(seconds int) Time { return t0.Add(time.Duration(seconds) * time.Second) }

func step(i int) Event {
	return Event{
		ID: fmt.Sprintf("step-%d", i), Type: StepEvent,
		Readings: []Reading{{Metric: Loss, Label: "train", Value: 1 / float64(i+1)}},
	}
}

func startedEvent(planned float64) Event {
	return Event{ID: "start", Type: StartedEvent, Limit: planned}
}

// polls folds updates as a scheduler would send them and returns the job, all spans and the sum of tallies.
func polls(t *testing.T, o ReduceOptions, updates ...Update) (*Job, []Span, *Totals) {
	t.Helper()
	var j *Job
	var spans []Span
	totals := &Totals{}
	for _, u := range updates {
		u.Key = testKey
		out := Reduce(j, u, o)
		j = out.Job
		spans = append(spans, out.Spans...)
		totals = totals.with(out.Tally, j)
	}
	var counted uint64
	for _, e := range totals.Events {
		counted += e.N
	}
	if totals.Read != counted+totals.Duplicate+totals.Quarantined {
		t.Errorf("read %d != counted %d + duplicate %d + quarantined %d", totals.Read, counted, totals.Duplicate, totals.Quarantined)
	}
	return j, spans, totals
}

func poll(second int, events ...Event) Update {
	return Update{At: at(second), Asked: at(second - 10), Polled: true, Events: events}
}

func spansOn() ReduceOptions { return ReduceOptions{Spans: true} }

func TestALifeOfAJob(t *testing.T) {
	j, spans, totals := polls(t, spansOn(),
		poll(0),
		poll(10, startedEvent(4), step(0)),
		poll(20, step(0), step(1), step(2)),
		poll(30, step(2), step(3), Event{ID: "end", Type: EndedEvent}))
	if j.Phase != Succeeded || j.Result != Success || j.Steps != 4 {
		t.Fatalf("phase %s result %s steps %d", j.Phase, j.Result, j.Steps)
	}
	if p, _ := j.Reading(Progress, ""); p != 1 {
		t.Errorf("progress %v", p)
	}
	if loss, _ := j.Reading(Loss, "train"); loss != 0.25 {
		t.Errorf("loss %v", loss)
	}
	if totals.Duplicate != 2 || totals.Ended[0].N != 1 {
		t.Errorf("totals %+v", totals)
	}
	var names []string
	ids := map[SpanID]bool{}
	for _, s := range spans {
		names = append(names, s.Name)
		if ids[s.ID] {
			t.Errorf("span %s sent twice", s.Name)
		}
		ids[s.ID] = true
		if s.Start > s.End || s.Start < t0 || s.End > at(30) {
			t.Errorf("span %s from %v to %v", s.Name, s.Start.Std(), s.End.Std())
		}
	}
	want := []string{
		"queue", "training_started", "gradient_step", "gradient_step", "gradient_step", "gradient_step", "running", "training_job",
	}
	if !slices.Equal(names, want) {
		t.Errorf("spans %v", names)
	}
	for _, s := range spans[:len(spans)-1] {
		if s.Parent != spans[len(spans)-1].ID && !ids[s.Parent] {
			t.Errorf("%s has no parent in the trace", s.Name)
		}
	}
}

func TestABacklogIsNotFreshProgress(t *testing.T) {
	backlog := []Event{startedEvent(100)}
	for i := range 50 {
		backlog = append(backlog, step(i))
	}
	first := poll(0, backlog[:30]...)
	first.More = true
	j, spans, _ := polls(t, spansOn(), first, poll(1, backlog[20:]...))
	if j.LastStep.Known() || j.Started.Known() || j.Birth.Known() || len(j.Intervals) > 0 {
		t.Errorf("a backlog looks fresh: last step %v started %v birth %v", j.LastStep, j.Started, j.Birth)
	}
	if j.Steps != 50 || !j.Live {
		t.Errorf("steps %d live %v", j.Steps, j.Live)
	}
	for _, s := range spans {
		if s.Name == stepSpan {
			t.Errorf("a step of the backlog has a span of its own")
		}
	}
	j = Reduce(j, Update{Key: testKey, At: at(20), Asked: at(1), Polled: true, Events: []Event{step(50)}}, spansOn()).Job
	if j.LastStep != at(20) {
		t.Errorf("the first fresh step is at %v", j.LastStep.Std())
	}
}

// history is a random list of events that a provider shows, with the poll each is visible from.
func history(r *rand.Rand, timed bool) []Event {
	events := []Event{startedEvent(float64(r.IntN(40)))}
	for i := range 5 + r.IntN(60) {
		e := step(i)
		switch r.IntN(12) {
		case 0:
			e.Readings[0].Value = math.NaN()
		case 1:
			e.Readings[0].Null = true
		case 2:
			e.Readings = append(e.Readings, Reading{Metric: FreeForm, Label: fmt.Sprintf("m%d", r.IntN(90)), Value: 1})
		case 3:
			e.Bad = true
		case 4:
			e.Type = OtherEvent
		case 5:
			e.Duration = time.Duration(r.IntN(5000)) * time.Millisecond
		}
		events = append(events, e)
	}
	if r.IntN(2) == 0 {
		events = append(events, Event{ID: "end", Type: EndedEvent, Failed: r.IntN(2) == 0, Message: "CUDA out of memory"})
	}
	if timed {
		for i := range events {
			events[i].At = at(i)
		}
	}
	return events
}

// TestReadingAgainChangesNothing: overlapping pages, duplicates in a page and replays of committed pages give the job and the spans
// of one clean pass over the same polls.
func TestReadingAgainChangesNothing(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		events := history(r, seed%2 == 0)
		var clean, messy []Update
		clean, messy = append(clean, poll(0)), append(messy, poll(0))
		for from := 0; from < len(events); {
			to := min(len(events), from+1+r.IntN(20))
			second := 100 + 10*to
			clean = append(clean, poll(second, events[from:to]...))
			overlapped := slices.Clone(events[max(0, from-r.IntN(20)):to])
			for range r.IntN(4) {
				overlapped = append(overlapped, overlapped[len(overlapped)-1])
			}
			messy = append(messy, poll(second, overlapped...))
			if r.IntN(3) == 0 {
				messy = append(messy, poll(second, overlapped...))
			}
			from = to
		}
		a, spansA, totalsA := polls(t, spansOn(), clean...)
		b, spansB, totalsB := polls(t, spansOn(), messy...)
		if !equalJobs(a, b) {
			t.Fatalf("seed %d: jobs differ\n%+v\n%+v", seed, a, b)
		}
		if fmt.Sprint(spansA) != fmt.Sprint(spansB) {
			t.Fatalf("seed %d: spans differ\n%v\n%v", seed, spansA, spansB)
		}
		if !reflect.DeepEqual(totalsA.Events, totalsB.Events) || totalsA.Quarantined != totalsB.Quarantined {
			t.Fatalf("seed %d: totals differ", seed)
		}
	}
}

// TestOrderWithinAPassDoesNotMatter: events with a provider's time may come in any order.
func TestOrderWithinAPassDoesNotMatter(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 2))
		events := history(r, true)
		shuffled := slices.Clone(events)
		r.Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
		a, spansA, _ := polls(t, spansOn(), poll(0), poll(500, events...))
		b, spansB, _ := polls(t, spansOn(), poll(0), poll(500, shuffled...))
		if !equalJobs(a, b) || fmt.Sprint(spansA) != fmt.Sprint(spansB) {
			t.Fatalf("seed %d: order changed the outcome\n%+v\n%+v", seed, a, b)
		}
	}
}

// TestLateEventsCountWithoutReplacing: an event that is committed late is counted once and its values do not win.
func TestLateEventsCountWithoutReplacing(t *testing.T) {
	j, _, _ := polls(t, spansOn(), poll(0), poll(10, startedEvent(0), step(0), step(2)), poll(20, step(0), step(1), step(2)))
	if j.Steps != 3 {
		t.Errorf("steps %d, want 3", j.Steps)
	}
	if loss, _ := j.Reading(Loss, "train"); loss != 1.0/3 {
		t.Errorf("loss %v is that of the late step", loss)
	}
	j, _, _ = polls(t, spansOn(), poll(0), poll(10, withTime(step(0), 1), withTime(step(2), 3)), poll(20, withTime(step(1), 2)))
	if loss, _ := j.Reading(Loss, "train"); loss != 1.0/3 || j.LastStep != at(3) {
		t.Errorf("loss %v, last step %v", loss, j.LastStep.Std())
	}
}

func withTime(e Event, second int) Event { e.At = at(second); return e }

func TestNullWithdrawsAndIsCounted(t *testing.T) {
	diverged := step(1)
	diverged.Readings[0].Null = true
	j, _, _ := polls(t, spansOn(), poll(0), poll(10, startedEvent(0), step(0)), poll(20, diverged))
	if v, ok := j.Reading(Loss, "train"); ok {
		t.Errorf("a withdrawn loss is still %v", v)
	}
	if !reflect.DeepEqual(j.NonFinite, []Count{{"loss/train", 1}}) {
		t.Errorf("non-finite %v", j.NonFinite)
	}
	if j.NonFiniteAt != at(20) {
		t.Errorf("last not finite at %v", j.NonFiniteAt.Std())
	}
	healthy, _, _ := polls(t, spansOn(), poll(0), poll(10, startedEvent(0), step(0)))
	backlog, _, _ := polls(t, spansOn(), poll(0, startedEvent(0), diverged))
	if healthy.NonFiniteAt.Known() || backlog.NonFiniteAt.Known() {
		t.Errorf("nobody knows when: %v %v", healthy.NonFiniteAt.Std(), backlog.NonFiniteAt.Std())
	}
}

func TestAFailureTellsWhy(t *testing.T) {
	j, spans, totals := polls(t, spansOn(), poll(0), poll(10, startedEvent(0)),
		poll(20, Event{ID: "f", Type: EndedEvent, Failed: true, Message: "CUDA out of memory\x00"}),
		poll(30, Event{ID: "g", Type: EndedEvent}))
	if j.Phase != Failed || j.ErrorType != "out_of_memory" || j.Message != "CUDA out of memory" || totals.Ended[0].ErrorType != "out_of_memory" {
		t.Errorf("job %+v", j)
	}
	last := spans[len(spans)-1]
	if last.Name != rootSpan || !last.Failed || last.Message == "" || spans[len(spans)-2].Name != failureSpan {
		t.Errorf("spans %+v", spans)
	}
}

func TestARestartIsANewTrace(t *testing.T) {
	again := Event{ID: "start-2", Type: StartedEvent}
	j, spans, _ := polls(t, spansOn(), poll(0), poll(10, startedEvent(0), step(0)), poll(20, again, step(1)))
	if j.Attempt != 2 || j.Restarts != 1 || j.Steps != 2 || j.Phase != Running {
		t.Errorf("job %+v", j)
	}
	traces := map[TraceID]bool{}
	for _, s := range spans {
		traces[s.TraceID] = true
	}
	if len(traces) != 2 {
		t.Errorf("%d traces", len(traces))
	}
}

func TestTheEndIsEstimatedFromThePace(t *testing.T) {
	updates := []Update{poll(0), poll(10, startedEvent(100))}
	for i := range 10 {
		updates = append(updates, poll(20+10*i, step(i)))
	}
	j, _, _ := polls(t, spansOn(), updates...)
	// The tenth step was at second 110; 90 more take 10 seconds each.
	if got, ok := j.Reading(EstimatedEnd, ""); !ok || got != at(110+900).Seconds() {
		t.Errorf("estimated end %v, want %v", got-at(0).Seconds(), 110+900)
	}
}

// TestDurationsStayInsideTheTrace: a duration that a job reports may be longer than there was time.
func TestDurationsStayInsideTheTrace(t *testing.T) {
	slow := func(i int) Event { e := step(i); e.Duration = time.Hour; return e }
	_, spans, _ := polls(t, spansOn(), poll(0), poll(10, startedEvent(0)), poll(20, slow(0), slow(1)), poll(30, slow(2), Event{ID: "end", Type: EndedEvent}))
	root := spans[len(spans)-1]
	for _, s := range spans {
		if s.Start < root.Start || s.End > root.End || s.Start > s.End {
			t.Errorf("%s from %v to %v is outside of %v to %v", s.Name, s.Start.Std(), s.End.Std(), root.Start.Std(), root.End.Std())
		}
	}
}

func TestStepSpansAreBounded(t *testing.T) {
	for _, mode := range []StepSpans{EachStep, Windows, NoSteps} {
		j, spans, n, steps := (*Job)(nil), 0, 0, 0
		for second := 0; n < 60_000; second += 10 {
			u := poll(second)
			u.Key = testKey
			for range 97 {
				u.Events = append(u.Events, step(n))
				n++
			}
			if second == 0 {
				u.Events, n = nil, 0
			}
			out := Reduce(j, u, ReduceOptions{Spans: true, StepSpans: mode})
			j = out.Job
			for _, s := range out.Spans {
				switch s.Name {
				case stepSpan:
					spans, steps = spans+1, steps+1
				case windowSpan:
					spans, steps = spans+1, steps+int(s.Attrs[0].Number)
				}
			}
		}
		open := int(j.Trace.Pending)
		if spans > 2000 || mode != NoSteps && steps+open != n || mode == NoSteps && spans != 0 {
			t.Errorf("%s: %d spans for %d steps, %d open, %d in all", mode, spans, steps, open, n)
		}
	}
	last := uint64(0)
	count := singleSteps
	for s := uint64(singleSteps + 1); s <= 150_000_000; s = windowEnd(s) + 1 {
		if windowEnd(s) <= last || windowEnd(s) < s {
			t.Fatalf("window of step %d ends at %d", s, windowEnd(s))
		}
		last = windowEnd(s)
		count++
	}
	if count > 2000 {
		t.Errorf("%d step spans in a trace", count)
	}
}

func TestAJobThatIsNotFoundIsGone(t *testing.T) {
	missing := Update{At: at(30), Polled: true, NotFound: true}
	j, spans, _ := polls(t, spansOn(), poll(0), poll(10, startedEvent(0)), missing, missing, missing, missing)
	if !j.Gone || j.Phase != Unknown || j.Status != "not_found" || spans[len(spans)-1].Name != rootSpan {
		t.Errorf("job %+v", j)
	}
	late := Event{ID: "end", Type: EndedEvent}
	back := Reduce(j, Update{Key: testKey, At: at(35), Polled: true, Events: []Event{startedEvent(0), late}}, spansOn())
	if back.Job.Phase != Succeeded || back.Job.Gone || back.Job.Missing != 0 {
		t.Errorf("a job that was found again: %+v", back.Job)
	}
	for _, s := range back.Spans {
		if s.Name == rootSpan {
			t.Error("the root was sent a second time, with another content")
		}
	}
	now, _, _ := polls(t, spansOn(), poll(0), missing, missing, poll(40), missing, missing)
	if now.Gone {
		t.Error("polls that did not find the job count although they were not in a row")
	}
	listed := Update{Key: testKey, At: at(40)}
	if out := Reduce(j, listed, spansOn()); out.Changed {
		t.Errorf("a list brought back a job that polls do not find")
	}
	absent, _, _ := polls(t, spansOn(), poll(0), poll(10, startedEvent(0), step(0)), Update{At: at(20), Absent: true}, Update{At: at(30)})
	if absent.Gone || absent.Phase != Running {
		t.Errorf("a listed job did not come back: %+v", absent)
	}
}

func TestAnIdlePollChangesNothing(t *testing.T) {
	j, _, _ := polls(t, spansOn(), poll(0), poll(10, startedEvent(0), step(0)))
	u := poll(20, startedEvent(0), step(0))
	u.Key = testKey
	if out := Reduce(j, u, spansOn()); out.Changed || out.Job != j || out.Tally.Duplicate != 2 {
		t.Errorf("an idle poll changed %+v", out)
	}
}

func TestFreeFormNamesAreBounded(t *testing.T) {
	e := Event{ID: "many", Type: StepEvent}
	for i := range 100 {
		e.Readings = append(e.Readings, Reading{Metric: FreeForm, Label: fmt.Sprint("name", i), Value: 1})
	}
	j, _, totals := polls(t, spansOn(), poll(0), poll(10, e))
	n := 0
	for _, r := range j.Readings {
		if r.Metric == FreeForm {
			n++
		}
	}
	if n != 64 || totals.Held != 36 {
		t.Errorf("%d names kept, %d held", n, totals.Held)
	}
}

func TestAFullCountFindsLateEvents(t *testing.T) {
	count := func(n int) Update { return Update{At: at(100), Polled: true, Counted: true, Listed: n} }
	events := []Event{startedEvent(0), step(0), {ID: "end", Type: EndedEvent}}
	j, _, totals := polls(t, spansOn(), poll(0), poll(10, events...), count(5), count(5))
	if totals.Late != 2 || j.Late != 2 || j.Reconciled != 2 {
		t.Errorf("late %d of job %d, reconciled %d", totals.Late, j.Late, j.Reconciled)
	}
	_, _, totals = polls(t, spansOn(), poll(0), poll(10, events...), count(2))
	if totals.Mismatches != 1 {
		t.Errorf("mismatches %d", totals.Mismatches)
	}
}

// equalJobs compares with NaN like NaN; Updated may differ by replays.
func equalJobs(a, b *Job) bool { return fmt.Sprintf("%+v", plain(a)) == fmt.Sprintf("%+v", plain(b)) }

func plain(j *Job) any {
	c := *j
	info, h := *j.Info, Histogram{}
	if j.StepTimes != nil {
		h = *j.StepTimes
		h.Exemplar = nil
	}
	c.Info, c.StepTimes, c.Reconciled = nil, nil, 0
	return []any{c, info, h}
}
