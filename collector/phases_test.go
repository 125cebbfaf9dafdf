package collector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func phaseAt(second int, p Phase) Event {
	return Event{ID: fmt.Sprintf("phase-%d-%s", second, p), Type: PhaseEvent, Phase: p, Status: strings.ToUpper(p.String()), At: at(second)}
}

func notice(second int, reason, message string) Event {
	return Event{ID: "notice-" + reason, Type: NoticeEvent, Reason: reason, Message: message, At: at(second), Warning: true}
}

// listed is a line of a listing: a job that came to its phase at the given second.
func listed(second int, p Phase, since int) Update {
	return Update{At: at(second), HasPhase: true, Phase: p, Status: strings.ToUpper(p.String()), PhaseAt: at(since), Created: at(0)}
}

// timeline is the spans of phases as text.
func timeline(spans []Span) []string {
	var out []string
	for _, s := range spans {
		for _, a := range s.Attrs {
			if a.Key == "training.job.phase" {
				out = append(out, fmt.Sprintf("%s %d-%d", s.Name, s.Start.Sub(t0)/time.Second, s.End.Sub(t0)/time.Second))
			}
		}
	}
	return out
}

func TestAListingShowsAtOnceWhatThePollExplains(t *testing.T) {
	job, spans, totals := polls(t, spansOn(), listed(5, Pending, 0), listed(100, Failed, 90))
	if job.Phase != Failed || job.Since != at(90) || job.Status != "FAILED" || len(spans) != 0 || len(totals.Ended) != 0 {
		t.Fatalf("after the listing: %s since %v, %d spans, ended %v", job.Phase, job.Since, len(spans), totals.Ended)
	}
	poll := poll(101, phaseAt(1, Pending), phaseAt(20, Initializing), phaseAt(30, Running), notice(89, "OOMKilling", ""), phaseAt(90, Failed))
	job, spans, totals = polls(t, spansOn(), listed(5, Pending, 0), listed(100, Failed, 90), poll, listed(130, Failed, 90))
	if want := []string{"queue 0-20", "initializing 20-30", "running 30-90"}; !slices.Equal(timeline(spans), want) {
		t.Errorf("timeline %q, want %q", timeline(spans), want)
	}
	if want := []EndedSum{{Result: Failure, ErrorType: "out_of_memory", N: 1}}; !slices.Equal(totals.Ended, want) {
		t.Errorf("ended %v, want %v", totals.Ended, want)
	}
	if job.Started != at(30) || job.Ended != at(90) || job.Trace.Open {
		t.Errorf("started %v, ended %v, open %v", job.Started, job.Ended, job.Trace.Open)
	}
	if root := spans[len(spans)-1]; root.Name != rootSpan || root.Start != at(0) || root.End != at(90) || !root.Failed {
		t.Errorf("the last span is %+v", root)
	}
	orphans(t, spans)
}

func TestAHistoryThatLagsOrIsLateChangesNothingShown(t *testing.T) {
	job, _, _ := polls(t, spansOn(), listed(5, Pending, 0), listed(100, Paused, 90), poll(101, phaseAt(1, Pending), phaseAt(30, Running)))
	if job.Phase != Paused || job.Since != at(90) || job.Started != at(30) {
		t.Errorf("%s since %v, started %v", job.Phase, job.Since, job.Started)
	}
	_, spans, _ := polls(t, spansOn(), listed(5, Pending, 0), poll(50, phaseAt(30, Running)), poll(101, phaseAt(20, Initializing)), poll(120, phaseAt(110, Succeeded)))
	if want := []string{"queue 0-30", "running 30-110"}; !slices.Equal(timeline(spans), want) {
		t.Errorf("timeline %q, want %q", timeline(spans), want)
	}
}

