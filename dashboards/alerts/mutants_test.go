package alerts_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var allMutants = flag.Bool("mutants", false, "plant all mistakes, not only some")

// mutant is a mistake in a rule that the tests of an alert must notice. The rule is the alert itself if it is not named.
type mutant struct{ alert, rule, from, to string }

const byJob = " by (training_source, training_job_id)"

// mutants are, for each alert, a threshold, an aggregation, a mute or a condition that is missing.
var mutants = [...]mutant{
	{"TrainingJobFailed", "", "training_job_updated_timestamp_seconds) < 3600", "training_job_updated_timestamp_seconds) < 36000"},
	{"TrainingJobFailed", "training_job:failed:info", "max" + byJob + ` (training_job_phase{`, `(training_job_phase{`},
	{"TrainingJobFailed", "", "training_job_phase_since_timestamp_seconds) < 3600", "training_job_phase_since_timestamp_seconds) < 36000"},
	{"TrainingJobFailed", "", "max_over_time(training_job:open:info[6h:10m])", "max_over_time(training_job:open:info[6h:10m]) > 1"},
	{"TrainingJobFailed", "training_job:failed:info", "training_job_ended_timestamp_seconds", "training_job_phase"},
	{"TrainingJobFailed", "training_job:info:topk1", "topk" + byJob + " (1,", "(0 +"},
	{"TrainingJobFailureStorm", "", ">= 3", ">= 2"},
	{"TrainingJobFailureStorm", "", ">= 5", ">= 4"},
	{"TrainingJobFailureStorm", "", "count by (training_source) (count by (training_source, training_project) (training_job:failed30m:info))", "count by (training_source) (training_job:failed30m:info)"},
	{"TrainingJobFailureStorm", "training_job:failed:info", "max" + byJob + ` (training_job_phase{`, `(training_job_phase{`},
	{"TrainingJobFailureStorm", "training_job:failed30m:info", "< 1800", "< 3600"},
	{"TrainingJobFailureStorm", "training_job:failed:info", "training_job_ended_timestamp_seconds", "training_job_phase"},
	{"TrainingJobStalled", "training_job:next_step_within:seconds", "600)", "300)"},
	{"TrainingJobStalled", "training_job:next_step_within:seconds", "clamp_min(10 *", "clamp_min(2 *"},
	{"TrainingJobStalled", "training_job:next_step_within:seconds", "    3\n    * (", "    1\n    * ("},
	{"TrainingJobStalled", "training_job:next_step_within:seconds", "3600\n  ),\n  21600", "3600\n  ),\n  216000"},
	{"TrainingJobStalled", "training_job:next_step_within:seconds", "* 0 + 3600", "* 0 + 36000"},
	{"TrainingJobStalled", "", "unless on (training_source) max_over_time(training_source:blind:info[10m])", ""},
	{"TrainingJobStalled", "", "max_over_time(training_source:blind:info[10m])", "training_source:blind:info"},
	{"TrainingJobStalled", "", "and on (training_source, training_job_id) training_job:running:info", ""},
	{"TrainingJobStalled", "", "training_job_last_step_duration_seconds) < 360", "training_job_last_step_duration_seconds) < 36000"},
	{"TrainingJobStalled", "", "training_job_phase_since_timestamp_seconds) > 3600", "training_job_phase_since_timestamp_seconds) > 0"},
	{"TrainingJobStalled", "training_job:last_step_or_start:max", "training_job_phase_since_timestamp_seconds)\n", "training_job_created_timestamp_seconds or training_job_last_step_timestamp_seconds - 1)\n"},
	{"TrainingJobStalled", "training_job:open:info", "unless", "and"},
	{"TrainingJobStalled", "training_source:blind:info", "(max by (training_source) (training_source_up) == 0)", "(min by (training_source) (training_source_up) == 0)"},
	{"TrainingJobStalled", "training_source:blind:info", "event_lag_seconds) > 300", "event_lag_seconds) > 3000"},
	{"TrainingJobStalled", "training_source:blind:info", "last_success_timestamp_seconds) > 900", "last_success_timestamp_seconds) > 90000"},
	{"TrainingJobStalled", "training_source:blind:info", "[15m:1m]) < 10)", "[15m:1m]) < 0)"},
	{"TrainingJobStalled", "training_source:blind:info", "(count_over_time(max by (training_source) (training_source_up)[15m:1m]) < 10)", "(max by (training_source) (training_source_up) unless max by (training_source) (training_source_up offset 10m))"},
	{"TrainingJobStalled", "training_source:blind:info", "ratio10m > 0.5", "ratio10m > 5"},
	{"TrainingJobStalled", "training_source:blind:info", "trainbridge_state_writable)\n  ) == 0", "trainbridge_state_writable)\n  ) == 5"},
	{"TrainingJobStalled", "training_source:failed_polls:ratio10m", "min by (training_source)", "max by (training_source)"},
	{"TrainingJobStalled", "training_source:failed_polls:ratio10m", "not_found|", ""},
	{"TrainingJobStalled", "training_source:failed_polls:ratio10m", "|rate_limited", ""},
	{"TrainingJobNoFirstStep", "", "> 1800", "> 900"},
	{"TrainingJobNoFirstStep", "", "unless on (training_source, training_job_id) (training_job_epoch > 0)", ""},
	{"TrainingJobNoFirstStep", "", "unless on (training_source) max_over_time(training_source:blind:info[10m])", ""},
	{"TrainingJobLossNonFinite", "", "< 900", "< 9000"},
	{"TrainingJobLossNonFinite", "", `{training_metric_name=~"loss(/train|/validation|/test)?"}`, ""},
	{"TrainingJobLossNonFinite", "", "and on (training_source, training_job_id) training_job:running:info", ""},
	{"TrainingJobLossNonFinite", "", "or abs(training_job_loss) == Inf", ""},
	{"TrainingJobLossDiverging", "", "1.5 *", "1.05 *"},
	{"TrainingJobLossDiverging", "", " > 0)\n", ")\n"},
	{"TrainingJobLossDiverging", "", "and on (training_source, training_job_id) deriv(training_job:loss:avg15m[30m]) > 0", ""},
	{"TrainingJobLossDiverging", "", `{training_job_kind!~"rl|grpo|ppo|dpo"}`, ""},
	{"TrainingJobLossDiverging", "", "unless on (training_source) max_over_time(training_source:blind:info[10m])", ""},
	{"TrainingJobLossDiverging", "training_job:loss:avg15m", `{training_split="train"}`, ""},
	{"TrainingJobThroughputRegressed", "", "0.7 *", "0.8 *"},
	{"TrainingJobThroughputRegressed", "", ">= 7", ">= 1"},
	{"TrainingJobThroughputRegressed", "", "unless on (training_source) max_over_time(training_source:blind:info[10m])", ""},
	{"TrainingJobStuckQueued", "", "> 3600", "> 1800"},
	{"TrainingJobStuckQueued", "", `unless on (training_source, training_job_id) training_job_status_info{training_job_status="ready"}`, ""},
	{"TrainingJobStuckQueued", "", "unless on (training_source) max_over_time(training_source:blind:info[10m])", ""},
	{"TrainingJobRestartLoop", "", ">= 3", ">= 2"},
	{"TrainingJobRestartLoop", "", "training_job_restarts_total - min_over_time(training_job_restarts_total[1h])", "training_job_restarts_total"},
	{"TrainingJobCheckpointStale", "", "1800)", "180)"},
	{"TrainingJobCheckpointStale", "", "clamp_min(3 *", "clamp_min(2 *"},
	{"TrainingJobCheckpointStale", "", "training_job_phase_since_timestamp_seconds", "training_job_checkpoint_last_created_timestamp_seconds"},
	{"TrainingJobCheckpointStale", "", "and on (training_source, training_job_id) training_job:running:info", ""},
	{"TrainingJobCheckpointStale", "", "unless on (training_source) max_over_time(training_source:blind:info[10m])", ""},
	{"TrainingJobRestartLoop", "", "and on (training_source, training_job_id) max_over_time(training_job:open:info[5m])", ""},
	{"TrainingJobThroughputRegressed", "", "and on (training_source, training_job_id) training_job:running:info", ""},
	{"TrainingJobLossDiverging", "", "and on (training_source, training_job_id) training_job:running:info", ""},
	{"TrainingJobNoFirstStep", "", "and on (training_source, training_job_id) training_job:running:info", ""},
	{"TrainingJobSpinHang", "", "and on (training_source, training_job_id) training_job:running:info", ""},
	{"TrainingJobStragglerGpu", "", "and on (training_source, training_job_id) training_job:running:info", ""},
	{"TrainingJobZombieRunning", "", "and on (training_source, training_job_id) training_job:running:info", ""},
	{"TrainingJobZombieRunning", "", "training_job_phase_since_timestamp_seconds) > 7200", "training_job_phase_since_timestamp_seconds) > 0"},
	{"TrainingJobGpuIdle", "", "training_job_phase_since_timestamp_seconds) > 900", "training_job_phase_since_timestamp_seconds) > 0"},
	{"TrainingJobOverBudget", "", "> on (training_source, training_job_id, training_currency)", ">= on (training_source, training_job_id, training_currency)"},
	{"TrainingJobOverBudget", "", "and on (training_source, training_job_id) training_job:open:info", ""},
	{"TrainingJobZombieRunning", "", "< 0.02", "< 0.6"},
	{"TrainingJobZombieRunning", "", "count_over_time(training_job:gpu_utilization_ratio:avg[15m] offset 105m)", "training_job:running:info"},
	{"TrainingJobZombieRunning", "", `{training_job_kind!~"(Build|Deploy)/.*"}`, ""},
	{"TrainingJobZombieRunning", "", `training_job_info{training_provider="aitems"}`, "training_job_info"},
	{"TrainingJobZombieRunning", "", "unless on (training_source) max_over_time(training_source:blind:info[10m])", ""},
	{"TrainingJobFalseTerminal", "", "> 0.5", "> 0.3"},
	{"TrainingJobFalseTerminal", "", "unless on (hw_id)", "and on (hw_id)"},
	{"TrainingJobFalseTerminal", "", "> 600", "> 0"},
	{"TrainingJobGpuIdle", "", "< 0.05", "< 0.07"},
	{"TrainingJobGpuIdle", "", "and on (training_source, training_job_id) training_job:running:info", ""},
	{"TrainingJobGpuIdle", "", "unless on (training_source) max_over_time(training_source:blind:info[10m])", ""},
	{"TrainingJobGpuIdle", "training_job:gpu_utilization_ratio:avg", "avg" + byJob + " (training_job_gpu_utilization_ratio)", "training_job_gpu_utilization_ratio"},
	{"TrainingJobSpinHang", "", "< 0.35", "< 0.5"},
	{"TrainingJobSpinHang", "", "> 0.8", "> 0.5"},
	{"TrainingJobSpinHang", "", "[6h:5m]) > 0.05", "[6h:5m]) >= 0"},
	{"TrainingJobSpinHang", "", "unless on (training_source) max_over_time(training_source:blind:info[10m])", ""},
	{"TrainingJobStragglerGpu", "", "0.85 *", "0.95 *"},
	{"TrainingJobStragglerGpu", "", ">= 4", ">= 3"},
	{"TrainingJobStragglerGpu", "", "> 0.5", "> 0.05"},
	{"TrainingGpuXidCritical", "", "< 3600", "< 36000"},
	{"TrainingGpuXidCritical", "", "|79|", "|"},
	{"TrainingGpuXidCritical", "", "|62|64|", "|62|63|64|"},
	{"TrainingGpuXidCritical", "", "max by (hw_id, nvml_xid) (nvml_gpu_xid_last", "max by (hw_id, instance, nvml_xid) (nvml_gpu_xid_last"},
	{"TrainingGpuXidApplication", "", "< 1800", "< 18000"},
	{"TrainingGpuXidApplication", "", ">= 180", ">= 0"},
	{"TrainingGpuXidApplication", "", "max_over_time(training_gpu:xid_of_job:info[30m])", "training_gpu:xid_of_job:info"},
	{"TrainingGpuXidApplication", "training_gpu:job:info", "> 1", "> 2"},
	{"TrainingGpuXidRepeatsAcrossJobs", "", ">= 2", ">= 1"},
	{"TrainingGpuXidRepeatsAcrossJobs", "training_gpu:xid_of_job:info", "< on (training_source, training_job_id)", "> on (training_source, training_job_id)"},
	{"TrainingGpuXidRepeatsAcrossJobs", "", ") == 1", ") >= 1"},
	{"TrainingGpuUncorrectableEcc", "", "max by (hw_id)", "max by (hw_id, instance)"},
	{"TrainingGpuUncorrectableEcc", "", `error_type="uncorrected", `, ""},
	{"TrainingGpuUncorrectableEcc", "", "- min_over_time", "- 0 * min_over_time"},
	{"TrainingGpuRowRemapFailed", "", "max by (hw_id)", "max by (hw_id, instance)"},
	{"TrainingGpuRowRemapFailed", "", "== 1", ">= 0"},
	{"TrainingGpuVanished", "", `{nvml_mig_profile=""}`, ""},
	{"TrainingGpuVanished", "", "unless on (instance) (nvml_gpu_up == 0)", ""},
	{"TrainingGpuVanished", "", "unless on (instance) (max by (instance) (nvml_up) == 0)", ""},
	{"TrainingGpuVanished", "", "max by (hw_id) (nvml_gpu_up)", "min by (hw_id) (nvml_gpu_up)"},
	{"TrainingGpuThrottled", "", "sw_thermal|", "sw_power_cap|sw_thermal|"},
	{"TrainingGpuThrottled", "", "> 0.5", "> 0.2"},
	{"TrainingGpuThrottled", "", "> 0.2", ">= 0"},
	{"TrainingGpuPcieDowntrained", "", "> 0.2", "> 0.05"},
	{"TrainingGpuPcieDowntrained", "", "nvml_gpu_pcie_link_width) < on", "nvml_gpu_pcie_link_width) <= on"},
	{"TrainingGpuDriverDown", "", "avg_over_time(nvml_up[10m])", "nvml_up"},
	{"TrainingGpuDriverDown", "", "< 0.5", "< 0.9"},
	{"TrainingGpuHelperStuck", "", "min_over_time(nvml_helpers[10m])", "max_over_time(nvml_helpers[10m])"},
	{"TrainingGpuAssignmentUnreadable", "", "< 0.5", "< 0.9"},
	{"TrainingSourceDown", "", "max by (training_source)", "min by (training_source)"},
	{"TrainingSourceDown", "", "avg_over_time(training_source_up[10m])", "training_source_up"},
	{"TrainingSourceBlindToRunningJobs", "", "> 900", "> 600"},
	{"TrainingSourceBlindToRunningJobs", "", `{training_job_phase="running"}`, ""},
	{"TrainingSourceAuthRejected", "", `{error_type="auth"}`, ""},
	{"TrainingSourceAuthRejected", "", "max_over_time(training_source_fault_info{error_type=\"auth\"}[2m])", "training_source_fault_info{error_type=\"auth\"}"},
	{"TrainingSourceAuthRejected", "", "[2m]", "[10m]"},
	{"TrainingSourceAuthRejected", "", "max by (training_source)", "max by (training_source, instance)"},
	{"TrainingSourceBlindToRunningJobs", "", "(max_over_time(max by (training_source) (training_source_up)[15m:1m]) == 0) + 900", "(max by (training_source) (training_source_up) > 1)"},
	{"TrainingSourceBlindToRunningJobs", "", ">= 10", ">= 1"},
	{"TrainingSourceDown", "", "training_source:failed_polls:ratio10m > 0.5", "training_source:failed_polls:ratio10m > 1"},
	{"TrainingSourceCredentialExpiring", "", "offset 23h", "offset 1m"},
	{"TrainingSourceCredentialExpiring", "", "max_over_time(training_source_credential_expiry_timestamp_seconds[2h] offset 23h)", "training_source_credential_expiry_timestamp_seconds offset 1d"},
	{"TrainingSourceCredentialExpiring", "", "< 259200", "< 300000"},
	{"TrainingSourceRateLimited", "", "> 0.05", "> 0.04"},
	{"TrainingSourceRateLimited", "", "rate_limited|quota", "rate_limited"},
	{"TrainingSourceSchemaDrift", "", "(training_source_unknown_values_total) > 0", "(training_source_unknown_values_total) > 100"},
	{"TrainingSourceSchemaDrift", "", "max_over_time(training_source_unknown_values_total[30m] offset 1h)", "training_source_unknown_values_total offset 1h"},
	{"TrainingSourceSchemaDrift", "", "increase(training_source_events_quarantined_total[1h])", "training_source_events_quarantined_total"},
	{"TrainingSourceSchemaDrift", "", "increase(training_source_unknown_values_total[1h])", "0 * increase(training_source_unknown_values_total[1h])"},
	{"TrainingSourceClockSkew", "", "abs(training_source_clock_skew_seconds)", "training_source_clock_skew_seconds"},
	{"TrainingSourceClockSkew", "", "> 30", "> 20"},
	{"TrainbridgeLagging", "", "> 120", ">= 120"},
	{"TrainbridgeLagging", "", "min by (training_source)", "max by (training_source)"},
	{"TrainbridgeLagging", "", "unless on (training_source) (max by (training_source) (training_source_up) == 0)", ""},
	{"TrainbridgeSeriesHeldBack", "", " unless on (training_source) training_source:blind:info", ""},
	{"TrainbridgeSeriesHeldBack", "", "increase(training_source_values_held_total[15m])", "training_source_values_held_total"},
	{"TrainbridgeOtlpFailing", "", "> 0.5", "> 0.4"},
	{"TrainbridgeOtlpDataLost", "", "partial|rejected", "partial|rejected|retry"},
	{"TrainbridgeOtlpDataLost", "", "increase(trainbridge_outbox_spans_dropped_total[30m])", "trainbridge_outbox_spans_dropped_total"},
	{"TrainbridgeStateNotDurable", "", "== 0", ">= 0"},
	{"TrainbridgeStateNotWritable", "", "== 0", ">= 0"},
	{"TrainbridgeConfigReloadFailed", "", "== 0", ">= 0"},
	{"TrainbridgeTargetDown", "", `{job="trainbridge"}`, ""},
	{"TrainbridgeTargetDown", "", `avg_over_time(up{job="trainbridge"}[10m])`, `up{job="trainbridge"}`},
	{"TrainbridgeAbsent", "", " == 1", ""},
	{"TrainbridgeWatchdog", "trainbridge:gpu_jobs_rules:info", "vector(1)", "vector(1) > 1"},
}

