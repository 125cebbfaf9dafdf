package collector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeLedger keeps batches in memory. before and after may fail a commit before or after it became durable.
type fakeLedger struct {
	mu            sync.Mutex
	jobs          map[Key]*Job
	groups        map[GroupKey]*Group
	totals        map[string]*Totals
	stones        map[Key]bool
	spans         [][]byte
	before, after func(*Batch) error
}

func newFakeLedger() *fakeLedger {
	return &fakeLedger{jobs: map[Key]*Job{}, groups: map[GroupKey]*Group{}, totals: map[string]*Totals{}, stones: map[Key]bool{}}
}

func (l *fakeLedger) Load(context.Context) (State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var s State
	for _, j := range l.jobs {
		s.Jobs = append(s.Jobs, j)
	}
	for _, g := range l.groups {
		s.Groups = append(s.Groups, g)
	}
	for _, t := range l.totals {
		s.Totals = append(s.Totals, t)
	}
	return s, nil
}

func (l *fakeLedger) Commit(_ context.Context, b *Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.before != nil {
		if err := l.before(b); err != nil {
			return err
		}
	}
	for _, j := range b.Jobs {
		l.jobs[j.Key] = j
	}
	for _, j := range b.Retire {
		delete(l.jobs, j.Key)
		l.stones[j.Key] = true
	}
	for _, g := range b.Groups {
		l.groups[g.Key] = g
	}
	for _, t := range b.Totals {
		l.totals[t.Source] = t
	}
	l.spans = append(l.spans, b.Spans...)
	if l.after != nil {
		return l.after(b)
	}
	return nil
}

func (l *fakeLedger) Retired(k Key) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stones[k], nil
}

// bridge is a recorder that runs in a test.
type bridge struct {
	*Recorder
	store *Store
	stop  func()
}

func start(t *testing.T, l Ledger, o RecorderOptions) *bridge {
	t.Helper()
	s := NewStore(Limits{})
	r := NewRecorder(l, s, o)
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	b := &bridge{Recorder: r, store: s, stop: func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}}
	t.Cleanup(b.stop)
	return b
}

func (b *bridge) apply(t *testing.T, us ...Update) {
	t.Helper()
	if err := b.Apply(t.Context(), us...); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsExposedBeforeItIsCommitted(t *testing.T) {
	l := newFakeLedger()
	b := start(t, l, RecorderOptions{})
	b.apply(t, Update{Key: testKey, At: at(0), Polled: true})
	l.before = func(batch *Batch) error {
		if got := b.store.Job(batch.Jobs[0].Key).Steps; got != 0 {
			t.Errorf("%d steps are exposed before the commit", got)
		}
		return errors.New("no space left on device")
	}
	u := Update{Key: testKey, At: at(10), Polled: true, Events: []Event{step(0)}, Cursor: "c", HasCursor: true}
	if err := b.Apply(t.Context(), u); err == nil {
		t.Fatal("a failed commit was reported as done")
	}
	if j := b.store.Job(testKey); j.Steps != 0 || j.Cursor != "" {
		t.Errorf("a failed commit moved the job: %+v", j)
	}
	l.before = nil
	b.apply(t, u)
	if j := b.store.Job(testKey); j.Steps != 1 || j.Cursor != "c" {
		t.Errorf("after repair: %+v", j)
	}
}

// TestCountsAreExactThroughFailures drives random polls against a ledger whose commits fail before or after they became
// durable, with restarts in between. Counts must equal the truth and never fall.
func TestCountsAreExactThroughFailures(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		l := newFakeLedger()
		b := start(t, l, RecorderOptions{EncodeSpan: func(s Span) []byte { return s.ID[:] }})
		reg := Update{Key: testKey, At: at(0), Info: Info{Group: "g"}, Polled: true}
		b.apply(t, reg)
		shown, produced := uint64(0), 0
		for second := 10; second < 1500; second += 10 {
			produced += r.IntN(4)
			l.before, l.after = nil, nil
			switch r.IntN(6) {
			case 0:
				l.before = func(*Batch) error { return errors.New("disk full") }
			case 1:
				l.after = func(*Batch) error { return fmt.Errorf("fsync: %w", ErrUnknownOutcome) }
			case 2:
				b.stop()
				b = start(t, l, b.o)
			}
			u := Update{Key: testKey, At: at(second), Polled: true}
			for i := max(0, produced-30); i < produced; i++ {
				u.Events = append(u.Events, step(i))
			}
			_ = b.Apply(t.Context(), u)
			now := b.store.Group(GroupKey{"rl-team", "g"}).Steps
			if now < shown || now != b.store.Job(testKey).Steps {
				t.Fatalf("seed %d: group shows %d steps after %d, job %d", seed, now, shown, b.store.Job(testKey).Steps)
			}
			shown = now
		}
		l.before, l.after = nil, nil
		u := Update{Key: testKey, At: at(2000), Polled: true}
		for i := max(0, produced-30); i < produced; i++ {
			u.Events = append(u.Events, step(i))
		}
		b.apply(t, u)
		if got := b.store.Job(testKey).Steps; got != uint64(produced) {
			t.Fatalf("seed %d: %d steps counted, %d happened", seed, got, produced)
		}
		ids := map[string]bool{}
		for _, s := range l.spans {
			if ids[string(s)] {
				t.Fatalf("seed %d: a span is in the outbox twice", seed)
			}
			ids[string(s)] = true
		}
		b.stop()
	}
}

