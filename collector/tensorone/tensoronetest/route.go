package tensoronetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxRequests = 100_000 // of which the times are kept

// window is one hour of the rate limit.
type window struct {
	began time.Time
	used  int
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := s.inForce()
	if !f.wait(r) {
		panic(http.ErrAbortHandler)
	}
	s.mu.Lock()
	rep := s.answer(r, f)
	s.mu.Unlock()
	rep.send(w, f)
}

// reply is an answer before it is sent.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (s *Server) answer(r *http.Request, f *faultState) reply {
	now := s.o.Now()
	s.requests = append(s.requests, now)
	if len(s.requests) > maxRequests {
		s.requests = slices.Delete(s.requests, 0, maxRequests/10)
	}
	s.answered++
	header := http.Header{"Content-Type": {"application/json"}}
	if refused, ok := s.meter(now, header); !ok {
		return refused
	}
	if f.takeFailure() {
		header.Del("Retry-After")
		for k, v := range f.Fail.Header {
			header[k] = v
		}
		return reply{f.Fail.Status, header, []byte(f.Fail.Body)}
	}
	rep := s.authorized(r, f)
	rep.header = header
	if rep.status != http.StatusOK {
		header.Del("Retry-After") // of a success, where it means nothing
	}
	return rep
}

// meter counts a request and refuses it where the window is used up.
func (s *Server) meter(now time.Time, h http.Header) (reply, bool) {
	limit := s.o.ReadsPerHour
	if s.o.TierReads > 0 {
		limit = min(limit, s.o.TierReads)
	}
	if limit < 0 {
		return reply{}, true
	}
	if began := now.Truncate(time.Hour); !began.Equal(s.window.began) {
		s.window = window{began: began}
	}
	s.window.used++
	reset := s.window.began.Add(time.Hour)
	h.Set("X-RateLimit-Limit", strconv.Itoa(limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, limit-s.window.used)))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
	h.Set("X-RateLimit-Window", "3600")
	h.Set("Retry-After", "60")
	if s.window.used <= limit {
		return reply{}, true
	}
	s.violations["over_budget"]++
	wait := int(reset.Sub(now).Seconds()) + 1
	h.Set("Retry-After", strconv.Itoa(wait))
	rep := s.refuse(http.StatusTooManyRequests, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded", map[string]any{
		"limit": limit, "remaining": 0, "reset_at": reset.UTC().Format(time.RFC3339), "retry_after": wait,
	})
	rep.header = h
	return rep, false
}

// refuse is an error as documented.
func (s *Server) refuse(status int, code, message string, details map[string]any) reply {
	body := map[string]any{
		"error": code, "message": message, "code": status, "timestamp": s.o.Now().UTC().Format(time.RFC3339),
		"request_id": fmt.Sprintf("req_%06d", s.answered),
	}
	if details != nil {
		body["details"] = details
	}
	return reply{status: status, body: encode(body)}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // trees of numbers and texts can be written
	}
	return b
}

func (s *Server) authorized(r *http.Request, f *faultState) reply {
	key := r.Header.Get("Authorization")
	if key == "" {
		s.violations["missing_key"]++
		return s.refuse(http.StatusUnauthorized, "UNAUTHORIZED", "Missing API key", nil)
	}
	bare, bearer := strings.CutPrefix(key, "Bearer ")
	if bearer == s.o.Bare || bare == "" || s.o.Key != "" && bare != s.o.Key {
		s.violations["bad_auth"]++
		return s.refuse(http.StatusUnauthorized, "UNAUTHORIZED", "Invalid API key", nil)
	}
	if r.Method != http.MethodGet {
		s.violations["write"]++
		return s.refuse(http.StatusForbidden, "FORBIDDEN", "This key may only read", map[string]any{"required_permission": "training:write"})
	}
	path, ok := strings.CutPrefix(r.URL.Path, s.o.Prefix+"/training/jobs")
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch {
	case !ok || path != "" && path[0] != '/':
	case path == "":
		return s.list(r, f)
	case len(parts) == 1:
		return s.job(r, parts[0], f)
	case len(parts) == 2 && parts[1] == "checkpoints":
		return s.listCheckpoints(r, parts[0], f)
	}
	s.violations["unknown_path"]++
	return s.refuse(http.StatusNotFound, "RESOURCE_NOT_FOUND", "No such resource", nil)
}

// badQuery refuses parameters that the operation does not have or take.
func (s *Server) badQuery(field string) reply {
	s.violations["bad_query"]++
	return s.refuse(http.StatusUnprocessableEntity, "SEMANTIC_ERROR", "Invalid parameter", map[string]any{"field": field})
}

