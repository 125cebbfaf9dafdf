package web

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

// statusView is what the templates of the status page read.
type statusView struct {
	shell

	Verdict  sign
	Tiles    []tile
	Now      []problem // what is wrong now and somebody must act on
	Past     []problem // what failed or was lost within the last hour
	PastText string
	Warnings []problem // what else is wrong now, or worth knowing
	More     string    // how many problems are not shown
	MoreLink string
	Filter   filter
	Heads    []head
	Rows     []rowOf[jobRow]
	Count    string
	Prev     string // addresses of the pages beside this one
	Next     string
	Page     string
	Groups   groupsView
	GPUs     *gpuHost // nil where none are read
	Sources  []rowOf[sourceRow]
	Watching string // what is known of GPUs that idle
	Memory   string // what the curves are drawn from
	Proxies  []string
}

// rowOf is a row of a table, with the id that updates find it by.
type rowOf[T any] struct {
	ID  string
	Row T
}

// tile is one number of the summary.
type tile struct {
	Sign                      sign
	Name, Value, Detail, Link string
}

type filter struct {
	Search, Group, Sort, Rows, Clear string
	Phases, Sources                  []choice
	On                               bool
}

type head struct{ Text, Link, Order, Class string }

func domID(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return kind + hex.EncodeToString(sum[:8])
}

// status makes the view of a selection.
func (s *site) status(sel *selection, c clock) *statusView {
	q := sel.query
	v := &statusView{shell: s.shell(c), Proxies: s.o.Proxies()}
	v.Ready, v.Stream = true, "api/v1/events?"+q.String()
	s.judge(v, sel, c)
	v.Tiles = tiles(sel.overview)
	v.Filter = filterOf(q, sel.overview)
	v.Heads = heads(q)
	for _, j := range sel.shown {
		v.Rows = append(v.Rows, rowOf[jobRow]{ID: jobID(j), Row: s.jobRow(sel.overview, q, j, c)})
	}
	v.turn(sel)
	v.Groups = groupsOf(sel.overview, q, c)
	v.GPUs = gpuView(sel.overview)
	v.Sources = sourcesOf(sel.overview, c)
	v.Watching, v.Memory = s.watching(sel.snap), s.memory()
	return v
}

func jobID(j *collector.Job) string {
	id := j.TraceID()
	return "j" + hex.EncodeToString(id[:8])
}

// tiles are the numbers on top.
func tiles(o *overview) []tile {
	var phases [9]int
	for _, n := range o.phases {
		for p := range n {
			phases[p] += n[p]
		}
	}
	up, down := 0, 0
	for _, s := range o.snap.Sources {
		if _, configured := o.kinds[s.Name]; configured && s.Health.Known {
			if s.Health.Up {
				up++
			} else {
				down++
			}
		}
	}
	failed := "within the last hour"
	if slices.ContainsFunc(o.snap.Sources, func(s *collector.SourceView) bool { return s.Suppressed > 0 }) {
		failed += ", of those shown"
	}
	waiting := "not started yet"
	if n := phases[collector.Initializing]; n > 0 {
		waiting = "and " + grouped(n) + " initializing"
	}
	all := []tile{
		{Name: "running", Value: grouped(phases[collector.Running]), Detail: "of " + plural(o.jobs, "job", "jobs"), Link: "./?phase=running#jobs", Sign: phaseSigns[collector.Running]},
		{Name: "waiting", Value: grouped(phases[collector.Pending]), Detail: waiting, Link: "./?phase=pending#jobs", Sign: phaseSigns[collector.Pending]},
		{Name: "failed", Value: grouped(o.failed), Detail: failed, Link: "./?phase=failed#jobs", Sign: tileSign(o.failed == 0)},
		{Name: "sources up", Value: fmt.Sprintf("%d of %d", up, len(o.kinds)), Detail: downText(down, len(o.kinds)-up-down), Link: "#sources", Sign: tileSign(down == 0)},
	}
	if v := o.snap.GPUs; v != nil {
		t := tile{Name: "GPUs answer", Value: grouped(v.Host.Seen), Link: "#gpus", Sign: tileSign(v.Host.Up), Detail: "on this machine"}
		if n := v.Host.Expected; n != nil {
			t.Value, t.Sign = fmt.Sprintf("%d of %d", v.Host.Seen, *n), tileSign(v.Host.Up && v.Host.Seen >= *n)
		}
		all = append(all, t)
	}
	return all
}