// waits are alerts whose patience is tested: without it their tests must fail.
var waits = []string{
	"TrainingJobNoFirstStep", "TrainingJobLossDiverging", "TrainingJobThroughputRegressed", "TrainingJobStuckQueued",
	"TrainingJobCheckpointStale", "TrainingJobZombieRunning", "TrainingJobFalseTerminal", "TrainingJobGpuIdle", "TrainingJobSpinHang",
	"TrainingJobStragglerGpu", "TrainingGpuVanished", "TrainingGpuThrottled", "TrainingGpuPcieDowntrained", "TrainingGpuHelperStuck",
	"TrainingGpuAssignmentUnreadable", "TrainingSourceDown", "TrainingSourceAuthRejected", "TrainingSourceRateLimited", "TrainingSourceSchemaDrift",
	"TrainingSourceClockSkew", "TrainbridgeLagging", "TrainbridgeSeriesHeldBack", "TrainbridgeOtlpFailing", "TrainbridgeStateNotDurable",
	"TrainbridgeStateNotWritable", "TrainbridgeConfigReloadFailed", "TrainbridgeTargetDown", "TrainbridgeAbsent",
}

// few are planted without -mutants.
const few = 3

// TestMistakesAreNoticed plants one mistake after the other and asks that the tests of its alert go red. All of them:
//
//	go test ./dashboards/alerts -run Mistakes -args -mutants
func TestMistakesAreNoticed(t *testing.T) {
	planted := slices.Clone(mutants[:])
	for _, alert := range waits {
		planted = append(planted, mutant{alert: alert, rule: "for"})
	}
	have := map[string]bool{}
	for _, m := range planted {
		have[m.alert] = true
	}
	for _, a := range alerts(t) {
		if !have[a.Alert] {
			t.Errorf("no mistake is planted in %s", a.Alert)
		}
	}
	every := len(planted) / few
	for i, m := range planted {
		if !*allMutants && i%every != 0 {
			continue
		}
		t.Run(m.alert+"/"+m.rule+"/"+m.to, func(t *testing.T) {
			t.Parallel()
			out, err := m.test(t)
			noticed := strings.Contains(out, m.alert) || strings.Contains(out, "found duplicate series")
			if err == nil || !noticed {
				t.Errorf("%s\n\t%q -> %q\nis not noticed: %v\n%s", m.alert+" "+m.rule, m.from, m.to, err, out)
			}
		})
	}
}

