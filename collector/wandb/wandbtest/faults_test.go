package wandbtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

func TestReplacedAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer            wandbtest.Answer
		status            int
		header, headerHas string
		bodyHas           string
	}{
		"proxy 524":   {wandbtest.ProxyError(2, 524), 524, "Content-Type", "text/html", "<h1>524</h1>"},
		"string":      {wandbtest.DetailString(2, 500, "workflow error"), 500, "Content-Type", "application/json", `{"detail":"workflow error"}`},
		"list":        {wandbtest.DetailList(2, 422, "after", "bad"), 422, "Content-Type", "application/json", `"loc":["query","after"]`},
		"retry after": {wandbtest.TooMany(2, "7"), 429, "Retry-After", "7", "Concurrency limit"},
		"redirect":    {wandbtest.Redirect(2, "http://elsewhere.test/"), 307, "Location", "http://elsewhere.test/", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, wandbtest.Options{})
			job := newJob(s, steps(1)...)
			s.SetFaults(wandbtest.Faults{Fail: tc.answer})
			for range 2 {
				w := get(s, eventsPath(job))
				if w.Code != tc.status || !strings.Contains(w.Header().Get(tc.header), tc.headerHas) || !strings.Contains(w.Body.String(), tc.bodyHas) {
					t.Errorf("status %d, header %v: %s", w.Code, w.Header(), w.Body)
				}
			}
			if w := get(s, eventsPath(job)); w.Code != 200 {
				t.Errorf("third answer: status %d", w.Code)
			}
		})
	}
}

func TestFailAlwaysAndOnlyOneOperation(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	job := newJob(s)
	s.SetFaults(wandbtest.Faults{Only: []wandbtest.Operation{wandbtest.OpGetJob}, Fail: wandbtest.DetailString(-1, 503, "x")})
	for range 3 {
		if w := get(s, "/v1/preview/training-jobs/"+job); w.Code != 503 {
			t.Errorf("get job: status %d", w.Code)
		}
		if w := get(s, eventsPath(job)); w.Code != 200 {
			t.Errorf("events: status %d", w.Code)
		}
	}
}

func TestJobFaults(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	sick, well := newJob(s), newJob(s)
	s.SetJobFaults(sick, wandbtest.Faults{Fail: wandbtest.ProxyError(-1, 502)})
	if a, b := get(s, eventsPath(sick)).Code, get(s, eventsPath(well)).Code; a != 502 || b != 200 {
		t.Errorf("sick %d, well %d", a, b)
	}
	s.SetJobFaults(sick, wandbtest.Faults{})
	if a := get(s, eventsPath(sick)).Code; a != 200 {
		t.Errorf("after the fault: %d", a)
	}
}

// listen serves s on loopback and returns the URL of a job's events.
func listen(t *testing.T, s *wandbtest.Server, job string) string {
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return web.URL + eventsPath(job)
}

// fetch makes a real request, reads at most limit bytes of the body, and says how reading ended.
func fetch(t *testing.T, ctx context.Context, url string, limit int64) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	return resp, body, err
}

func TestBodyFaults(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 5000)
	for name, tc := range map[string]struct {
		faults wandbtest.Faults
		check  func(body string, err error) bool
	}{
		"truncated": {wandbtest.Faults{Body: wandbtest.Truncated}, func(b string, err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && strings.HasPrefix(b, `{"object"`)
		}},
		"slow": {wandbtest.Faults{Body: wandbtest.Slow, Pause: 10 * time.Microsecond}, func(b string, err error) bool {
			return err == nil && json.Valid([]byte(b))
		}},
		"endless": {wandbtest.Faults{Body: wandbtest.Endless}, func(b string, err error) bool {
			return err == nil && len(b) == 2<<20 && strings.HasPrefix(b, `{"object":"list","data":[{"id":"`)
		}},
		"huge": {wandbtest.Faults{Body: wandbtest.Huge, Size: 1 << 20}, func(b string, err error) bool {
			return err == nil && len(b) > 1<<20 && json.Valid([]byte(b))
		}},
		"bomb": {wandbtest.Faults{Body: wandbtest.Bomb, Size: 1 << 20}, func(b string, err error) bool {
			return err == nil && len(b) > 1<<20 && json.Valid([]byte(b))
		}},
		"deep": {wandbtest.Faults{Body: wandbtest.Deep, Size: 5000}, func(b string, err error) bool {
			return err == nil && strings.Contains(b, deep) && json.Valid([]byte(b))
		}},
		"garbage": {wandbtest.Faults{Body: wandbtest.Garbage}, func(b string, err error) bool { return err == nil && !json.Valid([]byte(b)) }},
		"html":    {wandbtest.Faults{Body: wandbtest.HTML}, func(b string, err error) bool { return strings.HasPrefix(b, "<!doctype html>") }},
		"empty":   {wandbtest.Faults{Body: wandbtest.Empty}, func(b string, err error) bool { return err == nil && b == "" }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, wandbtest.Options{})
			job := newJob(s, steps(3)...)
			s.SetFaults(tc.faults)
			url := listen(t, s, job)
			resp, body, err := fetch(t, t.Context(), url, 2<<20)
			if resp == nil || resp.StatusCode != 200 || !tc.check(string(body), err) {
				t.Errorf("answer %v, %v, %d bytes: %.100s", resp, err, len(body), body)
			}
		})
	}
}

