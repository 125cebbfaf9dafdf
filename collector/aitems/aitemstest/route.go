package aitemstest

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// route finds the answer to a request that was let in. The mutex is held.
func (s *Server) route(r *http.Request) *response {
	rest, ok := strings.CutPrefix(r.URL.Path, s.o.Prefix+"/services")
	parts := strings.Split(strings.Trim(rest, "/"), "/")
	if !ok || rest != "" && rest[0] != '/' {
		return s.lost()
	}
	q := r.URL.Query()
	if rest == "" {
		return s.listServices(q)
	}
	v := s.service(parts[0])
	if v == nil {
		return s.refuse(Answer{Status: 404})
	}
	switch {
	case len(parts) == 1:
		return s.readService(v, q)
	case len(parts) == 2 && parts[1] == "trains":
		return s.listTrainings(v, q)
	case len(parts) == 2 && parts[1] == "updates":
		return s.listUpdates(v, q)
	case len(parts) == 5 && parts[1] == "trains" && parts[3] == "versions":
		return s.readTraining(v, parts[2], parts[4], q)
	}
	return s.lost()
}

func (s *Server) lost() *response {
	s.violate("unknown_path")
	return s.refuse(Answer{Status: 404})
}

// begin counts a request and looks at its parameters.
func (s *Server) begin(operation string, q url.Values, allowed ...string) {
	s.requests[operation]++
	for name := range q {
		if !slices.Contains(allowed, name) {
			s.violate("unknown_parameter")
		}
	}
}

func (s *Server) listServices(q url.Values) *response {
	s.begin("services", q, "offset", "limit")
	items := make([]element, 0, len(s.services))
	for _, v := range s.services {
		items = append(items, func() string { return s.writeService(v, true) })
	}
	return s.list("services", items, q, false)
}

func (s *Server) readService(v *service, q url.Values) *response {
	s.begin("service", q)
	return s.good(s.writeService(v, false))
}

func (s *Server) writeService(v *service, listed bool) string {
	f := fields{nulls: s.faults.NullOptionals}
	f.text("serviceId", v.ID)
	f.text("name", v.Name)
	if !listed {
		f.text("type", map[bool]string{true: "interval", false: "batch"}[v.Interval > 0])
	}
	f.text("status", v.Status)
	f.text("createdDate", s.date(v.created))
	f.text("updatedDate", s.date(v.created))
	if listed {
		f.text("actionName", "View/getServiceList")
		f.text("permission", "Allow")
	}
	return f.String()
}

// listTrainings answers the list of trainings. isRecent is a filter, in both directions.
func (s *Server) listTrainings(v *service, q url.Values) *response {
	s.begin("trains", q, "offset", "limit", "isRecent")
	if q.Get("isRecent") == "false" {
		s.violate("is_recent_false")
	}
	recent := map[string]*training{}
	for _, t := range v.trainings {
		recent[t.Type] = t
	}
	var items []element
	for _, t := range v.trainings {
		switch q.Get("isRecent") {
		case "true":
			if recent[t.Type] != t {
				continue
			}
		case "false":
			if recent[t.Type] == t {
				continue
			}
		}
		items = append(items, func() string { return s.writeTraining(v, t, true) })
	}
	slices.Reverse(items) // newest first; the order is not documented
	return s.list("trains", items, q, true)
}

func (s *Server) readTraining(v *service, kind, version string, q url.Values) *response {
	s.begin("train", q)
	for _, t := range v.trainings {
		if t.Type == kind && t.Version == version {
			return s.good(s.writeTraining(v, t, false))
		}
	}
	return s.refuse(Answer{Status: 404})
}

func (s *Server) writeTraining(v *service, t *training, listed bool) string {
	options := `{"is_enabled":false}`
	if t.Epochs > 0 {
		options = `{"is_enabled":true,"epochs":` + strconv.Itoa(t.Epochs) + `,"mode":"auto"}`
	}
	f := fields{nulls: s.faults.NullOptionals}
	f.text("serviceId", v.ID)
	f.text("type", t.Type)
	f.add("hpConfig", options)
	f.text("version", t.Version)
	f.text("description", t.Description)
	f.text("status", t.Status)
	f.text("createdDate", s.date(t.Created))
	if listed {
		f.text("nextUpdateDate", s.date(t.Next))
	}
	f.add("inference", strconv.FormatBool(t.Status == "completed"))
	return f.String()
}

