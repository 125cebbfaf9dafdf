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

// trouble stops an engine that must have had trouble, and looks for words in it.
func (p *play) trouble(words ...string) Timeline {
	p.t.Helper()
	timeline, err := p.engine.Stop()
	if err == nil || len(timeline.Trouble) == 0 {
		p.t.Fatalf("no trouble: %v, %+v", err, timeline.Trouble)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			p.t.Errorf("the error does not speak of %q: %v", word, err)
		}
	}
	if strings.Count(err.Error(), "\n") > maxIncidents {
		p.t.Errorf("the error is long: %v", err)
	}
	return timeline
}

func TestRuleThatCannotBeEvaluated(t *testing.T) {
	rehearse(t, `
groups:
  - name: toys
    rules:
      - alert: ToyBroken
        expr: toy_broken * on () group_left () toy_owner
`, func(time.Duration) string { return "toy_broken 1\ntoy_owner{a=\"a\"} 1\ntoy_owner{a=\"b\"} 1\n" }, func(p *play) {
		p.wait(10 * time.Minute)
		timeline := p.trouble("group toys", "ToyBroken", "found duplicate series", "(19 times)")
		if len(timeline.Trouble) != 1 {
			t.Errorf("said more than once: %+v", timeline.Trouble)
		}
	})
}

func TestTemplateThatCannotBeExpanded(t *testing.T) {
	rules := strings.Replace(brokenRule, "{{ $value }}", "{{ $labels.toy | humanize }}", 1)
	rehearse(t, rules, between(0, time.Hour), func(p *play) {
		p.wait(10 * time.Minute)
		p.trouble("ToyBroken", "template")
	})
}

// Two rules that record the same series lose samples.
func TestSamplesThatAreNotTaken(t *testing.T) {
	rehearse(t, `
groups:
  - name: toys
    rules:
      - {record: toy:broken, expr: sum(toy_broken)}
      - {record: toy:broken, expr: sum(toy_broken) + 1}
`, between(0, time.Hour), func(p *play) {
		p.wait(10 * time.Minute)
		p.trouble("group toys", "same timestamp")
	})
}

func TestTargetDownIsVisible(t *testing.T) {
	rehearse(t, `
groups:
  - name: toys
    rules:
      - alert: ToyDown
        expr: up{job="trainbridge"} == 0
      - alert: ToyGone
        expr: absent(toy_broken)
        for: 2m
`, between(0, 0), func(p *play) {
		p.wait(10 * time.Minute)
		p.toy.SetDown(true)
		p.wait(10 * time.Minute)
		p.toy.SetDown(false)
		p.wait(10 * time.Minute)
		timeline := p.stop()
		if timeline.Scrapes != 60 || timeline.FailedScrapes != 20 {
			t.Errorf("%d scrapes, %d failed", timeline.Scrapes, timeline.FailedScrapes)
		}
		var reasons []string
		total := 0
		for _, e := range timeline.ScrapeErrors {
			reasons = append(reasons, e.String())
			total += e.Times
		}
		if total != 20 || !strings.Contains(strings.Join(reasons, ","), "503") {
			t.Errorf("reasons: %q", reasons)
		}
		fired := timeline.Fired()
		if len(fired) != 2 {
			t.Fatalf("%+v", timeline.Alerts)
		}
		for _, a := range fired {
			near(t, a.Name+" resolved", a.Resolved, p.start, 20*time.Minute)
		}
		near(t, "down", fired[0].Fired, p.start, 10*time.Minute)
		near(t, "gone", fired[1].Fired, p.start, 12*time.Minute)
	})
}

func TestScrapeThatCannotBeRead(t *testing.T) {
	rehearse(t, brokenRule, func(time.Duration) string { return "toy_broken one\n" }, func(p *play) {
		p.wait(10 * time.Minute)
		timeline := p.stop()
		if timeline.FailedScrapes != 20 || len(timeline.ScrapeErrors) != 1 || timeline.ScrapeErrors[0].Times != 20 {
			t.Errorf("%d failed: %+v", timeline.FailedScrapes, timeline.ScrapeErrors)
		}
	})
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	toy := func(o Options) Options {
		o.Dial, o.Target = (&enginetest.Toy{}).Dial, enginetest.Target
		return o
	}
	good := ruleFile(t, brokenRule)
	for want, opts := range map[string]Options{
		"Dial and Target":       {Rules: []string{good}},
		"no pattern":            toy(Options{}),
		"matches none":          toy(Options{Rules: []string{good + ".nothing"}}),
		"second or longer":      toy(Options{Rules: []string{good}, ScrapeInterval: time.Millisecond}),
		"unknown function":      toy(Options{Rules: []string{ruleFile(t, strings.Replace(brokenRule, "toy_broken == 1", "toy_broken()", 1))}}),
		"label name":            toy(Options{Rules: []string{good}, ExternalLabels: map[string]string{"": "a"}}),
		"read the external URL": toy(Options{Rules: []string{good}, ExternalURL: "http://[a"}),
	} {
		synctest.Test(t, func(t *testing.T) {
			_, err := Start(t.Context(), opts)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: it should speak of %q", err, want)
			}
		})
	}
}

// Nothing stays behind, whether the engine started or not.
func TestFoldersAreRemoved(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	good := ruleFile(t, brokenRule)
	for _, external := range []map[string]string{nil, {"": "a"}} {
		synctest.Test(t, func(t *testing.T) {
			toy := enginetest.Start(t, func() string { return "" })
			e, err := Start(t.Context(), Options{Dial: toy.Dial, Target: enginetest.Target, Rules: []string{good}, ExternalLabels: external})
			if err != nil {
				return
			}
			time.Sleep(time.Minute)
			if _, err := e.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	if left, err := filepath.Glob(filepath.Join(temporary, "trainbridge-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if _, err := os.Stat(good); err != nil {
		t.Error(err)
	}
}

// The timeline does not depend on where the rule files lie: it is the same again and again.
func TestSameTimelineAgain(t *testing.T) {
	var first string
	for i := range 3 {
		rehearse(t, brokenRule, between(10*time.Minute, 30*time.Minute), func(p *play) {
			p.wait(40 * time.Minute)
			if got := fmt.Sprintf("%+v", p.stop().Alerts); i == 0 {
				first = got
			} else if got != first {
				t.Errorf("%s\n%s", first, got)
			}
		})
	}
}

// Rehearsals do not disturb each other: each has a bubble of its own.
func TestEnginesBesideEachOther(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			from := time.Duration(10+i) * time.Minute
			rehearse(t, brokenRule, between(from, from+20*time.Minute), func(p *play) {
				p.wait(3 * time.Hour)
				a := only(t, p.stop())
				near(t, "fired", a.Fired, p.start, from+5*time.Minute)
				near(t, "resolved", a.Resolved, p.start, from+20*time.Minute)
			})
		})
	}
}
