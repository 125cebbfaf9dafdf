package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/engine/enginetest"
)

// ruleFile writes rules into a file of their own.
func ruleFile(t *testing.T, text string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "toys")
	file := filepath.Join(folder, "rules.yml")
	err := os.Mkdir(folder, 0o700)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// A play is a toy that is watched in a bubble. Everything in it happens at whole minutes after the start.
type play struct {
	t      *testing.T
	toy    *enginetest.Toy
	engine *Engine
	start  time.Time
}

// rehearse runs act in a bubble. metrics get the time since the start.
func rehearse(t *testing.T, rules string, metrics func(since time.Duration) string, act func(*play)) {
	t.Helper()
	file := ruleFile(t, rules)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		toy := enginetest.Start(t, func() string { return metrics(time.Since(start)) })
		e, err := Start(t.Context(), Options{
			Dial: toy.Dial, Target: enginetest.Target, Rules: []string{file}, ExternalLabels: map[string]string{"cluster": "a"},
		})
		if err != nil {
			t.Fatal(err)
		}
		act(&play{t: t, toy: toy, engine: e, start: start})
	})
}

// wait lets virtual time pass.
func (p *play) wait(d time.Duration) { time.Sleep(d) }

// stop ends the engine, without trouble.
func (p *play) stop() Timeline {
	p.t.Helper()
	timeline, err := p.engine.Stop()
	if err != nil {
		p.t.Errorf("the engine had trouble: %v", err)
	}
	return timeline
}

// only is the single alert of a timeline.
func only(t *testing.T, timeline Timeline) Alert {
	t.Helper()
	if len(timeline.Alerts) != 1 {
		t.Fatalf("%d alerts instead of one: %+v", len(timeline.Alerts), timeline.Alerts)
	}
	return timeline.Alerts[0]
}

// near checks a time against the one that a person would expect: what changes is scraped and evaluated within an interval each.
func near(t *testing.T, what string, got, start time.Time, want time.Duration) {
	t.Helper()
	if got.IsZero() {
		t.Errorf("%s: never, want %v", what, want)
		return
	}
	if d := got.Sub(start); d < want || d > want+2*DefaultInterval {
		t.Errorf("%s after %v, want %v and no more than two intervals", what, d, want)
	}
}

// between is 1 in a span of time and 0 before and after it.
func between(from, to time.Duration) func(time.Duration) string {
	return func(since time.Duration) string {
		value := 0
		if since >= from && since < to {
			value = 1
		}
		return fmt.Sprintf("toy_broken{toy=\"a\"} %d\n", value)
	}
}

const brokenRule = `
groups:
  - name: toys
    rules:
      - alert: ToyBroken
        expr: toy_broken == 1
        for: 5m
        labels: {severity: critical}
        annotations: {summary: 'Toy {{ $labels.toy }} of {{ $externalLabels.cluster }} is broken: {{ $value }}.'}
`

func TestAlertIsPendingFiresAndResolves(t *testing.T) {
	rehearse(t, brokenRule, between(10*time.Minute, 30*time.Minute), func(p *play) {
		p.wait(12 * time.Minute)
		if firing := p.engine.Firing(); len(firing) != 0 {
			t.Errorf("fires before its time: %+v", firing)
		}
		p.wait(8 * time.Minute)
		if firing := p.engine.Firing(); len(firing) != 1 || firing[0].Name != "ToyBroken" || !firing[0].Resolved.IsZero() {
			t.Errorf("fires: %+v", firing)
		}
		p.wait(20 * time.Minute)
		if firing := p.engine.Firing(); len(firing) != 0 {
			t.Errorf("still fires: %+v", firing)
		}
		timeline := p.stop()
		a := only(t, timeline)
		near(t, "pending", a.Pending, p.start, 10*time.Minute)
		near(t, "fired", a.Fired, p.start, 15*time.Minute)
		near(t, "resolved", a.Resolved, p.start, 30*time.Minute)
		if got := a.Fired.Sub(a.Pending); got != 5*time.Minute {
			t.Errorf("was pending for %v", got)
		}
		if got := a.Lasted(timeline.End); got != a.Resolved.Sub(a.Fired) {
			t.Errorf("lasted %v", got)
		}
		labels := map[string]string{"alertname": "ToyBroken", "instance": enginetest.Target, "job": "trainbridge", "severity": "critical", "toy": "a"}
		if fmt.Sprint(a.Labels) != fmt.Sprint(labels) {
			t.Errorf("labels: %v", a.Labels)
		}
		if got := a.Annotations["summary"]; got != "Toy a of a is broken: 1." {
			t.Errorf("summary: %q", got)
		}
		if timeline.Scrapes != 80 || timeline.FailedScrapes != 0 {
			t.Errorf("%d scrapes, %d failed", timeline.Scrapes, timeline.FailedScrapes)
		}
	})
}

