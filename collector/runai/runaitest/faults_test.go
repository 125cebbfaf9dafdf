package runaitest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

func TestReplacedAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer            runaitest.Answer
		status            int
		header, headerHas string
		bodyHas           string
	}{
		"proxy":       {runaitest.ProxyError(2, 502), 502, "Content-Type", "text/html", "<h1>502</h1>"},
		"problem":     {runaitest.Problem(2, 503, "Please try again in few minutes."), 503, "Content-Type", "application/json", `{"code":503,"message":"Please`},
		"retry after": {runaitest.TooMany(2, "7"), 429, "Retry-After", "7", `"code":429`},
		"no header":   {runaitest.TooMany(2, ""), 429, "Retry-After", "", `"code":429`},
		"redirect":    {runaitest.Redirect(2, "http://elsewhere.test/"), 307, "Location", "http://elsewhere.test/", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, runaitest.Options{})
			w.login()
			w.SetFaults(runaitest.Faults{Fail: tc.answer})
			for range 2 {
				got := w.get("/api/v1/workloads")
				if got.Code != tc.status || !strings.Contains(got.Header().Get(tc.header), tc.headerHas) || !strings.Contains(got.Body.String(), tc.bodyHas) {
					t.Errorf("status %d, header %v: %s", got.Code, got.Header(), got.Body)
				}
			}
			w.wantStatus(w.get("/api/v1/workloads"), 200)
		})
	}
}

func TestOnlySomeOperations(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	w.SetFaults(runaitest.Faults{Only: []runaitest.Operation{runaitest.OpHistory}, Fail: runaitest.Problem(-1, 503, "x")})
	for range 3 {
		w.wantStatus(w.get(id+"/history"), 503)
		w.wantStatus(w.get(id+"/events"), 200)
	}
}

func TestWorkloadFaults(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	sick, well := w.AddWorkload(runaitest.Workload{}), w.AddWorkload(runaitest.Workload{Type: runaitest.Inference})
	w.SetWorkloadFaults(sick, runaitest.Faults{Fail: runaitest.ProxyError(-1, 502)})
	w.SetWorkloadFaults("none", runaitest.Faults{Hang: true})
	w.wantStatus(w.get(sick+"/events"), 502)
	w.wantStatus(w.get(well+"/events"), 200)
	w.wantStatus(w.get("/api/v1/workloads"), 200)
	w.SetWorkloadFaults(sick, runaitest.Faults{})
	w.wantStatus(w.get(sick+"/events"), 200)
	revision := w.AddRevision(well, runaitest.Revision{})
	w.SetWorkloadFaults(well, runaitest.Faults{Fail: runaitest.ProxyError(-1, 504)})
	w.wantStatus(w.get("inferences/revisions/"+revision+"/events"), 504)
}

