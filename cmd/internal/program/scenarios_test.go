package program

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
)

// unshown are the alerts that no scenario fires, and why.
func unshown() map[string]string {
	return map[string]string{
		"TrainbridgeWatchdog":              "it fires always",
		"TrainbridgeTargetDown":            "it is about Prometheus, which the demo has none of: stop the demo",
		"TrainbridgeAbsent":                "it is about Prometheus, which the demo has none of: stop the demo",
		"TrainbridgeStateNotWritable":      "the state is a file that is open: only a full or broken disk refuses writes",
		"TrainingGpuHelperStuck":           "the helper must hang in the kernel; what a virtual GPU does, a signal ends",
		"TrainingSourceCredentialExpiring": "it wants the same credential for a day, and Run:ai's, the one that tells, is renewed",
		"TrainingJobOverBudget":            "no source tells training_job_budget yet",
	}
}

var anyAlert = regexp.MustCompile(`(?m)^\s+- alert: (\w+)$`)

// TestScenariosFireShippedAlerts: each alert is rehearsed by a scenario or excused, and no scenario promises one that is not shipped.
func TestScenariosFireShippedAlerts(t *testing.T) {
	files, err := filepath.Glob("../../../dashboards/alerts/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	shipped := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range anyAlert.FindAllStringSubmatch(string(text), -1) {
			shipped[m[1]] = true
		}
	}
	fired := map[string]bool{}
	for _, s := range scenarios() {
		for _, a := range s.alerts {
			if fired[a] = true; !shipped[a] {
				t.Errorf("scenario %s: no alert %s is shipped", s.name, a)
			}
		}
	}
	excused := unshown()
	for a := range shipped {
		if fired[a] == (excused[a] != "") {
			t.Errorf("%s: by a scenario: %t, excused: %q; want one of both", a, fired[a], excused[a])
		}
	}
	for a := range excused {
		if !shipped[a] {
			t.Errorf("%s is excused and not shipped", a)
		}
	}
}

func TestScenarioList(t *testing.T) {
	_, out, _ := runCommand(t, "demo", "--scenario=list")
	for _, s := range scenarios() {
		if !strings.Contains(out, s.name) || !strings.Contains(out, s.description) || !strings.Contains(out, strings.Join(s.alerts, ", ")) {
			t.Errorf("the list lacks %s", s.name)
		}
	}
	if _, _, errs := runCommand(t, "demo", "--scenario=nonsense"); !strings.Contains(errs, "restart_loop") || !strings.Contains(errs, "gpu_spin") {
		t.Errorf("the choices are missing: %s", errs)
	}
}

// exposition is what /metrics says.
type exposition string

// values are those of a metric whose labels have a text, which is a regular expression.
func (e exposition) values(metric, labels string) (all []float64) {
	for _, m := range regexp.MustCompile(`(?m)^`+metric+`(?:\{(?:.*,)?`+labels+`(?:,.*)?\})? (\S+)$`).FindAllStringSubmatch(string(e), -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			v = math.NaN()
		}
		all = append(all, v)
	}
	return all
}

// any reports whether a value holds what is wanted.
func (e exposition) any(metric, labels string, want func(float64) bool) bool {
	return slices.ContainsFunc(e.values(metric, labels), want)
}

func is(want float64) func(float64) bool     { return func(v float64) bool { return v == want } }
func above(least float64) func(float64) bool { return func(v float64) bool { return v > least } }
func older(d time.Duration) func(float64) bool {
	return func(v float64) bool { return time.Since(time.UnixMilli(int64(v*1000))) > d }
}

// running are the ids of jobs that run.
func (e exposition) running(source string) (ids []string) {
	of := regexp.MustCompile(`(?m)^training_job_phase\{training_source="` + source + `",training_job_id="([^"]+)".*training_job_phase="running"\} 1$`)
	for _, m := range of.FindAllStringSubmatch(string(e), -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// called is the id of the job of a name.
func (e exposition) called(name string) string {
	m := regexp.MustCompile(`(?m)^training_job_info\{training_source="[^"]+",training_job_id="([^"]+)",training_job_name="` + name + `"`).FindStringSubmatch(string(e))
	if m == nil {
		return "none"
	}
	return m[1]
}

// holder is the job that has GPUs, if there is just one.
func (e exposition) holder() string {
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^training_gpu_assignment_info\{.*training_job_id="([^"]+)"`).FindAllStringSubmatch(string(e), -1) {
		ids[m[1]] = true
	}
	if len(ids) != 1 {
		return ""
	}
	return slices.Collect(maps.Keys(ids))[0]
}

