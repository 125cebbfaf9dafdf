package web

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trainbridge/trainbridge/collector"
)

// Bounds of what one page shows.
const (
	rowsUsual    = 100
	rowsMost     = 1000
	problemsMost = 500
	problemsFew  = 12
	pastFew      = 6
	groupsMost   = 1000
	groupsFew    = 20
	gpusMost     = 512
	searchMost   = 128 // runes
	valueMost    = 512 // bytes of other parameters
)

// query is what a person asked the status page for. Everything in it is in the address, so that it can be sent to somebody.
type query struct {
	Search string
	Phase  string // a phase, "trouble", "active" or empty
	Source string
	Group  string
	Sort   string // a column
	Down   bool   // the largest first
	Page   int    // from 1
	Rows   int
	All    string // the section that is shown whole: attention, groups

	words []string // of Search, in lower case
}

// columns are what jobs can be sorted by, and whether the largest is of interest first.
var columns = map[string]bool{
	"trouble": false, "name": false, "source": false, "phase": false, "progress": true, "loss": false, "rate": true, "step": true,
	"cost": true, "began": true,
}

func queryOf(v url.Values) query {
	get := func(name string) string {
		s := strings.ToValidUTF8(v.Get(name), "")
		return s[:min(len(s), valueMost)]
	}
	q := query{
		Search: strings.TrimSpace(clean(get("q"))), Phase: get("phase"), Source: clean(get("source")), Group: clean(get("group")), Page: 1, Rows: rowsUsual,
		Sort: "trouble", All: get("all"),
	}
	if utf8.RuneCountInString(q.Search) > searchMost {
		q.Search = string([]rune(q.Search)[:searchMost])
	}
	q.words = strings.Fields(strings.ToLower(q.Search))
	if !phaseChoice(q.Phase) {
		q.Phase = ""
	}
	column, down := strings.CutPrefix(get("sort"), "-")
	if _, known := columns[column]; known {
		q.Sort, q.Down = column, down
	}
	if n, err := strconv.Atoi(get("page")); err == nil && n > 1 {
		q.Page = min(n, 1_000_000)
	}
	if n, err := strconv.Atoi(get("rows")); err == nil && n > 0 {
		q.Rows = min(n, rowsMost)
	}
	if q.All != "attention" && q.All != "groups" {
		q.All = ""
	}
	return q
}

func phaseChoice(s string) bool {
	for _, p := range phaseChoices() {
		if p.Value == s {
			return true
		}
	}
	return false
}

// choice is one line of a list to choose from.
type choice struct {
	Value, Text string
	Chosen      bool
}

func phaseChoices() []choice {
	all := []choice{{Value: "", Text: "all phases"}, {Value: "trouble", Text: "in trouble"}, {Value: "active", Text: "not ended"}}
	for _, p := range collector.Phases() {
		all = append(all, choice{Value: p.String(), Text: p.String()})
	}
	return all
}

// String is the query as it stands in an address, without what is usual.
func (q query) String() string {
	v := url.Values{}
	for name, value := range map[string]string{"q": q.Search, "phase": q.Phase, "source": q.Source, "group": q.Group, "all": q.All} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if s := q.sorted(); s != "trouble" {
		v.Set("sort", s)
	}
	if q.Page > 1 {
		v.Set("page", strconv.Itoa(q.Page))
	}
	if q.Rows != rowsUsual {
		v.Set("rows", strconv.Itoa(q.Rows))
	}
	return v.Encode()
}

func (q query) sorted() string {
	if q.Down {
		return "-" + q.Sort
	}
	return q.Sort
}

// link is the address of the status page for a query, and a place on it.
func (q query) link(place string) string {
	s := "./"
	if e := q.String(); e != "" {
		s += "?" + e
	}
	if place != "" {
		s += "#" + place
	}
	return s
}

// jobLink is the address of a job's page.
func jobLink(k collector.Key) string {
	return "jobs?" + url.Values{"source": {k.Source}, "id": {k.ID}}.Encode()
}

// filtered reports whether the query leaves jobs out.
func (q query) filtered() bool {
	return q.Search != "" || q.Phase != "" || q.Source != "" || q.Group != ""
}

// takes reports whether a job is what was asked for, but for "trouble", which is the caller's to judge.
func (q query) takes(j *collector.Job) bool {
	switch {
	case q.Source != "" && j.Key.Source != q.Source,
		q.Group != "" && j.Info.Group != q.Group,
		q.Phase == "active" && j.Done(),
		q.Phase != "" && q.Phase != "active" && q.Phase != "trouble" && q.Phase != j.Phase.String():
		return false
	}
	for _, w := range q.words {
		if !mentions(j, w) {
			return false
		}
	}
	return true
}

// mentions reports whether a word in lower case stands in any text of a job.
func mentions(j *collector.Job, word string) bool {
	i := j.Info
	for _, s := range [...]string{
		i.Name, j.Key.ID, j.Key.Source, i.Group, i.Project, i.Owner, i.BaseModel, i.Kind, i.GPUModel, j.ErrorType, j.Message, j.Status,
	} {
		if containsFold(s, word) {
			return true
		}
	}
	return len(word) >= 8 && strings.HasPrefix(j.TraceID().String(), word)
}

// containsFold is strings.Contains for a word in lower case; it allocates only for text that is not ASCII.
func containsFold(s, word string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.Contains(strings.ToLower(s), word)
		}
	}
	for i := 0; i+len(word) <= len(s); i++ {
		if foldAt(s[i:], word) {
			return true
		}
	}
	return false
}

func foldAt(s, word string) bool {
	for k := range len(word) {
		c := s[k]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[k] {
			return false
		}
	}
	return true
}
