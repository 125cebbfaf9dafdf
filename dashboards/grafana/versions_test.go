package grafana

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What Grafana 9 has and 13 still has.
var (
	panelTypes      = []string{"row", "timeseries", "stat", "table", "bargauge", "heatmap", "state-timeline"}
	transformations = []string{"merge", "organize"}
	variableTypes   = []string{"datasource", "query"}
)

// never are keys that would tie a dashboard to one Grafana: panels kept elsewhere, questions at the import, alerts of before version 9,
// data sources by name or number, panels of Angular, and panels made in the browser.
var never = []string{
	"libraryPanel", "__inputs", "__requires", "alert", "datasourceId", "pluginVersion", "repeat", "repeatPanelId", "scopedVars", "aliasColors", "yaxes",
	"seriesOverrides", "nullPointMode", "styles", "snapshotData",
}

// misfits are what one of the versions from 9 to 13 does not know, or takes otherwise than another.
func misfits(v any, path string) (found []string) {
	switch v := v.(type) {
	case []any:
		for i, e := range v {
			found = append(found, misfits(e, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case map[string]any:
		for key, e := range v {
			if slices.Contains(never, key) {
				found = append(found, path+" has "+key)
			}
			if d, known := e.(map[string]any); key == "datasource" && (!known || d["uid"] != "${datasource}" || d["type"] != "prometheus") {
				found = append(found, fmt.Sprintf("%s: the data source is %v", path, e))
			}
			found = append(found, misfits(e, path+"."+key)...)
		}
	}
	return found
}

// oddPanels are panels of a type, or with transformations or names of queries, that do not fit.
func oddPanels(panels []any) (found []string) {
	for _, p := range panels {
		p, _ := p.(map[string]any)
		title := fmt.Sprint(p["title"])
		if kind := fmt.Sprint(p["type"]); !slices.Contains(panelTypes, kind) {
			found = append(found, title+" is a "+kind)
		}
		list, _ := p["transformations"].([]any)
		for _, t := range list {
			if id := fmt.Sprint(t.(map[string]any)["id"]); !slices.Contains(transformations, id) {
				found = append(found, title+" is transformed by "+id)
			}
		}
		names := map[any]bool{}
		targets, _ := p["targets"].([]any)
		for _, t := range targets {
			id := t.(map[string]any)["refId"]
			if names[id] || id == "" {
				found = append(found, fmt.Sprintf("%s has two queries %v", title, id))
			}
			names[id] = true
		}
		if inside, _ := p["panels"].([]any); len(inside) > 0 {
			if p["collapsed"] != true {
				found = append(found, title+" is open and holds its panels")
			}
			found = append(found, oddPanels(inside)...)
		}
	}
	return found
}

func oddDashboard(d map[string]any) (found []string) {
	found = append(misfits(d, "$"), oddPanels(d["panels"].([]any))...)
	// A higher one keeps Grafana 9 from migrating what it needs to; a lower one has it change what is right.
	if d["schemaVersion"] != 37.0 {
		found = append(found, fmt.Sprintf("schemaVersion is %v", d["schemaVersion"]))
	}
	for _, key := range []string{"id", "apiVersion", "spec", "elements"} { // a number of one Grafana, and the newer models
		if _, has := d[key]; has {
			found = append(found, "the dashboard has "+key)
		}
	}
	for _, v := range d["templating"].(map[string]any)["list"].([]any) {
		v := v.(map[string]any)
		if !slices.Contains(variableTypes, fmt.Sprint(v["type"])) {
			found = append(found, fmt.Sprintf("variable %v is a %v", v["name"], v["type"]))
		}
		if _, is := v["current"].(map[string]any); !is {
			found = append(found, fmt.Sprintf("variable %v has no current", v["name"]))
		}
	}
	return found
}

func read(t *testing.T, d *Dashboard) map[string]any {
	t.Helper()
	text, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAllVersionsTakeThem(t *testing.T) {
	for _, d := range All() {
		for _, odd := range oddDashboard(read(t, d)) {
			t.Errorf("%s: %s", d.Title, odd)
		}
	}
}

func TestOddDashboardsAreFound(t *testing.T) {
	first := func(d map[string]any) map[string]any { return d["panels"].([]any)[1].(map[string]any) }
	for want, plant := range map[string]func(map[string]any){
		"is a graph":           func(d map[string]any) { first(d)["type"] = "graph" },
		"has libraryPanel":     func(d map[string]any) { first(d)["libraryPanel"] = map[string]any{} },
		"the data source is":   func(d map[string]any) { first(d)["datasource"] = "Prometheus" },
		"schemaVersion is":     func(d map[string]any) { d["schemaVersion"] = 41.0 },
		"the dashboard has id": func(d map[string]any) { d["id"] = 7.0 },
		"is transformed by": func(d map[string]any) {
			first(d)["transformations"] = []any{map[string]any{"id": "groupToNestedTable"}}
		},
		"has two queries":   func(d map[string]any) { q := first(d)["targets"].([]any); first(d)["targets"] = append(q, q[0]) },
		"is open and holds": func(d map[string]any) { d["panels"].([]any)[0].(map[string]any)["panels"] = []any{first(d)} },
		"is a switch": func(d map[string]any) {
			d["templating"].(map[string]any)["list"].([]any)[1].(map[string]any)["type"] = "switch"
		},
		"source has no current": func(d map[string]any) {
			delete(d["templating"].(map[string]any)["list"].([]any)[1].(map[string]any), "current")
		},
	} {
		d := read(t, All()[0])
		plant(d)
		if odd := oddDashboard(d); !slices.ContainsFunc(odd, func(o string) bool { return strings.Contains(o, want) }) {
			t.Errorf("%q is not found: %q", want, odd)
		}
	}
}
