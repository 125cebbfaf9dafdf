package dashboards_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	rulesFile = "rules/gpu-jobs.yml"
	rulesTest = "rules/tests/gpu-jobs.yml"
)

// promtool runs promtool. Without it the test is skipped, or fails if TRAINBRIDGE_E2E is 1, as in test/e2e.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path := os.Getenv("PROMTOOL")
	for _, candidate := range []string{filepath.Join("..", ".cache", "bin", "promtool"), "promtool"} {
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

func TestRulesAreValid(t *testing.T) {
	if out, err := promtool(t, "check", "rules", "--lint=all", "--lint-fatal", rulesFile); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRulesByHand(t *testing.T) {
	if out, err := promtool(t, "test", "rules", rulesTest); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// variants are ways in which the same GPUs and jobs come to a Prometheus. The rules must make the same of all.
var variants = map[string]func(recording) recording{
	"one bridge":          func(r recording) recording { return r.with("instance", "bridge:9100") },
	"two replicas":        func(r recording) recording { return r.with("instance", "one:9100").and(r.with("instance", "two:9100")) },
	"a machine by GPU":    machines,
	"GPUs know only pods": byPods,
}

// machines puts every GPU into a machine of its own, and jobs into another bridge.
func machines(r recording) recording {
	return r.relabelled(func(s series) series {
		if id := s.labels["hw_id"]; id != "" {
			return s.with("instance", id[:12]+":9100")
		}
		return s.with("instance", "jobs:9100")
	})
}

// byPods takes the jobs from the GPUs and gives them pods instead: a pod of each job for each GPU, and containers of it.
func byPods(r recording) recording {
	out := recording{scrapes: r.scrapes, of: map[string]*history{}}
	for _, h := range r.of {
		s := h.series
		if s.name != "training_gpu_assignment_info" {
			out.put(s.with("instance", "node:9100"), h.values)
			continue
		}
		job, gpu := s.job(), s.labels["hw_id"]
		pod := func(name string, more ...string) series {
			return newSeries(name, append(more, "k8s_namespace_name", "train", "k8s_pod_name", "pod-"+gpu[:12]+"-"+job.id)...)
		}
		for _, c := range []string{"main", "sidecar"} {
			out.put(pod("nvml_gpu_pod_info", "hw_id", gpu, "k8s_container_name", c, "instance", "node:9100"), h.values)
		}
		for _, replica := range []string{"jobs-0:9100", "jobs-1:9100"} {
			out.put(pod("training_job_pod_info", "training_source", job.source, "training_job_id", job.id, "instance", replica), h.values)
		}
	}
	return out
}

// TestRulesOnARecording holds what the rules make of a recorded demo to what is computed here from the same numbers.
func TestRulesOnARecording(t *testing.T) {
	r := recorded(t)
	want := joined(t, r)
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			if out, err := try(t, rulesFile, variant(r), want); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestRulesOnJobsThatMakeSteps gives the recorded GPUs to recorded jobs whose steps are known, one of them to two jobs.
func TestRulesOnJobsThatMakeSteps(t *testing.T) {
	r := recorded(t)
	steps := map[string]job{}
	for _, h := range r.named("training_job_last_step_timestamp_seconds") {
		steps[h.job().id] = h.job()
	}
	ids := sortedKeys(steps)
	given := recording{scrapes: r.scrapes, of: map[string]*history{}}
	turn := 0
	for _, key := range sortedKeys(r.of) {
		h := r.of[key]
		if h.name != "training_gpu_assignment_info" {
			given.put(h.series, h.values)
			continue
		}
		owners := []string{ids[turn%min(3, len(ids))]}
		if turn == 0 {
			owners = append(owners, ids[len(ids)-1])
		}
		for _, id := range owners {
			given.put(h.with("training_source", steps[id].source).with("training_job_id", id), h.values)
		}
		turn++
	}
	want := joined(t, given)
	if len(want["training_job:last_step_age_seconds:min"]) == 0 {
		t.Error("no job of the recording runs and makes steps: record the demo anew")
	}
	if out, err := try(t, rulesFile, variants["two replicas"](given), want); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTheRecordingNotices plants mistakes into the rules.
func TestTheRecordingNotices(t *testing.T) {
	r := recorded(t)
	want := joined(t, r)
	rules, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			broken := strings.Replace(string(rules), m.from, m.to, 1)
			if broken == string(rules) {
				t.Fatalf("the rules do not have %q", m.from)
			}
			dir := t.TempDir()
			file := filepath.Join(dir, filepath.Base(rulesFile))
			if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
			var out string
			if m.variant == byHand {
				text, err := os.ReadFile(rulesTest)
				test := filepath.Join(dir, "tests", filepath.Base(rulesTest))
				if err == nil {
					err = os.Mkdir(filepath.Dir(test), 0o700)
				}
				if err == nil {
					err = os.WriteFile(test, text, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				out, err = promtool(t, "test", "rules", test)
				noticed(t, out, err)
				return
			}
			out, err := try(t, file, variants[m.variant](r), want)
			noticed(t, out, err)
		})
	}
}

func noticed(t *testing.T, out string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(out, "FAILED") {
		t.Errorf("nobody noticed (%v)\n%s", err, out)
	}
}

// byHand stands for the tests by hand instead of a variant of the recording.
const byHand = "by hand"

// mutants are mistakes in the rules, and what must notice them.
var mutants = map[string]struct{ from, to, variant string }{
	"replicas count twice":       {"max by (hw_id) (hw_power_watts)", "sum by (hw_id) (hw_power_watts)", "two replicas"},
	"replicas are not merged":    {"max by (hw_id) (nvml_gpu_up)", "nvml_gpu_up", "two replicas"},
	"the instance decides":       {"max by (hw_id) (rate(", "max by (hw_id, instance) (rate(", "two replicas"},
	"joined on the wrong label":  {"* on (hw_id) group_left () max by (hw_id)", "* on (instance) group_left () max by (instance)", "one bridge"},
	"joined on any label":        {"* on (hw_id) group_left () max by (hw_id) (nvml_gpu_sm", "* on () group_left () max (nvml_gpu_sm", "one bridge"},
	"encoders are utilisation":   {`hw_gpu_task="general"`, `hw_gpu_task="encoder"`, "one bridge"},
	"the usual GPU is the worst": {"min by (training_source", "avg by (training_source", "one bridge"},
	"jobs are one by source":     {"count by (training_source, training_job_id)", "count by (training_source)", "one bridge"},
	"power is its own limit":     {"max by (hw_id) (nvml_gpu_power_limit_watts)", "max by (hw_id) (hw_power_watts)", "one bridge"},
	"every busy GPU spins":       {"< bool 0.1)", "< bool 1.1)", "one bridge"},
	"pods do not count":          {"(nvml_gpu_pod_info)", "(nvml_gpu_no_info)", "GPUs know only pods"},
	"pods of any namespace":      {"* on (k8s_namespace_name, k8s_pod_name)", "* on (k8s_pod_name)", byHand},
	"two jobs claim a pod":       {"topk by (k8s_namespace_name, k8s_pod_name) (1,", "topk by (k8s_namespace_name, k8s_pod_name) (2,", byHand},
	"the older job has the pod":  {"topk by (k8s_namespace_name, k8s_pod_name) (1,", "bottomk by (k8s_namespace_name, k8s_pod_name) (1,", byHand},
	"all away is none away":      {"or 0 * training_job:gpus:count\n          )", "or 1 * training_job:gpus:count\n          )", byHand},
	"the power limit throttles":  {"hw_slowdown|", "hw_slowdown|sw_power_cap|", byHand},
	"a paused job is stuck":      {"training_job_phase{training_job_phase=\"running\"}) == 1", "training_job_phase{training_job_phase=\"running\"}) >= 0", byHand},
	"XIDs of the job before":     {">= on (training_source, training_job_id)", "> bool on (training_source, training_job_id)", byHand},
	"XIDs of any kind":           {`{nvml_xid=~"13|31|43|45|94"}`, "", byHand},
}

// try lets promtool compare what rules make of a recording with what is wanted.
func try(t *testing.T, rules string, r recording, want map[string]map[job]float64) (string, error) {
	t.Helper()
	rules, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	type input struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	type sample struct {
		Labels string  `json:"labels"`
		Value  float64 `json:"value"`
	}
	type check struct {
		Expr    string   `json:"expr"`
		Time    string   `json:"eval_time"`
		Samples []sample `json:"exp_samples"`
	}
	var inputs []input
	for _, h := range r.of {
		inputs = append(inputs, input{h.series.String(), h.notation()})
	}
	var checks []check
	for name, jobs := range want {
		c := check{Expr: name, Time: fmt.Sprintf("%ds", step*(r.scrapes-1)), Samples: []sample{}}
		for j, v := range jobs {
			c.Samples = append(c.Samples, sample{fmt.Sprintf(`%s{training_source=%q, training_job_id=%q}`, name, j.source, j.id), v})
		}
		checks = append(checks, c)
	}
	text, err := json.Marshal(map[string]any{ // which YAML is a superset of
		"rule_files": []string{rules}, "evaluation_interval": fmt.Sprintf("%ds", step), "fuzzy_compare": true,
		"tests": []any{map[string]any{"interval": fmt.Sprintf("%ds", step), "input_series": inputs, "promql_expr_test": checks}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return promtool(t, "test", "rules", file)
}

// step is how many seconds lie between two scrapes in promtool's time. With four of them in a rate's window of five minutes and no
// sample at its open end, the rate is the slope from the second scrape to the fifth.
const step = 75

// notation is the values of a series as promtool wants them.
func (h *history) notation() string {
	var b bytes.Buffer
	was := false
	for _, v := range h.values {
		switch {
		case v != nil:
			b.WriteString(strconv.FormatFloat(*v, 'f', -1, 64) + " ")
		case was: // what Prometheus writes when a scrape lacks a series
			b.WriteString("stale ")
		default:
			b.WriteString("_ ")
		}
		was = v != nil
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
