package grafana

import (
	"strconv"
	"strings"
)

func (p *Panel) json() object {
	o := object{
		"type": string(p.Kind), "title": p.Title, "description": p.Help, "datasource": source(), "targets": p.targets(), "options": p.options(),
		"fieldConfig": object{"defaults": p.defaults(), "overrides": p.overrides()},
	}
	if t := p.transformations(); t != nil {
		o["transformations"] = t
	}
	return o
}

func (p *Panel) targets() []object {
	var list []object
	for i, q := range p.Queries {
		t := object{
			"refId": string(rune('A' + i)), "datasource": source(), "expr": q.Expr, "legendFormat": q.Legend, "exemplar": q.Exemplars,
			"editorMode": "code", "range": !q.Instant, "instant": q.Instant,
		}
		switch p.Kind {
		case Table:
			t["format"] = "table"
		case HeatMap:
			t["format"] = "heatmap"
		default:
			t["format"] = "time_series"
		}
		if q.Legend == "" {
			t["legendFormat"] = "__auto"
		}
		list = append(list, t)
	}
	return list
}

func (p *Panel) options() object {
	legend := object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}}
	reduce := object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}
	switch p.Kind {
	case Lines:
		return object{"legend": legend, "tooltip": object{"mode": "multi", "sort": "desc"}}
	case Stat:
		return object{"reduceOptions": reduce, "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto"}
	case Bars:
		return object{"reduceOptions": reduce, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": true, "minVizHeight": 10, "minVizWidth": 0}
	case Table:
		return object{"showHeader": true, "footer": object{"show": false, "reducer": []string{"sum"}, "fields": ""}}
	case HeatMap:
		return object{
			"calculate": false, "cellGap": 1, "yAxis": object{"axisPlacement": "left", "reverse": false, "unit": p.Unit},
			"color":   object{"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "reverse": false, "fill": "dark-orange", "scale": "exponential"},
			"tooltip": object{"show": true, "yHistogram": false}, "legend": object{"show": true}, "exemplars": object{"color": "rgba(255,0,255,0.7)"},
			"filterValues": object{"le": 1e-9}, "rowsFrame": object{"layout": "auto"}, "showValue": "never",
		}
	case Timeline:
		return object{"legend": legend, "tooltip": object{"mode": "single", "sort": "none"}, "mergeValues": true, "showValue": "auto", "alignValue": "left", "rowHeight": 0.9}
	}
	return object{}
}

func (p *Panel) defaults() object {
	o := object{"unit": p.Unit, "color": object{"mode": "palette-classic"}, "mappings": p.mappings(), "thresholds": p.thresholds(), "custom": p.custom()}
	if len(p.Levels) > 0 || p.Names != nil {
		o["color"] = object{"mode": "thresholds"}
	}
	if p.Max > 0 {
		o["min"], o["max"] = 0, p.Max
	}
	if p.Kind == Stat || p.Kind == Table {
		o["noValue"] = "–"
	}
	return o
}

func (p *Panel) custom() object {
	switch p.Kind {
	case Lines:
		stacking, fill, scale := "none", 0, object{"type": "linear"}
		if p.Stacked {
			stacking, fill = "normal", 40
		}
		if p.Log {
			scale = object{"type": "log", "log": 10}
		}
		return object{
			"drawStyle": "line", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never", "spanNulls": false, "lineInterpolation": "linear",
			"stacking": object{"mode": stacking, "group": "A"}, "scaleDistribution": scale, "axisPlacement": "auto",
		}
	case Timeline:
		return object{"fillOpacity": 70, "lineWidth": 0}
	case Table:
		return object{"align": "auto", "displayMode": "auto", "inspect": false, "filterable": true}
	case HeatMap:
		return object{"scaleDistribution": object{"type": "linear"}, "hideFrom": object{"legend": false, "tooltip": false, "viz": false}}
	}
	return object{}
}

func (p *Panel) mappings() []object {
	if len(p.Names) == 0 {
		return []object{}
	}
	options := object{}
	for value, name := range p.Names {
		options[value] = object{"text": name}
	}
	return []object{{"type": "value", "options": options}}
}

// thresholds colours values: green below the first level.
func (p *Panel) thresholds() object {
	steps := []object{{"color": "green", "value": nil}}
	for i, level := range p.Levels {
		color := []string{"orange", "red"}[min(i, 1)]
		if len(p.Levels) == 1 {
			color = "red"
		}
		if i < len(p.Colors) {
			color = p.Colors[i]
		}
		steps = append(steps, object{"color": color, "value": level})
	}
	if len(p.Levels) == 0 {
		steps[0]["color"] = "text"
	}
	return object{"mode": "absolute", "steps": steps}
}

func (p *Panel) overrides() []object {
	list := []object{}
	if p.Link != "" {
		list = append(list, object{
			"matcher":    object{"id": "byName", "options": "Job"},
			"properties": []object{{"id": "links", "value": []object{{"title": "Show this job", "url": p.Link}}}},
		})
	}
	return list
}

// transformations put the columns of a table's queries together and name them.
func (p *Panel) transformations() []object {
	if p.Kind != Table {
		return nil
	}
	hidden, named := object{"Time": true}, object{}
	for i := range p.Queries {
		hidden["Time "+strconv.Itoa(i+1)] = true
	}
	for _, h := range p.Hide {
		hidden[h] = true
	}
	for from, to := range p.Rename {
		named[from] = to
	}
	return []object{
		{"id": "merge", "options": object{}},
		{"id": "organize", "options": object{"excludeByName": hidden, "renameByName": named, "indexByName": object{}}},
	}
}

// rated shows how fast a counter grows instead of the counter.
func (p Panel) rated() Panel {
	for i := range p.Queries {
		p.Queries[i].Expr = rateOf(p.Queries[i].Expr)
	}
	return p
}

// rateOf puts a rate around the first selector of an expression.
func rateOf(expr string) string {
	open := strings.Index(expr, ") (") + len(") (")
	end := open + strings.Index(expr[open:], "}") + 1
	return expr[:open] + "rate(" + expr[open:end] + "[$__rate_interval])" + expr[end:]
}

// maybe says why the panel may be empty.
func (p Panel) maybe(why string) Panel {
	p.Empty = why
	return p
}

// named gives words to values; 0 is bad and 1 is good.
func (p Panel) named(names map[string]string) Panel {
	p.Names, p.Levels, p.Colors = names, []float64{0, 1}, []string{"red", "green"}
	return p
}
