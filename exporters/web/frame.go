package web

import (
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

// viewFrame is a page as updates see it: parts that are compared by their versions, and the order of the rows of each table.
type viewFrame struct {
	title string
	parts []part
	lists map[string][]string
}

// part is the content of one element of a page.
type part struct {
	id      string
	version any // comparable; the content itself where it is cheap to make
	content func() (string, error)
}

// rowVersion is all that the content of a job's row depends on.
type rowVersion struct {
	job     *collector.Job
	mark    mark
	changes uint64
}

func (s *site) rowVersion(o *overview, j *collector.Job) rowVersion {
	return rowVersion{j, o.marks[j], s.o.History.changes(j.Key)}
}

// versionsOf are the versions of the rows of a page.
func versionsOf(s *site, sel *selection) map[string]any {
	versions := make(map[string]any, len(sel.shown))
	for _, j := range sel.shown {
		versions[jobID(j)] = s.rowVersion(sel.overview, j)
	}
	return versions
}

// statusFrame is the status page of a selection.
func (s *site) statusFrame(sel *selection) (*viewFrame, error) {
	c := clock{now: s.now(), live: true}
	head := *sel
	head.shown = nil // rows are made one by one, if they are new
	v := s.status(&head, c)
	v.turn(sel)
	f := &viewFrame{title: v.Title, lists: map[string][]string{}}
	for _, name := range []string{"verdict", "tiles", "attention", "heads", "pager", "groupcount", "gpuhost", "memory"} {
		if err := f.section(s, name, v); err != nil {
			return nil, err
		}
	}
	f.lists["jobrows"] = make([]string, 0, len(sel.shown))
	for _, j := range sel.shown {
		id := jobID(j)
		f.lists["jobrows"] = append(f.lists["jobrows"], id)
		f.parts = append(f.parts, part{id, s.rowVersion(sel.overview, j), func() (string, error) {
			return s.render("jobrow", s.jobRow(sel.overview, sel.query, j, c))
		}})
	}
	if err := rows(f, s, "grouprows", "grouprow", v.Groups.Rows); err != nil {
		return nil, err
	}
	if v.GPUs != nil {
		if err := rows(f, s, "gpurows", "gpurow", v.GPUs.GPUs); err != nil {
			return nil, err
		}
	}
	return f, rows(f, s, "sourcerows", "sourcerow", v.Sources)
}

// jobFrame is the page of a job.
func (s *site) jobFrame(o *overview, k collector.Key) (*viewFrame, error) {
	v, _ := s.job(o, k, clock{now: s.now(), live: true})
	f := &viewFrame{title: v.Title, lists: map[string][]string{}}
	for _, name := range []string{"jobhead", "jobproblems", "facts", "curves", "timeline", "values"} {
		if err := f.section(s, name, v); err != nil {
			return nil, err
		}
	}
	return f, rows(f, s, "gpurows", "gpurow", v.GPUs)
}

func (s *site) render(name string, data any) (string, error) {
	var b strings.Builder
	err := s.pages.ExecuteTemplate(&b, name, data)
	return b.String(), err
}

func (f *viewFrame) section(s *site, name string, data any) error {
	content, err := s.render(name, data)
	f.parts = append(f.parts, made(name, content))
	return err
}

func made(id, content string) part {
	return part{id, content, func() (string, error) { return content, nil }}
}

// rows adds a table whose rows are few.
func rows[T any](f *viewFrame, s *site, list, name string, all []rowOf[T]) error {
	f.lists[list] = make([]string, 0, len(all))
	for _, r := range all {
		content, err := s.render(name, r.Row)
		if err != nil {
			return err
		}
		f.lists[list] = append(f.lists[list], r.ID)
		f.parts = append(f.parts, made(r.ID, content))
	}
	return nil
}