// TestIdlePollsAreAccountedForLater: a poll without news commits nothing, and the duplicates it read are counted with the next news.
func TestIdlePollsAreAccountedForLater(t *testing.T) {
	l := newFakeLedger()
	b := start(t, l, RecorderOptions{})
	b.apply(t, Update{Key: testKey, At: at(0), Polled: true, Events: []Event{step(0)}})
	commits := 0
	l.before = func(*Batch) error { commits++; return nil }
	for second := range 5 {
		b.apply(t, Update{Key: testKey, At: at(10 + second), Polled: true, Events: []Event{step(0)}})
	}
	if commits != 0 {
		t.Errorf("%d commits without news", commits)
	}
	b.apply(t, Update{Key: testKey, At: at(20), Polled: true, Events: []Event{step(0), step(1)}})
	if got := b.store.Totals("rl-team"); got.Read != 8 || got.Duplicate != 6 {
		t.Errorf("read %d, duplicates %d, want 8 and 6", got.Read, got.Duplicate)
	}
}

func TestEndedJobsLeaveAndTheirCountsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLedger()
		b := start(t, l, RecorderOptions{Retention: time.Hour})
		now := TimeOf(time.Now())
		for i := range 3 {
			k := Key{"rl", fmt.Sprint("job-", i)}
			events := []Event{startedEvent(1), step(0), {ID: "end", Type: EndedEvent}}
			b.apply(t, Update{Key: k, At: now, Info: Info{Group: "run"}, Polled: true},
				Update{Key: k, At: now, Polled: true, Events: events},
				Update{Key: k, At: now, Polled: true, Counted: true, Listed: 3},
				Update{Key: k, At: now, Polled: true, Counted: true, Listed: 3})
		}
		time.Sleep(59 * time.Minute)
		if n := b.store.Snapshot().Jobs.Len(); n != 3 {
			t.Errorf("%d jobs before the retention is over", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		snap := b.store.Snapshot()
		g := b.store.Group(GroupKey{"rl", "run"})
		if snap.Jobs.Len() != 0 || len(l.jobs) != 0 || g.Steps != 3 || g.Ended[Success] != 3 || g.Size() != 0 {
			t.Errorf("jobs %d, ledger %d, group %+v", snap.Jobs.Len(), len(l.jobs), g)
		}
		b.apply(t, Update{Key: Key{"rl", "job-1"}, At: TimeOf(time.Now())})
		if b.store.Job(Key{"rl", "job-1"}) != nil {
			t.Error("a retired job came back and would be counted again")
		}
		if err := b.Register(t.Context(), Registration{Key: Key{"rl", "job-1"}}); !errors.Is(err, ErrRetired) {
			t.Errorf("registering a retired job: %v", err)
		}
		b.stop()
		b = start(t, l, RecorderOptions{})
		if got := b.store.Totals("rl").Events; len(got) != 3 || got[1].N != 3 {
			t.Errorf("totals after a restart: %+v", got)
		}
		b.stop()
	})
}

func TestAGroupIsShownWhenItsBacklogIsRead(t *testing.T) {
	b := start(t, newFakeLedger(), RecorderOptions{})
	k := func(i int) Key { return Key{"rl", fmt.Sprint(i)} }
	info := Info{Group: "run"}
	b.apply(t, Update{Key: k(1), At: at(0), Info: info}, Update{Key: k(2), At: at(0), Info: info})
	b.apply(t, Update{Key: k(1), At: at(1), Polled: true, Events: []Event{step(0), step(1)}})
	if n := b.store.Snapshot().Groups.Len(); n != 0 {
		t.Errorf("a group is shown while a backlog of it is unread")
	}
	b.apply(t, Update{Key: k(2), At: at(2), Polled: true, Events: []Event{step(0)}})
	b.apply(t, Update{Key: k(3), At: at(3), Info: info})
	if n := b.store.Snapshot().Groups.Len(); n != 1 {
		t.Errorf("the group went away for a new job")
	}
	if g := b.store.Group(GroupKey{"rl", "run"}); g.Steps != 3 || g.Birth.Known() || g.LastStep.Known() {
		t.Errorf("group %+v", g)
	}
}

