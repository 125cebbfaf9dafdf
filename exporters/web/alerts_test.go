package web

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
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

// TestAlertsAreThoseShipped: what the page calls an alert is one, as bad as there, and the bounds of GPUs are those of the rules.
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
	w.sources[len(w.sources)-1], w.sources[0] = w.sources[0], w.sources[len(w.sources)-1] // that polls go on
	s := w.watched(t, time.Hour)
	s.o.Durable = func() bool { return false }
	v := s.status(s.look.find(query{Page: 1, Rows: 1, All: "attention"}), clock{now: at})
	seen := map[string]bool{}
	severity := regexp.MustCompile(`severity: (\w+)`)
	for _, p := range append(v.Now, v.Past...) {
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
	if len(seen) != 19 {
		t.Errorf("%d alerts are named: %v", len(seen), seen)
	}
	for name, parts := range map[string][]string{
		"TrainingJobGpuIdle":        {"[15m]) < 0.05", "for: 15m"},
		"TrainingJobSpinHang":       {"> 0.8", "< 0.35", "clamp_min(5 * ", ", 180)", "for: 3m", "[10m]) < 0.01", "[6h:5m]) > 0.05"},
		"TrainingJobZombieRunning":  {"[2h]) < 0.02", "for: 15m"},
		"TrainingGpuXidCritical":    {`nvml_xid=~"` + strings.Join(criticalXIDs, "|") + `"`},
		"TrainingGpuXidApplication": {`nvml_xid=~"` + strings.Join(applicationXIDs, "|") + `"`},
	} {
		for _, part := range parts {
			if !strings.Contains(rules[name], part) {
				t.Errorf("%s has changed and says %q no more: so must the page", name, part)
			}
		}
	}
}
