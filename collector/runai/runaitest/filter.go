package runaitest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is something that listings sort and filter by.
type field struct {
	text   func(w *workload) string
	number func(w *workload, now time.Time) float64
	time   func(w *workload) time.Time
	moving bool // the value changes with time alone
}

// fields are those that the API documents. updatedAt is not one of them. What the server knows nothing of is empty.
var fields = map[string]field{
	"type":                    {text: func(w *workload) string { return w.Type }},
	"name":                    {text: func(w *workload) string { return w.Name }},
	"clusterId":               {text: nothing},
	"projectId":               {text: func(w *workload) string { return w.ProjectID }},
	"projectName":             {text: func(w *workload) string { return w.Project }},
	"departmentId":            {text: func(*workload) string { return departmentID }},
	"departmentName":          {text: func(*workload) string { return departmentName }},
	"createdAt":               {time: func(w *workload) time.Time { return w.CreatedAt }},
	"deletedAt":               {time: func(w *workload) time.Time { return w.deleted }},
	"submittedBy":             {text: func(w *workload) string { return w.SubmittedBy }},
	"phase":                   {text: func(w *workload) string { return w.phase }},
	"completedAt":             {time: func(w *workload) time.Time { return w.completed }},
	"nodepool":                {text: func(w *workload) string { return w.Nodepool }},
	"distributedFramework":    {text: func(w *workload) string { return w.Framework }},
	"allocatedGPU":            {number: func(w *workload, _ time.Time) float64 { return w.allocated() }},
	"idleGpus":                {number: func(w *workload, _ time.Time) float64 { return w.idle }},
	"idleAllocatedGpus":       {number: func(w *workload, _ time.Time) float64 { return w.idle }},
	"phaseUpdatedAt":          {time: func(w *workload) time.Time { return w.phaseAt }},
	"category":                {text: func(w *workload) string { return w.Category }},
	"priority":                {number: func(*workload, time.Time) float64 { return priority }},
	"totalPendingTimeSeconds": {number: waitedSeconds, moving: true},
	"totalRunningTimeSeconds": {number: ranSeconds, moving: true},
	"priorityClassName":       {text: func(*workload) string { return priorityClass }},
	"guaranteedRuntimeEndsAt": {time: func(*workload) time.Time { return time.Time{} }},
	"aiApplicationId":         {text: nothing},
	"aiApplicationName":       {text: nothing},
}

// What all workloads have in common.
const (
	departmentID   = "2"
	departmentName = "research"
	priority       = 50
	priorityClass  = "train"
)

func nothing(*workload) string { return "" }

func waitedSeconds(w *workload, now time.Time) float64 {
	waited, _ := w.totals(now)
	return float64(waited / time.Second)
}

func ranSeconds(w *workload, now time.Time) float64 {
	_, ran := w.totals(now)
	return float64(ran / time.Second)
}

// compare orders workloads by a field, and those with the same by id.
func (f field) compare(a, b *workload, now time.Time) int {
	n := 0
	switch {
	case f.time != nil:
		n = f.time(a).Compare(f.time(b))
	case f.number != nil:
		n = cmp.Compare(f.number(a, now), f.number(b, now))
	default:
		n = strings.Compare(f.text(a), f.text(b))
	}
	if n != 0 {
		return n
	}
	return strings.Compare(a.ID, b.ID)
}

// condition is one element of filterBy.
type condition struct {
	field
	name, op, value string
	time            time.Time
	number          float64
}

// operators are tried in this order; none begins with another.
var operators = []string{"==", "!=", "<=", ">=", "=@", "!@", "=^", "=$"}

// parseFilter reads an element of filterBy, which must match the documented pattern.
func parseFilter(text string) (condition, bool) {
	i := strings.IndexAny(text, "=!<>")
	if i < 0 || len(text) < i+3 {
		return condition{}, false
	}
	f, known := fields[text[:i]]
	c := condition{field: f, name: text[:i], op: text[i : i+2], value: text[i+2:]}
	if !known || !slices.Contains(operators, c.op) {
		return c, false
	}
	var err error
	switch {
	case f.time != nil:
		if !slices.Contains([]string{"==", "!=", "<=", ">="}, c.op) {
			return c, false
		}
		c.time, err = parseTime(c.value)
	case f.number != nil:
		c.number, err = strconv.ParseFloat(c.value, 64)
	}
	return c, err == nil
}

// parseTime reads an ISO 8601 time; one without a zone is in UTC.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if err != nil {
			t, err = time.Parse(layout, text)
		}
	}
	return t, err
}

func (c *condition) holds(w *workload, now time.Time) bool {
	if c.field.time != nil {
		return ordered(c.op, c.field.time(w).Truncate(time.Millisecond).Compare(c.time))
	}
	if c.field.number != nil {
		return ordered(c.op, cmp.Compare(c.field.number(w, now), c.number))
	}
	text := c.text(w)
	switch c.op {
	case "=@":
		return strings.Contains(text, c.value)
	case "!@":
		return !strings.Contains(text, c.value)
	case "=^":
		return strings.HasPrefix(text, c.value)
	case "=$":
		return strings.HasSuffix(text, c.value)
	}
	return ordered(c.op, strings.Compare(text, c.value))
}

func ordered(op string, n int) bool {
	switch op {
	case "==":
		return n == 0
	case "!=":
		return n != 0
	case "<=":
		return n <= 0
	case ">=":
		return n >= 0
	}
	return false
}
