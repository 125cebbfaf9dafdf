package wandbtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// style is a generation of key names.
type style int

const (
	styleRL2026 style = iota
	styleRL2025
	styleSFT
)

// fate is what becomes of a run.
type fate int

const (
	fateWell    fate = iota // ends after its length
	fateNaN                 // diverges and goes on to its end
	fateInf                 // the same with infinities, later NaN
	fateMessage             // fails and says why
	fateSilent              // fails without a word
	fateStall               // stops stepping, without an end
	fateLost                // started, and never a step
	fateQueue               // never started
)

// spec describes a run and, with the next generation, those that replace it.
type spec struct {
	project, name, owner, base string

	style   style
	start   time.Duration // of the first generation
	length  time.Duration // about
	fate    fate
	fateAt  time.Duration // after the beginning
	message string
	steps   int // gradient steps per job; 0 is chosen by style
}

func (sp *spec) kind() Kind {
	if sp.style == styleSFT {
		return SFT
	}
	return RL
}

// run is one model being trained by one job (fine-tuning) or a row of them (reinforcement learning).
type run struct {
	spec

	f      *Fleet
	gen    int
	model  string // id
	name   string
	rng    *rand.Rand
	began  time.Duration
	step   int // training steps: jobs so far
	gstep  int // gradient steps so far, over all jobs
	curve  curve
	oneJob bool // nothing follows a job: jobs come from outside
}

func (f *Fleet) rng(name string) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(f.o.Seed), hashName(name)))
}

// begin starts generation gen of a run.
func (f *Fleet) begin(sp spec, gen int) {
	r := &run{spec: sp, f: f, gen: gen, name: fmt.Sprintf("%s-%03d", sp.name, gen), began: f.now}
	r.rng = f.rng(r.name)
	r.curve = newCurve(r.rng, sp.style)
	id := newUUID(r.rng)
	m, _ := f.s.addModel(id, modelName{f.o.Entity, sp.project, r.name}, sp.base)
	r.model = m.id
	f.note(m.id, "model "+r.name)
	r.nextJob()
}

func newUUID(rng *rand.Rand) string { return string(appendUUID(nil, rng.Uint64(), rng.Uint64())) }

// nextJob makes the run's next job.
func (r *run) nextJob() {
	n := r.steps
	var pace time.Duration
	switch {
	case r.kind() == RL:
		if n == 0 {
			n = 8 + r.rng.IntN(17)
		}
		pace = (20*time.Second + time.Duration(r.rng.Int64N(int64(38*time.Second)))) / time.Duration(n+1)
	default:
		pace = 7*time.Second + time.Duration(r.rng.Int64N(int64(6*time.Second)))
		if n == 0 {
			n = max(2, int(r.length/pace))
		}
	}
	r.launch(newUUID(r.rng), n, pace)
}

// launch starts the training of a job.
func (r *run) launch(id string, n int, pace time.Duration) {
	r.step++
	name := r.name
	if r.kind() == RL {
		name = fmt.Sprintf("%s/step-%d", r.name, r.step)
	}
	t := &training{
		run: r, planned: n, pace: pace,
		job: &FleetJob{ID: id, ModelID: r.model, Kind: r.kind(), Labels: map[string]string{
			"name": name, "group": r.name, "project": r.project, "owner": r.owner, "base_model": r.base, "kind": string(r.kind()),
		}},
	}
	r.f.add(t.job)
	if r.fate == fateQueue {
		t.stall()
		return
	}
	wait := time.Second + time.Duration(r.rng.Int64N(int64(2*time.Second)))
	if r.kind() == SFT {
		wait *= 5
	}
	r.f.in(wait.Truncate(time.Millisecond), t.start)
}

// follow plans what comes after a job of the run that ended well.
func (r *run) follow() {
	switch {
	case r.oneJob:
	case r.kind() == RL && r.f.now-r.began < r.length:
		rollout := 5*time.Second + time.Duration(r.rng.Int64N(int64(10*time.Second)))
		r.f.in(rollout.Truncate(time.Millisecond), r.nextJob)
	default:
		r.f.in(2*time.Minute, func() { r.f.begin(r.spec, r.gen+1) })
	}
}

// abandon plans the next generation of a run that broke, for when it would have been over.
func (r *run) abandon() {
	if !r.oneJob {
		r.f.at(max(r.f.now+2*time.Minute, r.began+r.length), func() { r.f.begin(r.spec, r.gen+1) })
	}
}

// training is one job of a run.
type training struct {
	*run

	job     *FleetJob
	planned int
	pace    time.Duration // of a gradient step
	done    int
	last    time.Duration // when the last step ended
	loss    float64       // the loss of the last step
}

func (t *training) emit(e Event) {
	e.ID = newUUID(t.rng)
	t.f.emit(t.job.ID, e)
}

func (t *training) start() {
	t.job.Result = Running
	t.emit(Started(t.planned))
	t.last = t.f.now
	if t.fate == fateLost {
		t.stall()
		return
	}
	t.planStep()
}

func (t *training) planStep() {
	d := time.Duration(float64(t.pace) * (0.85 + 0.3*t.rng.Float64()))
	t.f.in(max(time.Millisecond, d.Truncate(time.Millisecond)), t.stepOnce)
}

func (t *training) stepOnce() {
	if t.broken() {
		t.breakDown()
		return
	}
	t.emit(Event{Type: TypeStep, Values: t.values()})
	t.last = t.f.now
	t.done++
	t.gstep++
	if t.kind() == SFT && t.done%100 == 0 {
		t.checkpoint(t.done)
	}
	if t.done < t.planned {
		t.planStep()
		return
	}
	t.f.in(time.Second, t.end)
}

// due is true once the run's fate has come.
func (r *run) due() bool { return r.fate != fateWell && r.f.now-r.began >= r.fateAt }

func (t *training) broken() bool {
	return t.due() && (t.fate == fateMessage || t.fate == fateSilent || t.fate == fateStall)
}

func (t *training) breakDown() {
	switch t.fate {
	case fateStall:
		t.stall()
		return
	case fateSilent:
		t.emit(Failed(""))
	default:
		t.emit(Failed(t.message))
	}
	t.job.Ended, t.job.Result = t.f.now, Failure
	t.f.over(t.job)
	t.abandon()
}

func (t *training) stall() {
	t.job.Stalled = true
	t.f.note(t.job.ID, "stalled")
	t.f.over(t.job)
	t.abandon()
}

func (t *training) end() {
	t.emit(Ended())
	t.job.Ended, t.job.Result = t.f.now, Success
	if t.kind() == RL {
		t.checkpoint(t.step)
	} else {
		t.checkpoint(t.done)
	}
	t.f.over(t.job)
	t.follow()
}

func (t *training) checkpoint(step int) {
	metrics := []Value{{"loss/train", t.loss}}
	if t.kind() == RL {
		metrics = append(metrics, Value{"reward", t.curve.reward(t.gstep)})
	}
	t.f.s.AddCheckpoint(t.model, step, metrics...)
	if !math.IsNaN(t.loss) {
		t.f.note(t.model, fmt.Sprint("checkpoint ", step, metrics))
	}
}
