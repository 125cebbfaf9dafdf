package runaitest_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

const window = "start=2026-03-01T09:00:00Z&end=2026-03-01T09:10:00Z"

func TestViolations(t *testing.T) {
	for name, tc := range map[string]struct {
		path   string
		status int
		want   map[string]int
	}{
		"good":              {"/api/v1/workloads?limit=500&offset=0&sortBy=phaseUpdatedAt&sortOrder=desc&deleted=false", 200, map[string]int{}},
		"page size":         {"/api/v1/workloads?limit=501", 400, map[string]int{"over_page_size": 1}},
		"limit 0":           {"/api/v1/workloads?limit=0", 400, map[string]int{"bad_limit": 1}},
		"limit text":        {"{id}/events?limit=all", 400, map[string]int{"bad_limit": 1}},
		"events page size":  {"{id}/events?limit=1000", 400, map[string]int{"over_page_size": 1}},
		"history page size": {"{id}/history?limit=501", 400, map[string]int{"over_page_size": 1}},
		"pods page size":    {"{id}/pods?limit=501", 400, map[string]int{"over_page_size": 1}},
		"all pods":          {"pods?completed=false&verbosity=full&sortBy=createdAt&sortOrder=asc&limit=500&offset=0&deleted=false", 200, map[string]int{}},
		"all pods limit":    {"pods?limit=501", 400, map[string]int{"over_page_size": 1}},
		"pods sort":         {"pods?sortBy=name", 400, map[string]int{"bad_sort": 1}},
		"pods order":        {"pods?sortOrder=up", 400, map[string]int{"bad_sort": 1}},
		"pods filter":       {"pods?filterBy=k8sPhase==Running", 400, map[string]int{"bad_filter": 1}},
		"pods deleted":      {"pods?deleted=maybe", 400, map[string]int{"bad_filter": 1}},
		"pods completed":    {"pods?completed=no", 400, map[string]int{"bad_pods": 1}},
		"pods verbosity":    {"pods?verbosity=high", 400, map[string]int{"bad_pods": 1}},
		"pods parameter":    {"pods?phase=Running", 200, map[string]int{"unknown_parameter": 1}},
		"offset":            {"{id}/events?offset=-1", 400, map[string]int{"bad_offset": 1}},
		"filter field":      {"/api/v1/workloads?filterBy=updatedAt>=2026-03-01T09:00:00Z", 400, map[string]int{"bad_filter": 1}},
		"filter operator":   {"/api/v1/workloads?filterBy=createdAt<2026-03-01T09:00:00Z", 400, map[string]int{"bad_filter": 1}},
		"filter empty":      {"/api/v1/workloads?filterBy=", 400, map[string]int{"bad_filter": 1}},
		"filter no value":   {"/api/v1/workloads?filterBy=name==", 400, map[string]int{"bad_filter": 1}},
		"filter one bad":    {"/api/v1/workloads?filterBy=name==a,b", 400, map[string]int{"bad_filter": 1}},
		"filter date":       {"/api/v1/workloads?filterBy=createdAt==yesterday", 400, map[string]int{"bad_filter": 1}},
		"filter date has":   {"/api/v1/workloads?filterBy=createdAt=^2026-03-01T09:00:00Z", 400, map[string]int{"bad_filter": 1}},
		"filter number":     {"count?filterBy=priority>=high", 400, map[string]int{"bad_filter": 1}},
		"two filters":       {"/api/v1/workloads?filterBy=name==a&filterBy=phase==Running", 200, map[string]int{"repeated_filter": 1}},
		"deleted":           {"/api/v1/workloads?deleted=maybe", 400, map[string]int{"bad_filter": 1}},
		"sort":              {"/api/v1/workloads?sortBy=updatedAt", 400, map[string]int{"bad_sort": 1}},
		"order":             {"{id}/events?sortOrder=newest", 400, map[string]int{"bad_sort": 1}},
		"history order":     {"{id}/history?sortOrder=asc", 200, map[string]int{"unknown_parameter": 1}},
		"page token":        {"/api/v1/workloads?pageToken=x", 200, map[string]int{"unknown_parameter": 1}},
		"no metric":         {"{id}/metrics?" + window, 400, map[string]int{"bad_metric_type": 1}},
		"unknown metric":    {"{id}/metrics?metricType=LOSS&" + window, 400, map[string]int{"bad_metric_type": 1}},
		"repeated metric":   {"{id}/metrics?metricType=POD_COUNT&metricType=GPU_UTILIZATION&" + window, 400, map[string]int{"bad_metric_type": 1}},
		"alias":             {"{id}/metrics?metricType=ALLOCATED_GPU&" + window, 400, map[string]int{"bad_metric_type": 1}},
		"pod metric":        {"{id}/metrics?metricType=GPU_UTILIZATION_PER_GPU&" + window, 400, map[string]int{"bad_metric_type": 1}},
		"no start":          {"{id}/metrics?metricType=POD_COUNT&end=2026-03-01T09:10:00Z", 400, map[string]int{"bad_range": 1}},
		"no end":            {"{id}/metrics?metricType=POD_COUNT&start=2026-03-01T09:10:00Z", 400, map[string]int{"bad_range": 1}},
		"backwards":         {"{id}/metrics?metricType=POD_COUNT&end=2026-03-01T09:00:00Z&start=2026-03-01T09:10:00Z", 400, map[string]int{"bad_range": 1}},
		"time":              {"{id}/metrics?metricType=POD_COUNT&end=now&start=2026-03-01T09:10:00Z", 400, map[string]int{"bad_range": 1}},
		"samples":           {"{id}/metrics?metricType=POD_COUNT&numberOfSamples=1001&" + window, 400, map[string]int{"bad_samples": 1}},
		"telemetry":         {"telemetry", 400, map[string]int{"bad_telemetry": 1}},
		"telemetry group":   {"telemetry?telemetryType=WORKLOADS_COUNT&groupBy=Name", 400, map[string]int{"bad_telemetry": 1}},
		"telemetry groups":  {"telemetry?telemetryType=WORKLOADS_COUNT&groupBy=Phase,Type,Category", 400, map[string]int{"bad_telemetry": 1}},
		"path":              {"/api/v3/workloads", 200, map[string]int{"unknown_path": 1}},
		"path below":        {"{id}/logs", 200, map[string]int{"unknown_path": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, runaitest.Options{})
			id := w.AddWorkload(runaitest.Workload{ID: "{id}"})
			w.login()
			w.wantStatus(w.get(tc.path), tc.status)
			if got := w.Violations(); !maps.Equal(got, tc.want) {
				t.Errorf("violations %v, want %v", got, tc.want)
			}
			if id != "{id}" {
				t.Errorf("id %s", id)
			}
		})
	}
}