// fetch makes a real request, reads at most limit bytes of the body, and says how reading ended.
func (w *world) fetch(ctx context.Context, url string, limit int64) (*http.Response, []byte, error) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Accept", "application/json")
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
		faults runaitest.Faults
		check  func(body string, err error) bool
	}{
		"truncated": {runaitest.Faults{Body: runaitest.Truncated}, func(b string, err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && strings.HasPrefix(b, `{"`)
		}},
		"slow": {runaitest.Faults{Body: runaitest.Slow, Pause: time.Microsecond}, func(b string, err error) bool {
			return err == nil && json.Valid([]byte(b))
		}},
		"endless": {runaitest.Faults{Body: runaitest.Endless}, func(b string, err error) bool {
			return err == nil && len(b) == 2<<20 && strings.HasPrefix(b, `{"`) && strings.Contains(b[:100], `":[{"id":"`)
		}},
		"long": {runaitest.Faults{Body: runaitest.Endless, Size: 100_000}, func(b string, err error) bool {
			return err == nil && len(b) > 100_000 && len(b) < 200_000
		}},
		"huge": {runaitest.Faults{Body: runaitest.Huge, Size: 1 << 20}, func(b string, err error) bool {
			return err == nil && len(b) > 1<<20 && json.Valid([]byte(b))
		}},
		"bomb": {runaitest.Faults{Body: runaitest.Bomb, Size: 1 << 20}, func(b string, err error) bool {
			return err == nil && len(b) > 1<<20 && json.Valid([]byte(b))
		}},
		"deep": {runaitest.Faults{Body: runaitest.Deep, Size: 5000}, func(b string, err error) bool {
			return err == nil && strings.Contains(b, deep) && json.Valid([]byte(b))
		}},
		"garbage": {runaitest.Faults{Body: runaitest.Garbage}, func(b string, err error) bool { return err == nil && !json.Valid([]byte(b)) }},
		"html":    {runaitest.Faults{Body: runaitest.HTML}, func(b string, err error) bool { return strings.HasPrefix(b, "<!doctype html>") }},
		"empty":   {runaitest.Faults{Body: runaitest.Empty}, func(b string, err error) bool { return err == nil && b == "" }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, runaitest.Options{})
			id := w.AddWorkload(runaitest.Workload{})
			w.AddEvent(id, runaitest.Event{Message: strings.Repeat("m", 300)})
			w.login()
			w.SetFaults(tc.faults)
			web := httptest.NewServer(w)
			defer web.Close()
			for _, path := range []string{"/api/v1/workloads", "/api/v1/workloads/" + id + "/events", "/api/v1/workloads/" + id + "/history"} {
				resp, body, err := w.fetch(t.Context(), web.URL+path, 2<<20)
				if resp == nil || resp.StatusCode != 200 || !tc.check(string(body), err) {
					t.Errorf("%s: answer %v, %v, %d bytes: %.100s", path, resp, err, len(body), body)
				}
			}
		})
	}
}

func TestHang(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	w.login()
	w.SetFaults(runaitest.Faults{Hang: true})
	web := httptest.NewServer(w)
	defer web.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, _, err := w.fetch(ctx, web.URL+"/api/v1/workloads", 1<<20); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hanging request: %v, want a time-out", err)
	}
	done := make(chan error)
	go func() {
		_, _, err := w.fetch(t.Context(), web.URL+"/api/v1/workloads", 1<<20)
		done <- err
	}()
	time.Sleep(10 * time.Millisecond) // either way, the next line must release it
	w.SetFaults(runaitest.Faults{})
	if err := <-done; err != nil {
		t.Errorf("released request: %v", err)
	}
}

