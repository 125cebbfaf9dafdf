//go:build linux

package gpu

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest/stub"
)

// TestXIDs injects XIDs. Each is counted exactly once, soon, and whatever other GPUs and helpers do.
func TestXIDs(t *testing.T) {
	together(t)
	w := newWorld(t, nil)
	w.begin(t)
	time.Sleep(2 * interval) // events are listened to from the first tick on
	within := 2 * time.Second
	if !*long {
		within = 5 * time.Second
	}
	var script, trouble []string
	inject := func(gpu, code, total int) {
		t.Helper()
		script = append(script, fmt.Sprintf("xid %d %d %d", gpu, code, len(script)+1))
		w.script(t, append(script, trouble...)...)
		label := fmt.Sprintf(`nvml_xid="%d"`, code)
		took := w.until(t, within, fmt.Sprintf("XID %d of GPU %d is counted", code, gpu), func(p page) bool {
			return p.has(float64(total), "nvml_gpu_xid_errors_total", id(gpu), label)
		})
		t.Logf("XID %d of GPU %d: counted after %v", code, gpu, took.Round(time.Millisecond))
	}
	inject(3, 79, 1)
	time.Sleep(3 * interval)
	p, err := w.scrape()
	if err != nil || !p.has(1, "nvml_gpu_xid_errors_total", id(3), `nvml_xid="79"`) || len(p["nvml_gpu_xid_errors_total"]) != 1 {
		t.Errorf("one XID was injected: %v, %v", p["nvml_gpu_xid_errors_total"], err)
	}
	inject(3, 79, 2)
	inject(6, 31, 1)
	trouble = []string{"gpu 5 hang *"}
	w.script(t, append(script, trouble...)...)
	w.until(t, 2*interval+hungCall+slack(), "GPU 5 hangs", func(p page) bool { return p.has(0, "nvml_gpu_up", id(5)) })
	inject(3, 48, 1)
	trouble = nil
	w.script(t, append(script, "crash nvmlDeviceGetPowerUsage 1")...)
	w.until(t, 2*interval+slack(), "the crash is counted", func(p page) bool { return p.has(1, "nvml_helper_exits_total", `"crashed"`) })
	w.recovered(t, "the crash")
	time.Sleep(2 * interval)
	inject(3, 79, 3)
	if p, err := w.scrape(); err != nil || !p.has(1, "nvml_gpu_xid_errors_total", id(3), `nvml_xid="48"`) {
		t.Errorf("after a crash: %v, %v", p["nvml_gpu_xid_errors_total"], err)
	}
	times := 2
	if *long {
		times = 20
	}
	for n := range times { // what XID 79 means is that the GPU is lost, and that ends the helper
		trouble = []string{"gpu 2 lost"}
		inject(2, 79, n+1)
		w.until(t, 2*interval+slack(), "GPU 2 is lost", func(p page) bool { return p.has(0, "nvml_gpu_up", id(2)) && p.up() == 7 })
		w.script(t, script...)
		w.recovered(t, "a GPU that was lost")
		time.Sleep(interval + time.Duration(n)*interval/time.Duration(times)) // at another moment between ticks each time
	}
	w.audit(t)
	w.program.stop(t)
}

