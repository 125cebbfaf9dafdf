package alerts_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

// schema is the labels of every metric that a bridge may show.
type schema map[string][]string

func addRows[E collector.Entity](s schema, identity []string, rows []collector.Row[E]) {
	for _, r := range rows {
		var labels []string
		for _, key := range append(slices.Clone(identity), r.Labels...) {
			labels = append(labels, collector.PromLabel(key))
		}
		s[r.Prom] = labels
		if r.Kind == collector.Distribution {
			s[r.Prom+"_bucket"], s[r.Prom+"_sum"], s[r.Prom+"_count"] = append(labels, "le"), labels, labels
		}
	}
}

var (
	tableRow = regexp.MustCompile("(?m)^\\| `(trainbridge_[a-z_]+)` \\| [a-z]+ \\| ([^|]*) \\|")
	byName   = regexp.MustCompile(`__name__=~"([^"]*)"`)
	quoted   = regexp.MustCompile("`([a-z_]+)`")
)

// metrics are those of the schema; those of the bridge itself as docs/METRICS.md has them, which is written by the program; and the two
// that Prometheus makes.
func metrics(t *testing.T) schema {
	t.Helper()
	s := schema{"up": nil, "process_start_time_seconds": nil, "ALERTS": {"alertname", "alertstate", "severity"}}
	addRows(s, collector.JobIdentity(), collector.JobRows())
	addRows(s, collector.GroupIdentity(), collector.GroupRows())
	addRows(s, collector.SourceIdentity(), collector.SourceRows())
	addRows(s, collector.GPUIdentity(), collector.GPURows())
	addRows(s, nil, collector.GPUHostRows())
	page, err := os.ReadFile("../../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	own := tableRow.FindAllStringSubmatch(string(page), -1)
	if len(own) < 15 {
		t.Fatalf("docs/METRICS.md has %d metrics of the bridge itself, want 15 at least: has its form changed?", len(own))
	}
	for _, row := range own {
		s[row[1]] = nil
		for _, label := range quoted.FindAllStringSubmatch(row[2], -1) {
			s[row[1]] = append(s[row[1]], label[1])
		}
	}
	return s
}

// made are labels that the rules themselves or Prometheus make.
var made = []string{"instance", "job", "held", "severity"}

// old are the functions and aggregations of Prometheus 2.40 that are used here; newer ones may not be.
var old = []string{
	"abs", "absent", "avg", "avg_over_time", "changes", "clamp_max", "clamp_min", "count", "count_over_time", "deriv", "group", "histogram_quantile",
	"increase", "label_replace", "max", "max_over_time", "min", "min_over_time", "quantile", "quantile_over_time", "rate", "sort", "sum",
	"time", "timestamp", "topk", "vector",
}

// checkNames reports what an expression uses and nobody has.
func checkNames(t *testing.T, where, expr string, known schema, recorded map[string]bool) {
	t.Helper()
	labels := slices.Clone(made)
	for _, of := range known {
		labels = append(labels, of...)
	}
	u := scan(expr)
	for metric, matched := range u.metrics {
		of, found := known[metric]
		if !found && !recorded[metric] {
			t.Errorf("%s uses the metric %s, which does not exist", where, metric)
			continue
		}
		for label := range matched {
			if found && !slices.Contains(of, label) && !slices.Contains(made, label) || !slices.Contains(labels, label) {
				t.Errorf("%s matches the label %s, which %s does not have", where, label, metric)
			}
		}
	}
	for label := range u.labels {
		if !slices.Contains(labels, label) {
			t.Errorf("%s uses the label %s, which no metric has", where, label)
		}
	}
	for _, several := range byName.FindAllStringSubmatch(expr, -1) {
		for name := range strings.SplitSeq(several[1], "|") {
			if _, found := known[name]; !found && !recorded[name] {
				t.Errorf("%s uses the metric %s, which does not exist", where, name)
			}
		}
	}
	for f := range u.functions {
		if !slices.Contains(old, f) {
			t.Errorf("%s uses %s, which is not on the list of what Prometheus 2.40 has", where, f)
		}
	}
}

func recordedNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, r := range rules(t) {
		if r.Record != "" {
			names[r.Record] = true
		}
	}
	return names
}

// TestNamesExist breaks when a metric or a label is renamed.
func TestNamesExist(t *testing.T) {
	known, recorded := metrics(t), recordedNames(t)
	for _, r := range rules(t) {
		checkNames(t, r.name(), r.Expr, known, recorded)
		if len(scan(r.Expr).metrics) == 0 && r.Expr != "vector(1)" {
			t.Errorf("%s seems to use no metric", r.name())
		}
	}
}

var templateLabel = regexp.MustCompile(`\$labels\.([a-zA-Z_]+)`)

var severities = []string{"critical", "warning", "info"}

func TestAnnotations(t *testing.T) {
	var labels []string
	for _, of := range metrics(t) {
		labels = append(labels, of...)
	}
	labels = append(labels, made...)
	seen := map[string]bool{}
	for _, a := range alerts(t) {
		if seen[a.Alert] {
			t.Errorf("there are two alerts %s", a.Alert)
		}
		seen[a.Alert] = true
		if !slices.Contains(severities, a.Labels["severity"]) || len(a.Labels) != 1 {
			t.Errorf("%s: labels are %v, want one severity of %v", a.Alert, a.Labels, severities)
		}
		for _, name := range []string{"summary", "description", "runbook_url", "dashboard_url"} {
			text := a.Annotations[name]
			if text == "" || strings.Contains(text, "\n") {
				t.Errorf("%s: %s is empty or has several lines", a.Alert, name)
			}
			for _, m := range templateLabel.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(labels, m[1]) {
					t.Errorf("%s: %s uses the label %s, which nothing has", a.Alert, name, m[1])
				}
			}
		}
		if want := "https://trainbridge.example/runbooks/" + a.Alert + ".md"; a.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is %q, want %q", a.Alert, a.Annotations["runbook_url"], want)
		}
		if !strings.HasPrefix(a.Annotations["dashboard_url"], "https://trainbridge.example/grafana/d/trainbridge-") {
			t.Errorf("%s: dashboard_url is %q", a.Alert, a.Annotations["dashboard_url"])
		}
	}
}
