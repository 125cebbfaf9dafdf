package web

import (
	"math"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// TestCurveKeepsTheEndInFull: half the points are the newest ones, the other half are spread evenly over all before.
func TestCurveKeepsTheEndInFull(t *testing.T) {
	for _, n := range []int{1, 3, 119, 120, 121, 240, 241, 1000, 100_000} {
		c := &curve{}
		for i := range n {
			c.add(point{at: uint32(i), v: float32(i)}, 240)
		}
		all := c.points()
		if len(all) > 240 || cap(c.old) > 120 || cap(c.recent) > 120 {
			t.Fatalf("%d: %d points, room for %d and %d", n, len(all), cap(c.old), cap(c.recent))
		}
		if n <= 240 && len(all) != n || n > 240 && len(all) < 180 {
			t.Errorf("%d: %d points", n, len(all))
		}
		if all[0].at != 0 {
			t.Errorf("%d: begins at %d", n, all[0].at)
		}
		for i := range min(n, 120) {
			if got := all[len(all)-1-i].at; got != uint32(n-1-i) {
				t.Fatalf("%d: the newest but %d is %d", n, i, got)
			}
		}
		for i := 2; i < len(all)-120; i++ {
			if all[i].at-all[i-1].at != all[1].at-all[0].at {
				t.Fatalf("%d: the old points are not even: %v", n, all[:i+1])
			}
		}
	}
}

// TestHistoryIsBounded: the stated bound holds for more jobs, more curves and more points than there is room for.
func TestHistoryIsBounded(t *testing.T) {
	const jobs = 300
	w := &world{}
	o := HistoryOptions{Snapshot: w.snapshot, Jobs: 200, Points: 240}
	h := NewHistory(o)
	for i := range jobs {
		w.job(strconv.Itoa(i), func(j *collector.Job) {
			for k := range 40 {
				j.Readings = append(j.Readings, collector.Reading{Metric: collector.FreeForm, Label: "metric-" + strconv.Itoa(k)})
			}
		})
	}
	before := heap()
	for round := range 600 {
		for i, j := range w.jobs {
			next := *j
			next.Readings = make([]collector.Reading, len(j.Readings))
			for k, r := range j.Readings {
				r.At, r.Value = ago(time.Hour-time.Duration(round)*time.Second), float64(round)
				next.Readings[k] = r
			}
			w.jobs[i] = &next
		}
		h.Look(at)
	}
	w.jobs = w.jobs[:0:0]
	h.blocks = nil
	for _, tr := range h.tracks {
		tr.job = &collector.Job{Key: tr.job.Key, Phase: tr.job.Phase} // the snapshot's, not the history's
	}
	used := heap() - before
	if len(h.tracks) != 200 || h.curves != 8*200 || h.homeless() != 100 {
		t.Errorf("%d jobs, %d curves, %d without room", len(h.tracks), h.curves, h.homeless())
	}
	if most := o.MaxBytes(); used > int64(most) || used < int64(most)/2 {
		t.Errorf("%d bytes are used, %d are stated", used, most)
	}
	if most := (HistoryOptions{}).MaxBytes(); most > 40<<20 {
		t.Errorf("usually %d bytes", most)
	}
	runtime.KeepAlive(h)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestRunningJobsStay: those that ended first make room, and none that runs.
func TestRunningJobsStay(t *testing.T) {
	w := &world{}
	h := NewHistory(HistoryOptions{Snapshot: w.snapshot, Jobs: 3})
	known := func(want ...string) {
		t.Helper()
		h.Look(at)
		for _, id := range want {
			if h.tracks[collector.Key{Source: "s", ID: id}] == nil {
				t.Errorf("%s is forgotten", id)
			}
		}
		if len(h.tracks) != len(want) {
			t.Errorf("%d are remembered, want %v", len(h.tracks), want)
		}
	}
	end := func(i int, d time.Duration) {
		j := *w.jobs[i]
		failedAt(d)(&j)
		w.jobs[i] = &j
	}
	w.job("never seen running", failedAt(time.Minute))
	for _, id := range []string{"a", "b", "c"} {
		w.job(id)
	}
	known("a", "b", "c")
	end(2, time.Minute)
	end(3, 2*time.Minute)
	known("a", "b", "c")
	w.job("d")
	known("a", "b", "d") // c ended first
	w.job("e")
	known("a", "d", "e")
	w.job("f")
	known("a", "d", "e")
	if h.homeless() != 1 {
		t.Errorf("%d found no room", h.homeless())
	}
	w.jobs = nil
	for range sweepEvery {
		h.Look(at)
	}
	if len(h.tracks) != 0 || h.curves != 0 || h.ended != 0 {
		t.Errorf("%d jobs that are gone are remembered, %d curves, %d ended", len(h.tracks), h.curves, h.ended)
	}
}

// TestHistoryOfPhases: changes are remembered in order, and values that are no numbers stay so.
func TestHistoryOfPhases(t *testing.T) {
	w := &world{}
	h := NewHistory(HistoryOptions{Snapshot: w.snapshot})
	j := w.job("a", with(collector.Loss, "train", 1))
	for i, p := range []collector.Phase{collector.Pending, collector.Running, collector.Running, collector.Paused, collector.Running} {
		next := *j
		next.Phase, next.Since = p, ago(time.Hour-time.Duration(i)*time.Minute)
		next.Readings = []collector.Reading{{Metric: collector.Loss, Label: "train", Value: 1, Null: i == 3, At: next.Since}}
		w.jobs[0] = &next
		h.Look(at)
		h.Look(at) // nothing new
	}
	all, phases := h.of(j.Key)
	if len(phases) != 4 || phases[2].phase != collector.Paused || phases[3].since != ago(56*time.Minute) {
		t.Errorf("phases %+v", phases)
	}
	if len(all) != 2 || len(all[0].points) != 5 || !math.IsNaN(float64(all[0].points[3].v)) { // with the rate of steps
		t.Errorf("curves %+v", all)
	}
}

func TestHistoryRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		h := NewHistory(HistoryOptions{Snapshot: func() *collector.Snapshot { looks.Add(1); return nil }})
		go func() { _ = h.Run(t.Context()) }()
		time.Sleep(time.Minute + time.Second)
		if n := looks.Load(); n != 7 {
			t.Errorf("%d looks in a minute", n)
		}
	})
}

func BenchmarkHistory(b *testing.B) {
	w := &world{}
	for i := range 100_000 {
		w.job(strconv.Itoa(i), with(collector.Loss, "train", 1))
	}
	snap := w.snapshot()
	h := NewHistory(HistoryOptions{Snapshot: func() *collector.Snapshot { return snap }})
	h.Look(at)
	for b.Loop() {
		for i, block := range snap.Jobs.Blocks {
			next := *block
			snap.Jobs.Blocks[i] = &next // all blocks are new, as where every job of 100,000 changes
		}
		h.blocks = nil
		h.Look(at)
	}
}