func TestAnEndThatNobodyExplainsIsCounted(t *testing.T) {
	job, _, totals := polls(t, spansOn(), listed(5, Running, 1), poll(6), listed(60, Failed, 50), listed(120, Failed, 50))
	if !job.Trace.Open || len(totals.Ended) != 0 {
		t.Fatalf("counted before it was waited for: %v", totals.Ended)
	}
	for name, last := range map[string]Update{
		"waited":    listed(60+int(settleAfter/time.Second), Failed, 50),
		"not found": {At: at(130), Polled: true, NotFound: true},
		"no events": {At: at(130), Polled: true},
	} {
		job, spans, totals := polls(t, spansOn(), listed(5, Running, 1), poll(6), listed(60, Failed, 50), last, last)
		if job.Trace.Open || len(totals.Ended) != 1 || totals.Ended[0].N != 1 || timeline(spans)[len(timeline(spans))-1] != "running 1-50" {
			t.Errorf("%s: ended %v, timeline %q", name, totals.Ended, timeline(spans))
		}
	}
}

func TestAFullCountComesAfterTheEndIsCounted(t *testing.T) {
	full := Update{At: at(70), Polled: true, Listed: 1, Counted: true, Events: []Event{phaseAt(50, Failed)}}
	job, _, _ := polls(t, ReduceOptions{}, listed(5, Running, 1), listed(60, Failed, 50), full)
	if job.Reconciled != 0 {
		t.Errorf("the poll that explains the end was taken for a look back: %d", job.Reconciled)
	}
	job, _, _ = polls(t, ReduceOptions{}, listed(5, Running, 1), listed(60, Failed, 50), full, full)
	if job.Reconciled != 1 {
		t.Errorf("%d looks back", job.Reconciled)
	}
}

func TestNoticesAreEventsOfTheirPhase(t *testing.T) {
	u := poll(100, phaseAt(1, Pending), notice(5, "FailedScheduling", "0/8 nodes are available"), phaseAt(20, Running), notice(25, "Pulled", "image"))
	_, spans, totals := polls(t, spansOn(), listed(2, Pending, 0), u, poll(130, phaseAt(120, Succeeded)))
	got := map[string]string{}
	for _, s := range spans {
		for _, e := range s.Events {
			got[s.Name] += e.Name + ": " + e.Attrs[0].Text
		}
	}
	if got["queue"] != "FailedScheduling: 0/8 nodes are available" || got["running"] != "Pulled: image" || len(got) != 2 {
		t.Errorf("events %q", got)
	}
	if !slices.Contains(totals.Events, EventSum{Type: NoticeEvent, Reason: "Pulled", N: 1}) {
		t.Errorf("totals %v", totals.Events)
	}
}

func TestNoticesAreBounded(t *testing.T) {
	var many []Event
	for i := range 10 * maxNotes {
		many = append(many, Event{ID: fmt.Sprint(i), Type: NoticeEvent, Reason: "BackOff", At: at(10 + i)})
	}
	job, _, _ := polls(t, spansOn(), listed(2, Running, 1), poll(300, many...))
	if len(job.Trace.Notes) != maxNotes || job.Trace.Lost != 9*maxNotes {
		t.Errorf("%d kept, %d lost", len(job.Trace.Notes), job.Trace.Lost)
	}
	_, spans, _ := polls(t, spansOn(), listed(2, Running, 1), poll(300, many...), poll(400, phaseAt(390, Failed)))
	if s := spans[slices.IndexFunc(spans, func(s Span) bool { return s.Name == "running" })]; len(s.Events) != maxNotes || s.Dropped != 9*maxNotes {
		t.Errorf("%d events, %d dropped", len(s.Events), s.Dropped)
	}
}

func TestTheCauseIsTheMessageOrElseTheWarning(t *testing.T) {
	for _, c := range []struct{ message, reason, want string }{
		{"", "OOMKilling", "out_of_memory"}, {"exit code 1", "Evict", "preempted"}, {"dataset is missing", "OOMKilling", "data"}, {"", "Started", unspecified},
		{"Pod tokenizer-v2-worker-0 exited with code 1", "BackOff", "crashed"}, {"ImagePullBackOff", "", "image"},
	} {
		end := phaseAt(90, Failed)
		end.Message = c.message
		named := listed(5, Running, 1)
		named.Info.Name = "tokenizer-v2"
		job, _, _ := polls(t, ReduceOptions{}, named, poll(100, notice(80, c.reason, ""), end))
		if job.ErrorType != c.want {
			t.Errorf("%q after %s: %s, want %s", c.message, c.reason, job.ErrorType, c.want)
		}
	}
}

