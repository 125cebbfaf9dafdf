package runaitest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

// at is so many seconds after the epoch.
func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

func TestEventShape(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	event := w.AddEvent(id, runaitest.Event{
		CreatedAt: at(5), Type: "Warning", Reason: "OOMKilling", Source: "kubelet", Message: "Killed \"python\"\nthe end ü", Kind: "Pod", Object: "w-0",
	})
	w.AddEvent(id, runaitest.Event{CreatedAt: at(3), NoID: true})
	got := w.all(id+"/events", "events", 50)
	want := map[string]any{"createdAt": "2026-03-01T09:00:05.000Z", "id": event, "type": "Warning", "reason": "OOMKilling", "source": "kubelet", "message": "Killed \"python\"\nthe end ü"}
	for field, value := range want {
		if got[0][field] != value {
			t.Errorf("%s: %v, want %v", field, got[0][field], value)
		}
	}
	object := got[0]["involvedObject"].(map[string]any)
	if object["kind"] != "Pod" || object["name"] != "w-0" || object["uid"] == "" || object["namespace"] == "" {
		t.Errorf("object %v", object)
	}
	if keys := slices.Sorted(maps.Keys(got[1])); !slices.Equal(keys, []string{"clusterId", "createdAt", "message", "type"}) {
		t.Errorf("an event with only what is required has %v", keys)
	}
	w.wantClean()
}

func TestEventOrder(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	for i := range 500 {
		w.AddEvent(id, runaitest.Event{CreatedAt: at(10 * i), Message: fmt.Sprint(10 * i)})
	}
	for _, late := range []int{4985, 5, 2505, 1} { // at their place, not at the end
		w.AddEvent(id, runaitest.Event{CreatedAt: at(late), Message: fmt.Sprint(late)})
	}
	w.AddEvent(id, runaitest.Event{CreatedAt: at(2500), Message: "tie"})
	down := w.all(id+"/events", "events", 64)
	up := w.all(id+"/events?sortOrder=asc", "events", 499)
	if len(down) != 505 || len(up) != 505 {
		t.Fatalf("%d and %d events", len(down), len(up))
	}
	if times := texts(up, "createdAt"); !slices.IsSorted(times) {
		t.Error("ascending events are not sorted")
	}
	messages := texts(down, "message")
	slices.Reverse(messages)
	if !slices.Equal(messages, texts(up, "message")) {
		t.Error("descending is not the reverse of ascending")
	}
	if i := slices.Index(messages, "tie"); messages[i-1] != "2500" || messages[i+1] != "2505" {
		t.Errorf("around the tie: %v", messages[i-1:i+2])
	}
	if first := w.object(id + "/events"); len(first["events"].([]any)) != 50 || first["next"] != 50.0 {
		t.Errorf("default page: next %v", first["next"])
	}
	if tr := w.JobTruth(id); tr.Distinct() != 505 || tr.Listed != 505 || tr.Records != 506 {
		t.Errorf("truth %d distinct, %d listed, %d records", tr.Distinct(), tr.Listed, tr.Records)
	}
	w.wantClean()
}

func TestEventsComeAndGo(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	for i := range 10 {
		w.AddEvent(id, runaitest.Event{ID: fmt.Sprintf("e%d", i), CreatedAt: at(i), Reason: "Pulled"})
	}
	w.AddEvent(id, runaitest.Event{ID: "e2", CreatedAt: at(20), Reason: "Pulled", Message: "again"}) // moves
	w.AddNullEvent(id)
	w.DeleteEvent(id, 1)
	w.DeleteEvent(id, 100)
	w.AddEvent("none", runaitest.Event{})
	ids := texts(w.all(id+"/events", "events", 50), "id")
	if want := []string{"e2", "e8", "e7", "e6", "e5", "e4", "e3", "e1", "", "e0"}; !slices.Equal(ids, want) {
		t.Errorf("events %v, want %v", ids, want)
	}
	w.PruneEvents(id, 3)
	if ids := texts(w.all(id+"/events", "events", 50), "id"); !slices.Equal(ids, []string{"e2", "e8", "e7"}) {
		t.Errorf("pruned: %v", ids)
	}
	tr := w.JobTruth(id)
	if tr.Events["Pulled"] != 10 || tr.Distinct() != 10 || tr.Bad != 1 || tr.Listed != 3 || tr.Records != 4 {
		t.Errorf("truth %+v", tr)
	}
	w.AddEvent(id, runaitest.Event{ID: "e0", CreatedAt: at(30), Reason: "Pulled"}) // known, though it was pruned
	if tr := w.JobTruth(id); tr.Distinct() != 10 || tr.Listed != 4 {
		t.Errorf("truth %+v", tr)
	}
}

