package runaitest

import (
	"fmt"
	"strconv"
	"time"
)

// works are what the projects run: on GPUs of one machine, and on many.
func works() (vision, language, platform, ddp Workload) {
	vision = Workload{Project: "vision", ProjectID: "4501", SubmittedBy: "ada@example.test", GPUs: 1}
	language = Workload{Project: "language", ProjectID: "4502", SubmittedBy: "lin@example.test", GPUs: 2}
	platform = Workload{Project: "platform", ProjectID: "4503", SubmittedBy: "sam@example.test", GPUs: 1}
	ddp = language
	ddp.Type, ddp.Framework, ddp.GPUs, ddp.Pods = Distributed, "PyTorch", 32, 4
	return vision, language, platform, ddp
}

// slots are the places of a fleet, each with what its workloads do, in turn.
func slots() [][]plot {
	vision, language, platform, ddp := works()
	notebook := vision
	notebook.Type, notebook.GPUs = Workspace, 0.5
	serving := platform
	serving.Type, serving.GPUs, serving.Pods = Inference, 2, 2
	return [][]plot{
		{{"train", vision, "resnet-train", playTrain}},
		{{"distributed", ddp, "bert-ddp", playDistributed}},
		{{"workspace", notebook, "jupyter-lab", playWorkspace}},
		{{"serving", serving, "llm-serving", playServing}},
		{
			{"oom", language, "long-context", playOOM},
			{"crash", platform, "tokenizer-v2", playCrash},
			{"image", vision, "segmenter", playImage},
		},
		{{"preempted", language, "gpt-pretrain", playPreempted}},
		{{"starved", vision, "big-batch", playStarved}},
		{{"degraded", ddp, "llama-ddp", playDegraded}},
		{{"idle", platform, "forgotten-eval", playIdle}},
		{{"removed", vision, "ablation", playRemoved}, {"train", platform, "reranker-train", playTrain}},
		{{"sweep", language, "hp-sweep", playSweep}},
		{{"moved", platform, "embedder-train", playMoved}},
	}
}

// slots are those of the fleet.
func (o FleetOptions) slots() [][]plot {
	if o.Healthy {
		return wellSlots()
	}
	return slots()
}

// wellSlots are those of a fleet that nothing is wrong with.
func wellSlots() [][]plot {
	vision, language, platform, ddp := works()
	return [][]plot{
		{{"well", ddp, "bert-ddp", playWell}},
		{{"well", vision, "resnet-train", playWell}},
		{{"well", language, "gpt-pretrain", playWell}},
		{{"well", platform, "reranker-train", playWell}},
	}
}

// playWell is training that nothing is wrong with.
func playWell(p *play) {
	p.submit()
	p.startAtOnce()
	p.run(40*time.Minute, 80*time.Minute, busy())
	p.complete()
}

func busy() load { return load{gpu: 88, memory: 70, swing: 8} }

func playTrain(p *play) {
	p.submit()
	p.start()
	p.run(25*time.Minute, 50*time.Minute, busy())
	p.complete()
}

func playDistributed(p *play) {
	p.submit()
	p.group("NotReady", "Job is not ready for scheduling. Waiting for 4 pods, currently 1 exist, 0 are gated")
	p.queue(30*time.Second, 3*time.Minute)
	p.start()
	p.run(40*time.Minute, 80*time.Minute, load{gpu: 94, memory: 85, swing: 5})
	p.complete()
}

func playSweep(p *play) {
	p.submit()
	p.start()
	p.run(4*time.Minute, 9*time.Minute, busy())
	p.complete()
}

func playStarved(p *play) {
	p.submit()
	p.queue(10*time.Minute, 20*time.Minute)
	p.start()
	p.run(12*time.Minute, 20*time.Minute, busy())
	p.complete()
}

func playIdle(p *play) {
	p.submit()
	p.start()
	p.run(3*time.Minute, 5*time.Minute, load{gpu: 60, memory: 30, swing: 10})
	p.run(60*time.Minute, 90*time.Minute, load{gpu: 0, memory: 30})
	p.complete()
}

func playRemoved(p *play) {
	p.submit()
	p.start()
	p.run(10*time.Minute, 15*time.Minute, busy())
	p.kubelet(0, "Killing", "Stopping container main")
	p.phase("Deleting", "")
	p.wait(5*time.Second, 30*time.Second)
	p.removed = true
}

func playOOM(p *play) {
	p.submit()
	p.start()
	p.run(6*time.Minute, 10*time.Minute, load{gpu: 90, memory: 97, swing: 5})
	p.warn(0, "OOMKilling", "Memory cgroup out of memory: Killed process 4711 (python) total-vm:98304000kB, anon-rss:67108864kB")
	p.wait(time.Second, 4*time.Second)
	p.fail("Pod " + p.pod(0) + " failed: container main terminated with exit code 137 (OOMKilled)")
}

func playCrash(p *play) {
	p.submit()
	p.start()
	back := uuid(hashName(p.work.ID), 1)
	for n := range 5 {
		p.run(20*time.Second, 60*time.Second, load{gpu: 5, memory: 10, swing: 4})
		p.event(Event{
			ID: back, Type: "Warning", Reason: "BackOff", Source: "kubelet", Kind: "Pod", Object: p.pod(0),
			Message: "Back-off restarting failed container main in pod " + p.pod(0),
		})
		p.pods(0)
		p.wait(10*time.Second<<n, 12*time.Second<<n)
		p.kubelet(0, "Started", "Started container main")
		p.pods(1)
	}
	p.wait(5*time.Second, 20*time.Second)
	p.fail("Pod " + p.pod(0) + " failed: container main exited with code 1: CrashLoopBackOff, back-off limit reached")
}