func TestGoneWhileStoppingIsCancelled(t *testing.T) {
	job, _, totals := polls(t, spansOn(), listed(5, Running, 1), listed(60, Stopping, 50), Update{At: at(90), Absent: true})
	if job.Phase != Cancelled || job.Result != Cancellation || len(totals.Ended) != 1 {
		t.Errorf("%s, %v", job.Phase, totals.Ended)
	}
	job, _, _ = polls(t, spansOn(), listed(5, Running, 1), Update{At: at(90), Absent: true})
	if job.Phase != Unknown || !job.Gone {
		t.Errorf("a running job that is off the list is %s", job.Phase)
	}
}

func TestObservedChangesAreCounted(t *testing.T) {
	var updates []Update
	for i, p := range []Phase{Pending, Pending, Running, Running, Succeeded, Succeeded} {
		updates = append(updates, Update{At: at(10 * i), HasPhase: true, Phase: p, Status: p.String(), Observed: true, Polled: true})
	}
	job, spans, totals := polls(t, spansOn(), updates...)
	if n := countOf(job.Events, "phase_changed"); n != 2 || totals.Read != 2 {
		t.Errorf("%d changes, %d read", n, totals.Read)
	}
	if want := []string{"queue 0-20", "running 20-40"}; !slices.Equal(timeline(spans), want) || job.Started.Known() {
		t.Errorf("timeline %q, started %v", timeline(spans), job.Started)
	}
}

func TestALongOverlapIsRemembered(t *testing.T) {
	var many []Event
	for i := range 500 {
		many = append(many, Event{ID: fmt.Sprint(i), Type: NoticeEvent, At: at(i)})
	}
	again := poll(600, many...)
	again.Window = 1000
	job, _, totals := polls(t, ReduceOptions{}, again, again, again)
	if job.EventCount() != 500 || totals.Duplicate != 1000 {
		t.Errorf("%d counted, %d duplicates", job.EventCount(), totals.Duplicate)
	}
	again.Window = 1 << 30
	if job, _, _ = polls(t, ReduceOptions{}, again); len(job.Window) != 500 {
		t.Errorf("the window has %d", len(job.Window))
	}
}

// TestTheTimelineIsThatOfTheHistory reads random histories with random listings and polls between them: whatever the listings
// showed first, spans are those that the history tells, each once.
func TestTheTimelineIsThatOfTheHistory(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		events, want := phaseHistory(r)
		var updates []Update
		for now := 1; now < 300; now += 1 + r.IntN(40) {
			seen := events[:visible(events, now)]
			last := seen[len(seen)-1]
			updates = append(updates, listed(now, last.Phase, int(last.At.Sub(t0)/time.Second)))
			if r.IntN(3) == 0 {
				updates = append(updates, poll(now, shuffled(r, seen)...))
			}
		}
		updates = append(updates, poll(400, events...))
		job, spans, totals := polls(t, spansOn(), updates...)
		if got := timeline(spans); !slices.Equal(got, want) {
			t.Fatalf("seed %d: timeline %q, want %q", seed, got, want)
		}
		if job.Phase != events[len(events)-1].Phase || len(totals.Ended) != 1 || job.EventCount() != uint64(len(events)) {
			t.Fatalf("seed %d: %s, ended %v, %d events of %d", seed, job.Phase, totals.Ended, job.EventCount(), len(events))
		}
		orphans(t, spans)
	}
}

func visible(events []Event, now int) int {
	n := 0
	for n < len(events) && events[n].At <= at(now) {
		n++
	}
	return n
}

func shuffled(r *rand.Rand, events []Event) []Event {
	events = slices.Clone(events)
	r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	return events
}

// phaseHistory is a life with an end, and the timeline that its trace must have.
func phaseHistory(r *rand.Rand) (events []Event, want []string) {
	phases := []Phase{Pending, Initializing, Running, Paused, Running, Stopping}
	now, phase := 0, Pending
	events = append(events, phaseAt(0, Pending))
	for range 1 + r.IntN(8) {
		next := phases[r.IntN(len(phases))]
		if next == phase {
			continue
		}
		end := now + 1 + r.IntN(40)
		want = append(want, spanText(phase, now, end))
		now, phase = end, next
		events = append(events, phaseAt(now, phase))
	}
	end := now + 1 + r.IntN(40)
	want = append(want, spanText(phase, now, end))
	ends := []Phase{Succeeded, Failed, Cancelled}
	return append(events, phaseAt(end, ends[r.IntN(3)])), want
}