const busy = `hw_gpu_task="general"`

// signs are how the metrics show what a scenario does, by its name: what its first alert looks at, but for the time that takes.
func signs() map[string]func(exposition) bool {
	one := func(metric, labels string, want func(float64) bool) func(exposition) bool {
		return func(e exposition) bool { return e.any(metric, labels, want) }
	}
	return map[string]func(exposition) bool{
		"fleet":    one("training_source_jobs_ended_total", `training_job_result="failure".*`, above(0)),
		"failures": one("training_job_phase", `training_source="wandb".*training_job_phase="failed"`, is(1)),
		"nan":      one("training_job_last_nonfinite_timestamp_seconds", `training_source="wandb".*`, above(0)),
		"stall": func(e exposition) bool {
			return slices.ContainsFunc(e.running("wandb"), func(id string) bool {
				return e.any("training_job_last_step_timestamp_seconds", `training_job_id="`+id+`"`, older(1500*time.Millisecond))
			})
		},
		"storm": func(e exposition) bool {
			failed := e.values("training_job_phase", `training_source="wandb".*training_job_phase="failed"`)
			return len(slices.DeleteFunc(failed, is(0))) >= 3
		},
		"restart_loop": one("training_job_restarts_total", `training_source="wandb".*`, above(2)),
		"diverging": func(e exposition) bool {
			return e.any("training_job_loss", `training_job_id="`+e.called("no-warm-up")+`",training_split="train"`, above(1.45))
		},
		"slow_down": one("training_job_throughput_tokens_per_second", `training_job_id="job_train_slow"`, is(17_000)),
		"stuck_queued": func(e exposition) bool {
			return e.any("training_job_phase_since_timestamp_seconds", `training_source="runai".*`, older(2*time.Hour)) &&
				e.any("training_job_phase", `training_source="runai".*training_job_phase="initializing"`, is(1))
		},
		"stale_checkpoint": func(e exposition) bool {
			return e.any("training_job_checkpoint_last_created_timestamp_seconds", `training_job_id="job_train_unsaved"`, older(110*time.Minute)) &&
				e.any("training_job_checkpoint_interval_seconds", `training_job_id="job_train_unsaved"`, is(1200))
		},
		"vanished": one("training_job_status_info", `training_source="wandb".*training_job_status="not_found"`, is(1)),
		"gpu_job_idle": func(e exposition) bool {
			return e.holder() != "" && e.any("hw_gpu_memory_usage_bytes", ".*", above(20e9)) && !e.any("hw_gpu_utilization_ratio", busy, above(0.05))
		},
		"gpu_job_hang": func(e exposition) bool {
			return e.any("training_job_last_step_timestamp_seconds", `training_job_id="`+e.holder()+`"`, older(time.Second)) &&
				e.any("hw_gpu_utilization_ratio", busy, above(0.9)) && !e.any("nvml_gpu_sm_utilization_ratio", `.*`, above(0.1))
		},
		"gpu_job_straggler": func(e exposition) bool {
			clocks := e.values("nvml_gpu_clock_frequency_hertz", `nvml_clock_domain="sm"`)
			if len(clocks) == 0 || e.holder() == "" {
				return false
			}
			most := slices.Max(clocks)
			busy := slices.DeleteFunc(clocks, func(v float64) bool { return v < most/2 })
			return len(busy) == 4 && slices.Min(busy) < 0.85*most
		},
		"gpu_false_end": func(e exposition) bool {
			return e.any("training_job_phase", `training_job_id="`+e.holder()+`".*training_job_phase="succeeded"`, is(1)) &&
				e.any("hw_gpu_utilization_ratio", busy, above(0.5))
		},
		"gpu_xid_repeats": one("nvml_gpu_xid_errors_total", `nvml_xid="31"`, above(1)),
		"gpu_missing":     one("nvml_gpus_expected", "", is(9)),
		"gpu_driver":      one("nvml_fault_info", `nvml_fault="(?:no_library|not_built_in)"`, is(1)),
		"gpu_assignments": one("training_gpu_assignment_up", `.*`, is(0)),
		"source_down":     one("training_source_fault_info", `training_source="runai",error_type="http_5xx"`, is(1)),
		"auth_rejected":   one("training_source_poll_errors_total", `training_source="wandb",error_type="auth"`, above(0)),
		"rate_limited":    one("training_source_poll_errors_total", `training_source="tensorone",error_type="rate_limited"`, above(0)),
		"schema_drift":    one("training_source_unknown_values_total", `training_source="runai".*`, above(0)),
		"clock_skew":      one("training_source_clock_skew_seconds", `training_source="aitems"`, above(100)),
		"lagging":         one("training_source_event_lag_seconds", `training_source="wandb"`, above(5)),
		"series_held_back": func(e exposition) bool {
			return len(e.running("runai")) <= 3 && e.any("training_source_jobs_suppressed", `training_source="runai"`, above(5))
		},
		"state_in_memory": one("trainbridge_state_durable", "", is(0)),
		"bad_config":      one("trainbridge_config_last_reload_successful", "", is(0)),
		"otlp_failing":    one("trainbridge_otlp_exports_total", `.*result="(?:retry|error)".*`, above(0)),
		"otlp_data_lost":  one("trainbridge_otlp_items_total", `.*result="rejected".*`, above(0)),
	}
}

