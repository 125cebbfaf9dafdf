package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

const (
	writeWithin = 10 * time.Second // for a viewer to take an update; one that is slower is let go and comes back
	quietFor    = 15 * time.Second // then a comment shows that the connection lives
)

// message is one update of a page.
type message struct {
	Title string              `json:"title,omitempty"`
	Set   map[string]string   `json:"set,omitempty"`   // contents by id
	Lists map[string][]string `json:"lists,omitempty"` // ids of the rows of a table, in order
}

// viewer is a browser that is sent updates, and what it has.
type viewer struct {
	site  *site
	query query
	job   collector.Key // of a job's page
	has   map[string]any
	lists map[string][]string
	title string
	found time.Time // when the jobs to show had been found
}

// events streams updates of a page as server-sent events: at most one a second, and in each only what changed since the
// last one that this viewer took.
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.viewers <- struct{}{}:
		defer func() { <-s.viewers }()
	default:
		w.Header().Set("Retry-After", "30")
		plain(w, http.StatusServiceUnavailable, "too many viewers; the page reloads itself instead")
		return
	}
	v := &viewer{site: s, lists: map[string][]string{}}
	q := r.URL.Query()
	if id := q.Get("job"); id != "" {
		v.job = collector.Key{Source: q.Get("source"), ID: id}
	} else {
		v.query = queryOf(q)
	}
	if v.has = s.recent.take(q.Get("stamp")); v.has == nil {
		v.has = map[string]any{}
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	v.run(w, r)
}

// run sends updates until the viewer leaves, is too slow, or the program stops.
func (v *viewer) run(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // a stream outlives the time that requests have
	send := func(text []byte) bool {
		_ = c.SetWriteDeadline(time.Now().Add(writeWithin))
		if _, err := w.Write(text); err != nil {
			return false
		}
		return c.Flush() == nil
	}
	if !send([]byte("retry: 3000\n\n")) {
		return
	}
	said := time.Now()
	for {
		text, err := v.next()
		if err != nil {
			v.site.o.Log.Error("an update of a page could not be made", "err", err)
			return
		}
		if text == nil && time.Since(said) >= quietFor {
			text = []byte(": nothing new\n\n")
		}
		if text != nil {
			if !send(text) {
				return
			}
			said = time.Now()
		}
		select {
		case <-r.Context().Done():
			return
		case <-v.site.o.Done:
			return
		case <-time.After(v.site.look.pace(len(v.site.viewers))):
		}
	}
}

// next is the event that makes the viewer's page that of now, nil if it is.
func (v *viewer) next() ([]byte, error) {
	f, err := v.frame()
	if f == nil || err != nil {
		return nil, err
	}
	m, err := v.difference(f)
	v.site.look.spent(time.Since(v.found))
	if m == nil || err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("data: ")
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil { // one line, for line ends in it are escaped
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func (v *viewer) frame() (*viewFrame, error) {
	s := v.site
	if v.job != (collector.Key{}) {
		o := s.look.glance()
		if o == nil {
			return nil, nil
		}
		v.found = time.Now()
		return s.jobFrame(o, v.job)
	}
	sel := s.look.find(v.query)
	if sel == nil {
		return nil, nil
	}
	v.found = time.Now()
	return s.statusFrame(sel)
}

// difference is what the viewer lacks of a frame, nil if nothing. From then on it counts as sent.
func (v *viewer) difference(f *viewFrame) (*message, error) {
	m := &message{Set: map[string]string{}, Lists: map[string][]string{}}
	has := make(map[string]any, len(f.parts))
	for _, p := range f.parts {
		has[p.id] = p.version
		if before, ok := v.has[p.id]; ok && before == p.version {
			continue
		}
		content, err := p.content()
		if err != nil {
			return nil, err
		}
		m.Set[p.id] = content
	}
	for name, ids := range f.lists {
		if before, ok := v.lists[name]; !ok || !slices.Equal(before, ids) {
			m.Lists[name] = ids
		}
	}
	if v.title != f.title {
		m.Title = f.title
	}
	v.has, v.lists, v.title = has, f.lists, f.title
	if m.Title == "" && len(m.Set) == 0 && len(m.Lists) == 0 {
		return nil, nil
	}
	return m, nil
}