func spanText(p Phase, from, to int) string {
	name := p.String()
	if p == Pending {
		name = "queue"
	}
	return fmt.Sprintf("%s %d-%d", name, from, to)
}

// TestAListedJobIsShownBeforeItsBacklogIsRead: its phase, that is, and no counters, which would rise as the backlog is read.
func TestAListedJobIsShownBeforeItsBacklogIsRead(t *testing.T) {
	b := start(t, newFakeLedger(), RecorderOptions{})
	u := listed(5, Running, 1)
	u.Key = testKey
	more := poll(6, notice(2, "Pulled", ""))
	more.Key, more.More = testKey, true
	b.apply(t, u, more)
	var names []string
	for j := range b.store.Snapshot().Jobs.All {
		names = append(names, pointsOf(j)...)
	}
	if !slices.Contains(names, "training_job_phase") || slices.Contains(names, "training_job_events_total") {
		t.Errorf("shown: %q", names)
	}
	more.More = false
	b.apply(t, more)
	names = nil
	for j := range b.store.Snapshot().Jobs.All {
		names = append(names, pointsOf(j)...)
	}
	if !slices.Contains(names, "training_job_events_total") || slices.Contains(names, "training_job_gradient_steps_total") {
		t.Errorf("shown after the backlog: %q", names)
	}
}

// pointsOf are the names of the metrics that a job has.
func pointsOf(j *Job) (names []string) {
	var p Points
	for _, r := range JobRows() {
		p.Reset()
		if r.Read(j, &p); p.Len() > 0 {
			names = append(names, r.Prom)
		}
	}
	return names
}

// TestAGroupWithoutStepsDoesNotWaitForPolls: what it shows comes from listings.
func TestAGroupWithoutStepsDoesNotWaitForPolls(t *testing.T) {
	b := start(t, newFakeLedger(), RecorderOptions{})
	u := listed(5, Running, 1)
	u.Key, u.Info.Group = testKey, "team"
	b.apply(t, u)
	n := 0
	for g := range b.store.Snapshot().Groups.All {
		n += int(g.Jobs[Running])
	}
	if n != 1 {
		t.Errorf("%d running jobs in groups", n)
	}
}

func TestWhatIsGoneIsWithdrawn(t *testing.T) {
	with := func(second int, rs ...Reading) Update {
		u := poll(second)
		u.Readings = rs
		return u
	}
	gpu := Reading{Metric: GPUUtilization, Label: "1", Value: 0.5}
	gone := Reading{Metric: GPUUtilization, Label: "1", Gone: true}
	job, _, _ := polls(t, ReduceOptions{}, with(10, gpu, Reading{Metric: Loss, Label: "train", Value: 1}), with(20, gone), with(30, gone))
	if _, ok := job.Reading(GPUUtilization, "1"); ok || len(job.NonFinite) != 0 || len(job.Readings) != 1 || job.Updated != at(20) {
		t.Errorf("%+v, not finite %v, updated %v", job.Readings, job.NonFinite, job.Updated)
	}
	job, _, _ = polls(t, ReduceOptions{}, with(10, gpu), with(20, gone), with(30, gpu))
	if v, ok := job.Reading(GPUUtilization, "1"); !ok || v != 0.5 {
		t.Errorf("it did not come back: %+v", job.Readings)
	}
}

func TestAnOldEndWaitsForItsExplanationToo(t *testing.T) {
	u := poll(10_001, phaseAt(0, Pending), phaseAt(30, Running), notice(7190, "OOMKilling", ""), phaseAt(7200, Failed))
	_, spans, totals := polls(t, spansOn(), listed(10_000, Failed, 7200), u)
	if want := []string{"queue 0-30", "running 30-7200"}; !slices.Equal(timeline(spans), want) || totals.Ended[0].ErrorType != "out_of_memory" {
		t.Errorf("timeline %q, ended %v", timeline(spans), totals.Ended)
	}
}