func TestClosedWithoutAnswer(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	w.login()
	w.SetFaults(runaitest.Faults{Fail: runaitest.Answer{Count: -1}})
	web := httptest.NewServer(w)
	defer web.Close()
	if resp, _, err := w.fetch(t.Context(), web.URL+"/api/v1/workloads", 1); err == nil {
		t.Errorf("got an answer: %v", resp)
	}
	if n := w.Counters().ByStatus[0]; n == 0 {
		t.Error("the request was not counted")
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, runaitest.Options{})
		w.login()
		w.SetFaults(runaitest.Faults{Latency: 3 * time.Second})
		began := time.Now()
		w.wantStatus(w.get("/api/v1/workloads"), 200)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestUnauthorized(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	w.login()
	w.SetFaults(runaitest.Faults{Unauthorized: true})
	w.wantStatus(w.get("/api/v1/workloads"), 401)
	w.login()
	w.wantStatus(w.get("/api/v1/workloads"), 401)
	w.SetFaults(runaitest.Faults{})
	w.wantStatus(w.get("/api/v1/workloads"), 200)
	w.wantClean()
}

func TestNextFaults(t *testing.T) {
	for fault, want := range map[runaitest.Next][3]string{ // of the first page, the last one, and beyond
		runaitest.NextRight: {"2", "none", "none"}, runaitest.NextAbsent: {"none", "none", "none"}, runaitest.NextNull: {"2", "<nil>", "<nil>"},
		runaitest.NextEmpty: {"2", `""`, `""`}, runaitest.NextText: {`"2"`, "none", "none"}, runaitest.NextStuck: {"0", "2", "9"},
		runaitest.NextAlways: {"2", "3", "3"},
	} {
		w := newWorld(t, runaitest.Options{})
		id := w.AddWorkload(runaitest.Workload{})
		w.AddWorkload(runaitest.Workload{})
		w.AddWorkload(runaitest.Workload{})
		w.SetPhase(id, "Pending", "")
		w.SetPhase(id, "Running", "")
		for range 3 {
			w.AddEvent(id, runaitest.Event{NoHistory: true})
		}
		w.SetFaults(runaitest.Faults{Next: fault})
		for _, path := range []string{"/api/v1/workloads", id + "/events", id + "/history"} {
			for i, offset := range []int{0, 2, 9} {
				got, sent := w.object(path + "?limit=2&offset=" + strconv.Itoa(offset))["next"]
				word := fmt.Sprint(got)
				if text, ok := got.(string); ok {
					word = strconv.Quote(text)
				}
				if !sent {
					word = "none"
				}
				if word != want[i] {
					t.Errorf("%q, %s from %d: next %s, want %s", fault, path, offset, word, want[i])
				}
			}
		}
	}
}

func TestShapeFaults(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	w.SetPhase(id, "Running", "")
	w.AddEvent(id, runaitest.Event{})
	metrics := id + "/metrics?metricType=GPU_ALLOCATION,POD_COUNT&numberOfSamples=1&start=2026-03-01T08:59:00Z&end=2026-03-01T09:00:00Z"
	measured := func(i int) map[string]any { return w.object(metrics)["measurements"].([]any)[i].(map[string]any) }

	w.SetFaults(runaitest.Faults{ExtraPhase: "Hibernating"})
	typed := w.object("trainings/" + id)
	if w.object(id)["phase"] != "Hibernating" || typed["actualPhase"] != "Hibernating" || kinds(w.all(id+"/history", "records", 5))[1] != "Hibernating" {
		t.Error("the phase is not replaced")
	}
	w.SetFaults(runaitest.Faults{NumericIDs: true})
	if item := w.object(id); item["projectId"] != 4782.0 || item["departmentId"] != 2.0 {
		t.Errorf("ids %v %v", item["projectId"], item["departmentId"])
	}
	w.SetFaults(runaitest.Faults{ZonelessTimes: true})
	event := w.all(id+"/events", "events", 5)[0]
	sample := measured(1)["values"].([]any)[0].(map[string]any)
	if item := w.object(id); item["createdAt"] != "2026-03-01 09:00:00.000" || event["createdAt"] != item["createdAt"] || sample["timestamp"] != item["createdAt"] {
		t.Errorf("times %v %v %v", item["createdAt"], event["createdAt"], sample["timestamp"])
	}
	w.SetFaults(runaitest.Faults{NullValues: true})
	if item := w.object(id); item["priority"] != nil || item["allocatedResources"] != nil || item["totalRunningTimeSeconds"] != nil {
		t.Errorf("item %v", item)
	}
	if first, second := measured(0), measured(1); fmt.Sprint(first["values"]) != "[map[timestamp:<nil> value:1]]" && fmt.Sprint(first["values"]) != "[map[timestamp:<nil> value:0]]" || second["values"] != nil {
		t.Errorf("measurements %v %v", first, second)
	}
	w.SetFaults(runaitest.Faults{OldVersion: true})
	if item := w.object(id); item["category"] != nil || item["totalRunningTimeSeconds"] != nil {
		t.Errorf("item %v", item)
	}
	w.wantStatus(w.get(strings.Replace(metrics, "POD_COUNT", "NVLINK_BANDWIDTH_TOTAL", 1)), 400)
	w.SetFaults(runaitest.Faults{ExtraFields: true})
	if item := w.object(id); item["madeUp"] != 0.5 {
		t.Errorf("item %v", item)
	}
	w.SetFaults(runaitest.Faults{AllocatedAlias: true})
	if measured(0)["type"] != "ALLOCATED_GPU" || measured(1)["type"] != "POD_COUNT" {
		t.Errorf("types %v %v", measured(0)["type"], measured(1)["type"])
	}
	w.SetFaults(runaitest.Faults{PartialMetrics: true})
	w.wantStatus(w.get(metrics), 207)
	if first, second := measured(0), measured(1); first["values"] == nil || second["values"] != nil {
		t.Errorf("partial: %v %v", first, second)
	}
	w.wantClean()
}

func TestBadItem(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{Type: runaitest.Inference})
	w.AddEvent(id, runaitest.Event{})
	w.AddRevision(id, runaitest.Revision{})
	w.login()
	for _, bad := range []string{"null", `"text"`, `{"id":7}`, "[]"} {
		w.SetFaults(runaitest.Faults{BadItem: bad})
		for path, name := range map[string]string{
			"/api/v1/workloads": "workloads", id + "/events": "events", id + "/history": "records", id + "/pods": "pods",
			"inferences/" + id + "/revisions": "revisions", id + "/metrics?metricType=POD_COUNT&" + window: "measurements",
			"telemetry?telemetryType=WORKLOADS_COUNT": "values",
		} {
			list := w.object(path)[name].([]any)
			got, err := json.Marshal(list[len(list)-1])
			if err != nil || string(got) != bad || len(list) < 2 {
				t.Errorf("%s: %s, want %s", path, got, bad)
			}
		}
		var clusters []any
		if w.read("/api/v1/clusters", &clusters); len(clusters) != 2 {
			t.Errorf("clusters %v", clusters)
		}
	}
	empty := w.object(id + "/events?offset=5")["events"].([]any)
	if len(empty) != 1 {
		t.Errorf("on an empty page: %v", empty)
	}
}

