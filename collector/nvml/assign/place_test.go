package assign

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// scripted is a place that a test speaks for.
type scripted func(ctx context.Context) (*found, error)

func (s scripted) look(ctx context.Context, _ []GPU, _ *names) (*found, error) { return s(ctx) }

func jobs(id string, names ...string) *found {
	f := newFound()
	for _, n := range names {
		f.jobs[id] = append(f.jobs[id], key(n))
	}
	return f
}

// speaking is an Assigner of scripted places.
func speaking(out *logs, places map[string]scripted) *Assigner {
	a := &Assigner{within: patience}
	for name, s := range places {
		a.places = append(a.places, newPlace(name, "somewhere", s, out.logger(), maphash.MakeSeed()))
	}
	return a
}

// A place that hangs in spite of its context takes neither time nor results from the others, and is asked once.
func TestPlaceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		release := make(chan struct{})
		var out logs
		a := speaking(&out, map[string]scripted{
			"files": func(context.Context) (*found, error) {
				n := asked.Add(1)
				if n == 2 {
					<-release
				}
				return jobs(uuid0, fmt.Sprintf("slow%d", n)), nil
			},
			"static": func(context.Context) (*found, error) { return jobs(uuid0, "quick"), nil },
		})
		equal(t, "at first", jobsOf(a.Look(t.Context(), host()), uuid0), "s/quick s/slow1")
		for i := range 8 { // each takes 3 seconds
			start := time.Now()
			r := a.Look(t.Context(), host())
			if took := time.Since(start); took != patience {
				t.Errorf("a look took %s", took)
			}
			want := "s/quick s/slow1"
			if time.Duration(i+1)*10*time.Second-7*time.Second > keepFor {
				want = "s/quick"
			}
			equal(t, "while it hangs", jobsOf(r, uuid0), want)
			equal(t, "sources", sources(r), "files up=false bad=0, static up=true bad=0")
			time.Sleep(7 * time.Second)
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("it was asked %d times", n)
		}
		if n := out.lines(); n != 1 {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
		close(release)
		synctest.Wait()
		r := a.Look(t.Context(), host())
		equal(t, "when it answers again", jobsOf(r, uuid0), "s/quick s/slow3")
		equal(t, "sources", sources(r), "files up=true bad=0, static up=true bad=0")
		if !strings.Contains(out.String(), "can be read again") {
			t.Error("the log does not say so")
		}
	})
}

// A place that fails keeps what it said for a minute, not more and not less.
func TestPlaceThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := false
		var out logs
		a := speaking(&out, map[string]scripted{"kubelet": func(context.Context) (*found, error) {
			if fails {
				return nil, errors.New("it is away")
			}
			return jobs(uuid0, "1"), nil
		}})
		a.Look(t.Context(), host())
		fails = true
		for elapsed := time.Duration(0); elapsed < 3*time.Minute; elapsed += time.Second {
			r := a.Look(t.Context(), host())
			want := "s/1"
			if elapsed > keepFor {
				want = ""
			}
			if got := jobsOf(r, uuid0); got != want {
				t.Fatalf("after %s: %q", elapsed, got)
			}
			equal(t, "sources", sources(r), "kubelet up=false bad=0")
			time.Sleep(time.Second)
		}
		if n := out.lines(); n != 1 {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
	})
}

// A place that comes and goes, for ever other reasons, and says ever other nonsense makes two lines a minute, and one when it is back.
func TestLogIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out logs
		n := 0
		a := speaking(&out, map[string]scripted{"kubelet": func(context.Context) (*found, error) {
			n++
			f := newFound()
			f.bad.add(fmt.Sprint(n), fmt.Sprintf("nonsense %d", n))
			if n%2 == 0 {
				return f, nil
			}
			return f, fmt.Errorf("reason %d", n)
		}})
		for range 600 {
			a.Look(t.Context(), host())
			time.Sleep(time.Second)
		}
		if lines := out.lines(); lines > 33 || lines < 20 {
			t.Errorf("%d lines in ten minutes:\n%s", lines, out.String())
		}
		equal(t, "sources", sources(a.Look(t.Context(), host())), "kubelet up=false bad=601")
	})
}

func TestWhatIsBadIsCountedWhenItAppears(t *testing.T) {
	p := newPlace("files", "", nil, nil, maphash.MakeSeed())
	for i, c := range []struct {
		bad  []string
		want uint64
	}{
		{nil, 0}, {[]string{"a"}, 1}, {[]string{"a"}, 1}, {[]string{"a", "b"}, 2}, {[]string{"b"}, 2}, {[]string{"a"}, 3}, {nil, 3},
	} {
		b := bad{}
		for _, x := range c.bad {
			b.add(x, x)
		}
		if got := p.judge(b); got != c.want {
			t.Errorf("%d: %d bad, want %d", i, got, c.want)
		}
	}
	b := bad{}
	for i := range maxBad + 10 {
		b.add(fmt.Sprint(i), "")
	}
	if len(b) != maxBad {
		t.Errorf("%d bad entries are remembered", len(b))
	}
}

func TestUnion(t *testing.T) {
	many := newFound()
	for i := range maxPerGPU {
		many.jobs[uuid0] = append(many.jobs[uuid0], key(fmt.Sprintf("b%03d", i)), key(fmt.Sprintf("b%03d", i)))
	}
	few := jobs(uuid0, "a2", "a1", "b000", "a1")
	few.jobs["GPU-gone"] = []collector.Key{key("x")}
	var out logs
	a := speaking(&out, map[string]scripted{
		"files":  func(context.Context) (*found, error) { return many, nil },
		"static": func(context.Context) (*found, error) { return few, nil },
	})
	for range 2 {
		r := a.Look(t.Context(), host())
		got := r.Jobs[uuid0]
		if len(got) != maxPerGPU || !slices.IsSortedFunc(got, compareKeys) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("jobs: %v", got)
		}
		equal(t, "first", got[0].ID+" "+got[1].ID+" "+got[2].ID+" "+got[63].ID, "a1 a2 b000 b061")
		if len(r.Jobs) != 1 || len(r.Pods) != 0 {
			t.Errorf("others: %v, %v", r.Jobs, r.Pods)
		}
		equal(t, "sources", sources(r), "files up=true bad=2, static up=true bad=0")
	}
}

func TestStatic(t *testing.T) {
	a := assigner(t, Config{Static: []Static{
		{GPU: "0", Source: "s", Job: "1"}, {GPU: uuid0, Source: "s", Job: "1"}, {GPU: mig17, Source: "s", Job: "2"},
		{GPU: "1", Source: "s", Job: "3"}, {GPU: "8", Source: "s", Job: "4"},
	}}, Options{})
	r := a.Look(t.Context(), nil)
	equal(t, "without GPUs", sources(r), "static up=true bad=0")
	r = a.Look(t.Context(), host())
	equal(t, "GPU 0", jobsOf(r, uuid0), "s/1")
	equal(t, "GPU 1", jobsOf(r, uuid1), "s/3")
	equal(t, "instance 1", jobsOf(r, mig10), "")
	equal(t, "instance 7", jobsOf(r, mig17), "s/2")
	equal(t, "sources", sources(r), "static up=true bad=1")
}