func playImage(p *play) {
	p.submit()
	p.phase("Initializing", "")
	p.assigned(0)
	for range 3 {
		p.kubelet(0, "Pulling", `Pulling image "registry.test/segmenter:typo"`)
		p.wait(2*time.Second, 10*time.Second)
		p.warn(0, "Failed", `Failed to pull image "registry.test/segmenter:typo": manifest unknown`)
		p.warn(0, "BackOff", `Back-off pulling image "registry.test/segmenter:typo"`)
		p.wait(30*time.Second, 90*time.Second)
	}
	p.fail("ImagePullBackOff: image registry.test/segmenter:typo was not found")
}

// evict takes the workload from its nodes.
func (p *play) evict(why string) {
	for i := range p.work.Pods {
		p.group("Evict", fmt.Sprintf("Pod runai-%s/%s %s", p.work.Project, p.pod(i), why))
		p.kubelet(i, "Killing", "Stopping container main")
	}
	p.phase("Stopping", "")
	p.wait(5*time.Second, 30*time.Second)
}

func playPreempted(p *play) {
	p.submit()
	p.start()
	p.run(8*time.Minute, 14*time.Minute, busy())
	p.evict("was preempted by higher priority workload llm-serving")
	p.phase("Stopped", "Preempted")
	p.wait(3*time.Minute, 8*time.Minute)
	p.phase("Resuming", "")
	p.wait(5*time.Second, 20*time.Second)
	p.phase("Pending", "")
	p.queue(time.Minute, 4*time.Minute)
	p.start()
	p.run(15*time.Minute, 30*time.Minute, busy())
	p.complete()
}

func playMoved(p *play) {
	p.submit()
	p.start()
	p.run(10*time.Minute, 20*time.Minute, busy())
	p.evict("was preempted and rescheduled due to bin packing (resource consolidation) procedure")
	p.phase("Pending", "")
	p.wait(5*time.Second, 30*time.Second)
	p.start()
	p.run(15*time.Minute, 25*time.Minute, busy())
	p.complete()
}

func playDegraded(p *play) {
	p.submit()
	p.queue(30*time.Second, 2*time.Minute)
	p.start()
	for range 2 {
		p.run(8*time.Minute, 16*time.Minute, busy())
		p.warn(2, "Unhealthy", "Readiness probe failed: connection refused")
		p.kubelet(2, "Killing", "Container main failed liveness probe, will be restarted")
		p.phase("Degraded", "1 of 4 pods is not ready")
		p.pods(p.work.Pods - 1)
		p.wait(time.Minute, 3*time.Minute)
		p.kubelet(2, "Started", "Started container main")
		p.phase("Running", "")
	}
	p.run(10*time.Minute, 20*time.Minute, busy())
	p.complete()
}

func playWorkspace(p *play) {
	p.submit()
	p.start()
	for range 3 {
		p.run(20*time.Minute, 40*time.Minute, load{gpu: 25, memory: 20, swing: 24})
		p.phase("Stopping", "")
		p.kubelet(0, "Killing", "Stopping container main")
		p.wait(3*time.Second, 15*time.Second)
		p.phase("Stopped", "Stopped by "+p.work.SubmittedBy)
		p.wait(5*time.Minute, 15*time.Minute)
		p.phase("Resuming", "")
		p.wait(5*time.Second, 20*time.Second)
		p.start()
	}
	p.run(10*time.Minute, 20*time.Minute, load{gpu: 25, memory: 20, swing: 24})
	p.phase("Deleting", "")
	p.wait(5*time.Second, 30*time.Second)
	p.removed = true
}

// playServing serves requests, with a new revision now and then.
func playServing(p *play) {
	p.submit()
	old := ""
	for n := 1; n <= 4; n++ {
		id := p.revise(n, old)
		if n == 1 {
			p.start()
		} else {
			p.phase("Updating", "")
			p.wait(30*time.Second, 2*time.Minute)
			p.phase("Running", "")
		}
		p.plan("revision runs", func(_ *workload, at time.Time) {
			if r := p.f.s.revisions[id]; r != nil {
				r.change("Running", "", at)
			}
		})
		p.requests()
		p.run(30*time.Minute, 50*time.Minute, load{gpu: 55, memory: 90, swing: 30})
		old = id
	}
	p.phase("Deleting", "")
	p.wait(5*time.Second, 30*time.Second)
	p.removed = true
}

// revise adds the n-th revision, which replaces the one before.
func (p *play) revise(n int, old string) string {
	id := uuid(hashName(p.work.ID), uint64(1000+n))
	p.plan("revision "+strconv.Itoa(n), func(w *workload, at time.Time) {
		p.f.s.addRevision(w, Revision{ID: id, Name: fmt.Sprintf("%s-%05d", w.Name, n), CreatedAt: at})
		p.f.s.revisions[id].add(Event{Reason: "Created", Source: "revision-controller", Message: "Created revision " + strconv.Itoa(n)}, at)
		if r := p.f.s.revisions[old]; r != nil {
			r.change("Stopped", "Replaced by revision "+strconv.Itoa(n), at)
		}
	})
	return id
}

// requests sets what only serving has metrics of.
func (p *play) requests() {
	running, waiting := p.rng.IntN(20), p.rng.IntN(5)
	p.plan("requests", func(w *workload, at time.Time) {
		w.setMetric("NIM_NUM_REQUESTS_RUNNING", strconv.Itoa(running), at)
		w.setMetric("NIM_NUM_REQUESTS_WAITING", strconv.Itoa(waiting), at)
		w.setMetric("NIM_TIME_TO_FIRST_TOKEN_SECONDS", "0.1=812,0.5=1001,+Inf=1024", at)
	})
}