// kinds are short words for records.
func kinds(records []map[string]any) []string {
	var out []string
	for _, r := range records {
		spec, word := r["spec"].(map[string]any), "none"
		if p, ok := spec["phaseUpdate"].(map[string]any); ok {
			word = p["phase"].(string)
		} else if e, ok := spec["event"].(map[string]any); ok {
			word = "event " + e["message"].(string)
		}
		out = append(out, word)
	}
	return out
}

func TestHistory(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	w.SetPhaseAt(id, "Pending", "", at(10))
	w.AddEvent(id, runaitest.Event{CreatedAt: at(15), Message: "a"})
	w.AddEvent(id, runaitest.Event{CreatedAt: at(16), Message: "hidden", NoHistory: true})
	w.SetPhaseAt(id, "Running", "", at(20))
	w.AddEvent(id, runaitest.Event{CreatedAt: at(5), Message: "late"})
	want := []string{"Running", "event a", "Pending", "event late", "Creating"}
	records := w.all(id+"/history", "records", 2)
	if got := kinds(records); !slices.Equal(got, want) {
		t.Errorf("history %v, want %v", got, want)
	}
	meta := records[0]["meta"].(map[string]any)
	if meta["type"] != "PhaseUpdate" || meta["creationTimestamp"] != "2026-03-01T09:00:20.000Z" || records[0]["spec"].(map[string]any)["event"] != nil {
		t.Errorf("record %v", records[0])
	}
	if meta := records[1]["meta"].(map[string]any); meta["type"] != "Event" {
		t.Errorf("record %v", records[1])
	}
	w.SetFaults(runaitest.Faults{HistoryOrder: runaitest.OldestFirst})
	slices.Reverse(want)
	if got := kinds(w.all(id+"/history", "records", 3)); !slices.Equal(got, want) {
		t.Errorf("oldest first: %v", got)
	}
	w.SetFaults(runaitest.Faults{HistoryOrder: runaitest.Shuffled})
	shuffled := kinds(w.all(id+"/history", "records", 500))
	if again := kinds(w.all(id+"/history", "records", 2)); !slices.Equal(shuffled, again) {
		t.Errorf("shuffled twice: %v, %v", shuffled, again)
	}
	w.SetPhaseAt(id, "Failed", "", at(30))
	after := slices.DeleteFunc(kinds(w.all(id+"/history", "records", 500)), func(k string) bool { return k == "Failed" })
	if !slices.Equal(shuffled, after) {
		t.Errorf("a new record moved the others: %v, %v", shuffled, after)
	}
	slices.Sort(shuffled)
	slices.Sort(want)
	if !slices.Equal(shuffled, want) {
		t.Errorf("shuffled: %v", shuffled)
	}
	w.wantClean()
}

