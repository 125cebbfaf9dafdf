package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/dashboards/grafana"
)

// anything puts values in the place of a dashboard's variables: all that there is.
func anything(expr string) string {
	return strings.NewReplacer(
		`="$source"`, `=~".+"`, `="$job_id"`, `=~".+"`, `="$group"`, `=~".+"`, `=~"$source"`, `=~".+"`, `=~"$instance"`, `=~".+"`,
		"$__rate_interval", "15s", "[1h]", "[15s]",
	).Replace(expr)
}

// checkDashboards asks for what every panel shows. One that may be empty must at least be understood.
func checkDashboards(t *testing.T, p *Prometheus) {
	t.Helper()
	for _, d := range grafana.All() {
		for _, r := range d.Rows {
			for _, panel := range r.Panels {
				found := 0
				for deadline := time.Now().Add(time.Minute); found == 0; time.Sleep(pollEvery) {
					for _, q := range panel.Queries {
						found += len(p.Query(t, anything(q.Expr)))
					}
					if panel.Empty != "" {
						break
					}
					if time.Now().After(deadline) {
						t.Errorf("%s, %s: nothing to show of\n%s", d.Title, panel.Title, anything(panel.Queries[0].Expr))
						break
					}
				}
			}
		}
	}
}
