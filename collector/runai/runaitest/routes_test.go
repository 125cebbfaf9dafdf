package runaitest_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

func TestItem(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{
		Name: "bert-ddp", Type: runaitest.Distributed, Project: "Vision", ProjectID: "4501", SubmittedBy: "ada", Framework: "PyTorch",
		Nodepool: "a100", GPUs: 32, Pods: 4,
	})
	w.now = epoch.Add(2 * time.Minute)
	w.SetPhase(id, "Running", "")
	w.SetRunningPods(id, 2)
	w.SetIdleGPUs(id, 3)
	w.now = epoch.Add(5 * time.Minute)
	item := w.object(id)
	for field, want := range map[string]any{
		"id": id, "name": "bert-ddp", "type": "DistributedWorkload", "category": "Train", "source": "Control-plane", "priority": 50.0,
		"priorityClassName": "train", "projectId": "4501", "projectName": "Vision", "departmentId": "2", "departmentName": "research",
		"namespace": "runai-vision", "submittedBy": "ada", "createdAt": "2026-03-01T09:00:00.000Z", "phase": "Running", "phaseMessage": "",
		"phaseUpdatedAt": "2026-03-01T09:02:00.000Z", "updatedAt": "2026-03-01T09:02:00.000Z", "k8sPhase": "Running",
		"k8sPhaseUpdatedAt": "2026-03-01T09:02:00.000Z", "runningPods": 2.0, "idleAllocatedGpus": 3.0, "tenantId": 1001.0,
		"totalPendingTimeSeconds": 120.0, "totalRunningTimeSeconds": 180.0, "distributedFramework": "PyTorch",
	} {
		if item[field] != want {
			t.Errorf("%s: %v, want %v", field, item[field], want)
		}
	}
	for _, field := range []string{"completedAt", "deletedAt", "phaseReason", "sourceApi", "guaranteedRuntimeEndsAt"} {
		if value, sent := item[field]; !sent || value != nil {
			t.Errorf("%s: %v", field, value)
		}
	}
	if got := item["allocatedResources"].(map[string]any)["gpu"]; got != 16.0 {
		t.Errorf("allocated %v, want 16 for two of four pods", got)
	}
	if got := item["requestedPods"].(map[string]any); got["number"] != 4.0 || got["min"] != nil {
		t.Errorf("requested %v", got)
	}
	if !strings.Contains(fmt.Sprint(item["environmentVariables"]), runaitest.Canary) {
		t.Error("no secret to leak")
	}
	if listed := w.all("/api/v1/workloads", "workloads", 50)[0]; fmt.Sprint(listed) != fmt.Sprint(item) {
		t.Errorf("listed %v\nalone %v", listed, item)
	}
	w.wantClean()
}