// test runs the tests of the alert over rules with the mistake.
func (m mutant) test(t *testing.T) (string, error) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, v any) {
		data, err := yaml.Marshal(v)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("rules.yml", ruleFile{Groups: []ruleGroup{{Name: "rules", Rules: m.plant(t)}}})
	paths := []string{"test", "rules"}
	for path, u := range unitTests(t) {
		u.RuleFiles, u.GroupOrder = []string{"rules.yml"}, nil
		kept := u.Tests[:0]
		for _, one := range u.Tests {
			one.Checks = slices.DeleteFunc(one.Checks, func(c check) bool { return c.alert() != m.alert })
			if len(one.Checks) > 0 {
				kept = append(kept, one)
			}
		}
		if u.Tests = kept; len(kept) > 0 {
			write(filepath.Base(path), u)
			paths = append(paths, filepath.Join(dir, filepath.Base(path)))
		}
	}
	return promtool(t, paths...)
}

// plant returns the alert and the rules that it is made of, in order, with the mistake in it.
func (m mutant) plant(t *testing.T) []rule {
	t.Helper()
	byName, order := map[string]rule{}, []string{}
	files := load(t)
	for _, path := range []string{joined, "recording.yml", "jobs.yml", "gpus.yml", "sources.yml", "bridge.yml"} {
		for _, g := range files[path].Groups {
			for _, r := range g.Rules {
				byName[r.name()], order = r, append(order, r.name())
			}
		}
	}
	wanted := map[string]bool{}
	var want func(name string)
	want = func(name string) {
		if r, found := byName[name]; found && !wanted[name] {
			wanted[name] = true
			for metric := range scan(r.Expr).metrics {
				want(metric)
			}
		}
	}
	want(m.alert)
	target := m.rule
	if target == "" || target == "for" {
		target = m.alert
	}
	r, found := byName[target]
	switch {
	case !found:
		t.Fatalf("there is no rule %s", target)
	case m.rule == "for" && r.For == "":
		t.Fatalf("%s does not wait", target)
	case m.rule == "for":
		r.For = ""
	case !strings.Contains(r.Expr, m.from):
		t.Fatalf("%s does not have %q: mend the mutant", target, m.from)
	default:
		r.Expr = strings.ReplaceAll(r.Expr, m.from, m.to)
	}
	byName[target] = r
	var rules []rule
	for _, name := range order {
		if wanted[name] {
			rules = append(rules, byName[name])
		}
	}
	return rules
}