// TestWithoutDriver starts the program where GPUs cannot be read. It serves, and says why and what to do.
func TestWithoutDriver(t *testing.T) {
	together(t)
	absent := func(t *testing.T) string { return filepath.Join(t.TempDir(), "libnvidia-ml.so.1") }
	scripted := func(lines ...string) func(*testing.T) string {
		return func(t *testing.T) string {
			path := stub.Build(t)
			stub.Write(t, path, lines...)
			return path
		}
	}
	for _, c := range []struct {
		name    string
		program func() (string, error)
		library func(*testing.T) string
		fault   string
		advice  string
	}{
		{"no library", programs.with, absent, "no_library", "install the NVIDIA driver"},
		{"no driver", programs.with, scripted("init 9"), "no_driver", "modprobe nvidia"},
		{"driver absent", programs.with, scripted("driver absent"), "no_driver", "modprobe nvidia"},
		{"no permission", programs.with, scripted("init 4"), "no_permission", "/dev/nvidiactl"},
		{"version mismatch", programs.with, scripted("init 18"), "version_mismatch", "reload the module"},
		{"no GPU", programs.with, scripted("gpus 0"), "no_gpu", "no GPU"},
		{"without cgo", programs.without, absent, "not_built_in", "cgo"},
		{"not a library", programs.with, func(t *testing.T) string {
			path := absent(t)
			if err := os.WriteFile(path, []byte("not a library"), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}, "no_library", "install the NVIDIA driver"},
	} {
		t.Run(c.name, func(t *testing.T) {
			together(t)
			p := start(t, c.program, fmt.Sprintf("library: %q, interval: %v", c.library(t), interval))
			w := &world{scraper: newScraper(p), program: p}
			w.until(t, 2*interval+slack(), "nvml_fault_info says "+c.fault, func(p page) bool {
				return p.has(1, "nvml_fault_info", `"`+c.fault+`"`)
			})
			time.Sleep(2 * interval)
			page, err := w.scrape()
			if err != nil || len(page["nvml_fault_info"]) != 1 || len(page["nvml_gpu_up"]) != 0 || !page.has(0, "nvml_up") && c.fault != "no_gpu" {
				t.Errorf("%v: up %v, faults %v, GPUs %v", err, page["nvml_up"], page["nvml_fault_info"], page["nvml_gpu_up"])
			}
			w.alive(t)
			p.stop(t)
			if log := p.log.String(); !strings.Contains(log, c.advice) {
				t.Errorf("the log does not say %q:\n%s", c.advice, log)
			} else if n := strings.Count(log, "\n"); n > 30 {
				t.Errorf("the log has %d lines after 2 s", n)
			}
		})
	}
}

// TestCost measures the helper's own time. The stub answers at once, so that it is what the bridge takes. 1 % of a core at ticks of
// 5 s are 50 ms for a tick.
func TestCost(t *testing.T) {
	together(t)
	every, during := time.Second, 10*time.Second
	if *long {
		every, during = 5*time.Second, 60*time.Second
	}
	library := stub.Build(t)
	p := start(t, programs.with, fmt.Sprintf("library: %q, interval: %v", library, every))
	w := &world{scraper: newScraper(p), program: p, library: library}
	w.until(t, 2*every+slack(), "all GPUs answer", healthy)
	helper := p.helper(t)
	calls, ticks := stub.ReadCalls(t, library), cpu(t, helper)
	own := cpu(t, p.cmd.Process.Pid)
	time.Sleep(during)
	after := stub.ReadCalls(t, library)
	used := cpu(t, helper) - ticks
	rounds := after.Of("nvmlDeviceGetFieldValues", 0) - calls.Of("nvmlDeviceGetFieldValues", 0)
	of := used.Seconds() / during.Seconds() * 100
	t.Logf("helper: %v in %v at ticks of %v (%.2f %% of a core, %v for a tick of 8 GPUs); the program itself: %v", used, during, every, of,
		(used / time.Duration(max(rounds, 1))).Round(10*time.Microsecond), cpu(t, p.cmd.Process.Pid)-own)
	want := uint64(during / every)
	if limit := time.Duration(want) * 50 * time.Millisecond; used > limit {
		t.Errorf("the helper used %v in %d ticks, want %v at most", used, rounds, limit)
	}
	if rounds+1 < want || rounds > want+1 {
		t.Errorf("%d field queries for a GPU in %d ticks, want one each", rounds, want)
	}
	for g := range 8 {
		if n := after.Of("nvmlDeviceGetFieldValues", g); n > after.Of("nvmlDeviceGetUtilizationRates", g)+1 {
			t.Errorf("GPU %d: %d field queries in %d rounds", g, n, after.Of("nvmlDeviceGetUtilizationRates", g))
		}
	}
	if n := after.Of("nvmlDeviceGetPcieThroughput", stub.Any); n > 0 {
		t.Errorf("%d calls that take 20 ms each", n)
	}
	p.stop(t)
}

// cpu is the processor time that a process has used. The system counts it in hundredths of a second.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	s := stat(pid)
	return time.Duration(number(t, s, userField)+number(t, s, systemField)) * 10 * time.Millisecond
}