// integer is a parameter as a number in a range, or the default.
func integer(text string, otherwise, low, high int) (int, bool) {
	if text == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= low && n <= high
}

func (s *Server) job(r *http.Request, id string, f *faultState) reply {
	q := r.URL.Query()
	for name := range q {
		switch name {
		case "includeMetrics", "includeLogs", "logLines":
		default:
			return s.badQuery(name)
		}
	}
	if logs, err := strconv.ParseBool(q.Get("includeLogs")); err == nil && logs {
		s.violations["logs_requested"]++
	}
	if _, ok := integer(q.Get("logLines"), 100, 0, 1000); !ok {
		return s.badQuery("logLines")
	}
	metrics, err := strconv.ParseBool(q.Get("includeMetrics"))
	j := s.found(id, f)
	if j == nil {
		return s.refuse(http.StatusNotFound, "RESOURCE_NOT_FOUND", "Training job not found", map[string]any{"resource": "training_job"})
	}
	return reply{status: http.StatusOK, body: encode(s.spoil(s.tree(j, err != nil || metrics, f), f))}
}

func (s *Server) found(id string, f *faultState) *job {
	j := s.jobs[id]
	if j == nil {
		return nil
	}
	if j.asked++; j.asked <= f.Grace {
		return nil
	}
	return j
}

func (s *Server) listCheckpoints(r *http.Request, id string, f *faultState) reply {
	q := r.URL.Query()
	for name := range q {
		switch name {
		case "limit", "sortBy", "sortOrder":
		default:
			return s.badQuery(name)
		}
	}
	limit, ok := integer(q.Get("limit"), 50, 1, 100)
	if !ok {
		return s.badQuery("limit")
	}
	j := s.found(id, f)
	if j == nil {
		return s.refuse(http.StatusNotFound, "RESOURCE_NOT_FOUND", "Training job not found", nil)
	}
	all := s.ordered(j)
	shown := all[:min(limit, len(all))]
	items := make([]any, len(shown))
	for i, c := range shown {
		item := checkpointTree(c)
		item["name"], item["type"], item["deployable"] = "Checkpoint "+c.ID, "automatic", true
		item["downloadUrl"] = "https://storage.invalid/" + c.ID + "?signature=do-not-export"
		items[i] = item
	}
	return reply{status: http.StatusOK, body: encode(s.spoil(map[string]any{
		"checkpoints": items, "totalCount": len(all), "summary": map[string]any{"totalSize": "27.6GB"},
	}, f))}
}

func (s *Server) list(r *http.Request, f *faultState) reply {
	if !s.o.List {
		return s.refuse(s.o.ListStatus, refusals[s.o.ListStatus], "No such resource", nil)
	}
	q := r.URL.Query()
	for name := range q {
		switch name {
		case "status", "limit", "offset", "sort", "order":
		default:
			return s.badQuery(name)
		}
	}
	limit, ok := integer(q.Get("limit"), 50, 1, 100)
	if !ok {
		return s.badQuery("limit")
	}
	offset, ok := integer(q.Get("offset"), 0, 0, 1<<30)
	if !ok {
		return s.badQuery("offset")
	}
	if f.IgnoreOffset {
		offset = 0
	}
	return reply{status: http.StatusOK, body: encode(s.page(q.Get("status"), min(limit, s.o.PageLimit), offset, f))}
}

// refusals are the documented codes.
var refusals = map[int]string{
	http.StatusForbidden: "FORBIDDEN", http.StatusNotFound: "RESOURCE_NOT_FOUND", http.StatusMethodNotAllowed: "METHOD_NOT_ALLOWED",
	http.StatusUnprocessableEntity: "SEMANTIC_ERROR",
}

// page is a part of the listing, newest job first.
func (s *Server) page(status string, limit, offset int, f *faultState) any {
	var ids []string
	for _, id := range slices.Backward(s.order) {
		if status == "" || s.jobs[id].Status == status {
			ids = append(ids, id)
		}
	}
	jobs := []any{}
	for _, id := range ids[min(offset, len(ids)):min(offset+limit, len(ids))] {
		line := s.tree(s.jobs[id], false, f)
		for _, long := range []string{"checkpoints", "resourceUsage", "configuration", "costs"} {
			delete(line, long)
		}
		jobs = append(jobs, s.spoil(line, f))
	}
	if f.BareList {
		return jobs
	}
	out := map[string]any{"jobs": jobs}
	switch {
	case f.NoTotal:
	case f.TotalCount:
		out["totalCount"] = len(ids)
	default:
		out["total"] = len(ids)
	}
	return out
}
