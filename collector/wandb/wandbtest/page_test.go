package wandbtest_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestPageShape(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	job := newJob(s)
	if got, want := get(s, eventsPath(job)).Body.String(), `{"object":"list","data":[],"first_id":"","last_id":"","has_more":false}`; got != want {
		t.Errorf("empty page:\n%s\nwant\n%s", got, want)
	}
	s.Append(job, wandbtest.Event{ID: "a", Type: wandbtest.TypeStarted, Data: map[string]any{"num_sequences": 3}},
		wandbtest.Event{ID: "b", Type: wandbtest.TypeStep, Values: []wandbtest.Value{{Key: "z", Number: 5e-6}, {Key: "loss/train", Number: 0.25}}},
		wandbtest.Event{ID: "c", Type: wandbtest.TypeEnded})
	want := `{"object":"list","data":[{"id":"a","type":"training_started","data":{"num_sequences":3}},` +
		`{"id":"b","type":"gradient_step","data":{"z":5e-06,"loss/train":0.25}}],"first_id":"a","last_id":"b","has_more":true}`
	if got := get(s, eventsPath(job)+"?limit=2").Body.String(); got != want {
		t.Errorf("page:\n%s\nwant\n%s", got, want)
	}
	if p := page(t, s, job, "?after=c"); len(p.Data) != 0 || *p.HasMore || *p.LastID != "" {
		t.Errorf("page after the last event: %+v", p)
	}
}

func TestPagingSeesEveryEventOnce(t *testing.T) {
	s := newServer(t, wandbtest.Options{Seed: 4})
	job := newJob(s, wandbtest.Started(530))
	s.Append(job, steps(530)...)
	s.Append(job, wandbtest.Ended())
	for _, limit := range []int{0, 1, 7, 100} {
		got := readAll(t, s, job, limit)
		seen := make(map[string]bool)
		for _, e := range got {
			seen[e.ID] = true
			if !uuidForm.MatchString(e.ID) {
				t.Fatalf("id %q is no UUID", e.ID)
			}
		}
		if len(got) != 532 || len(seen) != 532 {
			t.Errorf("limit %d: %d events, %d distinct, want 532", limit, len(got), len(seen))
		}
	}
	if p := page(t, s, job, ""); len(p.Data) != 20 {
		t.Errorf("default page has %d events, want 20", len(p.Data))
	}
}