func downText(down, unknown int) string {
	switch {
	case down > 0:
		return fmt.Sprintf("%d down", down)
	case unknown > 0:
		return fmt.Sprintf("%d not asked yet", unknown)
	}
	return "all answer"
}

func tileSign(well bool) sign {
	if well {
		return sign{"", "✓", "good"}
	}
	return sign{"", "✖", "bad"}
}

func filterOf(q query, o *overview) filter {
	f := filter{Search: q.Search, Group: q.Group, On: q.filtered(), Clear: query{Page: 1, Rows: q.Rows, Sort: q.Sort, Down: q.Down}.link("jobs")}
	if q.sorted() != "trouble" {
		f.Sort = q.sorted()
	}
	if q.Rows != rowsUsual {
		f.Rows = fmt.Sprint(q.Rows)
	}
	for _, p := range phaseChoices() {
		p.Chosen = p.Value == q.Phase
		f.Phases = append(f.Phases, p)
	}
	f.Sources = []choice{{Text: "all sources"}}
	known := q.Source == ""
	for _, s := range o.snap.Sources {
		f.Sources = append(f.Sources, choice{Value: clean(s.Name), Text: clean(s.Name), Chosen: s.Name == q.Source})
		known = known || s.Name == q.Source
	}
	if !known {
		f.Sources = append(f.Sources, choice{Value: q.Source, Text: labelOf(q.Source, 40).Text + " (unknown)", Chosen: true})
	}
	return f
}

// heads are the columns of the table of jobs.
func heads(q query) []head {
	var out []head
	for _, c := range []struct{ column, text, class string }{
		{"phase", "Phase", ""}, {"name", "Job", ""}, {"trouble", "What is wrong", ""}, {"progress", "Progress", ""}, {"loss", "Loss", ""}, {"rate", "Speed", "n"},
		{"step", "Last step", "n"}, {"cost", "Cost", "n"}, {"", "Trace", ""},
	} {
		h := head{Text: c.text, Class: c.class}
		if c.column != "" {
			next := q
			next.Page, next.Sort, next.Down = 1, c.column, columns[c.column]
			if q.Sort == c.column {
				next.Down = !q.Down
				h.Order = "ascending"
				if q.Down {
					h.Order = "descending"
				}
			}
			h.Link = next.link("jobs")
		}
		out = append(out, h)
	}
	return out
}

// turn fills in which part of the jobs this is.
func (v *statusView) turn(sel *selection) {
	q := sel.query
	page := min(q.Page, sel.pages)
	from := (page-1)*q.Rows + 1
	switch {
	case sel.jobs == 0:
		v.Count = "No job is known yet."
	case sel.matched == 0:
		v.Count = "None of " + plural(sel.jobs, "job matches.", "jobs match.")
	case len(sel.shown) == sel.jobs:
		v.Count = plural(sel.jobs, "job", "jobs")
	case len(sel.shown) == sel.matched:
		v.Count = fmt.Sprintf("%s of %s", grouped(sel.matched), plural(sel.jobs, "job matches", "jobs match"))
	default:
		v.Count = fmt.Sprintf("%s–%s of %s", grouped(from), grouped(from+len(sel.shown)-1), plural(sel.matched, "job", "jobs"))
		if sel.matched < sel.jobs {
			v.Count += " that match, of " + grouped(sel.jobs)
		}
	}
	other := q
	if page > 1 {
		other.Page = page - 1
		v.Prev = other.link("jobs")
	}
	if page < sel.pages {
		other.Page = page + 1
		v.Next = other.link("jobs")
	}
	if sel.pages > 1 {
		v.Page = fmt.Sprintf("Page %d of %s", page, grouped(sel.pages))
	}
}

// memory says what curves are drawn from.
func (s *site) memory() string {
	h := s.o.History
	if h == nil {
		return "Curves are off."
	}
	full := h.homeless()
	text := fmt.Sprintf("Curves are kept in memory since %s, for %s at most, and are lost with the process.",
		date(collector.TimeOf(h.since)), plural(h.o.Jobs, "job", "jobs"))
	if full > 0 {
		text += fmt.Sprintf(" %s found no room.", plural(full, "running job", "running jobs"))
	}
	return text
}
