package web

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// shipped are the texts of the alerts that are shipped, by name.
func shipped(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../dashboards/alerts/*.yml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files of alerts: %v", len(files), err)
	}
	rules := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, rule := range strings.Split(string(text), "- alert: ")[1:] {
			name, rest, _ := strings.Cut(rule, "\n")
			rules[name] = rest
		}
	}
	return rules
}

// notOnThePage are alerts that are not found here: of the first three the program tells the page, a driver that is down hides its GPUs
// and has its place in TestChecksOfTheRest, and the others are about a bridge that nobody can look at, or about nothing.
var notOnThePage = []string{
	"TrainbridgeStateNotWritable", "TrainbridgeConfigReloadFailed", "TrainbridgeOtlpFailing", "TrainingGpuDriverDown",
	"TrainbridgeTargetDown", "TrainbridgeAbsent", "TrainbridgeWatchdog",
}

// TestAlertsAreThoseShipped: what the page calls an alert is one, as bad as there; every alert is on the page; and the bounds are those
// of the rules.
func TestAlertsAreThoseShipped(t *testing.T) {
	rules := shipped(t)
	w := &world{}
	for i, class := range []string{"auth", "quota", "timeout", "dns"} {
		s := w.source(class, false)
		s.Health.LastError = class
		s.Health.CredentialExpiry = ago(-time.Duration(i+1) * time.Hour)
	}
	w.job("blind").Key.Source = "timeout"
	w.sources[2].Health.LastSuccess = ago(time.Hour)
	w.source("s", true)
	for _, id := range []string{"1", "2", "3"} {
		w.job(id, failedAt(time.Minute))
	}
	w.job("nan", with(collector.Loss, "train", math.NaN()))
	w.job("stalled", func(j *collector.Job) { j.LastStep = ago(2 * time.Hour) })
	w.job("budget", with(collector.Cost, "EUR", 11), with(collector.Budget, "EUR", 10))
	w.job("hung", func(j *collector.Job) { j.LastStep = ago(9 * time.Minute) })
	w.job("lazy")
	w.gpu(0, 0.99, 0.1, "hung")
	w.gpu(1, 0, 0.1, "lazy")
	w.gpu(2, 0, 0.1).Up = false
	for i, v := range []collector.GPUValue{
		{Metric: collector.DeviceXIDLast, Label: "79", Value: ago(time.Minute).Seconds()}, {Metric: collector.DeviceXIDLast, Label: "31", Value: ago(time.Minute).Seconds()},
		{Metric: collector.DeviceRowRemapFailure, Value: 1}, {Metric: collector.DeviceClockEvent, Label: "hw_thermal", Value: 1},
	} {
		w.gpu(3+i, 0.9, 0.9).Values = []collector.GPUValue{v}
	}
	w.gpus.Host.Assigned = []collector.AssignmentSource{{Name: "kubelet"}}
	w.gpus.Host.Helpers = 2
	running := func(id string, change ...func(*collector.Job)) int {
		w.job(id, append([]func(*collector.Job){func(j *collector.Job) { j.Since, j.Started = ago(9*time.Hour), ago(9*time.Hour) }}, change...)...)
		return len(w.jobs) - 1
	}
	zombie, ended, course := running("zombie", func(j *collector.Job) { j.LastStep = 0 }), running("ended"), running("course")
	running("queued", func(j *collector.Job) { j.Phase = collector.Pending })
	running("unstepped", func(j *collector.Job) { j.LastStep, j.Steps = 0, 0 })
	running("unsaved", with(collector.CheckpointLastCreated, "", ago(3*time.Hour).Seconds()), with(collector.CheckpointInterval, "", 60))
	running("silent", func(j *collector.Job) {
		j.Info, j.Status, j.LastStep, j.Updated = &collector.Info{Provider: "aitems"}, "running", 0, ago(30*time.Hour)
	})
	w.gpu(7, 0, 0.1, w.jobs[zombie].Key.ID)
	w.gpu(8, 0.9, 0.9, w.jobs[ended].Key.ID)
	for i := range 4 {
		w.gpu(9+i, 0.9, 0.9, "course")
		tell(w, 9+i, collector.DeviceClock, "sm", 2e9)
	}
	tell(w, 9, collector.DeviceClock, "sm", 1e9)
	tell(w, 9, collector.DevicePCIeWidth, "", 8)
	tell(w, 9, collector.DevicePCIeWidthMax, "", 16)
	tell(w, 9, collector.DeviceClockEvent, "sw_thermal", 1)
	w.sources[len(w.sources)-1], w.sources[0] = w.sources[0], w.sources[len(w.sources)-1] // that polls go on
	well, skew := w.sources[0], time.Minute
	w.played(t, 4*time.Hour, 30*time.Second, func(d time.Duration) {
		left := float64(d / time.Minute)
		well.Health.Polls += 2
		well.Health.Lag, well.Health.Skew, well.HeldGroups = 3*time.Minute, &skew, 1
		well.Health.PollErrors = []collector.Count{{Name: "quota", N: well.Health.Polls / 2}}
		well.Totals = &collector.Totals{Quarantined: well.Health.Polls}
		w.change(course, func(j *collector.Job) {
			j.Restarts++
			setTo(j, collector.Loss, "train", 1+max(0, 120-left))
			setTo(j, collector.TokensPerSecond, "", 1000+10*max(left, 40))
			if left < 40 {
				setTo(j, collector.TokensPerSecond, "", 100)
			}
		})
		if d == 30*time.Minute {
			w.change(ended, func(j *collector.Job) { j.Phase, j.Since, j.Ended = collector.Succeeded, ago(d), ago(d) })
		}
		tell(w, 10, collector.DeviceECCErrors, collector.JoinLabels("uncorrected", "volatile"), 300-left)
		xidUnder(w, d, 5, "course", 3*time.Hour)
		xidUnder(w, d, 5, "ended", 2*time.Hour)
		w.dropped++
	})
	s := w.site(t)
	s.o.Durable = func() bool { return false }
	v := s.status(s.look.find(query{Page: 1, Rows: 1, All: "attention"}), clock{now: at})
	seen := map[string]bool{}
	severity := regexp.MustCompile(`severity: (\w+)`)
	for _, p := range slices.Concat(v.Now, v.Past, v.Warnings) {
		for _, name := range p.Alerts() {
			seen[name] = true
			want := map[level]string{critical: "critical", warning: "warning", note: "info"}[p.level]
			if m := severity.FindStringSubmatch(rules[name]); m == nil || m[1] != want {
				t.Errorf("%s is shown as %s, and the alert is %q", name, want, m)
			}
		}
		if p.Do == "" {
			t.Errorf("%s: it is not said what to do", p.What)
		}
	}
	for name := range rules {
		if !seen[name] && !slices.Contains(notOnThePage, name) {
			t.Errorf("%s is not on the page", name)
		}
	}
	for name, parts := range map[string][]string{
		"TrainingJobLossDiverging":         {"1.5 * (min_over_time(training_job:loss:avg15m[6h:5m]) > 0)", "deriv(training_job:loss:avg15m[30m]) > 0", `!~"rl|grpo|ppo|dpo"`, "for: 20m"},
		"TrainingJobThroughputRegressed":   {"0.7 * quantile_over_time(0.5, training_job:throughput:avg10m[6h:5m] offset 20m)", "offset 20m) >= 7", "for: 15m"},
		"TrainingJobRestartLoop":           {"[1h])", ">= 3"},
		"TrainingJobCheckpointStale":       {"clamp_min(3 * max", ", 1800)"},
		"TrainingJobStuckQueued":           {"> 3600", `"pending|initializing"`, `training_job_status="ready"`},
		"TrainingJobNoFirstStep":           {"> 1800"},
		"TrainingJobStalled":               {"[1h]", "< 360", "[6h]"},
		"TrainingJobFalseTerminal":         {"[10m]", "> 0.5", "> 600", "for: 10m"},
		"TrainingJobStragglerGpu":          {"0.85 * quantile", ">= 4", "[15m])) > 0.5", "for: 15m"},
		"TrainingGpuPcieDowntrained":       {"[15m])) > 0.2", "for: 15m"},
		"TrainingGpuThrottled":             {"sw_thermal|hw_thermal|hw_power_brake", "> 0.2"},
		"TrainingGpuUncorrectableEcc":      {"[1h]", `error_type="uncorrected", nvml_ecc_counter="volatile"`},
		"TrainingGpuXidRepeatsAcrossJobs":  {`"13|31"`, "[24h]", ") == 1", ">= 2"},
		"TrainingGpuHelperStuck":           {">= 2", "[10m]", "for: 5m"},
		"TrainbridgeLagging":               {"> 120", "for: 10m"},
		"TrainbridgeSeriesHeldBack":        {"[15m]", "for: 30m"},
		"TrainbridgeOtlpDataLost":          {"[30m]"},
		"TrainingSourceRateLimited":        {`"rate_limited|quota"`, "[15m]", "> 0.05", "for: 15m"},
		"TrainingSourceSchemaDrift":        {"[1h]", "offset 1h"},
		"TrainingSourceCredentialExpiring": {"< 259200"},
		"TrainingSourceClockSkew":          {"> 30", "for: 15m"},
		"TrainingJobGpuIdle":               {"[15m]) < 0.05", "for: 15m"},
		"TrainingJobSpinHang":              {"> 0.8", "< 0.35", "clamp_min(5 * ", ", 180)", "for: 3m", "[10m]) < 0.01", "[6h:5m]) > 0.05"},
		"TrainingJobZombieRunning":         {"[2h]) < 0.02", "> 86400", `training_provider="aitems"`, "for: 15m"},
		"TrainingGpuXidCritical":           {`nvml_xid=~"` + strings.Join(criticalXIDs, "|") + `"`},
		"TrainingGpuXidApplication":        {`nvml_xid=~"` + strings.Join(applicationXIDs, "|") + `"`},
	} {
		for _, part := range parts {
			if !strings.Contains(rules[name], part) {
				t.Errorf("%s has changed and says %q no more: so must the page", name, part)
			}
		}
	}
}
