package runaitest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// slot is a place of a fleet that has one workload after the other.
type slot struct {
	plots  []plot // taken in turn
	number int
}

// plot is what becomes of a workload.
type plot struct {
	name   string
	work   Workload // without name, id and time
	base   string   // of the names
	script func(p *play)
}

// play is one workload and the plan of its life. The plan is made at its beginning, with random numbers of its own.
type play struct {
	plot
	f       *Fleet
	rng     *rand.Rand
	at      time.Duration // how far the plan has come
	removed bool          // somebody deletes it before it ends
	nodes   []string      // of the pods
}

func newPlay(f *Fleet, sl slot, n int) *play {
	seed := mix(uint64(f.o.Seed)) ^ mix(uint64(sl.number)<<32|uint64(n))
	p := &play{plot: sl.plots[n%len(sl.plots)], f: f, rng: rand.New(rand.NewPCG(seed, 1)), at: f.now}
	p.work.ID = uuid(seed, 1)
	p.work.Name = fmt.Sprintf("%s-%03d", p.base, n+1)
	if round := sl.number / len(f.o.slots()); round > 0 {
		p.work.Name += "-" + strconv.Itoa(round)
	}
	if p.work.Pods == 0 {
		p.work.Pods = 1
	}
	for range p.work.Pods {
		p.nodes = append(p.nodes, "gpu-node-"+strconv.Itoa(1+p.rng.IntN(16)))
	}
	return p
}

func (p *play) between(from, to time.Duration) time.Duration {
	return from + time.Duration(p.rng.Int64N(int64(to-from))).Truncate(time.Millisecond)
}

// wait lets time pass in the plan.
func (p *play) wait(from, to time.Duration) { p.at += p.between(from, to) }

// plan notes something to do at the place that the plan has come to.
func (p *play) plan(what string, do func(w *workload, at time.Time)) {
	p.f.at(p.at, func() {
		p.f.s.change(p.work.ID, func(w *workload, _ time.Time) { do(w, p.f.stamp()) })
		p.f.note(p.work.Name, what)
	})
}

func (p *play) phase(phase, message string) {
	p.plan("phase "+phase+" "+message, func(w *workload, at time.Time) { p.f.s.setPhase(w, phase, message, at) })
}

// pods says how many pods run.
func (p *play) pods(n int) {
	p.plan("pods "+strconv.Itoa(n), func(w *workload, at time.Time) {
		w.running, w.updated = n, at
		p.f.s.touch(w)
	})
}

func (p *play) event(e Event) {
	p.plan("event "+e.Reason+" "+e.Object+" "+e.Message, func(w *workload, at time.Time) {
		e.CreatedAt = at
		w.add(e, at)
		w.updated = at
	})
}

func (p *play) pod(i int) string { return p.work.Name + "-worker-" + strconv.Itoa(i) }

// kubelet, scheduler and group are events of a pod or of the pod group.
func (p *play) kubelet(i int, reason, message string) {
	p.event(Event{Reason: reason, Source: "kubelet", Message: message, Kind: "Pod", Object: p.pod(i)})
}

func (p *play) warn(i int, reason, message string) {
	p.event(Event{Type: "Warning", Reason: reason, Source: "kubelet", Message: message, Kind: "Pod", Object: p.pod(i)})
}

func (p *play) scheduler(i int, typ, reason, message string) {
	p.event(Event{Type: typ, Reason: reason, Source: "runai-scheduler", Message: message, Kind: "Pod", Object: p.pod(i)})
}

func (p *play) group(reason, message string) {
	p.event(Event{Reason: reason, Source: "runai-scheduler", Message: message, Kind: "PodGroup", Object: "pg-" + p.work.Name})
}

// submit is how every workload begins.
func (p *play) submit() {
	p.wait(500*time.Millisecond, 3*time.Second)
	p.phase("Pending", "")
	p.wait(time.Second, 10*time.Second)
}

// queue waits for room, with what the scheduler says about it: again and again under one id, as repeated events are.
func (p *play) queue(from, to time.Duration) {
	ends := p.at + p.between(from, to)
	fit := fmt.Sprintf("0/16 nodes are available: %d Insufficient nvidia.com/gpu.", 8+p.rng.IntN(8))
	id := uuid(hashName(p.work.ID), uint64(p.at))
	p.group("Unschedulable", fmt.Sprintf("Workload requires %g GPUs, more than what is left of the quota of project %s", p.work.GPUs, p.work.Project))
	for n := 0; p.at < ends; n++ {
		message := fit
		if n > 0 {
			message = "(combined from similar events): " + fit
		}
		p.event(Event{
			ID: id, Type: "Warning", Reason: "FailedScheduling", Source: "runai-scheduler", Message: message, Kind: "Pod", Object: p.pod(0),
		})
		p.wait(20*time.Second, 90*time.Second)
	}
}