func TestEventFaults(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	for i := range 40 {
		w.AddEvent(id, runaitest.Event{CreatedAt: at(i), Message: strconv.Itoa(100 + i)})
	}
	read := func() []string { return texts(w.all(id+"/events?sortOrder=asc", "events", 7), "message") }
	good := read()
	for _, f := range []runaitest.Faults{{NoSortOrder: true}, {OldVersion: true}} {
		w.SetFaults(f)
		down := read()
		if slices.Reverse(down); !slices.Equal(down, good) {
			t.Errorf("without sortOrder: %v", down)
		}
	}
	w.SetFaults(runaitest.Faults{UnsortedEvents: true})
	mess := read()
	if slices.IsSorted(mess) || !slices.Equal(mess, read()) || len(mess) != 40 {
		t.Errorf("unsorted: %v", mess)
	}
	if slices.Sort(mess); !slices.Equal(mess, good) {
		t.Errorf("unsorted: %v", mess)
	}
	w.SetFaults(runaitest.Faults{ShortPages: 3})
	page := w.object(id + "/events")
	if len(page["events"].([]any)) != 3 || page["next"] != 3.0 || !slices.Equal(read(), good) {
		t.Errorf("short page: %v", page["next"])
	}
	w.SetFaults(runaitest.Faults{LateEvery: 4, LateBy: time.Minute})
	early := read()
	records := len(w.all(id+"/history", "records", 500))
	if len(early) < 20 || len(early) > 38 || records != len(early)+1 || !slices.IsSorted(early) {
		t.Errorf("%d events, %d records before the late ones", len(early), records)
	}
	w.now = epoch.Add(time.Minute)
	if late := read(); !slices.Equal(late, good) {
		t.Errorf("after a minute: %v", late)
	}
}

func TestDeletedGone(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	w.Delete(id)
	w.wantStatus(w.get(id+"/history"), 200)
	w.SetFaults(runaitest.Faults{DeletedGone: true})
	w.wantStatus(w.get(id+"/history"), 404)
	w.wantStatus(w.get(id), 404)
	if n := len(w.all("/api/v1/workloads?deleted=true", "workloads", 5)); n != 1 {
		t.Errorf("%d deleted workloads listed", n)
	}
}
