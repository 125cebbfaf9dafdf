package tensoronetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// fate is what becomes of a job.
type fate int

const (
	well fate = iota
	outOfMemory
	diverges // and goes on with a loss that is no number until somebody cancels it
	pauses   // and is resumed
	cancelled
	dataError
)

// plot is the story of a job.
type plot struct {
	slug, name, framework, modelType, base, gpu string
	gpus                                        int
	queue, setup                                time.Duration
	epochs, steps                               int
	stepTime                                    time.Duration
	fate                                        fate
	at                                          float64 // share of the training after which it happens
}

// plots are those of a fleet, in turn.
func plots() []plot {
	const lm = "language_model"
	return []plot{
		{
			"llama", "Llama-2-7B fine-tuning", "huggingface", lm, "llama-2-7b-hf", "a100-40gb", 2,
			90 * time.Second, time.Minute, 3, 600, 1800 * time.Millisecond, well, 0,
		},
		{
			"mistral", "Mistral support bot", "huggingface", lm, "mistral-7b-v0.3", "h100-80gb", 1,
			time.Minute, 50 * time.Second, 4, 300, 1500 * time.Millisecond, pauses, 0.4,
		},
		{
			"longctx", "Long context 32k", "pytorch", lm, "qwen2.5-14b", "a100-80gb", 4,
			2 * time.Minute, 2 * time.Minute, 2, 400, 4 * time.Second, outOfMemory, 0.35,
		},
		{
			"vision", "Defect detector", "pytorch", "vision", "vit-large", "rtx-4090", 1,
			20 * time.Second, 40 * time.Second, 10, 120, 900 * time.Millisecond, well, 0,
		},
		{
			"highlr", "High rate sweep", "pytorch", lm, "phi-4", "h100-80gb", 1,
			30 * time.Second, 40 * time.Second, 3, 500, 1200 * time.Millisecond, diverges, 0.3,
		},
		{
			"rerank", "Reranker", "huggingface", lm, "bge-reranker-v2", "l40s", 2,
			40 * time.Second, 30 * time.Second, 5, 200, time.Second, cancelled, 0.6,
		},
		{
			"sd", "Product images", "diffusers", "multimodal", "sdxl-base-1.0", "a100-40gb", 2,
			3 * time.Minute, time.Minute, 6, 150, 3 * time.Second, well, 0,
		},
		{
			"newdata", "Customer mails", "huggingface", lm, "llama-3.1-8b", "a100-80gb", 2,
			time.Minute, time.Minute, 3, 250, 2 * time.Second, dataError, 0.05,
		},
	}
}

// messages of failures.
const (
	oom     = "CUDA out of memory. Tried to allocate 2.54 GiB. GPU 0 has a total capacity of 79.15 GiB of which 1.38 GiB is free."
	badData = "Dataset shard 17 could not be parsed: line 2041 is no valid JSON"
)

// run is a job of a fleet under way.
type run struct {
	plot
	id     string
	rng    *rand.Rand
	status string
	age    time.Duration // virtual, since it was created
	held   time.Duration // of it, neither queued nor training: paused or stopping
	done   int           // steps
	saved  int           // checkpoints
	fated  bool
	high   float64
}

func newRun(p plot, rng *rand.Rand) *run {
	p.queue = p.queue * time.Duration(80+rng.IntN(60)) / 100
	p.stepTime = p.stepTime * time.Duration(90+rng.IntN(20)) / 100
	return &run{plot: p, rng: rng, status: "queued", high: 1.6 + rng.Float64()}
}

// pausedFor is how long a paused job waits, and stoppingFor how long one takes to be cancelled.
const (
	pausedFor   = 5 * time.Minute
	stoppingFor = 40 * time.Second
)

// beat lets a job go on by one beat, and reports whether it has ended.
func (r *run) beat(f *Fleet, at time.Time) bool {
	r.age += beat
	switch r.status {
	case "queued":
		if r.age >= r.queue {
			r.status = "initializing"
		}
	case "initializing":
		if r.age >= r.queue+r.setup {
			r.status = "running"
		}
	case "running":
		r.train(f, at)
	case "paused":
		if r.held += beat; r.held >= pausedFor {
			r.status, r.held = "running", 0
		}
	case "cancelling":
		if r.held += beat; r.held >= stoppingFor {
			r.status = "cancelled"
		}
	}
	f.s.Set(r.id, func(j *Job) { r.show(j, f.scale, at) })
	return r.status == "completed" || r.status == "failed" || r.status == "cancelled"
}

func (r *run) total() int { return r.epochs * r.steps }

