package wandbtest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

const testKey = "test-key"

func newServer(t testing.TB, o wandbtest.Options) *wandbtest.Server {
	t.Helper()
	o.Key = testKey
	return wandbtest.New(o)
}

// ask sends one request straight to the handler.
func ask(s http.Handler, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+testKey)
	r.Header.Set("User-Agent", "test/1")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func get(s http.Handler, path string) *httptest.ResponseRecorder { return ask(s, "GET", path, "") }

type eventPage struct {
	Object  string                    `json:"object"`
	Data    []wandbtest.ReceivedEvent `json:"data"`
	FirstID *string                   `json:"first_id"`
	LastID  *string                   `json:"last_id"`
	HasMore *bool                     `json:"has_more"`
}

func eventsPath(job string) string { return "/v1/preview/training-jobs/" + job + "/events" }

func page(t testing.TB, s http.Handler, job, query string) eventPage {
	t.Helper()
	w := get(s, eventsPath(job)+query)
	if w.Code != http.StatusOK {
		t.Fatalf("events of %s%s: status %d: %s", job, query, w.Code, w.Body)
	}
	var p eventPage
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("events of %s%s: %v: %s", job, query, err, w.Body)
	}
	return p
}

// readAll pages through a job from the start with the given limit; 0 sends none.
func readAll(t testing.TB, s http.Handler, job string, limit int) []wandbtest.ReceivedEvent {
	t.Helper()
	var all []wandbtest.ReceivedEvent
	after := ""
	for range 100_000 {
		q := "?after=" + after
		if limit > 0 {
			q += "&limit=" + strconv.Itoa(limit)
		}
		p := page(t, s, job, q)
		all = append(all, p.Data...)
		if len(p.Data) == 0 || p.HasMore != nil && !*p.HasMore {
			return all
		}
		after = p.Data[len(p.Data)-1].ID
	}
	t.Fatalf("events of %s do not end", job)
	return nil
}

// newJob adds a job with a model and appends events to it.
func newJob(s *wandbtest.Server, events ...wandbtest.Event) string {
	model := s.AddModel("acme", "voice", "agent-001", "base")
	id := s.AddJob(wandbtest.Job{ModelID: model})
	s.Append(id, events...)
	return id
}

// steps makes n gradient steps with falling loss.
func steps(n int) []wandbtest.Event {
	out := make([]wandbtest.Event, n)
	for i := range out {
		out[i] = wandbtest.Step(wandbtest.Value{Key: "loss/train", Number: 1 / float64(i+1)})
	}
	return out
}

func ids(events []wandbtest.ReceivedEvent) string {
	var b strings.Builder
	for _, e := range events {
		io.WriteString(&b, e.ID+"\n")
	}
	return b.String()
}
