package rehearse

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/engine"
)

// onThePage are the alerts that the bridge's own page named, for whoever has no Prometheus yet.
type onThePage struct {
	names  map[string][]time.Time
	missed map[string]int // minutes in which an alert fired that the page did not name
	fired  map[string]int
	asked  int
	pages  int   // that came
	err    error // why the page was not read last
}

var alertName = regexp.MustCompile(`<small>(Train(?:ing|bridge)\w+)</small>`)

// The page is read every minute for three hours, and then now and then.
const (
	everyMinute = 180
	seldom      = 10
)

// look reads the page while alerts fire.
func (p *onThePage) look(firing []engine.Alert, page func(string) (string, error)) {
	if p.names == nil {
		p.names, p.missed, p.fired = map[string][]time.Time{}, map[string]int{}, map[string]int{}
	}
	if p.asked++; p.asked > everyMinute && p.asked%seldom != 0 {
		return
	}
	text, err := page("/?all=attention")
	if err != nil {
		p.err = err // a bridge that is down shows nothing
		return
	}
	p.pages++
	var now []string
	for _, m := range alertName.FindAllStringSubmatch(text, -1) {
		p.names[m[1]] = append(p.names[m[1]], time.Now())
		now = append(now, m[1])
	}
	names := map[string]bool{}
	for _, a := range firing {
		names[a.Name] = true
	}
	for name := range names {
		said := func(other string) bool { return slices.Contains(now, other) }
		p.fired[name]++
		if !said(name) && !slices.ContainsFunc(inhibitors[name], said) {
			p.missed[name]++
		}
	}
}

// inhibitors are, for each alert, those that say more of the same thing, as deploy/compose/alertmanager.yml has it. Where the page names
// one of them, it needs not name the alert.
var inhibitors = func() map[string][]string {
	text, err := os.ReadFile("../../../deploy/compose/alertmanager.yml")
	if err != nil {
		panic(err)
	}
	names := regexp.MustCompile(`Train\w+`)
	all := map[string][]string{"TrainingSourceRateLimited": {"TrainingSourceBlindToRunningJobs"}} // one entry for a source, which says why
	for _, rule := range strings.Split(string(text), "source_matchers:")[1:] {
		source, target, _ := strings.Cut(rule, "target_matchers:")
		target, _, _ = strings.Cut(target, "equal:")
		for _, name := range names.FindAllString(target, -1) {
			all[name] = append(all[name], names.FindAllString(source, -1)...)
		}
	}
	return all
}()

// unseen are alerts that no page can show: of a bridge that is down, and of nothing at all.
var unseen = []string{"TrainbridgeTargetDown", "TrainbridgeAbsent", watchdog}

// How far the page may be from the rules: it sees at once what they wait for, its averages may begin later than theirs, and after a
// restart it knows nothing of before.
const (
	ahead  = 16 * time.Minute
	behind = 16 * time.Minute
)

// waits are alerts for which the rule waits longer: a day to see whether a credential renews itself.
var waits = map[string]time.Duration{"TrainingSourceCredentialExpiring": 25 * time.Hour}

// judge demands that the page named every alert while it fired, for half of the time at least, and no other.
func (p *onThePage) judge(t *testing.T, r Result) {
	t.Helper()
	if looks := min(p.asked, everyMinute) + max(0, p.asked-everyMinute)/seldom; p.pages < looks*4/5 && !slices.Contains(r.Want, "TrainbridgeAbsent") {
		t.Errorf("the page answered %d times of %d: %v", p.pages, looks, p.err)
	}
	for name, minutes := range p.fired {
		if missed := p.missed[name]; 2*missed > minutes+1 && !slices.Contains(unseen, name) {
			t.Errorf("%s fired for %d minutes, and the page did not name it in %d of them", name, minutes, missed)
		}
	}
	for name, times := range p.names {
		for _, at := range times {
			near := func(a engine.Alert) bool {
				return a.Name == name && at.After(a.Pending.Add(-max(ahead, waits[name]))) && (a.Resolved.IsZero() || at.Before(a.Resolved.Add(behind)))
			}
			if !slices.ContainsFunc(r.Alerts, near) {
				t.Errorf("the page named %s %v after the beginning, when it was not even pending", name, at.Sub(r.Start))
				break
			}
		}
	}
}