// train makes the steps of a beat.
func (r *run) train(f *Fleet, at time.Time) {
	r.done = min(r.done+max(1, int(beat/r.stepTime)), r.total())
	for r.saved < r.done/r.steps {
		r.saved++
		f.s.AddCheckpoint(r.id, Checkpoint{
			ID: fmt.Sprintf("ckpt_epoch_%d", r.saved), Epoch: r.saved, Step: r.saved * r.steps, Loss: r.loss(r.saved * r.steps),
			ValidationLoss: r.loss(r.saved*r.steps) * 1.1, Size: fmt.Sprintf("%.1fGB", 0.4+0.9*float64(r.gpus)), Created: at, Best: r.saved%4 == 0,
		})
		f.s.Prune(r.id, 5)
	}
	if r.done == r.total() {
		r.status = "completed"
		return
	}
	if r.fated || r.fate == well || float64(r.done) < r.plot.at*float64(r.total()) {
		return
	}
	switch r.fate {
	case pauses:
		r.status, r.fated = "paused", true
	case cancelled:
		r.status, r.fated = "cancelling", true
	case outOfMemory, dataError:
		r.status, r.fated = "failed", true
	case diverges:
		if r.held += beat; r.held > 4*time.Minute {
			r.status, r.fated, r.held = "cancelling", true, 0
		}
	}
}

// loss falls from high to a floor.
func (r *run) loss(step int) float64 {
	return rounded(0.45 + (r.high-0.45)*math.Exp(-3*float64(step)/float64(r.total())))
}

func rounded(f float64) float64 { return math.Round(f*1e4) / 1e4 }

// show puts the run into its job.
func (r *run) show(j *Job, scale float64, at time.Time) {
	if j.Status != r.status && r.status == "running" && j.Started.IsZero() {
		j.Started = at
	}
	j.Status, j.Updated = r.status, at
	switch r.status {
	case "completed", "failed", "cancelled":
		j.Completed = at
	}
	if r.status == "failed" {
		j.Error = oom
		if r.fate == dataError {
			j.Error = badData
		}
	}
	trained := time.Duration(r.done) * r.stepTime
	hours := (max(trained, r.age-r.queue)).Hours()
	j.Costs = &Costs{
		GPU: rounded(1.9 * float64(r.gpus) * max(0, hours)), Storage: rounded(0.05 * float64(1+r.saved)),
		Estimated: rounded(1.9*float64(r.gpus)*(time.Duration(r.total())*r.stepTime+r.setup).Hours() + 0.05*float64(1+r.epochs)),
	}
	j.Resources, j.Metrics = nil, nil
	if r.done > 0 {
		j.Progress = r.progress(scale)
	}
	if r.status == "running" && r.done > 0 {
		r.measure(j)
	}
}

func (r *run) progress(scale float64) *Progress {
	left := time.Duration(float64(time.Duration(r.total()-r.done)*r.stepTime) * scale)
	p := &Progress{
		Epoch: min(r.done/r.steps+1, r.epochs), Epochs: r.epochs, Step: r.done % r.steps, Steps: r.steps,
		Percent: math.Round(1000*float64(r.done)/float64(r.total())) / 10,
	}
	if r.done == r.total() {
		p.Step = r.steps
	}
	switch {
	case r.status != "running":
	case left >= time.Hour:
		p.Remaining = fmt.Sprintf("%dh %dm", int(left.Hours()), int(left.Minutes())%60)
	case left >= time.Minute:
		p.Remaining = fmt.Sprintf("%dm", int(left.Minutes()))
	default:
		p.Remaining = fmt.Sprintf("%ds", int(left.Seconds()))
	}
	return p
}

// measure shows what only a running job has.
func (r *run) measure(j *Job) {
	jitter := func(v, by float64) float64 { return rounded(v * (1 + by*(2*r.rng.Float64()-1))) }
	m := &Metrics{
		Loss: jitter(r.loss(r.done), 0.04), ValidationLoss: math.NaN(), ValidationAccuracy: math.NaN(),
		Accuracy: rounded(0.92 - 0.4*r.loss(r.done)/r.high), LearningRate: 0.0001 * (1 - 0.9*float64(r.done)/float64(r.total())),
		StepTime: jitter(r.stepTime.Seconds(), 0.05),
	}
	if r.saved > 0 {
		m.ValidationLoss = rounded(1.1 * r.loss(r.saved*r.steps))
		m.ValidationAccuracy = rounded(0.9 - 0.4*r.loss(r.saved*r.steps)/r.high)
	}
	m.Samples = rounded(16 * float64(r.gpus) / m.StepTime)
	m.Tokens = math.Round(m.Samples * 512)
	if r.fate == diverges && float64(r.done) >= r.plot.at*float64(r.total()) {
		m.Loss, m.Accuracy = math.NaN(), rounded(0.02*r.rng.Float64())
	}
	j.Metrics = m
	res := &Resources{System: jitter(18+11*float64(r.gpus), 0.05), Storage: rounded(40 + 0.9*float64(r.gpus*r.saved))}
	for range r.gpus {
		res.Utilization = append(res.Utilization, min(100, jitter(96, 0.04)))
		res.Memory = append(res.Memory, jitter(36.5, 0.03))
	}
	j.Resources = res
}
