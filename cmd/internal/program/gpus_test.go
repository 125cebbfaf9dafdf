package program

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
)

// TestMain lets the program start itself as the helper that reads GPUs, as it does outside of tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "nvml-helper" {
		os.Exit(Main(context.Background(), os.Args[1:], nil))
	}
	os.Exit(m.Run())
}

// machine writes a virtual machine into the world's folder.
func (w *world) machine() *nvmltest.Host {
	w.t.Helper()
	host, err := nvmltest.NewHost(nvmltest.HostOptions{Seed: 1, Scenario: "healthy"})
	if err != nil {
		w.t.Fatal(err)
	}
	host.Advance(time.Now(), nil)
	if err := host.Write(nvmltest.Files{State: filepath.Join(w.dir, "gpus.json"), Mappings: filepath.Join(w.dir, "gpu-jobs")}); err != nil {
		w.t.Fatal(err)
	}
	return host
}

// gpusOf is a section gpus; more is further fields.
func gpusOf(more ...string) string {
	return "gpus:\n  " + strings.Join(append([]string{"library: virtual:gpus.json", "interval: 100ms", "slow_interval: 100ms"}, more...), "\n  ") + "\n"
}

var anyEnergy = regexp.MustCompile(`(?m)^hw_energy_joules_total\{hw_id="([^"]+)"\} (\S+)$`)

func energies(t *testing.T, metrics string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, m := range anyEnergy.FindAllStringSubmatch(metrics, -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		all[m[1]] = v
	}
	return all
}

// TestGPUsWithoutSources: a machine that only has GPUs, a change of how they are read, and the end of it.
func TestGPUsWithoutSources(t *testing.T) {
	w := newWorld(t)
	w.machine()
	w.write("trainbridge.yml", gpusOf("expected: 9", `assignments: {interval: 100ms, static: [{gpu: "3", source: tuning, job: job-7}]}`))
	l := w.start()
	l.shows("nvml_up 1")
	l.eventually("eight of nine GPUs answer", func() bool {
		text := l.metrics()
		return strings.Count(text, "\nnvml_gpu_up{") == 8 && strings.Contains(text, "\nnvml_gpus 8\n") && strings.Contains(text, "\nnvml_gpus_expected 9\n")
	})
	l.eventually("one of them has a job", func() bool {
		return regexp.MustCompile(`(?m)^training_gpu_assignment_info\{hw_id="GPU-[^"]+",training_source="tuning",training_job_id="job-7"\} 1$`).MatchString(l.metrics())
	})
	if status, page := l.get("/"); status != 200 || !strings.Contains(page, "GPU") {
		t.Errorf("the page: %d", status)
	}
	before := energies(t, l.metrics())
	w.write("trainbridge.yml", gpusOf("processes: true", "dcgm_names: classic"))
	if status, body := l.do("POST", "/-/reload", "", ""); status != 200 {
		t.Fatalf("reload: %d %s", status, body)
	}
	l.eventually("dcgm-exporter's names are there too", func() bool { return strings.Count(l.metrics(), "\nDCGM_FI_DEV_GPU_UTIL{") == 8 })
	text := l.metrics()
	for id, now := range energies(t, text) {
		if was, known := before[id]; !known || now < was {
			t.Errorf("the energy of %s fell from %v to %v", id, was, now)
		}
	}
	l.eventually("an assignment that is no more is gone", func() bool { return !strings.Contains(l.metrics(), "job-7") })
	w.configure("", w.source("rl-team"))
	if status, body := l.do("POST", "/-/reload", "", ""); status != 200 {
		t.Fatalf("reload: %d %s", status, body)
	}
	if text := l.metrics(); strings.Contains(text, "\nnvml_") || strings.Contains(text, "\nDCGM_") {
		t.Error("GPUs that are not read any more are shown")
	}
	w.write("trainbridge.yml", gpusOf())
	if status, body := l.do("POST", "/-/reload", "", ""); status != 200 {
		t.Fatalf("reload: %d %s", status, body)
	}
	l.shows("nvml_up 1")
	for id, now := range energies(t, l.metrics()) {
		if was, known := before[id]; !known || now < was {
			t.Errorf("after a while without it the energy of %s fell from %v to %v", id, was, now)
		}
	}
}

// TestNoDriver: the program works and says what is missing.
func TestNoDriver(t *testing.T) {
	w := newWorld(t)
	id := w.train(3)
	w.configure(strings.Replace(gpusOf(), "virtual:gpus.json", "/nowhere/libnvidia-ml.so.1", 1), w.source("rl-team", "jobs: [{id: "+id+"}]"))
	l := w.start()
	l.shows(steps("rl-team", id, 3))
	l.shows("nvml_up 0")
	l.eventually("the reason is told", func() bool {
		return regexp.MustCompile(`(?m)^nvml_fault_info\{nvml_fault="(no_library|not_built_in)"\} 1$`).MatchString(l.metrics())
	})
	l.eventually("the log says what to do", func() bool {
		return strings.Contains(l.out.String(), "gpus.library") || strings.Contains(l.out.String(), "cgo")
	})
}

func TestCheckAndDumpOfGPUs(t *testing.T) {
	w := newWorld(t)
	w.machine()
	w.write("trainbridge.yml", gpusOf("expected: 8"))
	if code, out, errs := runCommand(t, "check", "--config.file="+w.file, "--probe"); code != 0 || !strings.Contains(out, "gpus: 8 answer, driver ") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	code, out, errs := runCommand(t, "dump", "--config.file="+w.file)
	for _, want := range []string{"nvml_gpu_sm_utilization_ratio{", "hw_power_watts{", "nvml_gpu_ecc_errors_total{"} {
		if code != 0 || strings.Count(out, "\n"+want) < 8 {
			t.Errorf("%d: dump lacks %s\n%s", code, want, errs)
		}
	}
	w.write("trainbridge.yml", gpusOf("expected: 16"))
	if code, out, _ := runCommand(t, "check", "--config.file="+w.file, "--probe"); code != 1 || !strings.Contains(out, "8 answer, of 16") {
		t.Errorf("%d %s", code, out)
	}
	w.configure(gpusOf("assignments: {mapping_directories: [{path: nowhere, source: tunning}]}"), w.source("tuning"))
	code, out, _ = runCommand(t, "check", "--config.file="+w.file, "--probe")
	for _, want := range []string{`warning: GPUs are assigned to jobs of "tunning", and no source here is called so`, "assignments by files cannot be read"} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("%d: no %q in %s", code, want, out)
		}
	}
	w.write("trainbridge.yml", strings.Replace(gpusOf(), "virtual:gpus.json", "/nowhere/lib.so", 1))
	if code, out, _ := runCommand(t, "check", "--config.file="+w.file, "--probe"); code != 1 || !strings.Contains(out, "gpus: ") {
		t.Errorf("%d %s", code, out)
	}
}
