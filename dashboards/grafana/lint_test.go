package grafana

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// board is what the rules look at of a dashboard's JSON.
type board struct {
	Title      string
	Editable   bool
	Templating struct {
		List []struct {
			Name, Label, Type string
			Definition        string
			Query             any
			Refresh           int
			IncludeAll, Multi bool
			AllValue          string
		}
	}
	Panels []boardPanel
}

type boardPanel struct {
	Type, Title, Description string
	Datasource               struct{ Type, UID string }
	Targets                  []boardTarget
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Panels                   []boardPanel
}

type boardTarget struct {
	Expr       string
	Datasource struct{ Type, UID string }
}

// all are the panels, those in closed rows too, without the rows.
func (b *board) all() []boardPanel {
	var list []boardPanel
	for _, p := range b.Panels {
		if p.Type == "row" {
			list = append(list, p.Panels...)
			continue
		}
		list = append(list, p)
	}
	return list
}

// finding is a panel that a rule finds fault with; no panel stands for the whole dashboard.
type finding struct{ Dashboard, Panel string }

var (
	selector    = regexp.MustCompile(`\b(?:training|nvml|hw|trainbridge|process|go)_[a-z0-9_]+\b(?:\s*\{[^}]*\})?`)
	counter     = regexp.MustCompile(`(\w+\()?\b[a-z0-9_]+_total\b`)
	window      = regexp.MustCompile(`\bi?rate\([^\[\]]*\[([^\]]*)\]`)
	labelValues = regexp.MustCompile(`^label_values\(([a-z_]+)(\{[a-z_]+="\$[a-z_]+"\})?, ([a-z_]+)\)$`)
)

// units are those of Grafana that are used here.
var units = []string{"short", "s", "percentunit", "reqps", "bytes", "Bps", "watt", "celsius", "hertz", "sci"}

// ofPanels makes a rule for dashboards of one for panels.
func ofPanels(bad func(boardPanel) bool) func(*board) []string {
	return func(b *board) []string {
		var found []string
		for _, p := range b.all() {
			if bad(p) {
				found = append(found, p.Title)
			}
		}
		return found
	}
}

// ofQueries makes a rule for dashboards of one for queries.
func ofQueries(bad func(expr string) bool) func(*board) []string {
	return ofPanels(func(p boardPanel) bool {
		return slices.ContainsFunc(p.Targets, func(t boardTarget) bool { return bad(t.Expr) })
	})
}

// ofBoard makes a rule of one that finds fault with the whole.
func ofBoard(well func(*board) bool) func(*board) []string {
	return func(b *board) []string {
		if well(b) {
			return nil
		}
		return []string{""}
	}
}

func hasVariable(name, matcher string) func(*board) bool {
	return func(b *board) bool {
		for _, v := range b.Templating.List {
			if v.Name == name && v.Type == "query" && v.Multi && v.IncludeAll && v.AllValue == matcher {
				return true
			}
		}
		return false
	}
}

func lacks(matcher string) func(string) bool {
	return func(expr string) bool {
		return slices.ContainsFunc(selector.FindAllString(grouping.ReplaceAllString(expr, ""), -1), func(s string) bool { return !strings.Contains(s, matcher) })
	}
}

// lint are the rules of Grafana's dashboard-linter for Prometheus. That queries are PromQL is seen in dashboards/replicas_test.go, where
// promtool evaluates them all.
var lint = map[string]func(*board) []string{
	"template-datasource-rule": ofBoard(func(b *board) bool {
		v := b.Templating.List[0]
		return v.Name == "datasource" && v.Type == "datasource" && v.Query == "prometheus" && v.Label == "Data source"
	}),
	"template-job-rule":      ofBoard(hasVariable("job", ".+")),
	"template-instance-rule": ofBoard(hasVariable("instance", ".+")),
	"template-label-promql-rule": ofBoard(func(b *board) bool {
		known := schema()
		for _, v := range b.Templating.List[1:] {
			m := labelValues.FindStringSubmatch(v.Definition)
			if m == nil || known[m[1]] == nil && m[1] != "nvml_up" || m[3] != "instance" && !slices.Contains(known[m[1]], m[3]) {
				return false
			}
		}
		return true
	}),
	"template-on-time-change-reload-rule": ofBoard(func(b *board) bool {
		for _, v := range b.Templating.List {
			if v.Type == "query" && v.Refresh != 2 {
				return false
			}
		}
		return true
	}),
	"uneditable-dashboard": ofBoard(func(b *board) bool { return !b.Editable }),
	"panel-datasource-rule": ofPanels(func(p boardPanel) bool {
		for _, t := range p.Targets {
			if t.Datasource.UID != "${datasource}" || t.Datasource.Type != "prometheus" {
				return true
			}
		}
		return p.Datasource.UID != "${datasource}"
	}),
	"panel-title-description-rule": ofPanels(func(p boardPanel) bool { return p.Title == "" || p.Description == "" }),
	"panel-units-rule": ofPanels(func(p boardPanel) bool {
		return p.Type != "heatmap" && p.Type != "state-timeline" && !slices.Contains(units, p.FieldConfig.Defaults.Unit)
	}),
	"panel-no-targets-rule": ofPanels(func(p boardPanel) bool { return len(p.Targets) == 0 }),
	"target-rate-interval-rule": ofQueries(func(expr string) bool {
		return slices.ContainsFunc(window.FindAllStringSubmatch(expr, -1), func(m []string) bool { return m[1] != "$__rate_interval" })
	}),
	"target-job-rule":      ofQueries(lacks(`job=~"$job"`)),
	"target-instance-rule": ofQueries(lacks(`instance=~"$instance"`)),
	"target-counter-agg-rule": ofQueries(func(expr string) bool {
		return slices.ContainsFunc(counter.FindAllStringSubmatch(expr, -1), func(m []string) bool {
			return !slices.Contains([]string{"rate(", "irate(", "increase("}, m[1])
		})
	}),
}

