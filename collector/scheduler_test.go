package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSource runs jobs that answer as their function says.
type fakeSource struct {
	mu      sync.Mutex
	ids     []string
	partial bool
	answer  func(j *Job) (Update, error)
	asked   map[string][]time.Time
	cadence Cadence
}

func (f *fakeSource) Cadence() Cadence { return f.cadence }

func (f *fakeSource) List(context.Context) (Listing, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := Listing{Partial: f.partial, Local: true}
	for _, id := range f.ids {
		l.Jobs = append(l.Jobs, Update{Key: Key{ID: id}})
	}
	return l, nil
}

func (f *fakeSource) Follow(_ context.Context, j *Job) (Update, error) {
	f.mu.Lock()
	f.asked[j.Key.ID] = append(f.asked[j.Key.ID], time.Now())
	f.mu.Unlock()
	return f.answer(j)
}

func (f *fakeSource) set(ids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids = ids
}

func (f *fakeSource) times(id string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[id]
}

func (f *fakeSource) forget() { f.asked = map[string][]time.Time{} }

// schedule runs a source for a while in virtual time.
func schedule(t *testing.T, f fake, l *fakeLedger) (b *bridge, h *Health, stop func()) {
	t.Helper()
	f.forget()
	b = start(t, l, RecorderOptions{})
	h = NewHealth(time.Now())
	b.store.SetHealth("s", h)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := NewScheduler("s", f, b.Recorder, b.store, h, slog.New(slog.DiscardHandler)).Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return b, h, func() { cancel(); wg.Wait(); b.stop() }
}

func running(*Job) (Update, error) {
	return Update{HasPhase: true, Phase: Running}, nil
}

func TestPollsFollowThePhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(5 * time.Minute)
		f := &fakeSource{ids: []string{"run", "queue", "end"}, answer: func(j *Job) (Update, error) {
			switch {
			case j.Key.ID == "queue":
				return Update{HasPhase: true, Phase: Pending}, nil
			case j.Key.ID == "end" && time.Now().After(end):
				return Update{HasPhase: true, Phase: Succeeded, Counted: j.Phase.Ended()}, nil
			}
			return running(j)
		}}
		_, h, stop := schedule(t, f, newFakeLedger())
		time.Sleep(10 * time.Minute)
		if n := len(f.times("run")); n < 40 || n > 41 {
			t.Errorf("a running job was asked %d times in 10 minutes", n)
		}
		if n := len(f.times("queue")); n < 10 || n > 11 {
			t.Errorf("a queued job was asked %d times in 10 minutes", n)
		}
		time.Sleep(30 * time.Minute)
		after := 0
		for _, at := range f.times("end") {
			if at.After(end.Add(20 * time.Second)) {
				after++
			}
		}
		if after != 2 {
			t.Errorf("an ended job was asked %d times after its end, want the two counts", after)
		}
		if v := h.View(); !v.Up || v.Polls == 0 || v.Lag > time.Second {
			t.Errorf("health %+v", v)
		}
		stop()
	})
}

// TestALostJobIsFoundAgainSoon: a few minutes of answers that know nobody must not blind the bridge for longer than that.
func TestALostJobIsFoundAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost, found := time.Now().Add(5*time.Minute), time.Now().Add(7*time.Minute)
		f := &fakeSource{ids: []string{"a"}, answer: func(j *Job) (Update, error) {
			if now := time.Now(); now.After(lost) && now.Before(found) {
				return Update{NotFound: true}, nil
			}
			return running(j)
		}}
		b, _, stop := schedule(t, f, newFakeLedger())
		time.Sleep(6*time.Minute + 30*time.Second)
		if j := b.store.Job(Key{"s", "a"}); !j.Gone {
			t.Errorf("after three polls that did not find it: %+v", j)
		}
		time.Sleep(90 * time.Second)
		if j := b.store.Job(Key{"s", "a"}); j.Gone || j.Phase != Running {
			t.Errorf("a minute after it was back: %+v", j)
		}
		stop()
	})
}

// prober is a source that can be asked without a job.
type prober struct {
	fakeSource
	probes int
}

func (p *prober) Probe(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes++
	return errors.New("wrong key")
}