func TestPublishingOneJobLeavesOtherBlocksAlone(t *testing.T) {
	s := NewStore(Limits{})
	var all Batch
	for i := range 10 * BlockSize {
		all.Jobs = append(all.Jobs, &Job{Key: Key{"s", fmt.Sprint(i)}, Info: &Info{}, Live: true, Phase: Running})
	}
	s.publish(&all)
	before := s.Snapshot()
	changed := *all.Jobs[3*BlockSize+7]
	changed.Steps = 1
	s.publish(&Batch{Jobs: []*Job{&changed}})
	after := s.Snapshot()
	differ := 0
	for i := range before.Jobs.Blocks {
		if before.Jobs.Blocks[i] != after.Jobs.Blocks[i] {
			differ++
		}
	}
	if differ != 1 || before.Jobs.Len() != after.Jobs.Len() {
		t.Errorf("%d blocks changed", differ)
	}
	ended := changed
	ended.Phase = Succeeded
	s.publish(&Batch{Jobs: []*Job{&ended}})
	if n := s.Snapshot().Jobs.Len(); n != 10*BlockSize {
		t.Errorf("%d jobs after one moved to a quiet block", n)
	}
}

func TestSourcesThatAreNotConfiguredAreNotShown(t *testing.T) {
	b := start(t, newFakeLedger(), RecorderOptions{})
	for _, source := range []string{"old", "new"} {
		b.apply(t, Update{Key: Key{source, "1"}, At: at(0), Info: Info{Group: "run"}, Fresh: true})
	}
	shown := func() (jobs, groups, sources int) {
		s := b.store.Snapshot()
		return s.Jobs.Len(), s.Groups.Len(), len(s.Sources)
	}
	b.store.Configured([]string{"new"})
	if j, g, s := shown(); j != 1 || g != 1 || s != 1 {
		t.Errorf("%d jobs, %d groups, %d sources are shown of one source", j, g, s)
	}
	b.apply(t, Update{Key: Key{"old", "1"}, At: at(10), Polled: true, Events: []Event{step(0)}})
	if j, g, s := shown(); j != 1 || g != 1 || s != 1 {
		t.Errorf("news of a hidden source shows it: %d jobs, %d groups, %d sources", j, g, s)
	}
	b.store.Configured([]string{"new", "old"})
	if j, g, s := shown(); j != 2 || g != 2 || s != 2 || b.store.Job(Key{"old", "1"}).Steps != 1 {
		t.Errorf("a source that is back shows %d jobs, %d groups, %d sources", j, g, s)
	}
}

func TestLimitsAreCounted(t *testing.T) {
	s := NewStore(Limits{JobsPerSource: 2})
	var all Batch
	for i := range 5 {
		all.Jobs = append(all.Jobs, &Job{Key: Key{"s", fmt.Sprint(i)}, Info: &Info{}, Live: true, Phase: Running})
	}
	s.publish(&all)
	v := s.Snapshot()
	if v.Jobs.Len() != 2 || v.Sources[0].Suppressed != 3 || v.Sources[0].Jobs[Running] != 5 {
		t.Errorf("%d shown, %+v", v.Jobs.Len(), v.Sources[0])
	}
	s.publish(&Batch{Retire: all.Jobs[:2]})
	s.publish(&Batch{Jobs: all.Jobs[2:]})
	if v = s.Snapshot(); v.Jobs.Len() != 2 || v.Sources[0].Suppressed != 1 {
		t.Errorf("after two left: %d shown, %+v", v.Jobs.Len(), v.Sources[0])
	}
}

// BenchmarkPublish is the cost of one update among many jobs; it must not depend on how many.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := NewStore(Limits{})
			var all Batch
			for i := range n {
				all.Jobs = append(all.Jobs, &Job{Key: Key{"s", fmt.Sprint(i)}, Info: &Info{}, Live: true, Phase: Running})
			}
			s.publish(&all)
			one := &Batch{Jobs: make([]*Job, 1)}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				j := *all.Jobs[i%n]
				j.Steps++
				one.Jobs[0] = &j
				s.publish(one)
			}
		})
	}
}
