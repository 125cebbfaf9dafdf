package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shippedRules are the rule files as they are shipped.
func shippedRules(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, folder := range []string{"alerts", "rules"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "dashboards", folder, "*.yml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no rules in %s: %v", folder, err)
		}
		for _, f := range files {
			absolute, err := filepath.Abs(f)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, absolute)
		}
	}
	return all
}

// checkAlerts: what the demo shows makes the shipped rules fire, and a real Alertmanager hands the alerts on with all that whoever is
// called needs.
func checkAlerts(t *testing.T, manager *Alertmanager) {
	t.Helper()
	manager.EventuallyAlert(t, time.Minute, "TrainbridgeWatchdog", "firing")
	for name, labels := range map[string][]string{
		"TrainingJobFailed":      {"training_source", "training_job_id", "training_job_name", "severity"},
		"TrainingGpuXidCritical": {"hw_id", "nvml_xid", "severity"},
	} {
		alert := manager.EventuallyAlert(t, 3*time.Minute, name, "firing")
		for _, label := range labels {
			if alert.Labels[label] == "" {
				t.Errorf("%s has no %s: %v", name, label, alert.Labels)
			}
		}
		for _, annotation := range []string{"summary", "description", "runbook_url", "dashboard_url"} {
			if text := alert.Annotations[annotation]; text == "" || strings.Contains(text, "<no value>") {
				t.Errorf("%s: %s is %q", name, annotation, text)
			}
		}
	}
}
