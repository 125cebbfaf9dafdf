package web

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// TestCourses: what the alerts say of jobs by what was before, at their thresholds and after their times.
func TestCourses(t *testing.T) {
	const every = 30 * time.Second
	loss := func(before, after float64, since time.Duration) func(*world, time.Duration) {
		return func(w *world, d time.Duration) {
			v := before
			if d < since {
				v += (after - before) * float64(since-d) / float64(since)
			}
			w.change(0, func(j *collector.Job) { setTo(j, collector.Loss, "train", v) })
		}
	}
	rate := func(before, after float64, since time.Duration) func(*world, time.Duration) {
		return func(w *world, d time.Duration) {
			v := before
			if d < since {
				v = after
			}
			w.change(0, func(j *collector.Job) { setTo(j, collector.TokensPerSecond, "", v) })
		}
	}
	jump := func(after float64, since time.Duration) func(*world, time.Duration) {
		return func(w *world, d time.Duration) {
			v := 1.0
			if d < since {
				v = after
			}
			w.change(0, func(j *collector.Job) { setTo(j, collector.Loss, "train", v) })
		}
	}
	blind := func(next func(*world, time.Duration), from, to time.Duration) func(*world, time.Duration) {
		return func(w *world, d time.Duration) {
			w.sources[0].Health.Up = d > from || d <= to
			next(w, d)
		}
	}
	restart := func(times ...time.Duration) func(*world, time.Duration) {
		return func(w *world, d time.Duration) {
			for _, at := range times {
				if d == at {
					w.change(0, func(j *collector.Job) { j.Restarts++ })
				}
			}
		}
	}
	stands := func(since time.Duration, took float64) func(*world, time.Duration) {
		return func(w *world, d time.Duration) {
			w.change(0, func(j *collector.Job) {
				j.LastStep, j.Intervals, j.Since = 0, nil, ago(9*time.Hour)
				if setTo(j, collector.Step, "", float64(max(d, since)/time.Second)); since == 0 {
					setTo(j, collector.Step, "", 0)
				}
				if took > 0 {
					setTo(j, collector.LastStepDuration, "", took)
				}
			})
		}
	}
	kind := func(k string) func(*collector.Job) {
		return func(j *collector.Job) { j.Info = &collector.Info{Name: "a", Kind: k} }
	}
	unstepped := func(j *collector.Job) {
		j.LastStep, j.Steps, j.Intervals, j.Since, j.Status = 0, 0, nil, ago(5*time.Hour), "Running"
	}
	paused := func(j *collector.Job) { j.Phase = collector.Paused }
	for _, c := range []struct {
		name string
		long time.Duration
		next func(*world, time.Duration)
		job  func(*collector.Job)
		down bool
		want []string
		why  string
	}{
		{name: "loss rises", long: 4 * time.Hour, next: loss(1, 3, 2*time.Hour), want: []string{"Loss rises"}, why: "Its loss is 2.8"},
		{name: "loss of reinforcement learning", long: 4 * time.Hour, next: loss(1, 3, 2*time.Hour), job: kind("grpo")},
		{name: "loss of a job that waits", long: 4 * time.Hour, next: loss(1, 3, 2*time.Hour), job: paused},
		{name: "loss rises a little", long: 4 * time.Hour, next: loss(1, 1.4, 2*time.Hour)},
		{name: "loss rises since a few minutes", long: 4 * time.Hour, next: loss(1, 3, 25*time.Minute)},
		{name: "loss jumped", long: 4 * time.Hour, next: jump(3, 26*time.Minute), want: []string{"Loss rises"}, why: "was 1 at best"},
		{name: "loss jumped a moment ago", long: 4 * time.Hour, next: jump(3, 22*time.Minute)},
		{name: "loss jumped and stays", long: 4 * time.Hour, next: jump(3, 2*time.Hour)},
		{name: "loss rises, and the source was down", long: 4 * time.Hour, next: blind(loss(1, 3, 2*time.Hour), 30*time.Minute, 28*time.Minute)},
		{name: "loss around zero", long: 4 * time.Hour, next: loss(-0.1, 3, 2*time.Hour)},
		{name: "loss rises, seen while the source is down", long: 4 * time.Hour, next: loss(1, 3, 2*time.Hour), down: true},
		{name: "slower", long: 4 * time.Hour, next: rate(1000, 600, 40*time.Minute), want: []string{"Slower than usual"}, why: "It makes 600 tokens a second on average over ten minutes, and 1000 are usual."},
		{name: "slower than before, soon", long: 90 * time.Minute, next: rate(1000, 600, 50*time.Minute), want: []string{"Slower than usual"}},
		{name: "slower, and the source was down", long: 4 * time.Hour, next: blind(rate(1000, 600, time.Hour), 26*time.Minute, 24*time.Minute)},
		{name: "a little slower", long: 4 * time.Hour, next: rate(1000, 750, 40*time.Minute)},
		{name: "slower for minutes", long: 4 * time.Hour, next: rate(1000, 600, 15*time.Minute)},
		{name: "slower, nothing usual known", long: 50 * time.Minute, next: rate(1000, 600, 30*time.Minute)},
		{name: "restarts", long: 2 * time.Hour, next: restart(50*time.Minute, 30*time.Minute, time.Minute), want: []string{"Restarts again and again"}, why: "at least 3 times within an hour"},
		{name: "restarts of long ago", long: 2 * time.Hour, next: restart(61*time.Minute, 30*time.Minute, time.Minute)},
		{name: "restarts between two looks", long: 2 * time.Hour, next: restart(time.Minute, time.Minute, time.Minute), want: []string{"Restarts again and again"}},
		{name: "two restarts", long: 2 * time.Hour, next: restart(30*time.Minute, time.Minute)},
		{name: "step stands", long: 7 * time.Hour, next: stands(61*time.Minute, 10), want: []string{"Job stalled"}, why: "No step since 14 Mar 08:2"},
		{name: "step stands not for long", long: 7 * time.Hour, next: stands(59*time.Minute, 10)},
		{name: "step 0", long: time.Hour, next: stands(0, 0), job: unstepped, want: []string{"No first step"}},
		{name: "step 0 of the next epoch", long: time.Hour, next: func(w *world, d time.Duration) {
			w.change(0, func(j *collector.Job) {
				unstepped(j)
				setTo(j, collector.Step, "", float64(d/(20*time.Minute)%2))
			})
		}},
		{name: "step stands, none was quick", long: 9 * time.Hour, next: stands(5*time.Hour, 0)},
		{name: "step stands for hours", long: 9 * time.Hour, next: stands(6*time.Hour+time.Minute, 0), want: []string{"Job stalled"}},
	} {
		w := &world{}
		w.source("s", !c.down)
		w.job("a")
		if c.job != nil {
			w.change(0, c.job)
		}
		s := w.played(t, c.long, every, func(d time.Duration) { c.next(w, d) })
		var got []string
		why := ""
		for j := range w.snapshot().Jobs.All {
			for _, f := range s.look.glance().findingsOf(j) {
				p := s.look.glance().checks.problem(f, clock{now: at})
				got, why = append(got, p.What), why+p.Why
			}
		}
		if !slices.Equal(got, c.want) || !strings.Contains(why, c.why) {
			t.Errorf("%s: found %q (%s), want %q (%s)", c.name, got, why, c.want, c.why)
		}
	}
}

