package wandbtest_test

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

func TestModelRoutes(t *testing.T) {
	s := newServer(t, wandbtest.Options{Entity: "acme"})
	body := `{"entity":null,"project":"p","name":"m","base_model":"b","return_existing":true}`
	first := ask(s, "POST", "/v1/preview/models", body)
	var m map[string]string
	if err := json.Unmarshal(first.Body.Bytes(), &m); err != nil || m["entity"] != "acme" || m["name"] != "m" || m["run_id"] == "" {
		t.Fatalf("model %s: %v", first.Body, err)
	}
	if again := ask(s, "POST", "/v1/preview/models", body); again.Body.String() != first.Body.String() {
		t.Errorf("again: %s", again.Body)
	}
	if w := ask(s, "POST", "/v1/preview/models", strings.Replace(body, "true", "false", 1)); w.Code != 409 {
		t.Errorf("without return_existing: status %d", w.Code)
	}
	if w := ask(s, "POST", "/v1/preview/models", `{"project":"p","name":"m"}`); w.Code != 422 || !strings.Contains(w.Body.String(), `["body","base_model"]`) {
		t.Errorf("without base_model: %d %s", w.Code, w.Body)
	}
	path := "/v1/preview/models/" + m["id"]
	if w := ask(s, "POST", path+"/log", `{"split":"val","trajectory_groups":[]}`); w.Code != 200 {
		t.Errorf("log: status %d", w.Code)
	}
	if w := ask(s, "DELETE", path, ""); w.Body.String() != `{"model_id":"`+m["id"]+`","deleted_checkpoints":1,"deleted_run":true}` {
		t.Errorf("delete: %s", w.Body)
	}
	if w := get(s, path+"/checkpoints"); w.Code != 404 {
		t.Errorf("deleted model: status %d", w.Code)
	}
}

