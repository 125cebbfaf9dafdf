package rehearse

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/engine"
)

// onThePage are the alerts that the bridge's own page named, for whoever has no Prometheus yet.
type onThePage struct {
	names  map[string]bool
	missed map[string]int // minutes in which an alert fired that the page did not name
	fired  map[string]int
}

var alertName = regexp.MustCompile(`<small>(Train(?:ing|bridge)\w+)</small>`)

// look reads the page while alerts fire.
func (p *onThePage) look(firing []engine.Alert, page func(string) (string, error)) {
	if p.names == nil {
		p.names, p.missed, p.fired = map[string]bool{}, map[string]int{}, map[string]int{}
	}
	text, err := page("/?all=attention")
	if err != nil {
		return // a bridge that is down shows nothing
	}
	var now []string
	for _, m := range alertName.FindAllStringSubmatch(text, -1) {
		p.names[m[1]] = true
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
	all := map[string][]string{}
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

// judge demands that the page named every alert while it fired, and none that was not at least pending: what a person can see now, a rule
// may wait for.
func (p *onThePage) judge(t *testing.T, r Result) {
	t.Helper()
	for name, minutes := range p.fired {
		if missed := p.missed[name]; missed == minutes && !slices.Contains(unseen, name) {
			t.Errorf("%s fired for %d minutes, and the page did not name it in any of them", name, minutes)
		}
	}
	for name := range p.names {
		if !slices.ContainsFunc(r.Alerts, func(a engine.Alert) bool { return a.Name == name }) {
			t.Errorf("the page named %s, which was not even pending", name)
		}
	}
}
