package tensoronetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// state is everything a server shows.
func state(t *testing.T, s *Server) string {
	t.Helper()
	var out strings.Builder
	for _, id := range s.IDs() {
		code, body := get(s, "/v2/training/jobs/"+id, "Bearer k")
		if code != http.StatusOK {
			t.Errorf("%s: %d", id, code)
		}
		out.WriteString(body + "\n")
	}
	return out.String()
}

func get(s *Server, path, auth string) (int, string) {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestTheSameSeedIsTheSameFleet: however finely time goes on.
func TestTheSameSeedIsTheSameFleet(t *testing.T) {
	play := func(seed int64, step time.Duration) (out string) {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{ReadsPerHour: -1})
			f := NewFleet(s, FleetOptions{Seed: seed})
			for at := time.Duration(0); at < 3*time.Hour; at += step {
				time.Sleep(step)
				f.Advance(step)
			}
			out = state(t, s)
		})
		return out
	}
	a := play(1, time.Minute)
	if b := play(1, time.Minute); a != b {
		t.Error("two runs differ")
	}
	if b := play(1, 10*time.Second); a != b {
		t.Error("smaller steps make another fleet")
	}
	if b := play(2, time.Minute); a == b {
		t.Error("another seed makes the same fleet")
	}
}

// TestAFleetIsAlive: every story is told, jobs go on coming, and their number is bounded.
func TestAFleetIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{ReadsPerHour: -1})
		f := NewFleet(s, FleetOptions{})
		statuses, ids, fell, null, messages := map[string]bool{}, map[string]bool{}, false, false, map[string]bool{}
		last := map[string]Job{}
		for range 24 * 60 {
			time.Sleep(time.Minute)
			f.Advance(time.Minute)
			alive := 0
			for _, id := range s.IDs() {
				j, _ := s.Get(id)
				before := last[id]
				last[id] = j
				ids[id], statuses[j.Status] = true, true
				if j.Error != "" {
					messages[j.Error] = true
				}
				null = null || j.Metrics != nil && math.IsNaN(j.Metrics.Loss)
				if j.Completed.IsZero() {
					alive++
				}
				if before.Progress != nil {
					fell = fell || j.Progress.Step < before.Progress.Step
					if j.Progress.Percent < before.Progress.Percent || j.Costs.GPU < before.Costs.GPU {
						t.Fatalf("%s: %+v after %+v, costs %+v after %+v", id, j.Progress, before.Progress, j.Costs, before.Costs)
					}
				}
				if j.Updated.After(time.Now()) || j.Progress != nil && (j.Progress.Percent > 100 || j.Progress.Step > j.Progress.Steps) {
					t.Fatalf("%s: %+v %+v", id, j, j.Progress)
				}
			}
			if alive > len(plots()) || len(s.IDs()) > 80 {
				t.Fatalf("%d jobs, %d alive", len(s.IDs()), alive)
			}
		}
		for _, status := range []string{"queued", "initializing", "running", "paused", "cancelling", "completed", "failed", "cancelled"} {
			if !statuses[status] {
				t.Errorf("no job was ever %s", status)
			}
		}
		if !fell || !null || len(messages) != 2 || len(ids) < 60 {
			t.Errorf("steps fell %t, loss was null %t, messages %v, %d jobs in a day", fell, null, messages, len(ids))
		}
	})
}

func TestTheDocumentedShape(t *testing.T) {
	s := New(Options{Key: "k"})
	f := NewFleet(s, FleetOptions{})
	f.Advance(30 * time.Minute)
	_, body := get(s, "/v2/training/jobs/"+s.IDs()[0]+"?includeMetrics=true&includeLogs=false", "Bearer k")
	var j map[string]any
	if err := json.Unmarshal([]byte(body), &j); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"jobId", "name", "status", "progress", "metrics", "resourceUsage", "configuration", "checkpoints", "costs", "timestamps"} {
		if j[part] == nil {
			t.Errorf("no %s in %s", part, body)
		}
	}
	if s := fmt.Sprint(j["checkpoints"]); strings.Contains(s, "downloadUrl") {
		t.Errorf("checkpoints %s", s)
	}
}