func TestCheckpointRoutes(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	model := s.AddModel("e", "p", "m", "b")
	path := "/v1/preview/models/" + model + "/checkpoints"
	for _, step := range []int{3, 1, 2} {
		s.AddCheckpoint(model, step, wandbtest.Value{Key: "reward", Number: float64(step) / 2})
	}
	w := get(s, path+"?order=desc&limit=1")
	var p struct {
		Data []struct {
			ID      string             `json:"id"`
			Step    int                `json:"step"`
			Metrics map[string]float64 `json:"metrics"`
		} `json:"data"`
		HasMore bool `json:"has_more"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || !p.HasMore || p.Data[0].Step != 3 || p.Data[0].Metrics["reward"] != 1.5 {
		t.Fatalf("latest: %v: %s", err, w.Body)
	}
	next := get(s, path+"?order=desc&limit=1&after="+p.Data[0].ID).Body.String()
	if !strings.Contains(next, `"step":2`) {
		t.Errorf("next: %s", next)
	}
	if w := get(s, path+"?order=up"); w.Code != 422 {
		t.Errorf("bad order: status %d", w.Code)
	}
	s.AddCheckpoint(model, 4, wandbtest.Value{Key: "loss", Number: math.NaN()})
	if a, b := get(s, path).Code, get(s, path+"?limit=4").Code; a != 500 || b != 200 {
		t.Errorf("pages with and without NaN: %d %d", a, b)
	}
	if w := ask(s, "DELETE", path, `{"steps":[4,9]}`); w.Body.String() != `{"deleted_count":1,"not_found_steps":[9]}` {
		t.Errorf("delete: %s", w.Body)
	}
}

func TestCreateJobs(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	model := s.AddModel("e", "p", "m", "b")
	for name, tc := range map[string]struct {
		path, body string
		status     int
	}{
		"rl":             {"training-jobs", `{"model_id":"` + model + `","trajectory_groups":[{}]}`, 200},
		"sft":            {"sft-training-jobs", `{"model_id":"` + model + `","training_data_url":"wandb-artifact:///a/b/c:v0"}`, 200},
		"no groups":      {"training-jobs", `{"model_id":"` + model + `"}`, 422},
		"no data":        {"sft-training-jobs", `{"model_id":"` + model + `"}`, 422},
		"no model":       {"training-jobs", `{"trajectory_groups":[]}`, 422},
		"unknown model":  {"training-jobs", `{"model_id":"x","trajectory_groups":[]}`, 404},
		"no JSON":        {"training-jobs", `{`, 422},
		"wrong type":     {"training-jobs", `{"model_id":7}`, 422},
		"a list instead": {"training-jobs", `[]`, 422},
	} {
		w := ask(s, "POST", "/v1/preview/"+tc.path, tc.body)
		if w.Code != tc.status {
			t.Errorf("%s: status %d: %s", name, w.Code, w.Body)
			continue
		}
		if tc.status != 200 {
			continue
		}
		var got map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != 1 {
			t.Fatalf("%s: %v: %s", name, err, w.Body)
		}
		if tr := s.JobTruth(got["id"]); string(tr.Kind) != name || tr.ModelID != model || tr.Result != wandbtest.Queued {
			t.Errorf("%s: truth %+v", name, tr)
		}
	}
}

func TestOtherRoutesAndPrefix(t *testing.T) {
	s := newServer(t, wandbtest.Options{Prefix: "/api/training/v1/"})
	for path, want := range map[string]int{
		"/api/training/v1/health": 200, "/api/training/v1/system-check": 200, "/api/training/v1/preview/base-models": 200,
		"/v1/health": 404, "/api/training/v1/preview/models": 405, "/api/training/v1/preview/training-jobs/x": 404,
		"/api/training/v1/preview/training-jobs": 405, "/": 404,
	} {
		if w := get(s, path); w.Code != want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: status %d, want %d: %s", path, w.Code, want, w.Body)
		}
	}
	s.SetFaults(wandbtest.Faults{Unhealthy: true})
	if w := get(s, "/api/training/v1/system-check"); w.Code != 503 {
		t.Errorf("unhealthy: status %d", w.Code)
	}
}

func TestCountersAndRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, wandbtest.Options{Rate: 2, LateAfter: time.Minute, Keep: 3})
		job := newJob(s, wandbtest.Started(1), wandbtest.Ended())
		get(s, eventsPath(job))
		get(s, eventsPath(job)+"?page=2&order=asc")
		get(s, eventsPath("unknown"))
		time.Sleep(time.Minute)
		get(s, eventsPath(job))
		time.Sleep(time.Millisecond)
		get(s, eventsPath(job))
		get(s, "/v1/nothing")
		c := s.Counters()
		if c.Requests != 6 || c.OverRate != 2 || c.UnknownQuery != 2 || c.UnknownID != 1 || c.LateEnded != 1 || c.UnknownRoute != 1 || c.Events != 8 {
			t.Errorf("counters %+v", c)
		}
		if c.Violations() != 6 {
			t.Errorf("%d violations, want 6", c.Violations())
		}
		r := s.Requests()
		if len(r) != 3 || r[2].Path != "/v1/nothing" || r[2].Status != 404 || r[0].ID != job || r[0].UserAgent != "test/1" {
			t.Errorf("requests %+v", r)
		}
		if tr := s.JobTruth(job); tr.Polls != 4 || tr.Delivered.IsZero() {
			t.Errorf("truth %+v", tr)
		}
		s.ResetCounters()
		if c := s.Counters(); c.Requests != 0 || c.Violations() != 0 || len(s.Requests()) != 0 {
			t.Errorf("after reset: %+v", c)
		}
	})
}

func TestState(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	job := newJob(s, steps(2)...)
	s.Append(job, wandbtest.Step(wandbtest.Value{Key: "loss", Number: math.NaN()}))
	get(s, eventsPath(job))
	var got struct {
		Truth    wandbtest.Truth    `json:"truth"`
		Counters wandbtest.Counters `json:"counters"`
	}
	w := get(s.State(), "/")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if tr := got.Truth.Jobs[job]; tr.Steps != 3 || *tr.Loss != 0.5 || tr.LossRaw != "NaN" || got.Counters.Events != 3 {
		t.Errorf("state %s", w.Body)
	}
}

func FuzzRequest(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v1/preview/training-jobs/x/events", "after=%zz&limit=5&limit=x"},
		{"GET", "/v1/preview/models/x/checkpoints", "order=desc&after=+&="},
		{"POST", "/v1/preview/training-jobs", `{"model_id":1e999}`},
		{"DELETE", "/v1/preview/models/x/checkpoints", `{"steps":[null]}`},
		{"PATCH", "//v1/../health", "&&&"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, method, path, rest string) {
		s := newServer(t, wandbtest.Options{})
		s.AddJob(wandbtest.Job{ID: "x"})
		s.AddBacklog(1, 30)
		r := &http.Request{
			Method: method, URL: &url.URL{Path: path, RawQuery: rest}, Body: io.NopCloser(strings.NewReader(rest)),
			Header: http.Header{"Authorization": {"Bearer " + testKey}},
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code < 200 || w.Code > 599 {
			t.Errorf("%s %q %q: status %d: %q", method, path, rest, w.Code, w.Body)
		}
	})
}
