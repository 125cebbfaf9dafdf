package runaitest_test

import (
	"encoding/json"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

const (
	clientID     = "bridge"
	clientSecret = "bridge-secret"
)

// epoch is when tests with a clock of their own begin.
var epoch = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// world is a server with a clock that only the test moves, and a client with a token.
type world struct {
	*runaitest.Server
	t     testing.TB
	now   time.Time
	token string
}

func newWorld(t testing.TB, o runaitest.Options) *world {
	t.Helper()
	w := &world{t: t, now: epoch}
	if o.ClientID == "" && o.AppID == "" {
		o.ClientID, o.ClientSecret = clientID, clientSecret
	}
	if o.Now == nil {
		o.Now = func() time.Time { return w.now }
	}
	w.Server = runaitest.New(o)
	return w
}

// send sends one request straight to the handler, with the headers of a good client.
func (w *world) send(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("User-Agent", "test/1")
	r.Header.Set("Accept", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	out := httptest.NewRecorder()
	w.ServeHTTP(out, r)
	return out
}

// login gets a token.
func (w *world) login() {
	w.t.Helper()
	got := w.send("POST", "/api/v1/token", `{"grantType":"client_credentials","clientID":"`+clientID+`","clientSecret":"`+clientSecret+`"}`)
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil || answer.AccessToken == "" {
		w.t.Fatalf("token: status %d, %v: %s", got.Code, err, got.Body)
	}
	w.token = answer.AccessToken
}

// get asks with a token. A path that does not begin with a slash is below /api/v1/workloads/.
func (w *world) get(path string) *httptest.ResponseRecorder {
	w.t.Helper()
	if w.token == "" {
		w.login()
	}
	if !strings.HasPrefix(path, "/") {
		path = "/api/v1/workloads/" + path
	}
	return w.send("GET", path, "", "Authorization", "Bearer "+w.token)
}

// read asks and decodes an answer with status 200 or 207.
func (w *world) read(path string, into any) {
	w.t.Helper()
	got := w.get(path)
	if got.Code >= 300 || got.Header().Get("Content-Type") != "application/json" {
		w.t.Fatalf("%s: status %d, %s: %s", path, got.Code, got.Header().Get("Content-Type"), got.Body)
	}
	if err := json.Unmarshal(got.Body.Bytes(), into); err != nil {
		w.t.Fatalf("%s: %v: %s", path, err, got.Body)
	}
}

// object is an answer as it came.
func (w *world) object(path string) map[string]any {
	w.t.Helper()
	var out map[string]any
	w.read(path, &out)
	return out
}

// all reads all pages of a list and returns its elements.
func (w *world) all(path, name string, limit int) []map[string]any {
	w.t.Helper()
	var out []map[string]any
	join := "?"
	if strings.Contains(path, "?") {
		join = "&"
	}
	for offset := 0; ; {
		page := w.object(path + join + "limit=" + strconv.Itoa(limit) + "&offset=" + strconv.Itoa(offset))
		for _, element := range page[name].([]any) {
			object, _ := element.(map[string]any) // nil for null
			out = append(out, object)
		}
		next, more := page["next"].(float64)
		if !more {
			return out
		}
		if int(next) <= offset {
			w.t.Fatalf("%s: next %v after offset %d", path, next, offset)
		}
		offset = int(next)
	}
}

// texts is one field of each element.
func texts(elements []map[string]any, field string) []string {
	var out []string
	for _, e := range elements {
		text, _ := e[field].(string)
		out = append(out, text)
	}
	return out
}

func (w *world) wantStatus(got *httptest.ResponseRecorder, status int) {
	w.t.Helper()
	if got.Code != status {
		w.t.Errorf("status %d, want %d: %.300s", got.Code, status, got.Body)
	}
}

// wantClean fails if the client of the test did anything wrong.
func (w *world) wantClean() {
	w.t.Helper()
	if v := w.Violations(); len(v) > 0 {
		w.t.Errorf("violations: %v", v)
	}
}