// TestASourceWithoutJobsIsDownBeforeItsFirst: up says whether the source would work, and not only once a job came.
func TestASourceWithoutJobsIsDownBeforeItsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &prober{fakeSource: fakeSource{answer: running, asked: map[string][]time.Time{}}}
		b := start(t, newFakeLedger(), RecorderOptions{})
		h := NewHealth(time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- NewScheduler("s", p, b.Recorder, b.store, h, slog.New(slog.DiscardHandler)).Run(ctx)
		}()
		time.Sleep(10 * time.Minute)
		if v := h.View(); !v.Known || v.Up || p.probes < 9 || p.probes > 11 {
			t.Errorf("%d probes, health %+v", p.probes, v)
		}
		p.set("a")
		time.Sleep(2 * time.Minute)
		if v := h.View(); !v.Up {
			t.Errorf("with a job that answers: %+v", v)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.stop()
	})
}

// relister lists in full once, and again after Relist.
type relister struct {
	fakeSource
	known bool
}

func (r *relister) List(ctx context.Context) (Listing, error) {
	l, err := r.fakeSource.List(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known {
		return Listing{Local: true, Unchanged: true}, err
	}
	r.known = true
	return l, err
}

func (r *relister) Relist() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = false
}

// TestAListingThatWasNotRecordedComesAgain: an unchanged listing changes nothing, and jobs that could not be recorded are not lost.
func TestAListingThatWasNotRecordedComesAgain(t *testing.T) {
	l := newFakeLedger()
	b := start(t, l, RecorderOptions{})
	r := &relister{fakeSource: fakeSource{ids: []string{"a"}, asked: map[string][]time.Time{}, answer: running}}
	s := NewScheduler("s", r, b.Recorder, b.store, NewHealth(time.Now()), slog.New(slog.DiscardHandler))
	l.before = func(*Batch) error { return errors.New("disk full") }
	if _, err := s.listOnce(t.Context()); err == nil {
		t.Fatal("a listing that was not recorded was reported as done")
	}
	l.before = nil
	for range 3 {
		if _, err := s.listOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if j := b.store.Job(Key{"s", "a"}); j == nil || j.Gone {
			t.Fatalf("the job is %+v", j)
		}
	}
}

// TestAnEndedJobThatIsForgottenIsLeftAlone: a service that no longer knows an ended job, or cannot count it, is asked the same few
// times, not without end.
func TestAnEndedJobThatIsForgottenIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Minute)
		f := &fakeSource{ids: []string{"forgotten", "uncounted"}, answer: func(j *Job) (Update, error) {
			switch {
			case time.Now().Before(end):
				return running(j)
			case j.Phase.Ended() && j.Key.ID == "forgotten":
				return Update{NotFound: true}, nil
			}
			return Update{HasPhase: true, Phase: Succeeded}, nil
		}}
		_, _, stop := schedule(t, f, newFakeLedger())
		time.Sleep(2 * time.Hour)
		for _, id := range f.ids {
			if n := len(f.times(id)); n > 10 {
				t.Errorf("job %s was asked %d times", id, n)
			}
		}
		stop()
	})
}

func TestAFailingJobDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSource{cadence: Cadence{Workers: 2}, answer: func(j *Job) (Update, error) {
			if j.Key.ID == "bad" {
				time.Sleep(9 * time.Second)
				return Update{}, errors.New("boom")
			}
			return running(j)
		}}
		f.set("bad", "a", "b", "c")
		_, h, stop := schedule(t, f, newFakeLedger())
		time.Sleep(10 * time.Minute)
		for _, id := range []string{"a", "b", "c"} {
			if n := len(f.times(id)); n < 39 {
				t.Errorf("job %s was asked %d times in 10 minutes", id, n)
			}
		}
		if n := len(f.times("bad")); n < 3 || n > 40 {
			t.Errorf("the failing job was asked %d times", n)
		}
		if v := h.View(); v.PollErrors[0].Name != OtherClass || !v.Up {
			t.Errorf("health %+v", v)
		}
		stop()
	})
}

func TestJobsOffTheListAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSource{ids: []string{"a", "b"}, answer: running}
		b, _, stop := schedule(t, f, newFakeLedger())
		time.Sleep(time.Minute)
		f.mu.Lock()
		f.ids, f.partial = []string{"a"}, true
		f.mu.Unlock()
		time.Sleep(5 * time.Minute)
		if b.store.Job(Key{"s", "b"}).Gone {
			t.Error("a partial listing made a job disappear")
		}
		f.mu.Lock()
		f.partial = false
		f.mu.Unlock()
		time.Sleep(time.Minute)
		if j := b.store.Job(Key{"s", "b"}); !j.Gone || j.Phase != Unknown {
			t.Errorf("a job off the list: %+v", j)
		}
		n := len(f.times("b"))
		time.Sleep(10 * time.Minute)
		if len(f.times("b")) != n {
			t.Error("a job off the list is still asked")
		}
		f.set("a", "b")
		time.Sleep(2 * time.Minute)
		if j := b.store.Job(Key{"s", "b"}); j.Gone || len(f.times("b")) == n {
			t.Errorf("a job back on the list: %+v", j)
		}
		stop()
	})
}

func TestARestartSpreadsPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSource{answer: running, cadence: Cadence{Running: 60 * time.Second, Queued: 60 * time.Second}}
		for i := range 600 {
			f.ids = append(f.ids, fmt.Sprint("job-", i))
		}
		l := newFakeLedger()
		_, _, stop := schedule(t, f, l)
		time.Sleep(2 * time.Minute)
		stop()
		restart := time.Now()
		_, _, stop = schedule(t, f, l)
		time.Sleep(61 * time.Second)
		perSecond := map[int]int{}
		for _, id := range f.ids {
			first := f.times(id)
			if len(first) == 0 {
				t.Fatalf("job %s was not asked within its interval", id)
			}
			perSecond[int(first[0].Sub(restart).Seconds())]++
		}
		for second, n := range perSecond {
			if n > 40 {
				t.Errorf("%d polls in second %d after the restart", n, second)
			}
		}
		stop()
	})
}

func TestIntervalsStretchWithTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSource{answer: running, cadence: Cadence{Running: 10 * time.Second, Queued: 10 * time.Second, Rate: 5}}
		for i := range 200 {
			f.ids = append(f.ids, fmt.Sprint("job-", i))
		}
		_, h, stop := schedule(t, f, newFakeLedger())
		time.Sleep(10 * time.Minute)
		from := time.Now()
		time.Sleep(10 * time.Minute)
		total, least := 0, 1<<30
		for _, id := range f.ids {
			n := 0
			for _, at := range f.times(id) {
				if at.After(from) {
					n++
				}
			}
			total, least = total+n, min(least, n)
		}
		if rate := float64(total) / 600; rate > 5 || rate < 3.5 {
			t.Errorf("%.2f polls a second with a budget of 5", rate)
		}
		if mean := total / len(f.ids); float64(least) < float64(mean)*0.8 {
			t.Errorf("a job was asked %d times, the mean is %d", least, mean)
		}
		if v := h.View(); v.DemandRatio == nil || *v.DemandRatio < 3.8 || *v.DemandRatio > 4.2 {
			t.Errorf("demand ratio %v, want 4", v.DemandRatio)
		}
		stop()
	})
}

func TestOnceReadsEveryBacklogToItsEnd(t *testing.T) {
	f := &fakeSource{ids: []string{"a", "b"}, asked: map[string][]time.Time{}}
	f.answer = func(j *Job) (Update, error) {
		if j.Key.ID == "b" {
			return Update{}, errors.New("boom")
		}
		return Update{Events: []Event{step(int(j.Steps))}, More: j.Steps < 4}, nil
	}
	b := start(t, newFakeLedger(), RecorderOptions{})
	s := NewScheduler("s", f, b.Recorder, b.store, NewHealth(time.Now()), slog.New(slog.DiscardHandler))
	if err := s.Once(t.Context()); err == nil {
		t.Error("the failing job is not reported")
	}
	if j := b.store.Job(Key{"s", "a"}); j.Steps != 5 || !j.Live {
		t.Errorf("job %+v", j)
	}
}

func TestLogIsLimited(t *testing.T) {
	l := newLimitedLog(slog.New(slog.DiscardHandler))
	now := time.Now()
	for range 100 {
		l.allow("why", now)
	}
	if n, ok := l.allow("why", now.Add(logEvery)); !ok || n != 99 {
		t.Errorf("suppressed %d, %v", n, ok)
	}
}