func TestHang(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	job := newJob(s)
	s.SetFaults(wandbtest.Faults{Hang: true})
	url := listen(t, s, job)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, _, err := fetch(t, ctx, url, 1<<20); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hanging request: %v, want a time-out", err)
	}
	done := make(chan error)
	go func() {
		_, _, err := fetch(t, t.Context(), url, 1<<20)
		done <- err
	}()
	time.Sleep(10 * time.Millisecond) // either way, the next line must release it
	s.SetFaults(wandbtest.Faults{})
	if err := <-done; err != nil {
		t.Errorf("released request: %v", err)
	}
}

func TestHangingPost(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	model := s.AddModel("e", "p", "m", "b")
	s.SetFaults(wandbtest.Faults{Hang: true})
	web := httptest.NewServer(s)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	body := strings.NewReader(`{"model_id":"` + model + `","trajectory_groups":[]}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, web.URL+"/v1/preview/training-jobs", body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hanging request: %v, want a time-out", err)
	}
	web.Close() // waits until the server has noticed that the client left
	if n := len(s.Truth().Jobs); n != 0 {
		t.Errorf("%d jobs were created", n)
	}
}

func TestClosedWithoutAnswer(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	job := newJob(s)
	s.SetFaults(wandbtest.Faults{Fail: wandbtest.Answer{Count: -1}})
	if resp, _, err := fetch(t, t.Context(), listen(t, s, job), 1); err == nil {
		t.Errorf("got an answer: %v", resp)
	}
	if n := s.Counters().ByStatus[0]; n == 0 {
		t.Error("the request was not counted")
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, wandbtest.Options{})
		job := newJob(s)
		s.SetFaults(wandbtest.Faults{Latency: 3 * time.Second})
		began := time.Now()
		get(s, eventsPath(job))
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestListFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		faults wandbtest.Faults
		check  func(s *wandbtest.Server, job, third string) bool
	}{
		"after ignored": {wandbtest.Faults{Cursor: wandbtest.CursorIgnored}, func(s *wandbtest.Server, job, third string) bool {
			return len(page(t, s, job, "?after="+third).Data) == 10
		}},
		"after 404": {wandbtest.Faults{Cursor: wandbtest.CursorNotFound}, func(s *wandbtest.Server, job, third string) bool {
			return get(s, eventsPath(job)+"?after="+third).Code == 404 && get(s, eventsPath(job)).Code == 200
		}},
		"after 422": {wandbtest.Faults{Cursor: wandbtest.CursorUnprocessable}, func(s *wandbtest.Server, job, third string) bool {
			w := get(s, eventsPath(job)+"?after="+third)
			return w.Code == 422 && strings.Contains(w.Body.String(), `"loc":["query","after"]`)
		}},
		"lost cursor is empty": {wandbtest.Faults{LostCursor: wandbtest.CursorEmpty}, func(s *wandbtest.Server, job, third string) bool {
			return len(page(t, s, job, "?after=lost").Data) == 0 && len(page(t, s, job, "?after="+third).Data) == 7
		}},
		"lost cursor starts over": {wandbtest.Faults{LostCursor: wandbtest.CursorIgnored}, func(s *wandbtest.Server, job, third string) bool {
			return len(page(t, s, job, "?after=lost").Data) == 10
		}},
		"has_more always": {wandbtest.Faults{HasMore: wandbtest.HasMoreAlways}, func(s *wandbtest.Server, job, third string) bool {
			all := page(t, s, job, "")
			return *all.HasMore && *page(t, s, job, "?after="+*all.LastID).HasMore
		}},
		"has_more never": {wandbtest.Faults{HasMore: wandbtest.HasMoreNever}, func(s *wandbtest.Server, job, third string) bool {
			return !*page(t, s, job, "?limit=2").HasMore
		}},
		"has_more null": {wandbtest.Faults{HasMore: wandbtest.HasMoreNull}, func(s *wandbtest.Server, job, third string) bool {
			return strings.HasSuffix(get(s, eventsPath(job)).Body.String(), `"has_more":null}`)
		}},
		"has_more missing": {wandbtest.Faults{HasMore: wandbtest.HasMoreMissing}, func(s *wandbtest.Server, job, third string) bool {
			return page(t, s, job, "").HasMore == nil && len(readAll(t, s, job, 3)) == 10
		}},
		"last_id empty": {wandbtest.Faults{EmptyLastID: true}, func(s *wandbtest.Server, job, third string) bool {
			p := page(t, s, job, "")
			return *p.LastID == "" && len(p.Data) == 10
		}},
		"overlap": {wandbtest.Faults{Overlap: 2}, func(s *wandbtest.Server, job, third string) bool {
			p := page(t, s, job, "?after="+third)
			return len(p.Data) == 9 && p.Data[1].ID == third
		}},
		"extra fields": {wandbtest.Faults{ExtraFields: true}, func(s *wandbtest.Server, job, third string) bool {
			b := get(s, eventsPath(job)).Body.String()
			return len(page(t, s, job, "").Data) == 10 && strings.Contains(b, `"extra":{"nested":`) && strings.Contains(b, `"total":null`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, wandbtest.Options{})
			job := newJob(s, steps(10)...)
			third := page(t, s, job, "").Data[2].ID
			s.SetFaults(tc.faults)
			if !tc.check(s, job, third) {
				t.Error(get(s, eventsPath(job)).Body)
			}
		})
	}
}

func TestUnknownTypesInterleaved(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	job := newJob(s, steps(31)...)
	clean := ids(readAll(t, s, job, 100))
	s.SetFaults(wandbtest.Faults{UnknownEvery: 3})
	for _, limit := range []int{1, 2, 4, 5, 100} {
		var known []wandbtest.ReceivedEvent
		seen := make(map[string]bool)
		all := readAll(t, s, job, limit)
		for i, e := range all {
			seen[e.ID] = true
			if unknown := i%4 == 3; unknown == (e.Type == wandbtest.TypeStep) {
				t.Errorf("limit %d: event %d has type %s", limit, i, e.Type)
			} else if !unknown {
				known = append(known, e)
			}
		}
		if len(seen) != 41 || len(all) != 41 || ids(known) != clean {
			t.Errorf("limit %d: %d events, %d distinct", limit, len(all), len(seen))
		}
	}
	unknown := page(t, s, job, "").Data[3].ID
	s.SetFaults(wandbtest.Faults{})
	if p := page(t, s, job, "?limit=100&after="+unknown); len(p.Data) != 28 {
		t.Errorf("cursor of an unknown event, later: %d events, want 28", len(p.Data))
	}
}

func TestGraceAndJobRoute(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	s.SetFaults(wandbtest.Faults{Grace: 2})
	job := newJob(s, wandbtest.Started(1), wandbtest.Failed("boom"))
	path := "/v1/preview/training-jobs/" + job
	if a, b, c := get(s, path).Code, get(s, path+"/events").Code, get(s, path+"/events").Code; a != 404 || b != 404 || c != 200 {
		t.Errorf("grace of 2: %d %d %d", a, b, c)
	}
	s.SetFaults(wandbtest.Faults{NoGetJob: true})
	if a, b := get(s, path).Code, get(s, path+"/events").Code; a != 404 || b != 200 {
		t.Errorf("NoGetJob: %d %d", a, b)
	}
	s.SetFaults(wandbtest.Faults{BareJob: true})
	if b := get(s, path).Body.String(); b != `{"id":"`+job+`"}` {
		t.Errorf("BareJob: %s", b)
	}
	s.SetFaults(wandbtest.Faults{})
	if b := get(s, path).Body.String(); !strings.Contains(b, `"status":"FAILED"`) || !strings.Contains(b, `"error_message":"boom"`) {
		t.Errorf("job: %s", b)
	}
}

func TestKeys(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	job := newJob(s)
	s.SetFaults(wandbtest.Faults{Unauthorized: true})
	if w := get(s, eventsPath(job)); w.Code != 401 {
		t.Errorf("Unauthorized: status %d", w.Code)
	}
	s.SetKey("other")
	if w := get(s, eventsPath(job)); w.Code != 401 {
		t.Errorf("old key: status %d", w.Code)
	}
	s.SetKey("other", testKey)
	if w := get(s, eventsPath(job)); w.Code != 200 {
		t.Errorf("rotated key: status %d", w.Code)
	}
	r := httptest.NewRequest("GET", eventsPath(job), nil)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("no key: status %d", w.Code)
	}
	if c := s.Counters(); c.BadAuth != 2 || c.NoAuth != 1 || c.NoUserAgent != 1 {
		t.Errorf("counters %+v", c)
	}
}