func TestNullEventsInHistory(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	w.AddNullEvent(id)
	w.AddNullEvent(id)
	var specs []string
	for _, r := range w.all(id+"/history", "records", 5) {
		if r["meta"].(map[string]any)["type"] == "Event" {
			specs = append(specs, fmt.Sprint(r["spec"]))
		}
	}
	slices.Sort(specs)
	if got := strings.Join(specs, " "); got != "map[event:<nil>] map[phaseUpdate:<nil>]" {
		t.Errorf("records without their event: %s", got)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{GPUs: 4, Pods: 2})
	w.SetPhase(id, "Running", "")
	for i := range 10 {
		w.now = at(60 * i)
		w.SetMetric(id, "GPU_UTILIZATION", fmt.Sprint(10*i))
	}
	w.SetMetric(id, "NIM_TIME_TO_FIRST_TOKEN_SECONDS", "0.1=812,+Inf=1024")
	w.now = at(570)
	ask := func(types, start, end, samples string) map[string]any {
		return w.object(id + "/metrics?metricType=" + types + "&start=" + start + "&end=" + end + "&numberOfSamples=" + samples)
	}
	values := func(m any) string {
		var out []string
		list, _ := m.(map[string]any)["values"].([]any)
		for _, v := range list {
			sample := v.(map[string]any)
			out = append(out, fmt.Sprintf("%s@%s", sample["value"], sample["timestamp"].(string)[11:19]))
		}
		return strings.Join(out, " ")
	}
	got := ask("GPU_UTILIZATION,GPU_ALLOCATION,CPU_USAGE_CORES,RUNNING_POD_COUNT,POD_COUNT", "2026-03-01T09:05:00Z", "2026-03-01T09:07:00Z", "2")
	list := got["measurements"].([]any)
	for i, want := range []string{"60@09:06:00 70@09:07:00", "4@09:06:00 4@09:07:00", "", "2@09:06:00 2@09:07:00", "2@09:06:00 2@09:07:00"} {
		if got := values(list[i]); got != want {
			t.Errorf("measurement %d: %q, want %q", i, got, want)
		}
	}
	if value, sent := list[2].(map[string]any)["values"]; !sent || value != nil {
		t.Errorf("a metric that nobody set: %v", list[2])
	}
	past := ask("GPU_UTILIZATION", "2026-03-01T08:58:00Z", "2026-03-01T09:14:00.000Z", "4")["measurements"].([]any)
	if got := values(past[0]); got != "20@09:02:00 60@09:06:00" {
		t.Errorf("before there was a value, or in the future: %q", got)
	}
	if n := len(strings.Fields(values(ask("GPU_UTILIZATION", "2026-03-01T09:00:00Z", "2026-03-01T09:09:30Z", "1000")["measurements"].([]any)[0]))); n != 1000 {
		t.Errorf("%d samples of 1,000", n)
	}
	none := ask("GPU_UTILIZATION", "2026-03-01T09:00:00Z", "2026-03-01T09:09:30Z", "0")["measurements"].([]any)
	if got := values(none[0]); got != "" {
		t.Errorf("no samples: %q", got)
	}
	served := ask("NIM_TIME_TO_FIRST_TOKEN_SECONDS", "2026-03-01T09:09:00Z", "2026-03-01T09:09:30Z", "1")
	if got := fmt.Sprint(served["histogram"]); got != "[map[type:NIM_TIME_TO_FIRST_TOKEN_SECONDS values:[map[data:map[+Inf:1024 0.1:812] timestamp:2026-03-01T09:09:30.000Z]]]]" {
		t.Errorf("histogram %s", got)
	}
	for range 1000 {
		w.SetMetric(id, "CPU_USAGE_CORES", "NaN")
	}
	w.ClearMetric(id, "GPU_UTILIZATION")
	if got := values(ask("GPU_UTILIZATION", "2026-03-01T09:00:00Z", "2026-03-01T09:09:30Z", "5")["measurements"].([]any)[0]); got != "" {
		t.Errorf("a cleared metric: %q", got)
	}
	all := ask(strings.Join(runaitest.WorkloadMetrics(), ","), "2026-03-01T09:00:00Z", "2026-03-01T09:09:30Z", "1")
	if n := len(all["measurements"].([]any)) + len(all["histogram"].([]any)); n != len(runaitest.WorkloadMetrics()) {
		t.Errorf("%d of all metrics", n)
	}
	w.wantClean()
}
