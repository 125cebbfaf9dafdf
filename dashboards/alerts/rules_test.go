// Package alerts_test holds the alerts to what they promise: they load, they fire when they should and not otherwise, they use
// metrics and labels that exist, and each has a runbook.
package alerts_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// ruleFile is what a file of rules may hold: nothing that Prometheus 2.40 does not know.
type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type rule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

func (r rule) name() string { return r.Record + r.Alert }

// joined is the file of rules that joins GPUs and jobs, which these here build upon.
const joined = "../rules/gpu-jobs.yml"

// load reads all files of rules, by path.
func load(t *testing.T) map[string]ruleFile {
	t.Helper()
	paths, err := filepath.Glob("*.yml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("find the files of rules: %v, %d found", err, len(paths))
	}
	files := map[string]ruleFile{}
	for _, path := range append(paths, joined) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var f ruleFile
		d := yaml.NewDecoder(bytes.NewReader(data))
		d.KnownFields(true)
		if err := d.Decode(&f); err != nil {
			t.Fatalf("%s: %v (fields that are newer than Prometheus 2.40 are not allowed)", path, err)
		}
		files[path] = f
	}
	return files
}

// rules are all rules of all files.
func rules(t *testing.T) []rule {
	t.Helper()
	var all []rule
	for _, f := range load(t) {
		for _, g := range f.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all
}

func alerts(t *testing.T) []rule {
	t.Helper()
	return slices.DeleteFunc(rules(t), func(r rule) bool { return r.Alert == "" })
}

// promtool runs promtool. Without it the test is skipped, or fails if TRAINBRIDGE_E2E is 1, as in test/e2e.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path := os.Getenv("PROMTOOL")
	for _, candidate := range []string{filepath.Join("..", "..", ".cache", "bin", "promtool"), "promtool"} {
		if path != "" {
			break
		}
		if found, err := exec.LookPath(candidate); err == nil || errors.Is(err, exec.ErrDot) {
			path = found
		}
	}
	if path == "" {
		const text = "promtool is neither in .cache/bin nor in PATH: run .ci/tools promtool, or set PROMTOOL to its path"
		if os.Getenv("TRAINBRIDGE_E2E") == "1" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	return string(out), err
}

func TestRulesLoad(t *testing.T) {
	paths, err := filepath.Glob("*.yml")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, paths...)...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAlerts runs the tests of the rules. The quiet day is part of them. They take a minute of CPU.
func TestAlerts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute of CPU")
	}
	paths, err := filepath.Glob("tests/*.yml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("find the tests: %v, %d found", err, len(paths))
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yml"), func(t *testing.T) {
			t.Parallel()
			if out, err := promtool(t, "test", "rules", path); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestEveryAlertIsTested asks that each alert is seen to fire and, but for the watchdog, not to fire.
func TestEveryAlertIsTested(t *testing.T) {
	fires, quiet := map[string]int{}, map[string]int{}
	for _, f := range unitTests(t) {
		for _, u := range f.Tests {
			for _, c := range u.Checks {
				count := fires
				if len(c.Want) == 0 {
					count = quiet
				}
				count[c.alert()]++
			}
		}
	}
	for _, a := range alerts(t) {
		if fires[a.Alert] == 0 {
			t.Errorf("no test sees %s fire", a.Alert)
		}
		if quiet[a.Alert] == 0 && a.Alert != "TrainbridgeWatchdog" {
			t.Errorf("no test sees that %s does not fire", a.Alert)
		}
	}
}

// unitTest is a file of promtool's tests, as far as it is read here.
type unitTest struct {
	RuleFiles  []string `yaml:"rule_files"`
	GroupOrder []string `yaml:"group_eval_order,omitempty"`
	Interval   string   `yaml:"evaluation_interval"`
	Tests      []struct {
		Interval string      `yaml:"interval"`
		Series   []yaml.Node `yaml:"input_series"`
		Checks   []check     `yaml:"promql_expr_test"`
	} `yaml:"tests"`
}

type check struct {
	At   string      `yaml:"eval_time"`
	Expr string      `yaml:"expr"`
	Want []yaml.Node `yaml:"exp_samples"`
}

// alert is the alert that the check asks for, empty if it asks for another thing.
func (c check) alert() string {
	_, after, found := strings.Cut(c.Expr, `ALERTS{alertname="`)
	name, _, closed := strings.Cut(after, `"`)
	if !found || !closed {
		return ""
	}
	return name
}

func unitTests(t *testing.T) map[string]unitTest {
	t.Helper()
	paths, err := filepath.Glob("tests/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]unitTest{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var u unitTest
		if err := yaml.Unmarshal(data, &u); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[path] = u
	}
	return all
}