// TestCoursesEnd: what looked wrong is forgotten with what it was about.
func TestCoursesEnd(t *testing.T) {
	w := &world{}
	w.source("s", true)
	w.job("a")
	s := w.played(t, 4*time.Hour, time.Minute, func(d time.Duration) {
		w.change(0, func(j *collector.Job) {
			setTo(j, collector.TokensPerSecond, "", 1000)
			if d < time.Hour {
				setTo(j, collector.TokensPerSecond, "", 100)
			}
			if d == 10*time.Minute {
				j.Phase = collector.Paused
			}
			if d == 5*time.Minute {
				j.Phase = collector.Running
			}
		})
	})
	if n := len(s.look.glance().findings); n != 0 {
		t.Errorf("%d findings so soon after a pause", n)
	}
	for d := time.Minute; d <= 10*time.Minute; d += time.Minute {
		w.sources[0].Health.LastSuccess = collector.TimeOf(at.Add(d))
		w.history.Look(at.Add(d))
	}
	if found := w.history.troubles(w.snapshot(), collector.TimeOf(at.Add(10*time.Minute))).courses; len(found) != 1 {
		t.Errorf("it goes on to be slow after the pause, and %v is found", found)
	}
}

// TestSourcesOverTime: what the alerts say of sources by what was before.
func TestSourcesOverTime(t *testing.T) {
	skew := -40 * time.Second
	for _, c := range []struct {
		name string
		next func(v *collector.SourceView, d time.Duration)
		long time.Duration
		want []string
		why  string
	}{
		{"well", func(v *collector.SourceView, _ time.Duration) { v.Health.Polls += 5 }, time.Hour, nil, ""},
		{"late", func(v *collector.SourceView, _ time.Duration) { v.Health.Lag = 3 * time.Minute }, 11 * time.Minute, []string{"Polls are late"}, "asked 3 min later"},
		{"late not for long", func(v *collector.SourceView, d time.Duration) {
			if v.Health.Lag = 0; d < 10*time.Minute {
				v.Health.Lag = 3 * time.Minute
			}
		}, time.Hour, nil, ""},
		{"a start", func(*collector.SourceView, time.Duration) {}, 9 * time.Minute, []string{"trainbridge"}, "watched for ten minutes"},
		{"polls fail", func(v *collector.SourceView, _ time.Duration) {
			v.Health.Polls += 10
			v.Health.PollErrors = []collector.Count{{Name: "not_found", N: v.Health.Polls / 3}, {Name: "timeout", N: v.Health.Polls * 6 / 10}}
		}, 16 * time.Minute, []string{"Polls fail"}, "More than half"},
		{"some polls fail", func(v *collector.SourceView, _ time.Duration) {
			v.Health.Polls += 10
			v.Health.PollErrors = []collector.Count{{Name: "not_found", N: v.Health.Polls / 2}, {Name: "timeout", N: v.Health.Polls * 4 / 10}}
		}, time.Hour, nil, ""},
		{"refused", func(v *collector.SourceView, _ time.Duration) {
			v.Health.Polls += 10
			v.Health.PollErrors = []collector.Count{{Name: "rate_limited", N: v.Health.Polls / 10}, {Name: "timeout", N: v.Health.Polls / 10}}
		}, time.Hour, []string{"Refused for asking too often"}, "one poll in twenty"},
		{"refused now and then", func(v *collector.SourceView, _ time.Duration) {
			v.Health.Polls += 10
			v.Health.PollErrors = []collector.Count{{Name: "quota", N: v.Health.Polls / 25}}
		}, time.Hour, nil, ""},
		{"refused long ago", func(v *collector.SourceView, d time.Duration) {
			v.Health.Polls += 10
			if d > 40*time.Minute {
				v.Health.PollErrors = []collector.Count{{Name: "quota", N: v.Health.Polls}}
			}
		}, time.Hour, nil, ""},
		{"jobs held", func(v *collector.SourceView, _ time.Duration) { v.Suppressed = 3 }, time.Hour, []string{"Not all is shown"}, "3 jobs are over a limit: counted"},
		{"groups held", func(v *collector.SourceView, _ time.Duration) { v.HeldGroups = 1 }, 31 * time.Minute, []string{"Not all is shown"}, "1 group is over a limit, and in no metric. TrainbridgeSeriesHeldBack"},
		{"groups held not for long", func(v *collector.SourceView, _ time.Duration) { v.HeldGroups = 1 }, 29 * time.Minute, []string{"Not all is shown"}, "in no metric. |"},
		{"values held", func(v *collector.SourceView, _ time.Duration) { v.Totals = &collector.Totals{Held: totalsHeld(v) + 1} }, time.Hour,
			[]string{"Not all is shown"}, "Some values of jobs' own names"},
		{"values held now and then", func(v *collector.SourceView, d time.Duration) {
			v.Totals = &collector.Totals{Held: uint64((9*time.Hour - d) / (10 * time.Minute))}
		}, time.Hour, []string{"Not all is shown"}, ""},
		{"values that were held once", func(v *collector.SourceView, _ time.Duration) { v.Totals = &collector.Totals{Held: 7} }, time.Hour, nil, ""},
		{"new field", func(v *collector.SourceView, d time.Duration) {
			v.Totals = &collector.Totals{}
			if d < 30*time.Minute {
				v.Totals.Unknown = []collector.Count{{Name: "phase", N: 2}}
			}
		}, 2 * time.Hour, []string{"Answers not understood"}, "so far phase."},
		{"new field of yesterday", func(v *collector.SourceView, _ time.Duration) {
			v.Totals = &collector.Totals{Unknown: []collector.Count{{Name: "phase", N: 2}}}
		}, 30 * time.Minute, nil, ""},
		{"item set aside", func(v *collector.SourceView, d time.Duration) {
			v.Totals = &collector.Totals{}
			if d < 30*time.Minute {
				v.Totals.Quarantined = 1
			}
		}, 2 * time.Hour, []string{"Answers not understood"}, "1 item was set aside"},
		{"clock", func(v *collector.SourceView, _ time.Duration) { v.Health.Skew = &skew }, 16 * time.Minute, []string{"Clocks differ"}, "40 s apart"},
	} {
		w := &world{}
		v := w.source("s", true)
		s := w.played(t, c.long, 30*time.Second, func(d time.Duration) { c.next(v, d) })
		var got []string
		why := ""
		for _, p := range s.otherProblems(s.look.glance(), clock{now: at}) {
			got, why = append(got, p.What), why+p.Why+" "+p.Alert+"|"
		}
		if !slices.Equal(got, c.want) || !strings.Contains(why, c.why) {
			t.Errorf("%s: found %q (%s), want %q (%s)", c.name, got, why, c.want, c.why)
		}
	}
}

