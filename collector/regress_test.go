package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnHourOf404DoesNotLoseAJob: a service that does not know a job for an hour is asked again, and so is a job that someone registers.
func TestAnHourOf404DoesNotLoseAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := &fakeSource{ids: []string{"a"}, answer: func(j *Job) (Update, error) {
			e := time.Since(start)
			if e > 10*time.Minute && e < 90*time.Minute {
				return Update{NotFound: true}, nil
			}
			return running(j)
		}}
		b, _, stop := schedule(t, f, newFakeLedger())
		time.Sleep(24 * time.Hour)
		if j := b.store.Job(Key{"s", "a"}); j.Gone || j.Phase != Running {
			t.Errorf("a day after it was back: %+v", j)
		}
		stop()
		again := &fakeSource{ids: []string{"b"}, answer: func(*Job) (Update, error) { return Update{NotFound: true}, nil }}
		b, _, stop = schedule(t, again, newFakeLedger())
		time.Sleep(3 * time.Hour)
		asked := len(again.times("b"))
		if err := b.Register(context.Background(), Registration{Key: Key{"s", "b"}}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if len(again.times("b")) == asked {
			t.Error("a job that was registered again is not asked")
		}
		stop()
	})
}

// TestAWindowClosedEarlyIsSentOnce: a pause in the middle of a window must not give its rest the same id.
func TestAWindowClosedEarlyIsSentOnce(t *testing.T) {
	o := ReduceOptions{Spans: true, StepSpans: Windows}
	us := []Update{poll(0)}
	n := 0
	steps := func(sec, k int) Update {
		var ev []Event
		if n == 0 {
			ev = append(ev, startedEvent(0))
		}
		for range k {
			ev = append(ev, step(n))
			n++
		}
		return poll(sec, ev...)
	}
	us = append(us, steps(10, 30))
	for i := range 3 {
		us = append(us, Update{At: at(20 + i*10), Polled: true, NotFound: true})
	}
	us = append(us, steps(60, 30))
	us = append(us, Update{At: at(70), Polled: true, HasPhase: true, Phase: Paused}, steps(80, 30), poll(90, Event{ID: "end", Type: EndedEvent}))
	_, spans, _ := polls(t, o, us...)
	seen := map[SpanID]Span{}
	for _, s := range spans {
		if p, ok := seen[s.ID]; ok && !reflect.DeepEqual(p, s) {
			t.Errorf("span %s %s twice: %v..%v attrs %v AND %v..%v attrs %v", s.Name, s.ID, p.Start.Std(), p.End.Std(), p.Attrs, s.Start.Std(), s.End.Std(), s.Attrs)
		}
		seen[s.ID] = s
	}
}

func TestStepsBeforeARestartHaveAParent(t *testing.T) {
	_, spans, _ := polls(t, spansOn(), poll(0), poll(10, startedEvent(4), step(0), step(1)), poll(20, step(2), Event{ID: "s2", Type: StartedEvent}, step(10)), poll(30, Event{ID: "end", Type: EndedEvent}))
	orphans(t, spans)
}

func TestStepsOfOneMomentHaveAParent(t *testing.T) {
	// first poll after a restart of the bridge: Asked unknown
	u := poll(100, startedEvent(2), step(0), step(1), Event{ID: "end", Type: EndedEvent})
	u.Asked = 0
	_, spans, _ := polls(t, spansOn(), poll(0), u)
	orphans(t, spans)
}

func TestAClockThatGoesBackFreezesNothing(t *testing.T) {
	e := step(1)
	e.Readings = []Reading{{Metric: Loss, Label: "train", Value: math.NaN()}}
	j, _, _ := polls(t, ReduceOptions{}, poll(0), poll(3600, startedEvent(10), step(0)), poll(60, e), poll(70, step(2)), poll(80, step(3)))
	l, _ := j.Reading(Loss, "train")
	s, _ := j.Reading(Step, "")
	t.Logf("steps %d, loss %v step %v lastStep %v", j.Steps, l, s, j.LastStep.Sub(t0))
	if l != 0.25 {
		t.Error("loss frozen")
	}
}

// TestAnEndInThePastIsStillShown: the retention counts from when the bridge heard of the end.
func TestAnEndInThePastIsStillShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newFakeLedger(), RecorderOptions{})
		now := time.Now()
		b.apply(t, Update{Key: testKey, At: TimeOf(now), Polled: true})
		b.apply(t, Update{Key: testKey, At: TimeOf(now), Polled: true, HasPhase: true, Phase: Failed, Status: "FAILED", Ended: TimeOf(now.Add(-2 * time.Hour))})
		time.Sleep(16 * time.Second)
		if b.store.Job(testKey) == nil {
			t.Error("failed job retired within 16 s of first sight")
		}
	})
}

func TestNoJobIsForgottenBeforeItsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		f := &fakeSource{ids: []string{"a"}, answer: func(j *Job) (Update, error) {
			if time.Since(begin) < time.Minute {
				return running(j)
			}
			if j.Phase.Ended() && time.Since(begin) > 3*time.Minute {
				return Update{}, errors.New("503")
			}
			return Update{HasPhase: true, Phase: Succeeded, Counted: j.Phase.Ended()}, nil
		}}
		f.asked = map[string][]time.Time{}
		l := newFakeLedger()
		l.before = func(ba *Batch) error {
			for _, j := range ba.Retire {
				if j.Reconciled < 2 {
					t.Errorf("retired after %d of 2 full counts", j.Reconciled)
				}
			}
			return nil
		}
		b := start(t, l, RecorderOptions{Retention: 5 * time.Minute})
		h := NewHealth(time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = NewScheduler("s", f, b.Recorder, b.store, h, slog.New(slog.DiscardHandler)).Run(ctx) })
		time.Sleep(30 * time.Minute)
		cancel()
		wg.Wait()
		b.stop()
	})
}

// TestLoadingAgainShowsNoZero: counters must not be seen at zero while the ledger is loaded again.
func TestLoadingAgainShowsNoZero(t *testing.T) {
	s := NewStore(Limits{})
	var st State
	for i := range 20000 {
		st.Jobs = append(st.Jobs, &Job{Key: Key{"s", fmt.Sprint(i)}, Info: &Info{}, Attempt: 1, Live: true, Phase: Running})
	}
	st.Totals = []*Totals{{Source: "s", Read: 100}}
	s.replace(st)
	stop := make(chan bool)
	go func() {
		for range 5 {
			for _, j := range st.Jobs {
				j.trace = TraceID{}
			}
			s.replace(st)
		}
		close(stop)
	}()
	zero, n := 0, 0
	for {
		select {
		case <-stop:
			if zero > 0 {
				t.Errorf("%d of %d snapshots show 0 events read / nil totals instead of 100", zero, n)
			}
			return
		default:
		}
		snap := s.Snapshot()
		n++
		if snap.Sources[0].totals().Read != 100 {
			zero++
		}
	}
}

func TestDemandFallsWhenJobsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ids := []string{}
		for i := range 100 {
			ids = append(ids, fmt.Sprint(i))
		}
		f := &fakeSource{ids: ids, cadence: Cadence{Rate: 2}, answer: func(j *Job) (Update, error) {
			if time.Since(begin) < 10*time.Minute {
				return running(j)
			}
			return Update{HasPhase: true, Phase: Succeeded, Counted: j.Phase.Ended()}, nil
		}}
		_, h, stop := schedule(t, f, newFakeLedger())
		time.Sleep(6 * time.Hour)
		if d := h.View().DemandRatio; d != nil && *d > 0.1 {
			t.Errorf("demand %v hours after the last job ended", *d)
		}
		stop()
	})
}

// TestAJobThatIsNotThereYetHasABacklog: an answer that does not know the job yet tells nothing about its past.
func TestAJobThatIsNotThereYetHasABacklog(t *testing.T) {
	var ev []Event
	ev = append(ev, startedEvent(0))
	for i := range 500 {
		ev = append(ev, step(i))
	}
	j, _, _ := polls(t, ReduceOptions{}, Update{At: at(0)}, Update{At: at(1), Polled: true, Early: true}, poll(30, ev...))
	if j.Birth.Known() || j.LastStep.Known() {
		t.Errorf("backlog of 500 looks fresh: birth %v lastStep %v", j.Birth.Std(), j.LastStep.Std())
	}
}

func TestGoneJobsAreNotSuppressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newFakeLedger(), RecorderOptions{})
		b.apply(t, Update{Key: testKey, At: TimeOf(time.Now()), Polled: true})
		b.apply(t, Update{Key: testKey, At: TimeOf(time.Now()), Absent: true})
		time.Sleep(2 * time.Hour)
		if n := b.store.Snapshot().Sources[0].Suppressed; n != 0 {
			t.Errorf("suppressed %d", n)
		}
		b.stop()
	})
}

