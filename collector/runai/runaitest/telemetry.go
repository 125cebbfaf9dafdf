package runaitest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// groupings are what telemetry can be grouped by.
var groupings = map[string]func(c *call, w *workload) (value, name string){
	"ClusterId":        func(c *call, _ *workload) (string, string) { return c.s.cluster.ID, c.s.cluster.Name },
	"DepartmentId":     func(*call, *workload) (string, string) { return departmentID, departmentName },
	"ProjectId":        func(_ *call, w *workload) (string, string) { return w.ProjectID, w.Project },
	"Type":             func(_ *call, w *workload) (string, string) { return w.Type, "" },
	"CurrentNodepools": func(_ *call, w *workload) (string, string) { return w.Nodepool, "" },
	"Phase":            func(c *call, w *workload) (string, string) { phase := c.phaseOf(w.phase); return phase, phase },
	"Category":         func(_ *call, w *workload) (string, string) { return w.Category, "" },
}

// amount is the value of one combination of groups.
type amount struct {
	groups [][3]string // key, value, name
	value  float64
}

// telemetry answers numbers about all active workloads.
func (s *Server) telemetry(c *call) reply {
	typ, _ := c.param("telemetryType")
	if !slices.Contains([]string{"WORKLOADS_COUNT", "GPU_ALLOCATION", "PENDING_TIME_DISTRIBUTION"}, typ) {
		return c.bad("bad_telemetry", "telemetryType is not one of the allowed values")
	}
	var groups []string
	if text, given := c.param("groupBy"); given {
		groups = strings.Split(text, ",")
	}
	if len(groups) > 2 || len(c.q["groupBy"]) > 1 {
		return c.bad("bad_telemetry", "groupBy takes up to 2 values")
	}
	for _, group := range groups {
		if groupings[group] == nil {
			return c.bad("bad_telemetry", "groupBy is not one of the allowed values")
		}
	}
	if !jsonAccepted(c.r.Header) {
		return c.csv()
	}
	e := &c.enc
	e.open()
	e.text("type", typ)
	e.time("timestamp", c.now)
	e.key("values")
	e.b = append(e.b, '[')
	amounts := c.amounts(typ, groups)
	for i, a := range amounts {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		c.amount(a)
	}
	c.badItem(len(amounts) > 0)
	e.b = append(e.b, ']')
	e.close()
	return c.ok()
}

// amounts sums up the workloads that the request selects, in the order of their groups.
func (c *call) amounts(typ string, groups []string) []*amount {
	byKey := make(map[string]*amount)
	var keys []string
	for _, w := range c.s.all {
		if !w.deleted.IsZero() || !c.counted(w) {
			continue
		}
		var of [][3]string
		key := ""
		for _, group := range groups {
			value, name := groupings[group](c, w)
			of = append(of, [3]string{group, value, name})
			key += value + "\x00"
		}
		value := 1.0
		switch typ {
		case "GPU_ALLOCATION":
			value = w.allocated()
		case "PENDING_TIME_DISTRIBUTION":
			bucket := bucket(w, c.now)
			of, key = append(of, [3]string{"PendingTime", bucket, ""}), key+bucket
		}
		a := byKey[key]
		if a == nil {
			a = &amount{groups: of}
			byKey[key], keys = a, append(keys, key)
		}
		a.value += value
	}
	slices.Sort(keys)
	out := make([]*amount, len(keys))
	for i, key := range keys {
		out[i] = byKey[key]
	}
	return out
}

// counted says whether the parameters of telemetry select a workload.
func (c *call) counted(w *workload) bool {
	for name, value := range map[string]string{"clusterId": c.s.cluster.ID, "nodepoolName": w.Nodepool, "departmentId": departmentID} {
		if text, given := c.param(name); given && text != value {
			return false
		}
	}
	phases, given := c.param("filterByPhases")
	return !given || slices.Contains(strings.Split(phases, ","), c.phaseOf(w.phase))
}

// bucket is one of four ranges of the time that a workload waited. Their names are a guess.
func bucket(w *workload, now time.Time) string {
	switch waited, _ := w.totals(now); {
	case waited < 10*time.Minute:
		return "0-10m"
	case waited < time.Hour:
		return "10-60m"
	case waited < 12*time.Hour:
		return "1-12h"
	}
	return "12h+"
}

func (c *call) amount(a *amount) {
	e := &c.enc
	e.open()
	e.text("value", strconv.FormatFloat(a.value, 'f', -1, 64))
	e.key("groups")
	e.b = append(e.b, '[')
	for i, group := range a.groups {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.open()
		e.text("key", group[0])
		e.text("value", group[1])
		if group[2] != "" {
			e.text("name", group[2])
		}
		e.close()
	}
	e.b = append(e.b, ']')
	e.close()
}
