package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/trainbridge/trainbridge/collector"
)

// engines are opened empty by each test of the conformance suite.
var engines = map[string]func(*testing.T, Options) Engine{
	"memory": func(_ *testing.T, o Options) Engine { return Memory(o) },
	"bbolt": func(t *testing.T, o Options) Engine {
		return openDB(t, t.TempDir(), o)
	},
}

func openDB(t testing.TB, dir string, o Options) *DB {
	t.Helper()
	db, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func conform(t *testing.T, o Options, test func(*testing.T, Engine)) {
	t.Helper()
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			e := open(t, o)
			test(t, e)
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func testJob(source string, i int) *collector.Job {
	return &collector.Job{
		Key:  collector.Key{Source: source, ID: fmt.Sprintf("job-%05d", i)},
		Info: &collector.Info{Name: fmt.Sprint("name ", i), Provider: "wandb"}, Attempt: 1, Phase: collector.Running,
		FirstSeen: 1_700_000_000_000_000_000, Since: 1_700_000_000_000_000_000,
		Steps: uint64(i), Window: []uint64{1, 2, uint64(i)}, Events: []collector.Count{{Name: "gradient_step", N: uint64(i)}},
		Readings: []collector.Reading{{Metric: collector.Loss, Label: "train", Value: float64(i) / 3, At: 7}},
	}
}

func mustCommit(t testing.TB, e Engine, b *collector.Batch) {
	t.Helper()
	if err := e.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, e Engine) collector.State {
	t.Helper()
	s, err := e.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(s.Jobs, func(a, b *collector.Job) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	slices.SortFunc(s.Groups, func(a, b *collector.Group) int { return strings.Compare(a.Key.Name, b.Key.Name) })
	slices.SortFunc(s.Totals, func(a, b *collector.Totals) int { return strings.Compare(a.Source, b.Source) })
	return s
}

func same(t testing.TB, got, want collector.State) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs(), cmpopts.IgnoreUnexported(collector.Job{})); diff != "" {
		t.Errorf("state differs (-want +got):\n%s", diff)
	}
}

func balanced(t testing.TB, e Engine) OutboxStats {
	t.Helper()
	s := e.OutboxStats()
	if s.Produced != s.Sent+s.Queued+s.Dropped {
		t.Errorf("produced is not sent + queued + dropped: %+v", s)
	}
	return s
}

func TestCommitAndLoad(t *testing.T) {
	conform(t, Options{}, func(t *testing.T, e Engine) {
		same(t, load(t, e), collector.State{})
		want := collector.State{
			Jobs:   []*collector.Job{testJob("a", 1), testJob("a", 2), testJob("b", 1)},
			Groups: []*collector.Group{{Key: collector.GroupKey{Source: "a", Name: "g"}, Steps: 3}},
			Totals: []*collector.Totals{{Source: "a", Birth: 5, Read: 9}},
		}
		mustCommit(t, e, &collector.Batch{Jobs: want.Jobs, Groups: want.Groups, Totals: want.Totals})
		same(t, load(t, e), want)
		want.Jobs[1] = testJob("a", 2)
		want.Jobs[1].Steps = 77
		mustCommit(t, e, &collector.Batch{Jobs: want.Jobs[1:2]})
		same(t, load(t, e), want)
		same(t, load(t, e), want)
		if ok, err := e.Writable(); !ok || err != nil || e.LastWrite().IsZero() || e.Recovered() != "" || e.Quarantined() != 0 {
			t.Error("health is wrong", ok, err, e.LastWrite(), e.Recovered())
		}
	})
}

func TestRetire(t *testing.T) {
	conform(t, Options{}, func(t *testing.T, e Engine) {
		j := testJob("a", 1)
		check := func(want bool) {
			t.Helper()
			if got, err := e.Retired(j.Key); got != want || err != nil {
				t.Error("retired:", got, err)
			}
		}
		check(false)
		mustCommit(t, e, &collector.Batch{Jobs: []*collector.Job{j, testJob("a", 2)}})
		check(false)
		mustCommit(t, e, &collector.Batch{Retire: []*collector.Job{j}})
		check(true)
		same(t, load(t, e), collector.State{Jobs: []*collector.Job{testJob("a", 2)}})
		check(true)
		mustCommit(t, e, &collector.Batch{Jobs: []*collector.Job{j}}) // someone tells the bridge of it again
		check(false)
		mustCommit(t, e, &collector.Batch{Retire: []*collector.Job{testJob("a", 3)}}) // never known
		if got, err := e.Retired(testJob("a", 3).Key); !got || err != nil {
			t.Error("a job that was retired at once is not known")
		}
	})
}

func TestKeysDoNotCollide(t *testing.T) {
	long := strings.Repeat("x", 40_000)
	keys := []collector.Key{
		{}, {Source: "a", ID: "bc"}, {Source: "ab", ID: "c"}, {Source: "abc"}, {ID: "abc"}, {Source: "a/b", ID: "c"}, {Source: "a", ID: "b/c"},
		{Source: "a", ID: long}, {Source: "a", ID: long + "y"}, {Source: long, ID: "a"}, {Source: "a\x00", ID: "\xff\xfe"},
	}
	conform(t, Options{}, func(t *testing.T, e Engine) {
		var b collector.Batch
		for i, k := range keys {
			j := testJob("", i)
			j.Key = k
			b.Jobs = append(b.Jobs, j)
			b.Groups = append(b.Groups, &collector.Group{Key: collector.GroupKey{Source: k.Source, Name: k.ID}, Steps: uint64(i)})
		}
		mustCommit(t, e, &b)
		s := load(t, e)
		if len(s.Jobs) != len(keys) || len(s.Groups) != len(keys) {
			t.Fatalf("%d jobs and %d groups of %d came back", len(s.Jobs), len(s.Groups), len(keys))
		}
		for _, j := range s.Jobs {
			if keys[j.Steps] != j.Key {
				t.Errorf("job %d came back as %q", j.Steps, j.Key)
			}
		}
	})
}

func TestOutbox(t *testing.T) {
	conform(t, Options{MaxOutboxRows: 6, MaxOutboxBytes: 60}, func(t *testing.T, e Engine) {
		ctx := t.Context()
		if rows, err := e.Peek(ctx, 10, 100); len(rows) != 0 || err != nil {
			t.Fatal("an empty outbox has", rows, err)
		}
		mustCommit(t, e, &collector.Batch{Spans: [][]byte{[]byte("one"), []byte("two"), {}, []byte("three")}})
		select {
		case <-e.Wake():
		default:
			t.Error("no wake-up")
		}
		rows, err := e.Peek(ctx, 2, 100)
		if err != nil || len(rows) != 2 || string(rows[0].Span) != "one" || string(rows[1].Span) != "two" {
			t.Fatal(rows, err)
		}
		if rows, _ := e.Peek(ctx, 10, 1); len(rows) != 1 {
			t.Error("a span above the size was not given alone:", rows)
		}
		if rows, _ := e.Peek(ctx, 10, 6); len(rows) != 3 {
			t.Error("6 bytes are", rows)
		}
		mustCommit(t, e, &collector.Batch{Spans: [][]byte{bytes.Repeat([]byte("x"), 50), []byte("y"), []byte("z"), []byte("full")}})
		if s := balanced(t, e); s != (OutboxStats{Queued: 6, Bytes: 13, Produced: 8, Dropped: 2}) {
			t.Errorf("%+v", s)
		}
		if err := e.Remove(ctx, []uint64{rows[1].Seq, rows[1].Seq, 1 << 40}); err != nil {
			t.Fatal(err)
		}
		if s := balanced(t, e); s != (OutboxStats{Queued: 5, Bytes: 10, Produced: 8, Dropped: 2, Sent: 1}) {
			t.Errorf("%+v", s)
		}
		rows, _ = e.Peek(ctx, 10, 100)
		var all []string
		for i, r := range rows {
			all = append(all, string(r.Span))
			if i > 0 && r.Seq <= rows[i-1].Seq {
				t.Error("numbers do not ascend", rows)
			}
		}
		if fmt.Sprint(all) != "[one  three y z]" {
			t.Errorf("%q", all)
		}
	})
}

func TestEndedContextAndClosed(t *testing.T) {
	conform(t, Options{}, func(t *testing.T, e Engine) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		b := &collector.Batch{Jobs: []*collector.Job{testJob("a", 1)}, Spans: [][]byte{{1}}}
		if err := e.Commit(ended, b); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		same(t, load(t, e), collector.State{})
		if s := balanced(t, e); s.Produced != 0 {
			t.Error(s)
		}
		if err := e.Run(ended); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if err := e.Commit(t.Context(), b); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}