func TestLifeOfAWorkload(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{Pods: 2, GPUs: 2})
	phases := []string{"Creating"}
	for i, phase := range []string{"Pending", "Initializing", "Running", "Degraded", "Stopping", "Stopped", "Resuming", "Running", "Failed"} {
		w.now = epoch.Add(time.Duration(i+1) * time.Minute)
		w.SetPhase(id, phase, "why "+phase)
		phases = append(phases, phase)
		item := w.object(id)
		if item["phase"] != phase || item["phaseMessage"] != "why "+phase || item["phaseUpdatedAt"] != w.now.Format("2006-01-02T15:04:05.000Z") {
			t.Errorf("%s: %v", phase, item)
		}
		wantPods := map[string]float64{"Running": 2, "Degraded": 2, "Stopping": 2}[phase]
		if item["runningPods"] != wantPods {
			t.Errorf("%s: %v pods", phase, item["runningPods"])
		}
		if (item["completedAt"] != nil) != (phase == "Failed") {
			t.Errorf("%s: completed %v", phase, item["completedAt"])
		}
	}
	tr := w.JobTruth(id)
	var told []string
	for _, p := range tr.Phases {
		told = append(told, p.Phase)
	}
	if !slices.Equal(told, phases) || tr.Phase != "Failed" || tr.Message != "why Failed" || !tr.Completed.Equal(w.now) || !tr.Phases[9].At.Equal(w.now) {
		t.Errorf("truth %+v", tr)
	}
	w.now = w.now.Add(time.Minute)
	w.Delete(id)
	w.Delete(id)
	if n := len(w.all("/api/v1/workloads", "workloads", 10)); n != 0 {
		t.Errorf("%d workloads are still listed", n)
	}
	gone := w.all("/api/v1/workloads?deleted=true", "workloads", 10)
	if len(gone) != 1 || gone[0]["deletedAt"] != "2026-03-01T09:10:00.000Z" || gone[0]["phase"] != "Deleting" {
		t.Errorf("deleted: %v", gone)
	}
	if n := len(w.all(id+"/history", "records", 10)); n != len(phases)+1 {
		t.Errorf("%d records, want %d", n, len(phases)+1)
	}
	if tr := w.JobTruth(id); tr.Phase != "Deleting" || tr.Result != "Failed" || !tr.Deleted.Equal(w.now) {
		t.Errorf("truth %+v", tr)
	}
	w.Purge(id)
	for _, path := range []string{id, id + "/events", id + "/history", id + "/pods", "trainings/" + id, id + "/metrics?metricType=POD_COUNT&" + window} {
		got := w.get(path)
		if w.wantStatus(got, 404); !strings.HasPrefix(got.Body.String(), `{"code":404,"message":"Resource id not found."`) {
			t.Errorf("%s: %s", path, got.Body)
		}
	}
	if len(w.all("/api/v1/workloads?deleted=true", "workloads", 10)) != 0 || len(w.Truth()) != 0 {
		t.Error("a purged workload is known")
	}
	w.wantClean()
}

// fill adds n workloads a second apart, named w-000 and so on.
func (w *world) fill(n int) []string {
	var ids []string
	for i := range n {
		ids = append(ids, w.AddWorkload(runaitest.Workload{
			Name: fmt.Sprintf("w-%03d", i), Project: []string{"vision", "language", "platform"}[i%3], GPUs: float64(i % 4),
			CreatedAt: epoch.Add(time.Duration(i) * time.Second),
		}))
	}
	return ids
}

func TestListPages(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	w.fill(120)
	first := w.object("/api/v1/workloads")
	if n := len(first["workloads"].([]any)); n != 50 || first["next"] != 50.0 {
		t.Errorf("first page: %d workloads, next %v", n, first["next"])
	}
	last := w.object("/api/v1/workloads?offset=100")
	if _, more := last["next"]; more || len(last["workloads"].([]any)) != 20 {
		t.Errorf("last page: next %v", last["next"])
	}
	full := w.object("/api/v1/workloads?offset=70")
	if _, more := full["next"]; more || len(full["workloads"].([]any)) != 50 {
		t.Errorf("full last page: next %v", full["next"])
	}
	beyond := w.object("/api/v1/workloads?offset=1000")
	if _, more := beyond["next"]; more || len(beyond["workloads"].([]any)) != 0 {
		t.Errorf("beyond the end: %v", beyond)
	}
	names := texts(w.all("/api/v1/workloads", "workloads", 7), "name")
	if len(names) != 120 || !slices.IsSorted(names) {
		t.Errorf("%d names by creation: %v", len(names), names)
	}
	down := texts(w.all("/api/v1/workloads?sortOrder=desc&sortBy=name", "workloads", 500), "name")
	slices.Reverse(down)
	if !slices.Equal(down, names) {
		t.Errorf("descending: %v", down)
	}
	if got := w.object("count"); got["count"] != 120.0 {
		t.Errorf("count %v", got)
	}
	w.wantClean()
}