// startAtOnce brings the pods up, and the workload runs when all of them do.
func (p *play) startAtOnce() {
	p.phase("Initializing", "")
	for i := range p.work.Pods {
		p.assigned(i)
	}
	for i := range p.work.Pods {
		p.kubelet(i, "Pulling", `Pulling image "registry.test/`+p.base+`:1.4"`)
	}
	p.wait(5*time.Second, 30*time.Second)
	for i := range p.work.Pods {
		p.pulled(i)
	}
	p.wait(time.Second, 3*time.Second)
	p.phase("Running", "")
}

// start brings the pods up, one after the other; the workload runs with the first and is whole with the last.
func (p *play) start() {
	p.phase("Initializing", "")
	for i := range p.work.Pods {
		p.assigned(i)
	}
	for i := range p.work.Pods {
		p.wait(500*time.Millisecond, 4*time.Second)
		p.kubelet(i, "Pulling", `Pulling image "registry.test/`+p.base+`:1.4"`)
	}
	for i := range p.work.Pods {
		p.wait(5*time.Second, 40*time.Second)
		p.pulled(i)
		if i == 0 {
			p.wait(100*time.Millisecond, time.Second)
			p.phase("Running", "")
		}
		p.pods(i + 1)
	}
}

// pulled brings up the container of a pod whose image is being pulled.
func (p *play) pulled(i int) {
	p.kubelet(i, "Pulled", `Successfully pulled image "registry.test/`+p.base+`:1.4"`)
	p.kubelet(i, "Created", "Created container main")
	p.wait(200*time.Millisecond, 2*time.Second)
	p.kubelet(i, "Started", "Started container main")
}

// assigned says that the scheduler has found a node for a pod.
func (p *play) assigned(i int) {
	message := fmt.Sprintf("Successfully assigned pod runai-%s/%s to node %s at node-pool default", p.work.Project, p.pod(i), p.nodes[i])
	p.scheduler(i, "Normal", "Scheduled", message)
}

// load is how busy a workload keeps its GPUs, in percent.
type load struct{ gpu, memory, swing float64 }

// sampleEvery is the virtual time between two values of a metric.
const sampleEvery = 30 * time.Second

// run lets the workload run, with metrics that move.
func (p *play) run(from, to time.Duration, l load) {
	ends := p.at + p.between(from, to)
	for n := 0; p.at < ends; n++ {
		wave := math.Sin(float64(n)/9) * l.swing
		gpu := min(100, max(0, l.gpu+wave+p.rng.NormFloat64()*l.swing/4))
		memory := l.memory / 100 * 80 * (1 << 30) * max(1, p.work.GPUs) * min(1, 0.6+float64(n)/20)
		cpu := 0.2 + gpu/100*8*float64(p.work.Pods)
		p.plan("metrics "+strconv.FormatFloat(gpu, 'f', 2, 64), func(w *workload, at time.Time) {
			w.setMetric("GPU_UTILIZATION", strconv.FormatFloat(gpu, 'f', 2, 64), at)
			w.setMetric("GPU_MEMORY_USAGE_BYTES", strconv.FormatFloat(memory, 'f', 0, 64), at)
			w.setMetric("CPU_USAGE_CORES", strconv.FormatFloat(cpu, 'f', 3, 64), at)
			w.setMetric("CPU_MEMORY_USAGE_BYTES", strconv.FormatFloat(memory/4, 'f', 0, 64), at)
			idle := 0.0
			if gpu < 1 {
				idle = w.allocated()
			}
			if w.idle != idle {
				w.idle = idle
				p.f.s.touch(w)
			}
		})
		p.at += min(sampleEvery, max(time.Second, ends-p.at))
	}
	p.at = max(p.at, ends)
}

// complete ends the workload well.
func (p *play) complete() {
	p.phase("Completed", "")
	p.rest()
}

// fail ends the workload badly.
func (p *play) fail(message string) {
	p.phase("Failed", message)
	p.rest()
}

// rest takes the load off the metrics.
func (p *play) rest() {
	p.plan("metrics end", func(w *workload, at time.Time) {
		w.setMetric("GPU_UTILIZATION", "0", at)
		w.setMetric("CPU_USAGE_CORES", "0", at)
	})
}
