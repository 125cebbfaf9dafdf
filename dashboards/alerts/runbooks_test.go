package alerts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const runbooks = "../runbooks"

var (
	query = regexp.MustCompile("(?s)```promql\n(.*?)```")
	link  = regexp.MustCompile(`\]\(([A-Za-z]+\.md)\)`)
)

// parts are the headings that every runbook has, in this order.
var parts = []string{"## Impact", "## Look first", "## Likely causes", "## Do", "## It is over when"}

// TestRunbooks asks for a runbook for every alert, an alert for every runbook, and queries that use names that exist.
func TestRunbooks(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(runbooks, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	known, recorded := metrics(t), recordedNames(t)
	known["process_cpu_seconds_total"] = nil
	for _, a := range alerts(t) {
		names = append(names, a.Alert)
		if !slices.Contains(paths, filepath.Join(runbooks, a.Alert+".md")) {
			t.Errorf("%s has no runbook", a.Alert)
		}
	}
	var file ruleFile
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		if !slices.Contains(names, name) {
			t.Errorf("%s belongs to no alert", path)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		checkText(t, name, text, names)
		queries := query.FindAllStringSubmatch(text, -1)
		if len(queries) != 3 {
			t.Errorf("%s has %d queries, want 3", name, len(queries))
		}
		for i, q := range queries {
			checkNames(t, fmt.Sprintf("query %d of the runbook %s", i+1, name), q[1], known, recorded)
			r := rule{Record: fmt.Sprintf("runbook:%s:%d", name, i+1), Expr: q[1]}
			file.Groups = append(file.Groups, ruleGroup{Name: r.Record, Rules: []rule{r}})
		}
	}
	checkQueries(t, file)
}

// checkText asks for the parts, and for links that lead somewhere.
func checkText(t *testing.T, name, text string, names []string) {
	t.Helper()
	if !strings.HasPrefix(text, "# "+name+"\n") {
		t.Errorf("%s does not begin with its name", name)
	}
	from := 0
	for _, part := range parts {
		at := strings.Index(text[from:], "\n"+part+"\n")
		if at < 0 {
			t.Errorf("%s lacks %q, or it is not in its place", name, part)
			continue
		}
		from += at
	}
	for _, l := range link.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(names, strings.TrimSuffix(l[1], ".md")) {
			t.Errorf("%s links to %s, which is no runbook", name, l[1])
		}
	}
}

// checkQueries has promtool parse them, as if they were rules.
func checkQueries(t *testing.T, file ruleFile) {
	t.Helper()
	data, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, "check", "rules", "--lint=none", path); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
