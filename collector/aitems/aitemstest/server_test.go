package aitemstest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// caller asks a server as the documentation says, but for what a test changes.
type caller struct {
	t      *testing.T
	server *Server
	n      int64
	change func(r *http.Request)
}

func (c *caller) get(target string) (int, string) {
	c.t.Helper()
	c.n++
	r := httptest.NewRequest(http.MethodGet, target, nil)
	at := strconv.FormatInt(c.server.o.Now().UnixMilli()+c.n, 10)
	mac := hmac.New(sha256.New, []byte("SK_TEST"))
	mac.Write([]byte("GET " + target + "\n" + at + "\nAK_TEST"))
	r.Header.Set("x-ncp-apigw-timestamp", at)
	r.Header.Set("x-ncp-iam-access-key", "AK_TEST")
	r.Header.Set("x-ncp-apigw-signature-v2", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	r.Header.Set("Content-Type", "application/json")
	if c.change != nil {
		c.change(r)
	}
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	if w.Header().Get("Date") == "" || w.Header().Get("X-Ncp-Request-Id") == "" {
		c.t.Errorf("%s: headers %v", target, w.Header())
	}
	return w.Code, w.Body.String()
}

func newCaller(t *testing.T, o Options) *caller {
	at := time.Date(2024, 7, 30, 2, 25, 36, 558e6, time.UTC)
	if o.Now == nil {
		o.Now = func() time.Time { return at }
	}
	return &caller{t: t, server: New(o)}
}

// TestDocumentedShapes compares answers with those of the documentation, letter by letter.
func TestDocumentedShapes(t *testing.T) {
	c := newCaller(t, Options{})
	at := c.server.o.Now()
	id := c.server.AddService(Service{ID: "b28ao000001", Name: "shop_reco", Interval: time.Hour})
	job := c.server.AddTraining(id, Training{Version: "maqll000001", Status: "completed", Created: at})
	c.server.AddTraining(id, Training{
		Type: "personalRecommend", Version: "9fn93000002", Description: "nightly", Status: "learning", Created: at, Next: at.Add(time.Hour), Epochs: 20,
	})
	c.server.AddRefresh(job, Refresh{Version: "up1", Status: "completed", Asked: at, Finished: at.Add(time.Minute), Users: 7})
	pop := `{"serviceId":"b28ao000001","type":"pop","hpConfig":{"is_enabled":false},"version":"maqll000001","status":"completed",` +
		`"createdDate":"2024-07-30T11:25:36.558","inference":true}`
	personal := `{"serviceId":"b28ao000001","type":"personalRecommend","hpConfig":{"is_enabled":true,"epochs":20,"mode":"auto"},` +
		`"version":"9fn93000002","description":"nightly","status":"learning","createdDate":"2024-07-30T11:25:36.558",` +
		`"nextUpdateDate":"2024-07-30T12:25:36.558","inference":false}`
	for target, want := range map[string]string{
		"/services": `200 {"services":[{"serviceId":"b28ao000001","name":"shop_reco","status":"learnable","createdDate":"2024-07-30T11:25:36.558",` +
			`"updatedDate":"2024-07-30T11:25:36.558","actionName":"View/getServiceList","permission":"Allow"}],"offset":0,"limit":1000}`,
		"/services/b28ao000001": `200 {"serviceId":"b28ao000001","name":"shop_reco","type":"interval","status":"learnable",` +
			`"createdDate":"2024-07-30T11:25:36.558","updatedDate":"2024-07-30T11:25:36.558"}`,
		"/services/b28ao000001/trains":                                         `200 {"trains":[` + personal + `,` + pop + `],"offset":0,"limit":1000}`,
		"/services/b28ao000001/trains?offset=1&limit=1":                        `200 {"trains":[` + pop + `],"offset":1,"limit":1}`,
		"/services/b28ao000001/trains?isRecent=true":                           `200 {"trains":[` + personal + `,` + pop + `],"offset":0,"limit":1000}`,
		"/services/b28ao000001/trains/pop/versions/maqll000001":                `200 ` + pop,
		"/services/b28ao000001/updates?trainVersion=maqll000001&type=pop":      `200 {"updates":[{"updateVersion":"up1","status":"completed","type":"pop","createdDate":"2024-07-30T11:25:36.558","finishedDate":"2024-07-30T11:26:36.558","updateResult":{"inputUsersCnt":7}}]}`,
		"/services/b28ao000001/updates?type=pop":                               `400 {"error":{"errorCode":"100","message":"Bad Request Exception"}}`,
		"/services/unknown/trains":                                             `404 {"error":{"errorCode":"300","message":"Not Found Exception"}}`,
		"/services/b28ao000001/trains/pop/versions/unknown":                    `404 {"error":{"errorCode":"300","message":"Not Found Exception"}}`,
		"/services/b28ao000001/updates?trainVersion=9fn93000002&type=whatever": `404 {"error":{"errorCode":"300","message":"Not Found Exception"}}`,
	} {
		if status, body := c.get("/api/v1" + target); fmt.Sprint(status, " ", body) != want {
			t.Errorf("%s:\n%d %s\nwant\n%s", target, status, body, want)
		}
	}
	if v := c.server.Violations(); len(v) != 0 {
		t.Errorf("violations %v", v)
	}
}

// TestViolations has a client that does one thing wrong at a time.
func TestViolations(t *testing.T) {
	for name, c := range map[string]struct {
		target string
		change func(r *http.Request)
		status int
		want   string
	}{
		"good":           {"/api/v1/services", nil, 200, ""},
		"bare mark":      {"/api/v1/services?", func(r *http.Request) { r.RequestURI = "/api/v1/services" }, 401, "bad_signature"},
		"no signature":   {"/api/v1/services", func(r *http.Request) { r.Header.Del("x-ncp-apigw-signature-v2") }, 401, "missing_header"},
		"no type":        {"/api/v1/services", func(r *http.Request) { r.Header.Del("Content-Type") }, 200, "missing_header"},
		"other key":      {"/api/v1/services", func(r *http.Request) { r.Header.Set("x-ncp-iam-access-key", "AK_X") }, 401, "bad_signature"},
		"other time":     {"/api/v1/services", func(r *http.Request) { r.Header.Set("x-ncp-apigw-timestamp", "1") }, 401, "bad_signature"},
		"write":          {"/api/v1/services", func(r *http.Request) { r.Method = http.MethodPost }, 401, "bad_signature"},
		"not recent":     {"/api/v1/services/s/trains?isRecent=false", nil, 200, "is_recent_false"},
		"page":           {"/api/v1/services?limit=101", nil, 200, "over_page_size"},
		"unknown path":   {"/api/v1/services/s/datasets", nil, 404, "unknown_path"},
		"no base path":   {"/services", nil, 404, "unknown_path"},
		"unknown option": {"/api/v1/services?page=1", nil, 200, "unknown_parameter"},
	} {
		call := newCaller(t, Options{PageSize: 100})
		call.server.AddService(Service{ID: "s"})
		call.change = c.change
		status, body := call.get(c.target)
		v := call.server.Violations()
		if status != c.status || c.want == "" && len(v) != 0 || c.want != "" && (v[c.want] != 1 || len(v) != 1) {
			t.Errorf("%s: %d %s, violations %v", name, status, body, v)
		}
	}
}

func TestTimestamps(t *testing.T) {
	for off, want := range map[time.Duration]int{
		299 * time.Second: 200, -299 * time.Second: 200, 300*time.Second + time.Millisecond: 401, -300*time.Second - time.Millisecond: 401,
	} {
		c := newCaller(t, Options{})
		c.server.SetFaults(Faults{ClockSkew: off})
		if status, _ := c.get("/api/v1/services"); status != want || (want == 401) != (c.server.Violations()["stale_timestamp"] == 1) {
			t.Errorf("%v: %d", off, status)
		}
	}
	c := newCaller(t, Options{})
	c.get("/api/v1/services")
	c.n--
	if status, _ := c.get("/api/v1/services"); status != 200 || c.server.Violations()["reused_signature"] != 1 {
		t.Errorf("a signature used twice: %d %v", status, c.server.Violations())
	}
}

// signedPost is a write with a good signature.
func TestWrites(t *testing.T) {
	c := newCaller(t, Options{})
	c.change = func(r *http.Request) {
		r.Method = http.MethodPut
		mac := hmac.New(sha256.New, []byte("SK_TEST"))
		mac.Write([]byte("PUT " + r.RequestURI + "\n" + r.Header.Get("x-ncp-apigw-timestamp") + "\nAK_TEST"))
		r.Header.Set("x-ncp-apigw-signature-v2", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if status, _ := c.get("/api/v1/services/s/schedule?action=stop"); status != 403 || c.server.Violations()["write"] != 1 {
		t.Errorf("%d %v", status, c.server.Violations())
	}
}

func TestRate(t *testing.T) {
	now := time.Unix(0, 0)
	c := newCaller(t, Options{Rate: 2, Burst: 3, Now: func() time.Time { return now }})
	refused := 0
	for range 10 {
		if status, body := c.get("/api/v1/services"); status == 429 && strings.Contains(body, `"420"`) {
			refused++
		}
	}
	now = now.Add(time.Second)
	if status, _ := c.get("/api/v1/services"); status != 200 || refused != 7 || c.server.Violations()["over_rate"] != 7 {
		t.Errorf("%d, %d refused", status, refused)
	}
}

// TestShapes holds that JSON errors are JSON, and that faults end when they should.
func TestShapes(t *testing.T) {
	for _, shape := range Shapes() {
		c := newCaller(t, Options{})
		c.server.SetFaults(Faults{Fail: Answer{Count: 1, Status: 429, Code: "400", Shape: shape}})
		status, body := c.get("/api/v1/services")
		isText := shape == XML || shape == Text || shape == HTML || shape == Empty
		if status != 429 || json.Valid([]byte(body)) == isText && shape != Empty {
			t.Errorf("%s: %d %s", shape, status, body)
		}
		if status, _ = c.get("/api/v1/services"); status != 200 {
			t.Errorf("%s: the fault goes on", shape)
		}
	}
}

// TestFleet plays three days twice, once in small steps: all is the same, every end comes, and memory is bounded.
func TestFleet(t *testing.T) {
	play := func(step time.Duration, seed int64) (string, int) {
		var out bytes.Buffer
		now := time.Date(2024, 7, 30, 0, 0, 0, 0, time.UTC)
		s := New(Options{Seed: seed, Now: func() time.Time { return now }})
		NewFleet(s, FleetOptions{Seed: seed, Transcript: &out})
		most := 0
		for range 72 * time.Hour / step {
			s.Advance(step)
			now = now.Add(step)
			most = max(most, len(s.Truth()))
		}
		return out.String(), most
	}
	whole, most := play(6*time.Hour, 1)
	steps, _ := play(time.Minute, 1)
	other, _ := play(6*time.Hour, 2)
	if whole != steps || whole == other {
		t.Error("the transcript depends on the steps, or not on the seed")
	}
	for _, status := range []string{
		"requesting", "waiting", "learning", "completed", "stopping", "requestFailed", "refinedFailed", "learningFailed", "refresh ", "refreshed ", "gone",
	} {
		if !strings.Contains(whole, " "+status) {
			t.Errorf("no training is %s in three days", status)
		}
	}
	if most < 10 || most > 60 {
		t.Errorf("%d trainings at once", most)
	}
}

func TestFleetRuns(t *testing.T) {
	s := New(Options{})
	f := NewFleet(s, FleetOptions{Speed: 1e5, Tick: time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.Run(ctx); err != nil || f.Now() < time.Hour || len(s.Truth()) < 6 {
		t.Errorf("%v after %v, %d trainings", err, f.Now(), len(s.Truth()))
	}
	for id, truth := range s.Truth() {
		if truth == collector.Unknown || strings.Count(id, "/") != 2 {
			t.Errorf("%s: %+v", id, truth)
		}
	}
}

func TestIDs(t *testing.T) {
	s := New(Options{Seed: 7})
	id := s.AddService(Service{})
	seen := map[string]bool{}
	for range 5000 {
		job := s.AddTraining(id, Training{})
		version := job[strings.LastIndex(job, "/")+1:]
		if seen[version] || len(version) != 11 {
			t.Fatalf("version %s", version)
		}
		seen[version] = true
	}
	if s.AddTraining("unknown", Training{}) != "" || s.AddRefresh("unknown", Refresh{}) != "" {
		t.Error("something was added to nothing")
	}
	s.SetStatus("unknown", "x")
	s.Remove("unknown")
	s.RemoveService(id)
	if len(s.Truth()) != 0 {
		t.Error("a service that was deleted has trainings")
	}
}