func TestAWarningOfLongAgoIsNoCause(t *testing.T) {
	for second, want := range map[int]string{10: "crashed", 100: "crashed", 35_900: "out_of_memory"} {
		end := phaseAt(36_000, Failed)
		end.Message = "exited with code 1"
		job, _, _ := polls(t, ReduceOptions{}, listed(5, Pending, 0), poll(36_001, notice(second, "OOMKilling", ""), phaseAt(40, Running), end))
		if job.ErrorType != want {
			t.Errorf("a warning at %d: %s, want %s", second, job.ErrorType, want)
		}
	}
}

// TestAPollUnderWayDoesNotUndoAnEnd: it asked before the listing that showed the end.
func TestAPollUnderWayDoesNotUndoAnEnd(t *testing.T) {
	end := Update{At: at(50), Began: at(49), HasPhase: true, Phase: Succeeded, Status: "completed"}
	late := Update{At: at(60), Began: at(45), HasPhase: true, Phase: Running, Status: "running", Polled: true}
	job, _, totals := polls(t, ReduceOptions{}, listed(5, Running, 1), poll(6), end, late)
	if job.Phase != Succeeded || job.Restarts != 0 {
		t.Errorf("%s, %d restarts, %v", job.Phase, job.Restarts, totals.Ended)
	}
	late.At, late.Began = at(70), at(69)
	if job, _, _ = polls(t, ReduceOptions{}, listed(5, Running, 1), poll(6), end, late); job.Phase != Running || job.Restarts != 1 {
		t.Errorf("a job that runs again is %s", job.Phase)
	}
}

func TestFirstSightIsNoChange(t *testing.T) {
	seen := func(p Phase, created int) Update {
		return Update{At: at(200_000), HasPhase: true, Phase: p, Status: p.String(), Observed: true, Polled: true, Created: at(created)}
	}
	job, spans, totals := polls(t, spansOn(), seen(Running, 180_000), seen(Running, 180_000), Update{At: at(200_100), HasPhase: true, Phase: Succeeded, Observed: true, Polled: true, Created: at(180_000)})
	if want := []string{"running 200000-200100"}; !slices.Equal(timeline(spans), want) || countOf(job.Events, "phase_changed") != 1 || len(totals.Ended) != 1 {
		t.Errorf("timeline %q, events %v, ended %v", timeline(spans), job.Events, totals.Ended)
	}
	job, spans, totals = polls(t, spansOn(), seen(Failed, 1000), seen(Failed, 1000))
	if job.Phase != Failed || job.Ended.Known() || len(totals.Ended) != 0 || len(spans) != 0 {
		t.Errorf("an old end: %s, ended %v, counted %v, %d spans", job.Phase, job.Ended, totals.Ended, len(spans))
	}
	if _, _, totals = polls(t, spansOn(), seen(Failed, 199_000)); len(totals.Ended) != 1 {
		t.Errorf("a short job that failed between two listings is not counted: %v", totals.Ended)
	}
}

// TestADeletionDoesNotChangeTheEnd: a job that completed and was deleted later completed, and when it did.
func TestADeletionDoesNotChangeTheEnd(t *testing.T) {
	gone := listed(1000, Cancelled, 900)
	gone.Ended = at(900)
	history := poll(1001, phaseAt(0, Pending), phaseAt(30, Running), phaseAt(600, Succeeded), phaseAt(890, Stopping))
	job, spans, totals := polls(t, spansOn(), gone, history, gone)
	if job.Phase != Succeeded || job.Ended != at(600) || len(totals.Ended) != 1 || totals.Ended[0].Result != Success {
		t.Errorf("first seen after its deletion: %s at %v, ended %v", job.Phase, job.Ended, totals.Ended)
	}
	if want := []string{"queue 0-30", "running 30-600"}; !slices.Equal(timeline(spans), want) {
		t.Errorf("timeline %q", timeline(spans))
	}
	job, _, totals = polls(t, spansOn(), listed(5, Running, 1), poll(601, phaseAt(30, Running), phaseAt(600, Succeeded)), gone)
	if job.Phase != Succeeded || job.Ended != at(600) || len(totals.Ended) != 1 {
		t.Errorf("deleted after its end: %s at %v, ended %v", job.Phase, job.Ended, totals.Ended)
	}
}