func totalsHeld(v *collector.SourceView) uint64 {
	if v.Totals == nil {
		return 0
	}
	return v.Totals.Held
}

// TestAgesOfWhatCannotBeStored: while the state cannot be written nothing new is shown, and ages mean nothing until ten minutes later.
func TestAgesOfWhatCannotBeStored(t *testing.T) {
	for _, full := range []bool{false, true} {
		w := &world{}
		w.source("s", true)
		w.job("a", func(j *collector.Job) { j.LastStep = ago(time.Hour) })
		s := w.played(t, time.Hour, time.Minute, func(d time.Duration) { w.full = full && d > 8*time.Minute && d < 30*time.Minute })
		if n := len(s.look.glance().findings); n == 1 == full {
			t.Errorf("a state that was full %t: %d findings", full, n)
		}
	}
}

// TestSpansDropped: spans that found no room are told for half an hour, and those of before the start are not.
func TestSpansDropped(t *testing.T) {
	for _, c := range []struct {
		name   string
		when   time.Duration
		before uint64
		long   time.Duration
		want   int
	}{
		{"now", time.Minute, 0, time.Hour, 1}, {"an hour ago", time.Hour, 0, 2 * time.Hour, 0}, {"before the start", -1, 9, 20 * time.Minute, 0},
	} {
		w := &world{dropped: c.before}
		w.source("s", true)
		s := w.played(t, c.long, time.Minute, func(d time.Duration) {
			if d == c.when {
				w.dropped++
			}
		})
		found := s.otherProblems(s.look.glance(), clock{now: at})
		if len(found) != c.want {
			t.Errorf("%s: %+v", c.name, found)
		}
	}
}