func TestAlertThatOnlyPends(t *testing.T) {
	rehearse(t, brokenRule, between(10*time.Minute, 13*time.Minute), func(p *play) {
		p.wait(20 * time.Minute)
		timeline := p.stop()
		a := only(t, timeline)
		near(t, "pending", a.Pending, p.start, 10*time.Minute)
		near(t, "resolved", a.Resolved, p.start, 13*time.Minute)
		if a.HasFired() || a.Lasted(timeline.End) != 0 || len(timeline.Fired()) != 0 {
			t.Errorf("it fired: %+v", a)
		}
	})
}

func TestAlertStillFiresAtTheEnd(t *testing.T) {
	rehearse(t, brokenRule, between(10*time.Minute, time.Hour), func(p *play) {
		p.wait(25 * time.Minute)
		timeline := p.stop()
		a := only(t, timeline)
		if !a.HasFired() || !a.Resolved.IsZero() {
			t.Errorf("not firing: %+v", a)
		}
		if got := a.Lasted(timeline.End); got != timeline.End.Sub(a.Fired) || got < 9*time.Minute {
			t.Errorf("lasted %v", got)
		}
	})
}

func TestAlertFiresTwice(t *testing.T) {
	metrics := func(since time.Duration) string { return between(0, 10*time.Minute)(since % (20 * time.Minute)) }
	rehearse(t, brokenRule, metrics, func(p *play) {
		p.wait(39 * time.Minute)
		timeline := p.stop()
		if len(timeline.Alerts) != 2 {
			t.Fatalf("%+v", timeline.Alerts)
		}
		near(t, "fired", timeline.Alerts[0].Fired, p.start, 5*time.Minute)
		near(t, "resolved", timeline.Alerts[0].Resolved, p.start, 10*time.Minute)
		near(t, "fired again", timeline.Alerts[1].Fired, p.start, 25*time.Minute)
		near(t, "resolved again", timeline.Alerts[1].Resolved, p.start, 30*time.Minute)
	})
}

// A series that goes away is stale at the next scrape, and not five minutes later.
func TestStaleSeriesResolve(t *testing.T) {
	metrics := func(since time.Duration) string {
		if since > 20*time.Minute {
			return "toy_other 1\n"
		}
		return "toy_broken 1\n"
	}
	rehearse(t, brokenRule, metrics, func(p *play) {
		p.wait(30 * time.Minute)
		near(t, "resolved", only(t, p.stop()).Resolved, p.start, 20*time.Minute)
	})
}

func TestKeepFiringFor(t *testing.T) {
	rules := strings.Replace(brokenRule, "for: 5m", "for: 5m\n        keep_firing_for: 7m", 1)
	rehearse(t, rules, between(10*time.Minute, 20*time.Minute), func(p *play) {
		p.wait(40 * time.Minute)
		near(t, "resolved", only(t, p.stop()).Resolved, p.start, 27*time.Minute)
	})
}

func TestRecordingRulesFeedAlerts(t *testing.T) {
	rehearse(t, `
groups:
  - name: records
    interval: 1m
    rules:
      - record: toy:broken:sum
        expr: sum(toy_broken)
  - name: alerts
    rules:
      - alert: ToyBroken
        expr: toy:broken:sum > 0
`, between(10*time.Minute, 20*time.Minute), func(p *play) {
		p.wait(30 * time.Minute)
		a := only(t, p.stop())
		near(t, "fired", a.Fired, p.start, 11*time.Minute) // the group's own interval is a minute
		near(t, "resolved", a.Resolved, p.start, 21*time.Minute)
		if a.Labels["instance"] != "" {
			t.Errorf("it does not come from the recording rule: %v", a.Labels)
		}
	})
}
