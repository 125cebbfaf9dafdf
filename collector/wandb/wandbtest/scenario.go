package wandbtest

import (
	"fmt"
	"strings"
	"time"
)

// Scenario is something a Fleet can play.
type Scenario struct {
	Name        string
	Description string
}

type scenario struct {
	Scenario
	build func(*Fleet) []spec
}

// Scenarios lists what a Fleet can play, the default first.
func Scenarios() []Scenario {
	var out []Scenario
	for _, sc := range scenarios() {
		out = append(out, sc.Scenario)
	}
	return out
}

func findScenario(name string) (func(*Fleet) []spec, error) {
	var names []string
	for _, sc := range scenarios() {
		if name == sc.Name || name == "" {
			return sc.build, nil
		}
		names = append(names, sc.Name)
	}
	return nil, fmt.Errorf("scenario %q is unknown: use one of %s", name, strings.Join(names, ", "))
}

func scenarios() []scenario {
	return []scenario{
		{Scenario{"fleet", "Three reinforcement learning runs and seven fine-tuning runs; one diverges, two fail, one stalls."}, playFleet},
		{Scenario{"healthy", "Three reinforcement learning runs and three fine-tuning runs; all end well."}, playHealthy},
		{Scenario{"failures", "Jobs of both kinds that fail, with and without a message, beside healthy ones."}, playFailures},
		{Scenario{"nan", "Runs whose loss becomes NaN or infinite, beside healthy ones."}, playNaN},
		{Scenario{"stall", "Jobs that never start, never step, or stop stepping, beside healthy ones."}, playStall},
		{Scenario{"storm", "Twelve healthy jobs, of which five fail within one minute, after five minutes."}, playStorm},
		{Scenario{"big", "Very many fine-tuning jobs at once, for load."}, playBig},
	}
}

const (
	qwen14 = "OpenPipe/Qwen3-14B-Instruct"
	qwen30 = "Qwen/Qwen3-30B-A3B-Instruct-2507"
	oom    = "CUDA out of memory. Tried to allocate 2.54 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.38 GiB is free."
)

func healthyRL() []spec {
	return []spec{
		{project: "voice-agents", name: "voice-agent", owner: "speech", base: qwen14, length: 2 * time.Hour},
		{project: "search", name: "query-planner", owner: "search", base: qwen30, start: 4 * time.Second, length: 110 * time.Minute},
		{project: "games", name: "tic-tac-toe", owner: "research", base: qwen14, style: styleRL2025, start: 9 * time.Second, length: 100 * time.Minute},
	}
}

func healthySFT() []spec {
	return []spec{
		{project: "support", name: "support-tone", owner: "support", base: qwen14, style: styleSFT, start: 2 * time.Second, length: 2 * time.Hour},
		{project: "search", name: "reranker", owner: "search", base: qwen30, style: styleSFT, start: 20 * time.Second, length: 2 * time.Hour},
		{project: "voice-agents", name: "transcript-repair", owner: "speech", base: qwen14, style: styleSFT, start: 40 * time.Second, length: 105 * time.Minute},
	}
}

func healthy() []spec { return append(healthyRL(), healthySFT()...) }

// playHealthy takes from both kinds in turn if not all are wanted.
func playHealthy(f *Fleet) []spec {
	all := healthy()
	if n := f.o.Jobs; n > 0 && n < len(all) {
		rl, sft := healthyRL(), healthySFT()
		return append(sft[:(n+1)/2], rl[:n/2]...)
	}
	return all
}

// broken is a fine-tuning run with a fate.
func broken(name string, what fate, at time.Duration) spec {
	sp := spec{
		project: "experiments", name: name, owner: "research", base: qwen30, style: styleSFT, length: 2 * time.Hour,
		start: 5 * time.Second, fate: what, fateAt: at,
	}
	if what == fateMessage {
		sp.message = oom
	}
	return sp
}

func playFleet(*Fleet) []spec {
	return append(healthy(),
		broken("long-context", fateMessage, 7*time.Minute),
		broken("high-rate", fateNaN, 9*time.Minute),
		broken("new-tokenizer", fateStall, 10*time.Minute),
		broken("mixed-data", fateSilent, 13*time.Minute),
	)
}

func playFailures(*Fleet) []spec {
	rl := spec{
		project: "games", name: "chess", owner: "research", base: qwen14, length: time.Hour, start: 3 * time.Second,
		fate: fateMessage, fateAt: 4 * time.Minute, message: "Worker lost: node preempted",
	}
	return append(healthy(), rl,
		broken("long-context", fateMessage, 2*time.Minute),
		broken("mixed-data", fateSilent, 3*time.Minute),
		broken("late-failure", fateMessage, 20*time.Minute),
	)
}

func playNaN(*Fleet) []spec {
	rl := spec{
		project: "games", name: "chess", owner: "research", base: qwen14, length: time.Hour, start: 3 * time.Second,
		fate: fateNaN, fateAt: 4 * time.Minute,
	}
	return append(healthy(), rl, broken("high-rate", fateNaN, 2*time.Minute), broken("no-clipping", fateInf, 3*time.Minute))
}

func playStall(*Fleet) []spec {
	return append(healthy(), broken("no-capacity", fateQueue, 0), broken("no-first-step", fateLost, 0),
		broken("new-tokenizer", fateStall, 5*time.Minute))
}

func playStorm(*Fleet) []spec {
	var out []spec
	for i := range 12 {
		sp := broken(fmt.Sprintf("batch-%c", 'a'+i), fateWell, 0)
		sp.start = time.Duration(i) * time.Second
		if i < 5 {
			sp.fate, sp.message = fateMessage, "NCCL error: unhandled system error, connection closed by remote peer"
			sp.fateAt = 5*time.Minute + time.Duration(i)*9*time.Second - sp.start
		}
		out = append(out, sp)
	}
	return out
}

func playBig(f *Fleet) []spec {
	rng := f.rng("big")
	jobs := f.o.Jobs
	if jobs <= 0 {
		jobs = 1000
	}
	out := make([]spec, jobs)
	for i := range out {
		out[i] = broken(fmt.Sprintf("load-%05d", i), fateWell, 0)
		out[i].project = fmt.Sprintf("load-%02d", i%20)
		out[i].start = time.Duration(rng.IntN(20_000)) * time.Millisecond
		out[i].length = 20*time.Minute + time.Duration(rng.IntN(40))*time.Minute
	}
	return out
}