func TestSortKeepsUp(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	ids := w.fill(30)
	list := func(query string) []string { return texts(w.all("/api/v1/workloads?"+query, "workloads", 11), "name") }
	byPhase := "sortBy=phaseUpdatedAt&sortOrder=desc"
	list(byPhase)
	for step, i := range []int{3, 17, 3, 29} {
		w.now = epoch.Add(time.Duration(step+1) * time.Minute)
		w.SetPhase(ids[i], "Running", "")
		want := fmt.Sprintf("w-%03d", i)
		if got := list(byPhase); got[0] != want || len(got) != 30 {
			t.Errorf("step %d: %v, want %s first", step, got, want)
		}
	}
	w.Delete(ids[17])
	w.Purge(ids[29])
	got := list(byPhase)
	if len(got) != 28 || got[0] != "w-003" || slices.Contains(got, "w-017") || slices.Contains(got, "w-029") {
		t.Errorf("after deletion: %v", got)
	}
	if gone := list("deleted=true&" + byPhase); !slices.Equal(gone, []string{"w-017"}) {
		t.Errorf("deleted: %v", gone)
	}
	w.AddWorkload(runaitest.Workload{Name: "new", CreatedAt: epoch.Add(-time.Hour)})
	if got := list("sortBy=createdAt"); got[0] != "new" || len(got) != 29 {
		t.Errorf("after a new one: %v", got)
	}
	for field := range strings.SplitSeq("type name clusterId projectId projectName departmentId departmentName createdAt deletedAt submittedBy phase "+
		"completedAt nodepool distributedFramework allocatedGPU idleGpus idleAllocatedGpus phaseUpdatedAt category priority totalPendingTimeSeconds "+
		"totalRunningTimeSeconds priorityClassName guaranteedRuntimeEndsAt aiApplicationId aiApplicationName", " ") {
		if n := len(list("sortBy=" + field)); n != 29 {
			t.Errorf("by %s: %d workloads", field, n)
		}
	}
	w.wantClean()
}

func TestFilters(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	ids := w.fill(30)
	w.now = epoch.Add(time.Hour)
	for _, id := range ids[:10] {
		w.SetPhase(id, "Running", "")
	}
	cluster := w.get("/api/v1/clusters").Body.String()[10:46]
	for filter, want := range map[string]int{
		"phase==Running":                       10,
		"phase!=Running":                       20,
		"projectName==vision":                  10,
		"projectName==vision,phase==Running":   4,
		"name=@-00":                            10,
		"name!@-00":                            20,
		"name=^w-01":                           10,
		"name=$9":                              3,
		"createdAt>=2026-03-01T09:00:20Z":      10,
		"createdAt<=2026-03-01T09:00:20Z":      21,
		"createdAt==2026-03-01T09:00:20Z":      1,
		"createdAt>=2026-03-01T09:00:20+00:00": 10,
		"allocatedGPU>=2":                      4,
		"priority==50":                         30,
		"totalRunningTimeSeconds>=60":          0,
		"clusterId==" + cluster:                30,
		"clusterId==other":                     0,
		"name=@a==b":                           0,
	} {
		query := "filterBy=" + url.QueryEscape(filter)
		if got := w.object("count?" + query)["count"]; got != float64(want) {
			t.Errorf("%s: %v, want %d", filter, got, want)
		}
		if n := len(w.all("/api/v1/workloads?"+query, "workloads", 3)); n != want {
			t.Errorf("%s: %d listed, want %d", filter, n, want)
		}
	}
	long, running := "/api/v1/workloads?filterBy=totalRunningTimeSeconds>=60", "/api/v1/workloads?filterBy=phase==Running"
	for i, want := range [][2]int{{0, 10}, {10, 10}, {11, 11}} {
		w.now = w.now.Add(time.Duration(i) * 61 * time.Second)
		if n := len(w.all(long, "workloads", 500)); n != want[0] {
			t.Errorf("%d ran for a minute, want %d: time alone moves this filter", n, want[0])
		}
		if n := len(w.all(running, "workloads", 500)); n != want[1] {
			t.Errorf("%d run, want %d", n, want[1])
		}
		if i == 1 {
			w.SetPhase(ids[20], "Running", "")
		}
	}
	for search, want := range map[string]int{"W-02": 10, "language": 10, ids[4]: 1, "nothing": 0} {
		if n := len(w.all("/api/v1/workloads?search="+search, "workloads", 500)); n != want {
			t.Errorf("search %s: %d, want %d", search, n, want)
		}
	}
	w.wantClean()
}

