package dashboards_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/dashboards/grafana"
)

// crowd is every metric that there is, from two bridges, in the worst moment for a join: what the info series say has just changed, and
// the old ones have not gone, as with metrics that come by OTLP. Values change as well, so that rates are not 0.
type crowd struct {
	inputs []map[string]string
}

func (c *crowd) put(name string, pairs ...string) {
	for _, instance := range []string{"a:9877", "b:9877"} {
		s := newSeries(name, append(pairs, "instance", instance, "job", "trainbridge")...)
		c.inputs = append(c.inputs, map[string]string{"series": s.String(), "values": "1+1x30"})
	}
}

// values are those that a label has; the others have two that mean nothing.
var values = map[string][]string{
	"training_job_phase": {"running", "failed"}, "training_split": {"train", "validation"}, "hw_gpu_task": {"general", "encoder"}, "le": {"1", "+Inf"},
	"nvml_clock_domain": {"sm", "memory"}, "nvml_clock_event_reason": {"hw_thermal", "sw_thermal"}, "nvml_xid": {"31", "79"}, "training_source": {"s", "s"},
	"training_job_id": {"j0", "j1"}, "training_metric_name": {"loss", "loss/train"}, "error_type": {"auth", "uncorrected"}, "nvml_ecc_counter": {"volatile", "aggregate"},
	"nvml_mig_profile": {"", ""}, "hw_parent": {"", ""}, "result": {"rejected", "error"}, "training_job_result": {"failure", "success"},
}

func valueOf(label string, i int) string {
	if v, known := values[label]; known {
		return v[i]
	}
	return []string{"x", "y"}[i]
}

// add puts two series of every metric of a table for each of two things that it is about.
func addRows[E collector.Entity](c *crowd, identity []string, rows []collector.Row[E]) {
	for _, r := range rows {
		for thing := range 2 {
			for variant := range 2 {
				var pairs []string
				for _, key := range identity {
					pairs = append(pairs, collector.PromLabel(key), valueOf(collector.PromLabel(key), thing))
				}
				for _, key := range r.Labels {
					pairs = append(pairs, collector.PromLabel(key), valueOf(collector.PromLabel(key), variant))
				}
				if r.Kind == collector.Distribution {
					c.put(r.Prom+"_bucket", append(pairs, "le", valueOf("le", variant))...)
					continue
				}
				if len(r.Labels) > 0 || variant == 0 {
					c.put(r.Prom, pairs...)
				}
			}
		}
	}
}

var own = regexp.MustCompile("(?m)^\\| `((?:trainbridge|training_source)_[a-z_]+)` \\| [a-z]+ \\| ([^|]*) \\|")

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{}
	addRows(c, collector.JobIdentity(), collector.JobRows())
	addRows(c, collector.GroupIdentity(), collector.GroupRows())
	addRows(c, collector.SourceIdentity()[:0], collector.GPUHostRows())
	addRows(c, collector.SourceIdentity(), collector.SourceRows())
	addRows(c, collector.GPUIdentity(), collector.GPURows())
	page, err := os.ReadFile("../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range own.FindAllStringSubmatch(string(page), -1) {
		for variant := range 2 {
			var pairs []string
			for _, label := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[2], -1) {
				pairs = append(pairs, label[1], valueOf(label[1], variant))
			}
			if len(pairs) > 0 || variant == 0 {
				c.put(row[1], pairs...)
			}
		}
	}
	for _, name := range []string{"up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds", "go_goroutines"} {
		c.put(name)
	}
	slices.SortFunc(c.inputs, func(a, b map[string]string) int { return strings.Compare(a["series"], b["series"]) })
	c.inputs = slices.CompactFunc(c.inputs, func(a, b map[string]string) bool { return a["series"] == b["series"] })
	return c
}

// chosen puts what a person might choose in the place of variables.
var chosen = strings.NewReplacer(
	"$source", "s", "$job_id", "j0", "$job", "j0", "$group", "x", "$instance", ".*", "$gpu", "x", "$signal", "x", "$__rate_interval", "5m", "$__range", "1h",
)

var runbookQuery = regexp.MustCompile("(?s)```promql\n(.*?)```")

// queries are those of all dashboards and runbooks.
func queries(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, d := range grafana.All() {
		for _, r := range d.Rows {
			for _, p := range r.Panels {
				for _, q := range p.Queries {
					all = append(all, q.Expr)
				}
			}
		}
	}
	paths, err := filepath.Glob("runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range runbookQuery.FindAllStringSubmatch(string(text), -1) {
			all = append(all, q[1])
		}
	}
	if len(all) < 200 {
		t.Fatalf("only %d queries were found", len(all))
	}
	return all
}

// evaluate has promtool evaluate expressions over the crowd, and rules before them if there are any. What comes out does not matter: a
// match of many with many, or a series that comes twice, is an error.
func evaluate(t *testing.T, c *crowd, rules []string, exprs ...string) (string, error) {
	t.Helper()
	checks := []map[string]any{}
	for _, e := range exprs {
		checks = append(checks, map[string]any{"eval_time": "25m", "expr": "(" + chosen.Replace(e) + "\n) unless on () vector(1)", "exp_samples": []any{}})
	}
	text, err := json.Marshal(map[string]any{
		"rule_files": rules, "evaluation_interval": "1m",
		"tests": []any{map[string]any{"interval": "1m", "input_series": c.inputs, "promql_expr_test": checks}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "crowd.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return promtool(t, "test", "rules", file)
}

func allRules(t *testing.T) []string {
	t.Helper()
	var rules []string
	for _, pattern := range []string{"rules/*.yml", "alerts/*.yml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no rules in %s: %v", pattern, err)
		}
		for _, p := range paths {
			p, err := filepath.Abs(p)
			if err != nil {
				t.Fatal(err)
			}
			rules = append(rules, p)
		}
	}
	return rules
}

// TestNothingIsRedWithTwoBridges: no rule and no query of a dashboard or a runbook fails while two bridges tell of everything and what the
// info series say has just changed.
func TestNothingIsRedWithTwoBridges(t *testing.T) {
	out, err := evaluate(t, newCrowd(t), allRules(t), queries(t)...)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTheCrowdIsHard: joins that go well with one bridge, and all fail here.
func TestTheCrowdIsHard(t *testing.T) {
	hard := []string{
		"nvml_gpu_up * on (hw_id) nvml_gpu_up",
		"max by (hw_id) (nvml_gpu_up) * on (hw_id) group_left (nvml_gpu_index) max by (hw_id, nvml_gpu_index) (nvml_gpu_info)",
		"training_job_step * on (training_source, training_job_id) group_left (training_job_name) max by (training_source, training_job_id, training_job_name) (training_job_info)",
		"training_source_jobs / on (training_source) training_source_up",
		"nvml_gpus_expected - on (instance) max by (instance, nvml_call_group) (nvml_calls_total)",
	}
	out, err := evaluate(t, newCrowd(t), nil, hard...)
	if n := strings.Count(out, "duplicate series for the match group"); err == nil || n != len(hard) {
		t.Errorf("%d of %d fail: %v\n%s", n, len(hard), err, out)
	}
}
