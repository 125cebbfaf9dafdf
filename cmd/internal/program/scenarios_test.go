package program

import (
	"context"
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
	excused := Unplayed()
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

// signs are how the metrics show what a scenario does, by its name: what its first alert looks at, but for the time that takes. One of each
// kind of fault is played here, in real time and with real processes; all of them are played in virtual time, with the alerts, by
// cmd/trainbridge-rehearse.
func signs() map[string]func(exposition) bool {
	one := func(metric, labels string, want func(float64) bool) func(exposition) bool {
		return func(e exposition) bool { return e.any(metric, labels, want) }
	}
	return map[string]func(exposition) bool{
		"restart_loop":  one("training_job_restarts_total", `training_source="wandb".*`, above(2)),
		"gpu_driver":    one("nvml_fault_info", `nvml_fault="(?:no_library|not_built_in)"`, is(1)),
		"auth_rejected": one("training_source_poll_errors_total", `training_source="wandb",error_type="auth"`, above(0)),
		"schema_drift":  one("training_source_unknown_values_total", `training_source="runai".*`, above(0)),
		"bad_config":    one("trainbridge_config_last_reload_successful", "", is(0)),
		"disk_full":     one("trainbridge_state_writable", "", is(0)),
	}
}

// TestScenariosShow: what an alert looks at shows what its scenario does.
func TestScenariosShow(t *testing.T) {
	if testing.Short() {
		t.Skip("demos take a while")
	}
	slots, wg := make(chan struct{}, 3), sync.WaitGroup{}
	for name, sign := range signs() {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := shows(t, name, 1000, sign); err != nil {
				t.Errorf("scenario %s: %v", name, err)
			}
		})
	}
	wg.Wait()
}

// TestNothingShowsWithoutAct: what shows a scenario is not there anyway.
func TestNothingShowsWithoutAct(t *testing.T) {
	t.Parallel()
	acts := signs()
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
