package rehearse

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/cmd/internal/program"
	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/engine"
	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/engine/enginetest"
)

const (
	dashboards = "../../../dashboards"
	watchdog   = "TrainbridgeWatchdog"
)

func shippedRules() []string {
	return []string{dashboards + "/alerts/*.yml", dashboards + "/rules/*.yml"}
}

// elsewhere are the scenarios that are not walked: TestAQuietDay plays the one, and the other is the same with a thousand jobs.
func elsewhere() []string { return []string{"healthy", "big"} }

// TestMain trades memory for a quarter of the time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// play rehearses in a bubble of its own, and fails the test if anything but what is wanted happens.
func play(t *testing.T, o Options) (r Result) {
	var seen onThePage
	o.Rules, o.Always, o.EachMinute = shippedRules(), []string{watchdog}, seen.look
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = Play(context.Background(), o); err != nil {
			t.Error(err)
		}
	})
	seen.judge(t, r)
	complaints := r.Complaints(o.Always)
	for _, c := range complaints {
		t.Error(c)
	}
	if r.FailedScrapes > 0 && o.Scenario != "bridge_down" {
		t.Errorf("%d of %d scrapes failed: %v", r.FailedScrapes, r.Scrapes, r.ScrapeErrors)
	}
	if t.Failed() {
		var table strings.Builder
		if err := r.WriteTable(&table); err != nil {
			t.Error(err)
		}
		t.Log("\n" + table.String())
	}
	return r
}

// TestEveryAlert: each scenario fires the alerts that it says and no other, all of them clear themselves when all is well again, and each
// shipped alert is fired by one and reaches a real Alertmanager, which tells of it and of its end.
func TestEveryAlert(t *testing.T) {
	var mu sync.Mutex
	seen, played := engine.Timeline{}, 0
	t.Run("scenarios", func(t *testing.T) {
		for _, s := range program.Scenarios() {
			if slices.Contains(elsewhere(), s.Name) {
				continue
			}
			t.Run(s.Name, func(t *testing.T) {
				t.Parallel()
				r := play(t, Options{Scenario: s.Name})
				mu.Lock()
				defer mu.Unlock()
				played++
				for _, a := range r.Fired() {
					if !slices.ContainsFunc(seen.Alerts, func(b engine.Alert) bool { return b.Name == a.Name }) {
						seen.Alerts = append(seen.Alerts, a)
					}
				}
			})
		}
	})
	if t.Failed() {
		return
	}
	if all := len(program.Scenarios()) - len(elsewhere()); played < all {
		t.Logf("only %d of %d scenarios were played: whether every alert fires is not looked at", played, all)
		return
	}
	for _, name := range shippedAlerts(t) {
		fired := slices.ContainsFunc(seen.Alerts, func(a engine.Alert) bool { return a.Name == name })
		if _, excused := program.Unplayed()[name]; !fired && !excused {
			t.Errorf("%s is shipped, and no scenario fires it", name)
		}
	}
	t.Run("Alertmanager", func(t *testing.T) { replay(t, seen) })
}

// TestAQuietDay: where nothing is wrong, nothing fires for a day.
func TestAQuietDay(t *testing.T) {
	t.Parallel()
	r := play(t, Options{Scenario: "healthy", Faulty: 24 * time.Hour, Evaluate: 2 * time.Minute})
	if r.Scrapes < 1400 {
		t.Errorf("only %d scrapes", r.Scrapes)
	}
}

func shippedAlerts(t *testing.T) (names []string) {
	files, err := filepath.Glob(dashboards + "/alerts/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\s+- alert: (\w+)$`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// replay sends what fired to a real Alertmanager.
func replay(t *testing.T, seen engine.Timeline) {
	manager := enginetest.StartAlertmanager(t, "../../../deploy/compose/alertmanager.yml")
	told := map[string]int{}
	r := engine.Replay{URL: manager.URL, Sent: func(ctx context.Context, sent []engine.Notification) error {
		status := "firing"
		if !sent[0].EndsAt.After(time.Now()) {
			status = "resolved"
		}
		var keys []string
		for _, n := range sent {
			keys = append(keys, enginetest.Key(n.Labels))
			told[n.Labels["alertname"]+" "+status]++
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return manager.Await(ctx, status, sent[0].StartsAt, keys)
	}}
	if err := r.Play(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	for _, a := range seen.Alerts {
		if told[a.Name+" firing"] == 0 || told[a.Name+" resolved"] == 0 && a.Name != watchdog {
			t.Errorf("%s did not reach Alertmanager to its end", a.Name)
		}
	}
	t.Logf("%d alerts fired and resolved in Alertmanager", len(seen.Alerts))
}

// TestRulesOfOthers: what an operator's own rules do is shown, and judged by what the operator expects.
func TestRulesOfOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.yml")
	own := "groups: [{name: own, rules: [{alert: KeyRefused, expr: training_source_up == 0, for: 10m}]}]"
	if err := os.WriteFile(file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	for expected, complaints := range map[string]int{"": 0, "KeyRefused": 0, "Other": 2} {
		o := Options{Scenario: "auth_rejected", Rules: []string{file}}
		if expected != "" {
			o.Expect = []string{expected}
		}
		synctest.Test(t, func(t *testing.T) {
			r, err := Play(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if fired := r.Fired(); len(fired) != 1 || fired[0].Name != "KeyRefused" || fired[0].Resolved.IsZero() {
				t.Errorf("fired: %+v", fired)
			}
			if got := r.Complaints(nil); len(got) != complaints || r.Foreign != (expected == "") {
				t.Errorf("%q expected: foreign %t, %q", expected, r.Foreign, got)
			}
		})
	}
}

func TestComplaints(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := Result{Want: []string{"B", "C"}, Recovered: at, Timeline: engine.Timeline{End: at.Add(time.Hour), Alerts: []engine.Alert{
		{Name: "A", Fired: at, Resolved: at}, {Name: "A", Fired: at, Resolved: at}, {Name: "B", Fired: at}, {Name: "C", Pending: at}, {Name: "D", Fired: at},
	}}}
	got := strings.Join(r.Complaints([]string{"D"}), " ")
	want := "A fired, which it should not have. B still fires 1h0m0s after the fault ended. C did not fire, which it should have."
	if got != want {
		t.Error(got)
	}
}