// exclusions is the linter's own file.
type exclusions struct {
	Exclusions map[string]struct {
		Reason  string
		Entries []finding
	}
}

// problems are what is found and not excluded, and what is excluded and not found.
func problems(boards []board, x exclusions) (found []string) {
	for rule, look := range lint {
		except, excluded := x.Exclusions[rule]
		met := map[finding]bool{}
		for i := range boards {
			b := &boards[i]
			for _, panel := range look(b) {
				met[finding{b.Title, panel}] = true
			}
		}
		for f := range met {
			if !excluded || len(except.Entries) > 0 && !slices.Contains(except.Entries, f) {
				found = append(found, rule+": "+f.Dashboard+", "+f.Panel)
			}
		}
		for _, e := range except.Entries {
			if !met[e] {
				found = append(found, rule+" finds no fault with "+e.Dashboard+", "+e.Panel+": take it out of .lint")
			}
		}
		if excluded && (except.Reason == "" || len(met) == 0) {
			found = append(found, rule+" is excluded without a reason, or for nothing")
		}
	}
	for rule := range x.Exclusions {
		if lint[rule] == nil {
			found = append(found, "there is no rule "+rule)
		}
	}
	return found
}

func readBoards(t *testing.T) []board {
	t.Helper()
	var all []board
	for _, d := range All() {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var b board
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func readExclusions(t *testing.T) (x exclusions) {
	t.Helper()
	text, err := os.ReadFile(".lint")
	if err == nil {
		err = yaml.Unmarshal(text, &x)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestTheLinterIsContent(t *testing.T) {
	for _, p := range problems(readBoards(t), readExclusions(t)) {
		t.Error(p)
	}
}

// TestTheLinterFinds plants a fault for each rule.
func TestTheLinterFinds(t *testing.T) {
	x := readExclusions(t)
	for rule, plant := range map[string]func(*board){
		"template-datasource-rule":            func(b *board) { b.Templating.List[0].Name = "ds" },
		"template-label-promql-rule":          func(b *board) { b.Templating.List[1].Definition = "label_values(training_source_up, training_sauce)" },
		"template-on-time-change-reload-rule": func(b *board) { b.Templating.List[1].Refresh = 1 },
		"uneditable-dashboard":                func(b *board) { b.Editable = true },
		"panel-datasource-rule":               func(b *board) { b.Panels[1].Targets[0].Datasource.UID = "prometheus" },
		"panel-title-description-rule":        func(b *board) { b.Panels[1].Description = "" },
		"panel-units-rule":                    func(b *board) { b.Panels[1].FieldConfig.Defaults.Unit = "seconds" },
		"panel-no-targets-rule":               func(b *board) { b.Panels[1].Targets = nil },
		"target-rate-interval-rule":           func(b *board) { b.Panels[1].Targets[0].Expr = "rate(hw_energy_joules_total[5m])" },
		"target-counter-agg-rule":             func(b *board) { b.Panels[1].Targets[0].Expr = "sum(hw_energy_joules_total)" },
	} {
		boards := readBoards(t)
		plant(&boards[0])
		if found := problems(boards, x); len(found) != 1 || !strings.HasPrefix(found[0], rule+": ") {
			t.Errorf("%s: found %q", rule, found)
		}
	}
	for _, rule := range []string{"template-job-rule", "template-instance-rule", "target-job-rule", "target-instance-rule", "target-counter-agg-rule"} {
		fewer := readExclusions(t)
		delete(fewer.Exclusions, rule)
		if found := problems(readBoards(t), fewer); len(found) == 0 || !strings.HasPrefix(found[0], rule+": ") {
			t.Errorf("%s is not found: %q", rule, found)
		}
	}
}