var allScenarios = flag.Bool("scenarios", false, "play every scenario, not only a few")

// fewScenarios are played always: one of each kind of fault.
func fewScenarios() []string {
	return []string{"auth_rejected", "schema_drift", "restart_loop", "gpu_driver", "bad_config"}
}

// TestScenariosShow: what an alert looks at shows what its scenario does. Stories of the GPUs are package nvmltest's, and tested there.
func TestScenariosShow(t *testing.T) {
	if testing.Short() {
		t.Skip("demos take a while")
	}
	all, slots, wg := signs(), make(chan struct{}, 3), sync.WaitGroup{}
	for _, s := range scenarios() {
		sign := all[s.name]
		delete(all, s.name)
		if sign == nil {
			if s.after > 0 {
				t.Errorf("nobody looks whether scenario %s shows anything", s.name)
			}
			continue
		}
		if !*allScenarios && !slices.Contains(fewScenarios(), s.name) {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			began := time.Now()
			hurry := 1000.0
			if slices.Contains([]string{"gpu_job_hang", "vanished", "lagging"}, s.name) { // what is seen before the fault takes seconds
				hurry = 30
			}
			if err := shows(t, s.name, hurry, sign); err != nil {
				t.Errorf("scenario %s: %v", s.name, err)
			}
			t.Logf("%s took %s", s.name, time.Since(began).Round(time.Millisecond))
		})
	}
	wg.Wait()
	for name := range all {
		t.Errorf("%s is no scenario", name)
	}
}

// TestNothingShowsWithoutAct: what shows a scenario is not there anyway.
func TestNothingShowsWithoutAct(t *testing.T) {
	t.Parallel()
	acts := map[string]func(exposition) bool{}
	for _, s := range scenarios() {
		if s.after > 0 {
			acts[s.name] = signs()[s.name]
		}
	}
	end := time.Now().Add(4 * time.Second)
	err := shows(t, "healthy", 1, func(e exposition) bool {
		maps.DeleteFunc(acts, func(name string, sign func(exposition) bool) bool {
			if sign(e) {
				t.Errorf("%s shows while nothing is done", name)
				return true
			}
			return false
		})
		return time.Now().After(end)
	})
	if err != nil {
		t.Error(err)
	}
}

// shows plays a scenario until its sign shows.
func shows(t *testing.T, name string, hurry float64, sign func(exposition) bool) (err error) {
	l := &life{t: t}
	p := &program{stdout: io.Discard, stderr: io.Discard, getenv: noEnv, log: slog.New(slog.NewTextHandler(&l.out, nil))}
	flags := &toolkit.FlagConfig{WebListenAddresses: &[]string{"127.0.0.1:0"}, WebSystemdSocket: new(bool), WebConfigFile: new(string)}
	demo := start(func(ctx context.Context) error {
		return p.demo(ctx, &demoOptions{
			scenario: name, speed: 300, seed: 1, web: webOptions{FlagConfig: flags}, interval: 100 * time.Millisecond, hurry: hurry,
		})
	})
	defer func() {
		if stopped := demo.stop(context.Background()); err == nil {
			err = stopped
		}
	}()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if m := listening.FindStringSubmatch(l.out.String()); m != nil {
			l.base = "http://" + m[1]
			if sign(exposition(l.metrics())) {
				return nil
			}
		}
	}
	return fmt.Errorf("the metrics never show it\n%s", l.out.String())
}