func TestWritesAreRefused(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	w.login()
	n := 0
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "HEAD"} {
		for _, path := range []string{"/api/v1/workloads", "/api/v1/workloads/" + id, "/api/v1/workloads/trainings/" + id + "/suspend", "/elsewhere"} {
			w.wantStatus(w.send(method, path, "{}", "Authorization", "Bearer "+w.token), 405)
			if n++; w.Violations()["write"] != n {
				t.Errorf("%s %s: %v", method, path, w.Violations())
			}
		}
	}
	w.wantStatus(w.send("DELETE", "/api/v1/token", ""), 405)
	w.wantStatus(w.send("GET", "/api/v1/token", ""), 405)
	if v := w.Violations(); v["write"] != n+1 || len(v) != 1 {
		t.Errorf("violations %v", v)
	}
	if tr := w.JobTruth(id); tr.Phase != "Creating" || !tr.Deleted.IsZero() {
		t.Errorf("truth %+v", tr)
	}
}

func TestTokenViolations(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	for _, header := range []string{"", "Bearer ", "Basic abc"} {
		w.wantStatus(w.send("GET", "/api/v1/workloads", "", "Authorization", header), 401)
	}
	w.wantStatus(w.send("GET", "/api/v1/workloads", "", "Authorization", "Bearer made-up"), 401)
	for _, body := range []string{"", "{", `{"grantType":"password"}`, `{"grantType":"client_credentials"}`, `{"grantType":"client_credentials","clientID":7,"clientSecret":"s"}`} {
		w.wantStatus(w.send("POST", "/api/v1/token", body), 400)
	}
	want := map[string]int{"missing_token": 3, "wrong_token": 1, "bad_token_request": 5}
	if got := w.Violations(); !maps.Equal(got, want) {
		t.Errorf("violations %v, want %v", got, want)
	}
	w.ResetCounters()
	if v := w.Violations(); len(v) != 0 || len(w.Requests()) != 0 {
		t.Errorf("after the reset: %v", v)
	}
}

