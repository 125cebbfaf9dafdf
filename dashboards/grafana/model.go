// Package grafana holds the dashboards. They are written in Go, so that a test can hold every query to the table of metrics,
// and kept beside it as JSON in Grafana's classic model, which Grafana 9 to 13 load:
//
//	go test ./dashboards/grafana -update
//
// writes the files anew.
package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Dashboard is one dashboard. Panels are laid out from left to right in the order in which they stand.
type Dashboard struct {
	UID, Title, Description string
	Variables               []Variable
	Rows                    []Row
	From                    string // the start of the time that is shown at first, such as now-6h
}

// Row is a heading with panels under it.
type Row struct {
	Title  string
	Panels []Panel
	Closed bool // shown when it is opened
}

// Variable is a choice at the top of a dashboard.
type Variable struct {
	Name, Label string
	Query       string // label_values(...)
	Multi       bool   // several may be chosen, and all are at first
}

// Kind is the kind of a panel, as Grafana calls it.
type Kind string

// The kinds of panels.
const (
	Lines    Kind = "timeseries"
	Stat     Kind = "stat"
	Table    Kind = "table"
	Bars     Kind = "bargauge"
	HeatMap  Kind = "heatmap"
	Timeline Kind = "state-timeline"
)

// Panel is one picture.
type Panel struct {
	Kind          Kind
	Title, Help   string
	Unit          string // as Grafana names it
	Width, Height int    // of 24 columns
	Queries       []Query
	Max           float64 // of the axis, if it is not 0
	Stacked       bool
	Log           bool
	// Levels colour values from each of them on: red where Bad is set, else in turn orange and red.
	Levels []float64
	Colors []string          // of the levels, from the first
	Names  map[string]string // what values are called
	Hide   []string          // columns of a table that are not shown
	Rename map[string]string // columns of a table
	Empty  string            // why there may be nothing to show; then a test does not ask for data
	Link   string            // where a click on a table's job leads
}

// Query is one expression.
type Query struct {
	Expr, Legend string
	Exemplars    bool
	Instant      bool // only the newest value, for tables and stats
}

// object is a JSON object.
type object = map[string]any

// source is the data source of every query: the one that is chosen at the top.
func source() object { return object{"type": "prometheus", "uid": "${datasource}"} }

// JSON is the dashboard in the classic model.
func (d *Dashboard) JSON() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(object{
		"uid": d.UID, "title": d.Title, "description": d.Description, "tags": []string{tag},
		"schemaVersion": 37, "version": 1, "editable": false, "graphTooltip": 1, "refresh": "30s", "timezone": "",
		"time": object{"from": d.From, "to": "now"}, "timepicker": object{}, "fiscalYearStartMonth": 0, "weekStart": "",
		"annotations": object{"list": []any{}}, "links": links(), "templating": object{"list": d.variables()}, "panels": d.panels(),
	})
	if err != nil {
		return nil, fmt.Errorf("write dashboard %s: %w", d.UID, err)
	}
	return out.Bytes(), nil
}

// tag marks all dashboards, which are linked by it.
const tag = "trainbridge"

func links() []object {
	return []object{{
		"type": "dashboards", "title": "trainbridge", "tags": []string{tag}, "asDropdown": true, "includeVars": true, "keepTime": true,
		"icon": "external link", "targetBlank": false, "tooltip": "", "url": "",
	}}
}

func (d *Dashboard) variables() []object {
	list := []object{{
		"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "hide": 0, "multi": false,
		"includeAll": false, "options": []any{}, "current": object{}, "regex": "", "skipUrlSync": false,
	}}
	for _, v := range d.Variables {
		o := object{
			"name": v.Name, "label": v.Label, "type": "query", "datasource": source(), "definition": v.Query,
			"query": object{"query": v.Query, "refId": "PrometheusVariableQueryEditor-VariableQuery"}, "refresh": 2, "sort": 1, "hide": 0,
			"multi": v.Multi, "includeAll": v.Multi, "options": []any{}, "current": object{}, "regex": "", "skipUrlSync": false,
		}
		if v.Multi {
			o["allValue"] = ".*"
			o["current"] = object{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}}
		}
		list = append(list, o)
	}
	return list
}

// place is where the next panel goes.
type place struct{ id, x, y, tall int }

func (p *place) next(width, height int) object {
	if p.x+width > columns {
		p.wrap()
	}
	at := object{"x": p.x, "y": p.y, "w": width, "h": height}
	p.x += width
	p.tall = max(p.tall, height)
	p.id++
	return at
}

func (p *place) wrap() { p.x, p.y, p.tall = 0, p.y+p.tall, 0 }

const columns = 24

func (d *Dashboard) panels() []object {
	var list []object
	var at place
	for _, r := range d.Rows {
		at.wrap()
		heading := object{"type": "row", "title": r.Title, "collapsed": r.Closed, "gridPos": at.next(columns, 1), "id": at.id, "panels": []any{}}
		at.wrap()
		var inside []object
		for i := range r.Panels {
			p := &r.Panels[i]
			o := p.json()
			o["gridPos"], o["id"] = at.next(p.Width, p.Height), at.id
			inside = append(inside, o)
		}
		if r.Closed {
			heading["panels"], inside = inside, nil
		}
		list = append(append(list, heading), inside...)
	}
	return list
}
