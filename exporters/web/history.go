package web

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// HistoryOptions bound what is remembered for the page: curves, and what is judged by what was before. Zero takes the default.
type HistoryOptions struct {
	Snapshot func() *collector.Snapshot // required; may return nil
	Dropped  func() uint64              // spans that found no room so far; may be nil
	Writable func() bool                // the state takes what is new; may be nil
	Every    time.Duration              // between looks, default 10 s
	Points   int                        // of one curve, default 240
	Jobs     int                        // default 2,000
	Curves   int                        // of all jobs together, default 8 for each of Jobs
}

func (o HistoryOptions) withDefaults() HistoryOptions {
	if o.Every <= 0 {
		o.Every = 10 * time.Second
	}
	if o.Points <= 0 {
		o.Points = 240
	}
	if o.Jobs <= 0 {
		o.Jobs = 2000
	}
	if o.Curves <= 0 {
		o.Curves = 8 * o.Jobs
	}
	return o
}

const (
	maxCurves  = 16 // of one job
	maxMoments = 32 // changes of phase of one job
	pointBytes = 8
	// jobBytes is what a job costs besides its points, with what is watched of it, and curveBytes what a curve does.
	jobBytes   = 3584
	curveBytes = 128
	gpuBytes   = 1088
	sweepEvery = 30 // looks between searches for jobs that are no longer there
)

// MaxBytes is the most that a History with these options keeps in memory.
func (o HistoryOptions) MaxBytes() int {
	o = o.withDefaults()
	return o.Jobs*jobBytes + gpusMost*gpuBytes + o.Curves*(curveBytes+o.Points*pointBytes)
}

// History remembers in bounded memory how the numbers of jobs went: of those that run, and of the newest that ended. It
// knows nothing of the time before it was made and is lost with the process.
type History struct {
	o     HistoryOptions
	since time.Time

	mu     sync.RWMutex
	tracks map[collector.Key]*track
	curves int
	ended  int // tracks of jobs that are done
	full   int // running jobs that found no room at the last look
	blocks []*collector.Block[collector.Job]
	looks  int
	sights map[string]*sight    // by source
	gpus   map[string]*gpuWatch // of GPUs that answer, by hw_id; at most gpusMost
	xids   []xidOfJob           // of a day, oldest first; at most xidsMost
	stuck  collector.Time       // since when there are several helpers that read GPUs
	spans  dropped
}

// track is what is remembered of one job.
type track struct {
	job     *collector.Job
	curves  []*curve
	phases  []step
	changes uint64    // of curves and phases: what drawings are compared by
	watch   *gpuWatch // of its GPUs; nil where nobody tells of any, and while it does not run
	course  *course   // nil before it runs, and after it ended
	again   restarts
}

// step is a phase that began.
type step struct {
	phase   collector.Phase
	status  string
	attempt uint32
	since   collector.Time
}

// NewHistory starts to remember now, once Run runs.
func NewHistory(o HistoryOptions) *History {
	return &History{o: o.withDefaults(), since: time.Now(), tracks: map[collector.Key]*track{}}
}

