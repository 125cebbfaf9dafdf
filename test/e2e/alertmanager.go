package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// An Alert is what a receiver of Alertmanager gets.
type Alert struct {
	Status              string // firing or resolved
	Labels, Annotations map[string]string
}

// An Alertmanager is a running Alertmanager and a receiver of what it sends.
type Alertmanager struct {
	*Process
	Address string // host:port

	mu     sync.Mutex
	alerts []Alert
}

// StartAlertmanager starts an Alertmanager that sends every alert at once, by itself, to a webhook of the test.
func StartAlertmanager(t testing.TB) *Alertmanager {
	t.Helper()
	a := &Alertmanager{}
	webhook := httptest.NewServer(http.HandlerFunc(a.take))
	t.Cleanup(webhook.Close)
	folder := t.TempDir()
	config, err := json.Marshal(map[string]any{
		"route":     map[string]any{"receiver": "test", "group_by": []string{"..."}, "group_wait": "100ms", "group_interval": "1s"},
		"receivers": []any{map[string]any{"name": "test", "webhook_configs": []any{map[string]any{"url": webhook.URL, "send_resolved": true}}}},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "alertmanager.yml"), config, 0o600) // JSON is YAML
	}
	if err != nil {
		t.Fatalf("write the configuration of Alertmanager: %v", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), Tool(t, "alertmanager"),
		"--config.file="+filepath.Join(folder, "alertmanager.yml"), "--storage.path="+filepath.Join(folder, "data"),
		"--web.listen-address=127.0.0.1:0", "--cluster.listen-address=", "--log.format=json")
	a.Process = Start(t, "alertmanager", cmd)
	a.Address = a.WaitFor(t, startTimeout, `"Listening on".*"address":"([^"]+)"`)[1]
	return a
}

func (a *Alertmanager) take(w http.ResponseWriter, r *http.Request) {
	var message struct{ Alerts []Alert }
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alerts = append(a.alerts, message.Alerts...)
}

// Alerts are those received so far.
func (a *Alertmanager) Alerts() []Alert {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Alert(nil), a.alerts...)
}

// EventuallyAlert waits for an alert of a name that is firing or resolved.
func (a *Alertmanager) EventuallyAlert(t testing.TB, timeout time.Duration, name, status string) Alert {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(pollEvery) {
		for _, alert := range a.Alerts() {
			if alert.Labels["alertname"] == name && alert.Status == status {
				return alert
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no alert %s is %s; there came %d", name, status, len(a.Alerts()))
		}
	}
}