func (s *Server) listUpdates(v *service, q url.Values) *response {
	s.begin("updates", q, "type", "trainVersion")
	if !q.Has("type") || !q.Has("trainVersion") {
		return s.refuse(Answer{Status: 400})
	}
	t := s.training(v.ID + "/" + q.Get("type") + "/" + q.Get("trainVersion"))
	if t == nil {
		return s.refuse(Answer{Status: 404})
	}
	items := make([]string, 0, len(t.refreshes))
	for _, r := range t.refreshes {
		f := fields{nulls: s.faults.NullOptionals}
		f.text("updateVersion", r.Version)
		f.text("status", r.Status)
		f.text("type", t.Type)
		f.text("createdDate", s.date(r.Asked))
		f.text("finishedDate", s.date(r.Finished))
		if !r.Finished.IsZero() {
			f.add("updateResult", `{"inputUsersCnt":`+strconv.Itoa(r.Users)+`}`)
		}
		items = append(items, f.String())
	}
	return s.good(`{"updates":[` + strings.Join(items, ",") + `]}`)
}

// date is a moment as the service writes it; empty for none.
func (s *Server) date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	layout := "2006-01-02T15:04:05"
	switch d := s.faults.Digits; {
	case d == 0:
		layout += ".000"
	case d > 0:
		layout += "." + strings.Repeat("0", min(d, 9))
	}
	if s.faults.Zoned {
		layout += "Z07:00"
	}
	return t.In(s.o.Zone).Format(layout)
}

// good is an answer with status 200.
func (s *Server) good(body string) *response {
	switch {
	case take(&s.faults.Pages):
		return &response{status: 200, kind: "text/html", body: webPage("Sign in")}
	case take(&s.faults.Truncate):
		return &response{status: 200, kind: jsonType, body: body, cut: true}
	}
	return &response{status: 200, kind: jsonType, body: body}
}

// defaultLimit is what the service gives where nothing is asked for.
const defaultLimit = 1000

// element writes one element of a list.
type element func() string

// list answers one page of a list, with the faults that pages have.
func (s *Server) list(name string, items []element, q url.Values, endless bool) *response {
	offset, limit := number(q, "offset", 0), number(q, "limit", defaultLimit)
	if s.o.PageSize > 0 && limit > s.o.PageSize {
		if q.Has("limit") {
			s.violate("over_page_size")
		}
		limit = s.o.PageSize
	}
	for range s.faults.Odd {
		items = append(items, func() string { return `"odd"` })
	}
	if s.faults.Shuffle {
		rng := rand.New(rand.NewPCG(uint64(s.o.Seed), s.served))
		rng.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	}
	var page []string
	for _, write := range s.page(items, offset, limit) {
		page = append(page, write())
	}
	if s.faults.Duplicate && len(page) > 1 {
		page[len(page)-1] = page[0]
	}
	named := s.faults.EmptyName == "" || s.faults.EmptyName == name
	if named && take(&s.faults.EmptyLists) || offset > 0 && take(&s.faults.EmptyPages) {
		page = nil
	}
	if s.faults.Endless && endless {
		page = s.made(limit)
	}
	body := `{"` + name + `":[` + strings.Join(page, ",") + `]`
	if !s.faults.NoEcho {
		body += `,"offset":` + strconv.Itoa(offset) + `,"limit":` + strconv.Itoa(limit)
	}
	return s.good(body + "}")
}

// page is the part of a list that is asked for.
func (s *Server) page(items []element, offset, limit int) []element {
	if s.faults.OffsetIsPage {
		offset *= limit
	}
	if s.faults.IgnoreOffset {
		offset = 0
	}
	if s.faults.Cap > 0 {
		limit = min(limit, s.faults.Cap)
	}
	if s.faults.IgnoreLimit {
		limit = len(items)
	}
	from := min(max(offset, 0), len(items))
	return items[from:min(from+max(limit, 0), len(items))]
}

// made is a page of trainings that were never there.
func (s *Server) made(n int) []string {
	out := make([]string, 0, n)
	for i := range n {
		version := strconv.FormatUint(s.served, 10) + "n" + strconv.Itoa(i)
		out = append(out, `{"type":"pop","version":"v`+version+`","status":"waiting"}`)
	}
	return out
}

func number(q url.Values, name string, otherwise int) int {
	n, err := strconv.Atoi(q.Get(name))
	if err != nil {
		return otherwise
	}
	return n
}