func TestHeaderViolations(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	w.login()
	for _, path := range []string{id + "/metrics?metricType=POD_COUNT&" + window, "telemetry?telemetryType=GPU_ALLOCATION"} {
		got := w.send("GET", "/api/v1/workloads/"+path, "", "Authorization", "Bearer "+w.token, "Accept", "*/*")
		if got.Code != 200 || got.Header().Get("Content-Type") != "text/csv" {
			t.Errorf("%s: status %d, %v", path, got.Code, got.Header())
		}
	}
	for _, agent := range []string{"", "Go-http-client/1.1"} {
		w.wantStatus(w.send("GET", "/api/v1/clusters", "", "Authorization", "Bearer "+w.token, "User-Agent", agent), 200)
	}
	if v := w.Violations(); !maps.Equal(v, map[string]int{"no_accept": 2, "no_user_agent": 2}) {
		t.Errorf("violations %v", v)
	}
}

func TestOverRate(t *testing.T) {
	w := newWorld(t, runaitest.Options{Rate: 2, Burst: 3})
	w.login()
	for range 2 {
		w.wantStatus(w.get("/api/v1/workloads"), 200)
	}
	got := w.get("/api/v1/workloads")
	if w.wantStatus(got, 429); got.Header().Get("Retry-After") != "1" {
		t.Errorf("header %v", got.Header())
	}
	w.now = w.now.Add(time.Second)
	w.wantStatus(w.get("/api/v1/workloads"), 200)
	w.wantStatus(w.get("/api/v1/workloads"), 200)
	w.wantStatus(w.get("/api/v1/workloads"), 429)
	if v := w.Violations(); v["over_rate"] != 2 {
		t.Errorf("violations %v", v)
	}
}

func TestRequestsAndCounters(t *testing.T) {
	w := newWorld(t, runaitest.Options{Keep: 3})
	id := w.AddWorkload(runaitest.Workload{})
	w.AddEvent(id, runaitest.Event{})
	w.get(id + "/events?limit=5")
	w.get(id + "/history")
	w.get("/nowhere")
	w.get("no-such-id")
	r := w.Requests()
	if len(r) != 3 || r[0].Operation != runaitest.OpHistory || r[0].ID != id || r[2].Status != 404 || r[1].Operation != runaitest.OpUnknown {
		t.Errorf("requests %+v", r)
	}
	c := w.Counters()
	if c.Requests != 5 || c.ByOperation[runaitest.OpEvents] != 1 || c.ByOperation[runaitest.OpTokenV1] != 1 || c.ByStatus[200] != 4 || c.Items != 3 {
		t.Errorf("counters %+v", c)
	}
	if tr := w.JobTruth(id); tr.Polls != 2 || !tr.LastPoll.Equal(epoch) {
		t.Errorf("truth %+v", tr)
	}
}

func TestShell(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	for _, path := range []string{"/", "/api/v1", "/api/v1/workload", "/v1/workloads", "/api/v1/workloads/", "/.well-known/security.txt"} {
		got := w.send("GET", path, "")
		if got.Code != 200 || got.Header().Get("Content-Type") != "text/html; charset=utf-8" || got.Body.Len() < 1500 {
			t.Errorf("%s: status %d, %v, %d bytes", path, got.Code, got.Header(), got.Body.Len())
		}
	}
}

// TestOverNetwork asks with a client of net/http.
func TestOverNetwork(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	w.AddWorkload(runaitest.Workload{})
	w.login()
	web := httptest.NewServer(w)
	defer web.Close()
	req, err := http.NewRequest("GET", web.URL+"/api/v1/workloads?limit=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.ContentLength < 500 {
		t.Errorf("status %d, %d bytes", resp.StatusCode, resp.ContentLength)
	}
}
