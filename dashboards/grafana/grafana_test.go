package grafana

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

var update = flag.Bool("update", false, "write the files of the dashboards")

func TestFilesAreUpToDate(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, d := range All() {
		file := d.UID + ".json"
		known[file] = true
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, text) {
			t.Errorf("%s is not what the code says (%v); write it anew with: go test ./dashboards/grafana -update", file, err)
		}
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".json") && !known[f.Name()] {
			t.Errorf("%s belongs to no dashboard", f.Name())
		}
	}
}

// schema is what metrics there are, with their labels.
func schema() map[string][]string {
	all := map[string][]string{}
	add(all, collector.JobRows(), collector.JobIdentity())
	add(all, collector.GroupRows(), collector.GroupIdentity())
	add(all, collector.SourceRows(), collector.SourceIdentity())
	add(all, collector.GPURows(), collector.GPUIdentity())
	add(all, collector.GPUHostRows(), nil)
	for name, labels := range map[string][]string{
		"trainbridge_state_writable": nil, "trainbridge_state_last_write_timestamp_seconds": nil, "trainbridge_config_last_reload_successful": nil,
		"trainbridge_outbox_spans": nil, "trainbridge_otlp_exports_total": {"signal", "result"}, "trainbridge_build_info": {"version"},
		"process_cpu_seconds_total": nil, "process_resident_memory_bytes": nil, "go_goroutines": nil,
	} {
		all[name] = labels
	}
	return all
}

func add[T collector.Entity](all map[string][]string, rows []collector.Row[T], identity []string) {
	for _, r := range rows {
		var labels []string
		for _, key := range append(slices.Clone(identity), r.Labels...) {
			labels = append(labels, collector.PromLabel(key))
		}
		if r.Kind == collector.Distribution {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				all[r.Prom+suffix] = append(slices.Clone(labels), "le")
			}
			continue
		}
		all[r.Prom] = labels
	}
}

var (
	quoted   = regexp.MustCompile(`"[^"]*"`)
	metrics  = regexp.MustCompile(`\b((?:training|nvml|hw|trainbridge|process|go)_[a-z0-9_]+)\s*(?:\{([^}]*)\})?`)
	grouping = regexp.MustCompile(`\b(?:by|on|group_left|without)\s*\(([^)]*)\)`)
	matcher  = regexp.MustCompile(`([a-z0-9_]+)\s*(?:=~|!~|!=|=)`)
	rates    = regexp.MustCompile(`\b(rate|increase)\(`)
)

// TestQueriesFitTheSchema: a metric or label that was renamed breaks the build instead of emptying a panel.
func TestQueriesFitTheSchema(t *testing.T) {
	known := schema()
	asked := 0
	for _, d := range All() {
		for _, r := range d.Rows {
			for _, p := range r.Panels {
				for _, q := range p.Queries {
					asked++
					if problem := misfit(known, q.Expr); problem != "" {
						t.Errorf("%s, %s: %s in\n%s", d.Title, p.Title, problem, q.Expr)
					}
				}
			}
		}
	}
	if asked < 80 {
		t.Errorf("only %d queries were looked at", asked)
	}
}

func misfit(known map[string][]string, expr string) string {
	bare := quoted.ReplaceAllString(expr, `""`)
	usable := []string{"instance", "job", "le"}
	plain := grouping.ReplaceAllString(bare, "")
	found := metrics.FindAllStringSubmatch(plain, -1)
	if len(found) == 0 {
		return "no metric"
	}
	for _, m := range found {
		labels, ok := known[m[1]]
		if !ok {
			return "unknown metric " + m[1]
		}
		usable = append(usable, labels...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(append([]string{"instance"}, labels...), l[1]) {
				return m[1] + " has no label " + l[1]
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(bare, -1) {
		for l := range strings.SplitSeq(g[1], ",") {
			if l = strings.TrimSpace(l); l != "" && !slices.Contains(usable, l) {
				return "no metric has the label " + l
			}
		}
	}
	for _, at := range rates.FindAllStringIndex(plain, -1) {
		if rest := plain[at[1]:]; !strings.Contains(rest, "[$__rate_interval]") && !strings.Contains(rest, "[1h]") {
			return "a rate without $__rate_interval"
		}
	}
	return ""
}

func TestMisfitsAreFound(t *testing.T) {
	known := schema()
	for expr, fits := range map[string]bool{
		`max by (hw_id) (nvml_gpu_up{instance=~"a"})`: true, `nvml_gpu_upp`: false, `nvml_gpu_up{gpu="1"}`: false, `max by (uuid) (nvml_gpu_up)`: false,
		`rate(hw_energy_joules_total[5m])`: false, `rate(hw_energy_joules_total[$__rate_interval])`: true, `vector(0)`: false,
		`training_job_step_duration_seconds`: false, `sum by (le) (training_job_step_duration_seconds_bucket)`: true,
	} {
		if problem := misfit(known, expr); (problem == "") != fits {
			t.Errorf("%s: %q", expr, problem)
		}
	}
}

// TestPanelsAreComplete: what a person needs to read them.
func TestPanelsAreComplete(t *testing.T) {
	uids := map[string]bool{}
	for _, d := range All() {
		if d.Title == "" || d.Description == "" || d.From == "" || uids[d.UID] || len(d.UID) > 40 {
			t.Errorf("dashboard %q lacks something", d.UID)
		}
		uids[d.UID] = true
		for _, r := range d.Rows {
			for _, p := range r.Panels {
				if p.Title == "" || !strings.HasSuffix(p.Help, ".") || p.Unit == "" && p.Kind != Timeline || p.Width < 1 || p.Width > columns || p.Height < 1 || len(p.Queries) == 0 {
					t.Errorf("%s: panel %q lacks something: %+v", d.Title, p.Title, p)
				}
			}
		}
	}
}

// TestJSONIsTheClassicModel reads the files as Grafana does: ids once, nothing over the edge, every query with a data source.
func TestJSONIsTheClassicModel(t *testing.T) {
	type panel struct {
		ID         int
		Type       string
		GridPos    struct{ X, Y, W, H int }
		Datasource struct{ UID string }
		Targets    []struct {
			Expr, RefID string
			Datasource  struct{ UID string }
		}
		Panels []panel
	}
	for _, d := range All() {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			UID           string
			SchemaVersion int
			Panels        []panel
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		ids := map[int]bool{}
		var look func(ps []panel)
		look = func(ps []panel) {
			for _, p := range ps {
				if ids[p.ID] || p.ID == 0 {
					t.Errorf("%s: id %d twice", d.Title, p.ID)
				}
				ids[p.ID] = true
				if p.GridPos.X+p.GridPos.W > columns {
					t.Errorf("%s: panel %d goes over the edge", d.Title, p.ID)
				}
				if p.Type != "row" && (p.Datasource.UID != "${datasource}" || len(p.Targets) == 0) {
					t.Errorf("%s: panel %d has no data source or query", d.Title, p.ID)
				}
				look(p.Panels)
			}
		}
		look(got.Panels)
		if got.UID != d.UID || got.SchemaVersion != 37 {
			t.Errorf("%s: uid %s, schema %d", d.Title, got.UID, got.SchemaVersion)
		}
	}
}
