package alerts_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/dashboards/grafana"
)

var sampleLabel = regexp.MustCompile(`([a-z_]+)="`)

// seenLabels are the labels with which the tests see each alert, those of the job that may be missing included.
func seenLabels(t *testing.T) map[string]map[string]bool {
	t.Helper()
	seen := map[string]map[string]bool{}
	for _, f := range unitTests(t) {
		for _, u := range f.Tests {
			for _, c := range u.Checks {
				for _, sample := range c.Want {
					var s struct{ Labels string }
					if err := sample.Decode(&s); err != nil {
						t.Fatal(err)
					}
					if seen[c.alert()] == nil {
						seen[c.alert()] = map[string]bool{}
					}
					for _, m := range sampleLabel.FindAllStringSubmatch(s.Labels, -1) {
						seen[c.alert()][m[1]] = true
					}
				}
			}
		}
	}
	return seen
}

// TestTemplatesUseLabelsThatAreThere: a label that no test sees on the alert is empty when somebody is called.
func TestTemplatesUseLabelsThatAreThere(t *testing.T) {
	seen := seenLabels(t)
	for _, a := range alerts(t) {
		for name, text := range a.Annotations {
			for _, m := range templateLabel.FindAllStringSubmatch(text, -1) {
				if !seen[a.Alert][m[1]] {
					t.Errorf("%s: %s uses the label %s, with which no test sees the alert", a.Alert, name, m[1])
				}
			}
		}
		who := []string{}
		switch {
		case seen[a.Alert]["training_job_id"] && !seen[a.Alert]["hw_id"]:
			who = []string{"training_job_name", "training_job_id", "training_source", "training_project", "training_owner"}
		case seen[a.Alert]["hw_id"]:
			who = []string{"hw_id", "instance", "nvml_gpu_index"}
		case seen[a.Alert]["training_source"]:
			who = []string{"training_source"}
		case seen[a.Alert]["instance"]:
			who = []string{"instance"}
		}
		for _, label := range who {
			if !strings.Contains(a.Annotations["summary"], "$labels."+label) {
				t.Errorf("%s: the summary does not say %s", a.Alert, label)
			}
		}
	}
}

var template = regexp.MustCompile(`\{\{[^}]*\}\}`)

// TestDashboardsAreThere: links lead to dashboards that exist, and set variables that these have.
func TestDashboardsAreThere(t *testing.T) {
	variables := map[string]map[string]bool{}
	for _, d := range grafana.All() {
		variables[d.UID] = map[string]bool{}
		for _, v := range d.Variables {
			variables[d.UID]["var-"+v.Name] = true
		}
	}
	for _, a := range alerts(t) {
		link, err := url.Parse(template.ReplaceAllString(a.Annotations["dashboard_url"], "x"))
		if err != nil {
			t.Fatal(err)
		}
		of, found := variables[strings.TrimPrefix(link.Path, "/grafana/d/")]
		if !found {
			t.Errorf("%s: there is no dashboard %s", a.Alert, link.Path)
		}
		for v := range link.Query() {
			if !of[v] {
				t.Errorf("%s: the dashboard %s has no variable %s", a.Alert, link.Path, v)
			}
		}
	}
}
