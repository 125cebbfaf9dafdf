package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

// desk takes registrations.
type desk struct {
	mu   sync.Mutex
	took []collector.Registration
	err  map[string]error // by job id
}

func (d *desk) register(_ context.Context, r collector.Registration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.err[r.Key.ID]; err != nil {
		return fmt.Errorf("register job %s: %w", r.Key, err)
	}
	d.took = append(d.took, r)
	return nil
}

func (d *desk) handler() http.Handler {
	return Secure(Jobs(JobsOptions{Register: d.register, Takes: takes, Log: slog.New(slog.DiscardHandler)}))
}

func takes(source string) (known, takes bool) {
	return source == "rl" || source == "list", source == "rl"
}

func post(h http.Handler, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/jobs", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestJobsAreRegistered(t *testing.T) {
	d := &desk{}
	w := post(d.handler(), `{"source":"rl","id":"a-1","name":"n","group":"g","project":"p","owner":"o","base_model":"b","kind":"rl","url":"https://x.example/1","budget":"500 USD","fresh":true}`)
	if w.Code != 200 || w.Body.String() != "{\"registered\":1}\n" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := collector.Registration{Key: collector.Key{Source: "rl", ID: "a-1"}, Fresh: true, Info: collector.Info{
		Name: "n", Group: "g", Project: "p", Owner: "o", BaseModel: "b", Kind: "rl", URL: "https://x.example/1", Budget: "500 USD",
	}}
	if !slices.Equal(d.took, []collector.Registration{want}) {
		t.Errorf("registered %+v", d.took)
	}
	var many []string
	for i := range maxJobs {
		many = append(many, fmt.Sprintf(`{"source":"rl","id":"j%d"}`, i))
	}
	if w := post(d.handler(), " [\n"+strings.Join(many, ",")+"]"); w.Code != 200 || w.Body.String() != "{\"registered\":1000}\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(d.took) != maxJobs+1 {
		t.Errorf("%d were registered", len(d.took))
	}
}

func TestBadBodiesAreRefusedWhole(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name, body string
		status     int
		text       string
	}{
		{"empty", ``, 400, "not a job"},
		{"no object", `7`, 400, "not a job"},
		{"null", `null`, 400, "source: required"},
		{"cut off", `{"source":"rl"`, 400, "not a job"},
		{"two documents", `{"source":"rl","id":"a"}{}`, 400, "not a job"},
		{"empty list", `[]`, 400, "the list is empty"},
		{"too many", "[" + strings.Repeat(`{},`, maxJobs) + "{}]", 400, "at most 1000"},
		{"unknown field", `{"source":"rl","id":"a","nam":"x"}`, 400, "nam"},
		{"other case", `{"Source":"rl","id":"a"}`, 400, "Source"},
		{"set twice", `{"source":"rl","id":"a","id":"b"}`, 400, "duplicate"},
		{"wrong type", `{"source":"rl","id":7}`, 400, "not a job"},
		{"no source", `{"id":"a"}`, 400, "source: required"},
		{"no id", `{"source":"rl"}`, 400, "id: required"},
		{"path", `{"source":"rl","id":".."}`, 400, "id: is a path"},
		{"slash", `{"source":"rl","id":"a/b"}`, 400, "id: holds"},
		{"control", `{"source":"rl","id":"a\u0000"}`, 400, "id: holds"},
		{"long id", `{"source":"rl","id":"` + long + `"}`, 400, "id: longer"},
		{"long name", `{"source":"rl","id":"a","name":"` + long + `"}`, 400, "name: longer"},
		{"no amount", `{"source":"rl","id":"a","budget":"a lot"}`, 400, "budget: must be an amount"},
		{"not a URL", `{"source":"rl","id":"a","url":"javascript:alert(1)"}`, 400, "url: must be"},
		{"password in URL", `{"source":"rl","id":"a","url":"https://u:p@x.example"}`, 400, "url: must be"},
		{"unknown source", `{"source":"nobody","id":"a"}`, 404, "not configured"},
		{"source that lists", `{"source":"list","id":"a"}`, 422, "by itself"},
		{"one of a list", `[{"source":"rl","id":"a"},{"source":"rl"}]`, 400, "[1].id: required"},
		{"large", `{"source":"` + strings.Repeat("x", maxBody) + `"}`, 413, "larger than"},
		{"not UTF-8", "{\"source\":\"rl\",\"id\":\"a\xff\"}", 400, "not a job"},
	} {
		d := &desk{}
		w := post(d.handler(), c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.text) || len(d.took) > 0 {
			t.Errorf("%s: %d %s, registered %v", c.name, w.Code, w.Body, d.took)
		}
		if w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: the answer is %s", c.name, w.Header().Get("Content-Type"))
		}
	}
}

func TestWhoMayPost(t *testing.T) {
	d := &desk{}
	good := `{"source":"rl","id":"a"}`
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"GET", func(r *http.Request) { r.Method = http.MethodGet }, 405},
		{"a form", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		{"no type", func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		{"another site", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"another origin", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"a charset", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }, 200},
	} {
		if w := post(d.handler(), good, c.change); w.Code != c.status {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	if len(d.took) != 1 {
		t.Errorf("registered %v", d.took)
	}
}

func TestJobsThatCannotBeStored(t *testing.T) {
	d := &desk{err: map[string]error{"gone": collector.ErrRetired, "full": errors.New("disk full at /secret/place")}}
	w := post(d.handler(), `[{"source":"rl","id":"a"},{"source":"rl","id":"gone"}]`)
	if w.Code != 409 || !strings.Contains(w.Body.String(), `"registered":1`) || !strings.Contains(w.Body.String(), `"id":"gone"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = post(d.handler(), `[{"source":"rl","id":"gone"},{"source":"rl","id":"full"}]`)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "/secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func FuzzJobs(f *testing.F) {
	f.Add(`{"source":"rl","id":"a"}`)
	f.Add(`[{"source":"rl","id":"a","url":"http://x"},{}]`)
	f.Add(`{"source":"rl","id":"\ud800"}`)
	f.Fuzz(func(t *testing.T, body string) {
		d := &desk{}
		w := post(d.handler(), body)
		if (w.Code == 200) != (len(d.took) > 0) {
			t.Errorf("%d, but registered %v", w.Code, d.took)
		}
		for _, r := range d.took {
			if strings.ContainsAny(r.Key.ID, "/\\%?# \n\x00") || r.Key.ID == "" || r.Key.Source != "rl" {
				t.Errorf("registered %q", r.Key)
			}
		}
	})
}