// Run looks at the snapshot until ctx ends. Its cost grows with the jobs that changed since the last look.
func (h *History) Run(ctx context.Context) error {
	ticker := time.NewTicker(h.o.Every)
	defer ticker.Stop()
	for {
		h.Look(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Look takes what is new in the snapshot, as Run does every so often.
func (h *History) Look(now time.Time) {
	snap := h.o.Snapshot()
	if snap == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.full = 0
	at := collector.TimeOf(now)
	for i, b := range snap.Jobs.Blocks {
		if i < len(h.blocks) && h.blocks[i] == b {
			continue
		}
		for _, j := range b.Items {
			if j != nil {
				h.take(j, at)
			}
		}
	}
	h.blocks = snap.Jobs.Blocks
	h.watch(snap, at)
	h.countDropped(at)
	if h.looks++; h.looks%sweepEvery == 0 {
		h.sweep(snap)
	}
}

func (h *History) take(j *collector.Job, now collector.Time) {
	t := h.tracks[j.Key]
	switch {
	case t == nil && j.Done():
		return
	case t == nil:
		if !h.room() {
			h.full++
			return
		}
		t = &track{}
		h.tracks[j.Key] = t
	case t.job == j:
		return
	}
	h.ended += done(j) - done(t.job)
	if t.job != nil && j.Restarts > t.job.Restarts {
		t.again.more(j.Restarts-t.job.Restarts, now)
	}
	t.job = j
	t.move(j)
	h.record(t, j, now)
}

func done(j *collector.Job) int {
	if j != nil && j.Done() {
		return 1
	}
	return 0
}

// room makes place for one more job: the job that ended first goes, and none that runs.
func (h *History) room() bool {
	if len(h.tracks) < h.o.Jobs {
		return true
	}
	if h.ended == 0 {
		return false
	}
	var first *track
	for _, t := range h.tracks {
		if t.job.Done() && (first == nil || endOf(t.job) < endOf(first.job)) {
			first = t
		}
	}
	h.forget(first)
	return true
}

func endOf(j *collector.Job) collector.Time {
	if j.Ended.Known() {
		return j.Ended
	}
	return j.Updated
}

func (h *History) forget(t *track) {
	h.curves -= len(t.curves)
	h.ended -= done(t.job)
	delete(h.tracks, t.job.Key)
}

// sweep forgets jobs that are no longer shown.
func (h *History) sweep(snap *collector.Snapshot) {
	there := make(map[collector.Key]bool, len(h.tracks))
	for j := range snap.Jobs.All {
		if h.tracks[j.Key] != nil {
			there[j.Key] = true
		}
	}
	for k, t := range h.tracks {
		if !there[k] {
			h.forget(t)
		}
	}
}

// move remembers the phase that a job came to.
func (t *track) move(j *collector.Job) {
	s := step{phase: j.Phase, status: j.Status, attempt: j.Attempt, since: j.Since}
	if n := len(t.phases); n > 0 && t.phases[n-1].phase == s.phase && t.phases[n-1].attempt == s.attempt {
		t.phases[n-1] = s
		return
	}
	if len(t.phases) >= maxMoments {
		t.phases = slices.Delete(t.phases, 1, 2) // where it began stays
	}
	t.phases = append(t.phases, s)
	t.changes++
}

// record adds the job's new readings to its curves: those that every job has first, then what it names itself.
func (h *History) record(t *track, j *collector.Job, now collector.Time) {
	for _, free := range []bool{false, true} {
		for _, r := range j.Readings {
			if !drawn(r.Metric) || (r.Metric == collector.FreeForm) != free {
				continue
			}
			at, v := r.At, r.Value
			if !at.Known() {
				at = now
			}
			if r.Null {
				v = math.NaN()
			}
			h.extend(t, r.Metric, r.Label, at, v)
		}
		if rate, ok := stepRate(j); ok && !free {
			h.extend(t, collector.Step, "", j.LastStep, rate)
		}
	}
}

func (h *History) extend(t *track, m collector.Metric, label string, at collector.Time, v float64) {
	c := t.curve(m, label)
	if c == nil {
		if len(t.curves) >= maxCurves || h.curves >= h.o.Curves {
			return
		}
		c = &curve{metric: m, label: label}
		t.curves = append(t.curves, c)
		h.curves++
	}
	if at <= c.last { // known already, or told out of order
		return
	}
	c.last = at
	c.add(pointOf(at, v), h.o.Points)
	t.changes++
}

func (t *track) curve(m collector.Metric, label string) *curve {
	for _, c := range t.curves {
		if c.metric == m && c.label == label {
			return c
		}
	}
	return nil
}

// drawn reports whether a metric has a curve.
func drawn(m collector.Metric) bool {
	switch m {
	case collector.Loss, collector.Accuracy, collector.LearningRate, collector.GradientNorm, collector.TokensPerSecond,
		collector.SamplesPerSecond, collector.FreeForm:
		return true
	}
	return false
}
