package e2e

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// A Bridge is a running trainbridge over a simulated service that the test drives.
type Bridge struct {
	*Process
	Service *wandbtest.Server
	Fleet   *wandbtest.Fleet
	Target  string // host:port of /metrics
	Dir     string // where its configuration, its job file and its state are
}

// A BridgeConfig says how a [Bridge] runs.
type BridgeConfig struct {
	Scenario string   // of the fleet
	OTLP     string   // the otlp part of the configuration, in YAML flow style; empty is none
	Extra    string   // further top-level YAML
	Args     []string // further arguments
}

// StartBridge starts the service and a bridge that polls it every 200 ms. The fleet stands still until the test advances it.
func StartBridge(t testing.TB, config BridgeConfig) *Bridge {
	t.Helper()
	b := &Bridge{Dir: t.TempDir(), Service: wandbtest.New(wandbtest.Options{Key: "e2e-key", Seed: 7})}
	b.Fleet = wandbtest.NewFleet(b.Service, wandbtest.FleetOptions{Seed: 7, Speed: 30, Scenario: config.Scenario})
	api := httptest.NewServer(b.Service)
	t.Cleanup(api.Close)
	otlp := ""
	if config.OTLP != "" {
		otlp = "otlp: " + config.OTLP
	}
	b.write(t, "key", "e2e-key")
	b.List(t)
	b.write(t, "trainbridge.yml", fmt.Sprintf(`
state: {directory: state}
sources:
  - name: rl-team
    kind: wandb
    base_url: %s/v1
    authorization: {credentials_file: key}
    job_files: [jobs.json]
    discovery_interval: 100ms
    poll_intervals: {queued: 200ms, running: 200ms}
    step_duration_key: time/step_trainer_s
    rate_limit: 1000
    burst: 1000
%s
%s
`, api.URL, otlp, config.Extra))
	b.Process = StartTrainbridge(t, b.Dir, append([]string{"run", "--config.file=trainbridge.yml",
		"--web.listen-address=127.0.0.1:0"}, config.Args...)...)
	b.Target = b.WaitFor(t, startTimeout, `address=\"?(127\.0\.0\.1:\d+)`)[1]
	return b
}

func (b *Bridge) write(t testing.TB, name, content string) {
	t.Helper()
	path := filepath.Join(b.Dir, name)
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
}

// List writes the job file with the jobs that the fleet has now.
func (b *Bridge) List(t testing.TB) {
	t.Helper()
	var entries []string
	for _, j := range b.Fleet.Jobs() {
		var labels []string
		for name, value := range j.Labels {
			labels = append(labels, fmt.Sprintf("%q: %q", name, value))
		}
		entries = append(entries, fmt.Sprintf(`{"targets": [%q], "labels": {%s}}`, j.ID, strings.Join(labels, ", ")))
	}
	b.write(t, "jobs.json", "["+strings.Join(entries, ",\n")+"]")
}

// Train advances the fleet step by step to a virtual time, and lets the bridge follow.
func (b *Bridge) Train(t testing.TB, from, to, stride time.Duration) {
	t.Helper()
	for at := from; at <= to; at += stride {
		b.Fleet.Advance(at)
		b.List(t)
		time.Sleep(250 * time.Millisecond)
	}
}