func TestBadLimit(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	job := newJob(s)
	for _, limit := range []string{"0", "101", "-1", "x", "", "1.5", "99999999999999999999"} {
		w := get(s, eventsPath(job)+"?limit="+limit)
		var body struct {
			Detail []struct {
				Loc []any `json:"loc"`
			} `json:"detail"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusUnprocessableEntity {
			t.Errorf("limit %q: status %d, %v: %s", limit, w.Code, err, w.Body)
			continue
		}
		if len(body.Detail) != 1 || fmt.Sprint(body.Detail[0].Loc) != "[query limit]" {
			t.Errorf("limit %q: %s", limit, w.Body)
		}
	}
	if n := s.Counters().BadLimit; n != 7 {
		t.Errorf("BadLimit is %d, want 7", n)
	}
}

func TestNonfinite(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	event := wandbtest.Event{ID: "a", Type: wandbtest.TypeStep, Data: map[string]any{
		"loss": nan, "max": inf, "min": -inf, "deep": map[string]any{"x": []any{nan, 1}},
	}}
	for mode, want := range map[wandbtest.Nonfinite]string{
		"":                          `{"deep":{"x":[null,1]},"loss":null,"max":null,"min":null}`,
		wandbtest.NonfiniteNull:     `{"deep":{"x":[null,1]},"loss":null,"max":null,"min":null}`,
		wandbtest.NonfiniteString:   `{"deep":{"x":["NaN",1]},"loss":"NaN","max":"Infinity","min":"-Infinity"}`,
		wandbtest.NonfiniteBare:     `{"deep":{"x":[NaN,1]},"loss":NaN,"max":Infinity,"min":-Infinity}`,
		wandbtest.NonfiniteOverflow: `{"deep":{"x":[1e999,1]},"loss":1e999,"max":1e999,"min":-1e999}`,
	} {
		s := newServer(t, wandbtest.Options{Nonfinite: mode})
		job := newJob(s, event)
		if got := get(s, eventsPath(job)).Body.String(); !strings.Contains(got, `"data":`+want+`}`) {
			t.Errorf("%s: %s, want %s", mode, got, want)
		}
	}
}

func TestNonfiniteErrorFailsThePage(t *testing.T) {
	s := newServer(t, wandbtest.Options{Nonfinite: wandbtest.NonfiniteError})
	job := newJob(s, steps(2)...)
	s.Append(job, wandbtest.Step(wandbtest.Value{Key: "loss", Number: math.NaN()}))
	if w := get(s, eventsPath(job)); w.Code != 500 || w.Body.String() != "Internal Server Error" {
		t.Errorf("page with NaN: status %d: %s", w.Code, w.Body)
	}
	if w := get(s, eventsPath(job)+"?limit=2"); w.Code != 200 {
		t.Errorf("page without NaN: status %d", w.Code)
	}
	s.SetFaults(wandbtest.Faults{Nonfinite: wandbtest.NonfiniteNull})
	if w := get(s, eventsPath(job)); w.Code != 200 {
		t.Errorf("page with null: status %d", w.Code)
	}
}

func TestInsertLateAndPrune(t *testing.T) {
	for name, build := range map[string]func(*wandbtest.Server) string{
		"stored": func(s *wandbtest.Server) string {
			return newJob(s, append([]wandbtest.Event{wandbtest.Started(299)}, steps(299)...)...)
		},
		"generated": func(s *wandbtest.Server) string { return s.AddBacklog(1, 300)[0] },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, wandbtest.Options{})
			job := build(s)
			before := readAll(t, s, job, 100)
			s.Prune(job, 10)
			s.InsertLate(job, 5, wandbtest.Event{ID: "late", Type: wandbtest.TypeStep})
			s.Append(job, wandbtest.Event{ID: "last", Type: wandbtest.TypeEnded})
			got := readAll(t, s, job, 100)
			want := ids(before[10:15]) + "late\n" + ids(before[15:]) + "last\n"
			if ids(got) != want {
				t.Errorf("ids:\n%s\nwant\n%s", ids(got), want)
			}
			if w := get(s, eventsPath(job)+"?after="+before[3].ID); w.Code != http.StatusNotFound {
				t.Errorf("pruned cursor: status %d, want 404", w.Code)
			}
			tr := s.JobTruth(job)
			if tr.Steps != 300 || tr.Listed != 292 || tr.Result != wandbtest.Success {
				t.Errorf("truth %+v", tr)
			}
		})
	}
}

func TestBacklogPages(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	jobs := s.AddBacklog(3, 1000)
	for _, job := range jobs {
		got := readAll(t, s, job, 100)
		tr := s.JobTruth(job)
		if len(got) != 1000 || got[0].Type != wandbtest.TypeStarted || tr.Steps != 999 {
			t.Fatalf("%d events, truth %+v", len(got), tr)
		}
		var data struct {
			Loss json.Number `json:"loss/train"`
		}
		if err := json.Unmarshal(got[999].Data, &data); err != nil || data.Loss.String() != tr.LossRaw {
			t.Errorf("last loss %s (%v), truth %s", data.Loss, err, tr.LossRaw)
		}
	}
	if total := s.Truth().Steps; total != 3*999 {
		t.Errorf("truth of all: %d steps", total)
	}
}

func TestTruth(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	step := func(id, raw string) wandbtest.Event {
		return wandbtest.Event{ID: id, Type: wandbtest.TypeStep, Raw: json.RawMessage(raw)}
	}
	job := newJob(s)
	if tr := s.JobTruth(job); tr.Result != wandbtest.Queued || tr.Loss != nil {
		t.Errorf("new job: %+v", tr)
	}
	s.Append(job, wandbtest.Started(4), step("1", `{"loss":2,"policy_loss":1.5}`), step("1", `{"loss":9}`),
		step("2", `{"policy_loss":null,"grad_norm":"NaN","x":1e999,"y":true,"z":"text"}`), wandbtest.Event{Type: "odd"})
	s.InsertLate(job, 1, step("0", `{"loss":7}`))
	s.Append(job, wandbtest.Failed("out of memory"), wandbtest.Ended())
	tr := s.JobTruth(job)
	if tr.Steps != 3 || tr.Events["odd"] != 1 || tr.Planned != 4 || tr.Nonfinite != 3 || *tr.Loss != 1.5 || tr.LossRaw != "null" {
		t.Errorf("counts: %+v", tr)
	}
	if tr.Result != wandbtest.Failure || tr.Message != "out of memory" || !tr.HasMessage || tr.Ended.IsZero() {
		t.Errorf("end: %+v", tr)
	}
	silent := newJob(s, wandbtest.Failed(""))
	if tr := s.JobTruth(silent); tr.Result != wandbtest.Failure || tr.HasMessage {
		t.Errorf("failure without message: %+v", tr)
	}
	s.Remove(job)
	all := s.Truth()
	m := all.Models[s.JobTruth(silent).ModelID]
	if m.Steps != 3 || m.Failed != 2 || m.Jobs != 2 || all.Steps != 3 || len(all.Jobs) != 1 {
		t.Errorf("after Remove: %+v, %+v", m, all)
	}
	if w := get(s, eventsPath(job)); w.Code != 404 {
		t.Errorf("removed job: status %d", w.Code)
	}
}
