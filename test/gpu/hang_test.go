//go:build linux

package gpu

import (
	"slices"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest/stub"
)

var contains = slices.Contains[[]int]

// TestHungGPUs hangs one GPU, which then is the only one that suffers, and then all of them.
func TestHungGPUs(t *testing.T) {
	together(t)
	w := newWorld(t, nil)
	w.begin(t)
	helper := w.program.helper(t)
	if maps(t, w.program.cmd.Process.Pid) || !maps(t, helper) {
		t.Error("the library is to be loaded by the helper and by nobody else")
	}
	threads := number(t, stat(helper), threadField)

	forget := w.check(fresh(3))
	w.hang(t, "one GPU hangs", []int{3}, "gpu 3 hang *")
	forget()
	w.script(t)
	w.recovered(t, "the hang of one")

	w.hang(t, "all GPUs hang", []int{0, 1, 2, 3, 4, 5, 6, 7}, "gpu * hang *")
	hung := number(t, stat(helper), threadField)
	t.Logf("threads of the helper: %d, with eight hung GPUs %d", threads, hung)
	if hung > threads+8+4 { // the runtime may have had some use for a few of its own
		t.Errorf("the helper has %d threads, had %d before eight GPUs hung", hung, threads)
	}
	time.Sleep(4 * interval)
	if now := number(t, stat(helper), threadField); now > hung+2 {
		t.Errorf("while eight GPUs hang threads went from %d to %d", hung, now)
	}
	if pids := w.program.helpers(t); !slices.Equal(pids, []int{helper}) {
		t.Errorf("the helpers are %v: a GPU that hangs is no reason for another than %d", pids, helper)
	}
	if *long {
		w.script(t)
		w.recovered(t, "the hang of all")
		w.hang(t, "all GPUs hang again", []int{0, 1, 2, 3, 4, 5, 6, 7}, "gpu * hang *")
	}
	w.audit(t)
	w.program.stop(t)
}

// hang gives the library a script that hangs GPUs, under load, and expects that they are noticed and left alone.
func (w *world) hang(t *testing.T, what string, gpus []int, script string) {
	t.Helper()
	stop := w.load(t, what)
	began := time.Now()
	w.script(t, script)
	took := w.until(t, 2*interval+hungCall+slack(), what, func(p page) bool {
		for _, g := range gpus {
			if !p.has(0, "nvml_gpu_up", id(g)) {
				return false
			}
		}
		return p.up() == 8-len(gpus)
	})
	t.Logf("%s: noticed after %v", what, took.Round(10*time.Millisecond))
	time.Sleep(time.Until(began.Add(hungCall + 2*interval))) // a call counts as hung only then
	w.quiet(t, gpus...)
	w.alive(t)
	stop()
}

// TestSlowGPUs makes calls slow, for one GPU and for all: they stay up, and scrapes do not wait for them.
func TestSlowGPUs(t *testing.T) {
	together(t)
	w := newWorld(t, nil)
	w.begin(t)
	for what, script := range map[string]string{
		"one GPU is slow":   "gpu 2 slow nvmlDeviceGetPowerUsage 800",
		"all GPUs are slow": "gpu * slow nvmlDeviceGetPowerUsage 800",
	} {
		stop := w.load(t, what)
		w.script(t, script)
		time.Sleep(6 * interval)
		w.until(t, slack(), what+", which is no hang yet: all are up", healthy)
		stop()
	}
	w.alive(t)
	w.script(t)
	if c := stub.ReadCalls(t, w.library); c.Overlaps != [16]uint64{} {
		t.Errorf("calls for a GPU while another was under way: %v", c.Overlaps)
	}
	w.program.stop(t)
}

// TestHungStart hangs the library before the program has seen any GPU.
func TestHungStart(t *testing.T) {
	together(t)
	for what, script := range map[string]string{
		"the initialisation hangs": "gpu * hang nvmlInit",
		"counting hangs":           "gpu * hang nvmlDeviceGetCount",
		"opening a GPU hangs":      "gpu 6 hang nvmlDeviceGetHandleByIndex",
	} {
		t.Run(what, func(t *testing.T) {
			together(t)
			w := newWorld(t, []string{script})
			w.until(t, slack(), "/metrics answers", func(p page) bool { return len(p["nvml_up"]) == 1 })
			if script == "gpu 6 hang nvmlDeviceGetHandleByIndex" {
				w.until(t, 4*interval+slack(), "the other GPUs answer", func(p page) bool { return p.up() == 7 && p.has(1, "nvml_up") })
			} else if p, err := w.scrape(); err != nil || !p.has(0, "nvml_up") || !p.has(1, "nvml_fault_info", `"starting"`) {
				t.Errorf("%v: nvml_up %v, nvml_fault_info %v; want 0 and starting", err, p["nvml_up"], p["nvml_fault_info"])
			}
			w.alive(t)
			w.script(t)
			w.until(t, 4*interval+slack(), "all GPUs answer when nothing hangs any more", healthy)
			w.script(t, script)
			w.program.stop(t)
		})
	}
}

// TestCrash ends the helper by SIGSEGV and by SIGABRT in the middle of its work.
func TestCrash(t *testing.T) {
	together(t)
	w := newWorld(t, nil)
	w.begin(t)
	main := stat(w.program.cmd.Process.Pid)[startField]
	for i, crash := range []string{"crash nvmlDeviceGetPowerUsage 1", "abort nvmlDeviceGetFieldValues 2"} {
		before := w.program.helper(t)
		stop := w.load(t, crash)
		w.script(t, crash)
		w.until(t, 2*interval+slack(), "the crash is counted", func(p page) bool {
			return p.has(float64(i+1), "nvml_helper_exits_total", `"crashed"`)
		})
		p, err := w.scrape()
		if err != nil {
			t.Fatal(err)
		}
		energy, _ := p.of("hw_energy_joules_total", id(0))
		began := time.Now()
		w.recovered(t, crash)
		if after := w.program.helper(t); after == before {
			t.Errorf("the helper %d was to crash and is still there", before)
		}
		w.until(t, 2*interval+slack(), "energy goes on", func(p page) bool {
			v, _ := p.of("hw_energy_joules_total", id(0))
			return v > energy
		})
		t.Logf("%s: read again after %v", crash, time.Since(began).Round(10*time.Millisecond))
		stop()
	}
	if now := stat(w.program.cmd.Process.Pid)[startField]; now != main {
		t.Error("the program itself was started anew")
	}
	w.alive(t)
	w.audit(t)
	w.program.stop(t)
}

// TestCrashesWithoutEnd crashes every helper at once. There are fewer and fewer, and the program serves.
func TestCrashesWithoutEnd(t *testing.T) {
	together(t)
	w := newWorld(t, []string{"crash nvmlDeviceGetUUID"})
	w.until(t, slack(), "nvml_fault_info says that the helper crashed", func(p page) bool {
		return p.has(0, "nvml_up") && p.has(1, "nvml_fault_info", `"crashed"`)
	})
	stop := w.load(t, "all helpers crash")
	time.Sleep(3 * time.Second)
	stop()
	w.alive(t)
	if c := stub.ReadCalls(t, w.library); c.Crashes < 2 || c.Crashes > 6 {
		t.Errorf("%d helpers crashed in about 4 s, want a few: with pauses of 1, 2 and 4 s", c.Crashes)
	}
	w.program.stop(t)
}