func TestTypedEndpoints(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	for typ, path := range map[string]string{
		runaitest.Training: "trainings", runaitest.Distributed: "distributed", runaitest.Workspace: "workspaces",
		runaitest.Inference: "inferences", "DistributedInferenceWorkload": "distributed-inferences", "runai-job": "trainings",
	} {
		id := w.AddWorkload(runaitest.Workload{Name: "n", Type: typ, SubmittedBy: "ada"})
		w.SetPhase(id, "Running", "")
		got := w.object(path + "/" + id)
		if got["workloadId"] != id || got["actualPhase"] != "Running" || got["desiredPhase"] != "Running" || got["createdBy"] != "ada" || got["phase"] != nil {
			t.Errorf("%s: %v", typ, got)
		}
		other := "workspaces/"
		if path == "workspaces" {
			other = "trainings/"
		}
		w.wantStatus(w.get(other+id), 404)
		w.SetPhase(id, "Stopped", "")
		if got := w.object(path + "/" + id); got["desiredPhase"] != "Stopped" {
			t.Errorf("%s: %v", typ, got)
		}
	}
	w.wantClean()
}

func TestAllPods(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	older := w.AddWorkload(runaitest.Workload{Name: "older", Pods: 3, Project: "vision", CreatedAt: epoch.Add(-time.Hour)})
	newer := w.AddWorkload(runaitest.Workload{Name: "newer", Pods: 2})
	ended := w.AddWorkload(runaitest.Workload{Name: "ended", CreatedAt: epoch.Add(-2 * time.Hour)})
	gone := w.AddWorkload(runaitest.Workload{Name: "gone"})
	for _, id := range []string{older, newer, ended, gone} {
		w.SetPhase(id, "Running", "")
	}
	w.SetPhase(ended, "Completed", "")
	w.Delete(gone)
	w.SetRunningPods(older, 2)
	for query, want := range map[string]string{
		"":                              "ended-worker-0 older-worker-0 older-worker-1 older-worker-2 newer-worker-0 newer-worker-1",
		"completed=all":                 "ended-worker-0 older-worker-0 older-worker-1 older-worker-2 newer-worker-0 newer-worker-1",
		"completed=true":                "ended-worker-0",
		"deleted=true":                  "gone-worker-0",
		"search=newer":                  "newer-worker-0 newer-worker-1",
		"filterBy=workloadId==" + older: "older-worker-0 older-worker-1 older-worker-2",
		"completed=false&sortBy=createdAt&sortOrder=desc": "newer-worker-1 newer-worker-0 older-worker-2 older-worker-1 older-worker-0",
		"completed=false&sortBy=nodeName":                 "older-worker-2 older-worker-0 newer-worker-0 older-worker-1 newer-worker-1",
	} {
		if got := strings.Join(texts(w.all("pods?"+query, "pods", 2), "name"), " "); got != want {
			t.Errorf("%s: %s", query, got)
		}
	}
	if got := strings.Join(w.RunningPods(older), " "); got != "older-worker-0 older-worker-1" || w.RunningPods(gone) != nil || w.RunningPods(ended) != nil {
		t.Errorf("pods that run: %s", got)
	}
	first := w.all("pods?verbosity=full&search=older", "pods", 2)[0]
	if first["workloadName"] != "older" || first["projectName"] != "vision" || first["workloadId"] != older || first["k8sPhase"] != "Running" {
		t.Errorf("a pod: %v", first)
	}
	w.wantClean()
}

func TestPods(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{Name: "ddp", Pods: 5})
	w.SetPhase(id, "Running", "")
	w.SetRunningPods(id, 2)
	pods := w.all(id+"/pods", "pods", 2)
	phases := texts(pods, "k8sPhase")
	if !slices.Equal(phases, []string{"Running", "Running", "Pending", "Pending", "Pending"}) || texts(pods, "name")[4] != "ddp-worker-4" {
		t.Errorf("pods %v", pods)
	}
	if n := len(w.all(id+"/pods?search=worker-3", "pods", 5)); n != 1 {
		t.Errorf("%d pods found", n)
	}
	if n := len(w.all(id+"/pods?deleted=true", "pods", 5)); n != 0 {
		t.Errorf("%d deleted pods", n)
	}
	path := id + "/pods/" + texts(pods, "id")[1] + "/metrics?metricType=GPU_UTILIZATION_PER_GPU,GPU_UTILIZATION&" + window
	w.SetMetric(id, "GPU_UTILIZATION", "70")
	got := w.object(path)["measurements"].([]any)
	if len(got) != 2 || fmt.Sprint(got[0].(map[string]any)["labels"]) != "map[gpu:0]" || got[1].(map[string]any)["labels"] != nil {
		t.Errorf("metrics of a pod: %v", got)
	}
	w.wantStatus(w.get(id+"/pods/none/metrics?metricType=GPU_UTILIZATION&"+window), 404)
	w.wantClean()
}