func TestViolations(t *testing.T) {
	now := time.Date(2026, 1, 1, 10, 30, 0, 0, time.UTC)
	s := New(Options{Key: "k", ReadsPerHour: 12, List: true, Now: func() time.Time { return now }})
	id := s.AddJob(Job{})
	for _, c := range []struct {
		path, auth string
		status     int
		violation  string
	}{
		{"/v2/training/jobs/" + id, "Bearer k", 200, ""},
		{"/v2/training/jobs/" + id, "", 401, "missing_key"},
		{"/v2/training/jobs/" + id, "Bearer other", 401, "bad_auth"},
		{"/v2/training/jobs/" + id, "k", 401, "bad_auth"},
		{"/v2/training/jobs/" + id + "?includeLogs=true", "Bearer k", 200, "logs_requested"},
		{"/v2/training/jobs/" + id + "?logLines=1001", "Bearer k", 422, "bad_query"},
		{"/v2/training/jobs?limit=101", "Bearer k", 422, "bad_query"},
		{"/v2/training/jobs/" + id + "/checkpoints?limit=0", "Bearer k", 422, "bad_query"},
		{"/v2/training/jobs/" + id + "/logs", "Bearer k", 404, "unknown_path"},
		{"/v2/jobs/" + id + "/status", "Bearer k", 404, "unknown_path"},
		{"/v2/training/jobs/none", "Bearer k", 404, ""},
		{"/v2/training/jobs?limit=100", "Bearer k", 200, ""},
		{"/v2/training/jobs", "Bearer k", 429, "over_budget"},
	} {
		before := s.Violations()
		code, body := get(s, c.path, c.auth)
		if code != c.status {
			t.Errorf("%s: %d %s", c.path, code, body)
		}
		for kind, n := range s.Violations() {
			if (n > before[kind]) != (kind == c.violation) {
				t.Errorf("%s: violation %s", c.path, kind)
			}
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v2/training/jobs", nil))
	if h := w.Header(); h.Get("Retry-After") != "1801" || h.Get("X-RateLimit-Remaining") != "0" || h.Get("X-RateLimit-Reset") != "1767265200" {
		t.Errorf("headers %v", h)
	}
	now = now.Add(30 * time.Minute)
	r := httptest.NewRequest(http.MethodPost, "/v2/training/jobs/"+id+"/cancel", nil)
	r.Header.Set("Authorization", "Bearer k")
	w = httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if s.Violations()["write"] != 1 || w.Code != http.StatusForbidden {
		t.Errorf("a write: %d, %v", w.Code, s.Violations())
	}
	if code, _ := get(s, "/v2/training/jobs/"+id, "Bearer k"); code != http.StatusOK {
		t.Errorf("in the next hour: %d", code)
	}
}

// TestRun: virtual time goes faster, and no time that is shown is in the future.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{ReadsPerHour: -1})
		f := NewFleet(s, FleetOptions{Speed: 30})
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
		if now := f.Now(); now < 119*time.Minute || now > 120*time.Minute {
			t.Errorf("virtual time is %v", now)
		}
		for _, id := range s.IDs() {
			j, _ := s.Get(id)
			if j.Updated.After(time.Now()) || j.Created.After(j.Updated) || !j.Completed.IsZero() && j.Completed.Before(j.Started) {
				t.Errorf("%s: created %v, started %v, updated %v, completed %v", id, j.Created, j.Started, j.Updated, j.Completed)
			}
			if p := j.Progress; p != nil && strings.Contains(p.Remaining, "h") {
				t.Errorf("%s: %s remain by a clock that virtual time outruns", id, p.Remaining)
			}
		}
	})
}