func TestAGroupThatIsNamedLateCountsOnce(t *testing.T) {
	b := start(t, newFakeLedger(), RecorderOptions{})
	b.apply(t, Update{Key: testKey, At: at(0), Polled: true, Fresh: true, Info: Info{Group: "a"}})
	b.apply(t, poll0(10, step(0), step(1)))
	b.apply(t, Update{Key: testKey, At: at(20), Info: Info{Group: "b"}})
	a, c := b.store.Group(GroupKey{"rl-team", "a"}), b.store.Group(GroupKey{"rl-team", "b"})
	t.Logf("a %d steps, b %d steps, birth %v", a.Steps, c.Steps, c.Birth)
	if a.Steps+c.Steps != 2 {
		t.Error("counted twice")
	}
}

func TestAJobThatComesBackUnreadIsNotShownAsGone(t *testing.T) {
	b := start(t, newFakeLedger(), RecorderOptions{})
	b.apply(t, Update{Key: testKey, At: at(0)})
	b.apply(t, Update{Key: testKey, At: at(1), Absent: true})
	first := poll0(20, startedEvent(3), step(0))
	first.More = true
	b.apply(t, first)
	for j := range b.store.Snapshot().Jobs.All {
		t.Errorf("shown phase %v gone %v while the job is %v", j.Phase, j.Gone, b.store.Job(testKey).Phase)
	}
}

func TestAGroupAlwaysHasItsLoss(t *testing.T) {
	b := start(t, newFakeLedger(), RecorderOptions{Reduce: ReduceOptions{FreeForm: 200}})
	b.apply(t, Update{Key: testKey, At: at(0), Polled: true, Fresh: true, Info: Info{Group: "a"}})
	e := Event{ID: "x", Type: StepEvent}
	for i := range 150 {
		e.Readings = append(e.Readings, Reading{Metric: FreeForm, Label: fmt.Sprint("m", i), Value: 1})
	}
	b.apply(t, poll0(10, e))
	b.apply(t, poll0(20, step(1)))
	g := b.store.Group(GroupKey{"rl-team", "a"})
	_, loss := findReading(g.Readings, Loss, "train")
	t.Logf("group %d readings, loss %v, held %d", len(g.Readings), loss, b.store.Totals("rl-team").Held)
	if !loss {
		t.Error("group loss is absent")
	}
}

func TestTheStartOfTotalsDoesNotMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newFakeLedger(), RecorderOptions{})
		h := NewHealth(time.Now())
		b.store.SetHealth("rl-team", h)
		a := b.store.Snapshot().Sources[0].Start()
		time.Sleep(time.Hour)
		b.apply(t, Update{Key: testKey, At: TimeOf(time.Now()), Polled: true})
		c := b.store.Snapshot().Sources[0].Start()
		if a != c {
			t.Errorf("start of counters moved by %v", c.Sub(a))
		}
		b.stop()
	})
}

func orphans(t *testing.T, spans []Span) {
	ids := map[SpanID]bool{{}: true}
	for _, s := range spans {
		ids[s.ID] = true
	}
	for _, s := range spans {
		if !ids[s.Parent] {
			t.Errorf("%s (trace %s) has no parent", s.Name, s.TraceID)
		}
	}
}

func poll0(s int, e ...Event) Update { u := poll(s, e...); u.Key = testKey; return u }

// 13: came back before live: stale
func TestRevStaleShown(t *testing.T) {
	b := start(t, newFakeLedger(), RecorderOptions{})
	b.apply(t, Update{Key: testKey, At: at(0)})
	b.apply(t, Update{Key: testKey, At: at(1), Absent: true})
	first := poll0(20, startedEvent(3), step(0))
	first.More = true
	b.apply(t, first)
	for j := range b.store.Snapshot().Jobs.All {
		t.Errorf("shown phase %v gone %v while the job is %v", j.Phase, j.Gone, b.store.Job(testKey).Phase)
	}
}

// TestGroupsOverTheLimitAreCounted: a limit that holds something back says how much.
func TestGroupsOverTheLimitAreCounted(t *testing.T) {
	s := NewStore(Limits{})
	var b Batch
	for i := range maxGroups + 3 {
		b.Groups = append(b.Groups, &Group{Key: GroupKey{"s", fmt.Sprint(i)}, Shown: true})
	}
	s.publish(&b)
	s.publish(&Batch{Groups: b.Groups[maxGroups:]})
	if v := s.Snapshot(); v.Groups.Len() != maxGroups || v.Sources[0].HeldGroups != 3 {
		t.Errorf("%d groups shown, %d held", v.Groups.Len(), v.Sources[0].HeldGroups)
	}
}
