package web

import (
	"slices"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Bounds of what is said of busy and idle GPUs: those of the alerts TrainingJobGpuIdle, TrainingJobSpinHang and
// TrainingJobZombieRunning, and of the rule training_gpu:spinning:bool.
const (
	idleBelow    = 0.05 // busy, on average over a quarter of an hour
	idleFor      = 15 * time.Minute
	deadBelow    = 0.02
	deadFor      = 2*time.Hour + 15*time.Minute
	spinAbove    = 0.8  // busy, of all GPUs of a job
	spinsAlone   = 0.95 // busy, of one GPU
	powerBelow   = 0.35 // of its limit
	smBelow      = 0.1
	spinFor      = 3 * time.Minute
	spinTimes    = 5 // median intervals between steps
	spinAfter    = 3 * time.Minute
	tensorBelow  = 0.01
	tensorAbove  = 0.05
	tensorIdle   = 10 * time.Minute
	tensorMemory = 6 * time.Hour
	blindFor     = 10 * time.Minute // how long ages mean nothing after a source was not heard of
)

// quarter is an average over the last quarter of an hour or less, by the minute.
type quarter [15]struct {
	minute int32
	n      int32
	sum    float32
}

func (q *quarter) add(now collector.Time, v float64) { q.addAll(now, v, 1) }

// addAll adds so many numbers, by their sum.
func (q *quarter) addAll(now collector.Time, sum float64, n int) {
	minute := minuteOf(now)
	m := &q[minute%int32(len(q))]
	if m.minute != minute {
		m.minute, m.n, m.sum = minute, 0, 0
	}
	m.n += int32(n)
	m.sum += float32(sum)
}

// mean is the average over the last minutes, of which there are fifteen.
func (q *quarter) mean(now collector.Time, over time.Duration) (mean float64, known bool) {
	var all average
	for _, m := range q {
		if age := minuteOf(now) - m.minute; m.n > 0 && age >= 0 && age < int32(over/time.Minute) {
			all.n += int(m.n)
			all.sum += float64(m.sum)
		}
	}
	return all.value()
}

func minuteOf(t collector.Time) int32 { return int32(int64(t) / int64(time.Minute)) }

// average is that of what was added; without anything it is not known.
type average struct {
	sum float64
	n   int
}

func (a *average) add(v float64, known bool) {
	if known {
		a.sum += v
		a.n++
	}
}

func (a average) value() (float64, bool) {
	if a.n == 0 {
		return 0, false
	}
	return a.sum / float64(a.n), true
}

// load is how hard GPUs work: one, or all of a job.
type load struct{ busy, power, sm, tensor average }

func (l *load) add(g *collector.GPU) {
	l.busy.add(g.Value(collector.DeviceUtilization, "general"))
	l.sm.add(g.Value(collector.DeviceSMUtilization, ""))
	l.tensor.add(g.Value(collector.DeviceTensorUtilization, ""))
	drawn, known := g.Value(collector.DevicePower, "")
	if limit, limited := g.Value(collector.DevicePowerLimit, ""); known && limited && limit > 0 {
		l.power.add(drawn/limit, true)
	}
}

// told is what the provider tells of a job's GPUs.
func told(j *collector.Job) (l load) {
	for _, gpu := range j.Labels(collector.GPUUtilization) {
		l.busy.add(j.Reading(collector.GPUUtilization, gpu))
	}
	return l
}

// gpuWatch is what is remembered of how busy a running job's GPUs were, or one GPU was.
type gpuWatch struct {
	busy       quarter
	idle, spin collector.Time  // since when it looks so; 0 if it does not
	alive      collector.Time  // when they were last at work at all, or were first looked at
	tensor     collector.Time  // when their tensor cores last worked a little,
	tensors    collector.Time  // and when they worked well
	jobs       []collector.Key // of one GPU, as the snapshot has them
	health     health          // of one GPU
}

// look takes what is so now; muted says that the job's steps and phase may be old.
func (w *gpuWatch) look(l load, spins, muted bool, now collector.Time) {
	if v, ok := l.busy.value(); ok {
		w.busy.add(now, v)
		if v >= deadBelow || !w.alive.Known() {
			w.alive = now
		}
	}
	if v, ok := l.tensor.value(); ok {
		if v >= tensorBelow {
			w.tensor = now
		}
		if v > tensorAbove {
			w.tensors = now
		}
	}
	mean, known := w.busy.mean(now, idleFor)
	w.idle = since(w.idle, known && mean < idleBelow && !muted, now)
	w.spin = since(w.spin, spins && !muted, now)
}

// since is when something began that is so now.
func since(before collector.Time, so bool, now collector.Time) collector.Time {
	switch {
	case !so:
		return 0
	case before.Known():
		return before
	}
	return now
}

// hangs: the GPUs of a job seem busy, draw hardly any power, and no step comes. Where no steps are told, tensor cores that
// worked before and do not any more say the same.
func (w *gpuWatch) hangs(j *collector.Job, l load, now collector.Time) bool {
	busy, known := l.busy.value()
	power, measured := l.power.value()
	if !known || !measured || busy <= spinAbove || power >= powerBelow {
		return false
	}
	if !j.LastStep.Known() {
		return w.tensors.Known() && now.Sub(w.tensors) < tensorMemory && now.Sub(w.tensor) >= tensorIdle
	}
	m, paced := median(j.Intervals)
	return paced && now.Sub(max(j.LastStep, j.Since)) > max(spinAfter, time.Duration(spinTimes*m*float64(time.Second)))
}

// spins: a GPU that is busy all the time, and hardly works.
func (l load) spins() bool {
	busy, _ := l.busy.value()
	sm, told := l.sm.value()
	power, measured := l.power.value()
	return busy >= spinsAlone && (told && sm < smBelow || measured && power < powerBelow)
}

// watch looks at the jobs that run and at GPUs: for a job at our own, else at what the provider tells of them.
func (h *History) watch(snap *collector.Snapshot, now collector.Time) {
	h.see(snap.Sources, now)
	loads, gpus := map[collector.Key]*load{}, map[string]*gpuWatch{}
	if snap.GPUs != nil {
		for _, g := range snap.GPUs.GPUs {
			switch w := h.gpus[g.ID]; {
			case g.Up:
				h.watchGPU(g, loads, gpus, now)
			case w != nil:
				gpus[g.ID] = w // errors and gaps come together
			}
		}
		h.stuck = since(h.stuck, snap.GPUs.Host.Helpers >= 2, now)
	}
	h.gpus = gpus
	if snap.GPUs != nil {
		h.compare(snap.GPUs.GPUs, now)
	}
	for k, t := range h.tracks {
		muted := h.muted(k.Source, now)
		h.watchJob(t, loads[k], muted, now)
		t.follow(muted, now)
	}
}

func (h *History) watchGPU(g *collector.GPU, loads map[collector.Key]*load, gpus map[string]*gpuWatch, now collector.Time) {
	muted := true // as long as it is under no job that runs
	for _, k := range g.Jobs {
		if loads[k] == nil {
			loads[k] = &load{}
		}
		loads[k].add(g)
		if t := h.tracks[k]; t != nil && runs(t.job) {
			muted = muted && h.muted(k.Source, now)
		}
	}
	h.noteXIDs(g, now)
	if len(gpus) == gpusMost {
		return
	}
	w := h.gpus[g.ID]
	if w == nil {
		w = &gpuWatch{}
	}
	if !slices.Equal(w.jobs, g.Jobs) { // what was of the job before is not of this one
		*w = gpuWatch{jobs: g.Jobs, health: w.health.ofAnother()}
	}
	var l load
	l.add(g)
	w.look(l, l.spins(), muted, now)
	busy, _ := w.busy.mean(now, idleFor)
	w.health.look(g, busy, now)
	gpus[g.ID] = w
}

func (h *History) watchJob(t *track, own *load, muted bool, now collector.Time) {
	var l load
	if runs(t.job) {
		l = told(t.job)
		if own != nil && own.busy.n > 0 {
			l = *own
		}
	}
	if l.busy.n == 0 {
		t.watch = nil
		return
	}
	if t.watch == nil {
		t.watch = &gpuWatch{}
	}
	t.watch.look(l, t.watch.hangs(t.job, l, now), muted, now)
}

func runs(j *collector.Job) bool { return j.Phase == collector.Running && !j.Done() }

// mayIdle: notebooks and services of Run:ai may have idle GPUs.
func mayIdle(j *collector.Job) bool {
	return strings.HasPrefix(j.Info.Kind, "Build/") || strings.HasPrefix(j.Info.Kind, "Deploy/")
}