func TestClusters(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	var clusters []map[string]any
	w.read("/api/v1/clusters", &clusters)
	if len(clusters) != 1 || clusters[0]["uuid"] == "" || clusters[0]["status"].(map[string]any)["state"] != "Connected" || clusters[0]["lastLiveness"] == nil {
		t.Errorf("clusters %v", clusters)
	}
	w.SetCluster(runaitest.Cluster{Name: "c", State: "Disconnected"})
	before := clusters[0]["uuid"]
	w.read("/api/v1/clusters", &clusters)
	if clusters[0]["uuid"] != before || clusters[0]["lastLiveness"] != nil || clusters[0]["name"] != "c" {
		t.Errorf("clusters %v", clusters)
	}
}

func TestTelemetry(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	ids := w.fill(12)
	for _, id := range ids[:4] {
		w.SetPhase(id, "Running", "")
	}
	w.Delete(ids[11])
	ask := func(query string) string {
		var out []string
		got := w.object("telemetry?telemetryType=" + query)
		for _, value := range got["values"].([]any) {
			v := value.(map[string]any)
			line := v["value"].(string)
			for _, g := range v["groups"].([]any) {
				line += " " + fmt.Sprint(g.(map[string]any)["value"])
			}
			out = append(out, line)
		}
		return strings.Join(out, "; ")
	}
	for query, want := range map[string]string{
		"WORKLOADS_COUNT":                                "11",
		"WORKLOADS_COUNT&groupBy=Phase":                  "7 Creating; 4 Running",
		"GPU_ALLOCATION&groupBy=Phase":                   "0 Creating; 6 Running",
		"WORKLOADS_COUNT&filterByPhases=Running,Stopped": "4",
		"WORKLOADS_COUNT&groupBy=Category,Type":          "11 Train TrainingWorkload",
		"PENDING_TIME_DISTRIBUTION":                      "11 0-10m",
		"WORKLOADS_COUNT&departmentId=9":                 "",
	} {
		if got := ask(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	w.wantClean()
}

func TestRevisions(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{Type: runaitest.Inference})
	r := w.AddRevision(id, runaitest.Revision{Name: "r-1"})
	second := w.AddRevision(id, runaitest.Revision{})
	w.now = epoch.Add(time.Minute)
	w.SetRevisionPhase(r, "Running", "")
	event := w.AddRevisionEvent(r, runaitest.Event{Reason: "Created"})
	list := w.object("inferences/" + id + "/revisions")["revisions"].([]any)
	if len(list) != 2 || list[0].(map[string]any)["phase"] != "Running" || list[1].(map[string]any)["id"] != second {
		t.Errorf("revisions %v", list)
	}
	events := w.all("inferences/revisions/"+r+"/events", "events", 10)
	if len(events) != 1 || events[0]["id"] != event {
		t.Errorf("events %v", events)
	}
	if n := len(w.all("inferences/revisions/"+r+"/history", "records", 10)); n != 3 {
		t.Errorf("%d records", n)
	}
	phases, reasons := w.RevisionTruth(r)
	if len(phases) != 2 || phases[1].Phase != "Running" || reasons["Created"] != 1 || w.JobTruth(id).RevisionEvents != 1 {
		t.Errorf("truth %v %v", phases, reasons)
	}
	w.wantStatus(w.get("inferences/revisions/none/events"), 404)
	w.wantStatus(w.get("inferences/"+w.AddWorkload(runaitest.Workload{})+"/revisions"), 404)
	if w.AddRevision("none", runaitest.Revision{}) != "" || w.AddRevisionEvent("none", runaitest.Event{}) != "" {
		t.Error("something was added to nothing")
	}
	w.wantClean()
}
