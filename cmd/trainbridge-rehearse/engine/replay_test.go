package engine

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/engine/enginetest"
)

const dashboards = "../../../dashboards"

// shippedAlerts are the alerts of the shipped rules as if each had fired for an hour.
func shippedAlerts(t *testing.T) Timeline {
	t.Helper()
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	timeline := Timeline{Start: start, End: start.Add(3 * time.Hour), ExternalLabels: map[string]string{"cluster": "a", "severity": "none"}}
	files, err := filepath.Glob(dashboards + "/alerts/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		var content struct {
			Groups []struct {
				Rules []struct {
					Alert, Expr         string
					Labels, Annotations map[string]string
				}
			}
		}
		text, err := os.ReadFile(file)
		if err == nil {
			err = yaml.Unmarshal(text, &content)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range content.Groups {
			for _, rule := range group.Rules {
				if rule.Alert == "" {
					continue
				}
				labels := map[string]string{"alertname": rule.Alert, "training_source": "wandb", "training_job_name": "a \"job\"\nof two lines"}
				maps.Copy(labels, rule.Labels)
				timeline.Alerts = append(timeline.Alerts, Alert{
					Name: rule.Alert, Labels: labels, Annotations: rule.Annotations, Expr: rule.Expr,
					Pending: start, Fired: start.Add(time.Hour), Resolved: start.Add(2 * time.Hour),
				})
			}
		}
	}
	return timeline
}

// Every shipped alert reaches a real Alertmanager, is routed as in the compose example, and resolves there.
func TestReplayReachesAlertmanager(t *testing.T) {
	manager := enginetest.StartAlertmanager(t, "../../../deploy/compose/alertmanager.yml")
	timeline := shippedAlerts(t)
	twice := timeline.Alerts[0] // and one fires twice
	twice.Fired, twice.Resolved = twice.Fired.Add(90*time.Minute), time.Time{}
	timeline.Alerts = append(timeline.Alerts, twice)
	began := time.Now()
	replay := Replay{URL: manager.URL, Sent: func(ctx context.Context, sent []Notification) error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		status, since := "firing", sent[0].StartsAt
		if !sent[0].EndsAt.After(time.Now()) {
			status = "resolved"
		}
		var keys []string
		for _, n := range sent {
			keys = append(keys, enginetest.Key(n.Labels))
		}
		return manager.Await(ctx, status, since, keys)
	}}
	if err := replay.Play(t.Context(), timeline); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, r := range manager.Received() {
		got[r.Labels["alertname"]+" "+r.Status]++
		want := "page"
		if r.Labels["alertname"] == "TrainbridgeWatchdog" {
			want = "nobody"
		}
		if r.Receiver != want {
			t.Errorf("%s went to %s instead of %s", r.Labels["alertname"], r.Receiver, want)
		}
		if r.Labels["cluster"] != "a" || r.Labels["severity"] == "none" || r.Annotations["runbook_url"] == "" || r.StartsAt.Before(began.Add(-time.Second)) {
			t.Errorf("%+v", r)
		}
		if !strings.HasPrefix(r.GeneratorURL, DefaultExternalURL+"/graph?g0.expr=") {
			t.Errorf("generatorURL: %s", r.GeneratorURL)
		}
	}
	for i, a := range timeline.Alerts[:len(timeline.Alerts)-1] {
		firing, resolved := 1, 1
		if i == 0 {
			firing = 2
		}
		if got[a.Name+" firing"] != firing || got[a.Name+" resolved"] != resolved {
			t.Errorf("%s: %d firing, %d resolved", a.Name, got[a.Name+" firing"], got[a.Name+" resolved"])
		}
	}
	t.Logf("%d alerts in %v", len(timeline.Alerts), time.Since(began).Round(time.Millisecond))
}

// What Alertmanager gets is in order, in batches and not more than what fired.
func TestReplaySends(t *testing.T) {
	var batches [][]Notification
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var batch []Notification
		if err := json.NewDecoder(r.Body).Decode(&batch); err != nil || r.URL.Path != "/api/v2/alerts" || r.Method != http.MethodPost {
			http.Error(w, "no such thing", http.StatusNotFound)
		}
		batches = append(batches, batch)
	}))
	defer server.Close()
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }
	named := func(name string) map[string]string { return map[string]string{"alertname": name} }
	timeline := Timeline{Start: start, End: at(60), Alerts: []Alert{
		{Name: "A", Labels: named("A"), Fired: at(1), Resolved: at(2)},
		{Name: "B", Labels: named("B"), Fired: at(1)},
		{Name: "C", Labels: named("C"), Pending: at(2), Resolved: at(3)},
		{Name: "A", Labels: named("A"), Fired: at(4)},
	}}
	if err := (Replay{URL: server.URL + "/"}).Play(t.Context(), timeline); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, batch := range batches {
		for _, n := range batch {
			word := n.Labels["alertname"]
			if !n.EndsAt.After(time.Now()) {
				word += " is over"
			}
			got = append(got, word)
		}
		got = append(got, "|")
	}
	if text := strings.Join(got, " "); text != "A B | A is over | A |" {
		t.Errorf("sent: %s", text)
	}
	timeline.Alerts = make([]Alert, 300)
	for i := range timeline.Alerts {
		timeline.Alerts[i] = Alert{Name: "A", Labels: map[string]string{"alertname": "A", "n": time.Duration(i).String()}, Fired: at(1)}
	}
	batches = nil
	if err := (Replay{URL: server.URL}).Play(t.Context(), timeline); err != nil || len(batches) != 2 || len(batches[0]) != replayBatch {
		t.Errorf("%v, %d batches", err, len(batches))
	}
	if err := (Replay{URL: server.URL + "/wrong"}).Play(t.Context(), timeline); err == nil || !strings.Contains(err.Error(), "404 Not Found: no such thing") {
		t.Errorf("a refusal: %v", err)
	}
}
