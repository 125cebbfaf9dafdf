package runai

import (
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

func decode(t testing.TB, text string, read func(*api.Decoder) error) error {
	t.Helper()
	return api.Decode(strings.NewReader(text), api.Limits{Bytes: 1 << 20, Items: 20_000, Depth: 32, StringBytes: 64 << 10}, read)
}

func TestParseTime(t *testing.T) {
	want := collector.TimeOf(time.Date(2026, 3, 1, 9, 10, 30, 120e6, time.UTC))
	for _, s := range []string{
		"2026-03-01T09:10:30.120Z", "2026-03-01T10:10:30.12+01:00", "2026-03-01 09:10:30.120", "2026-03-01T09:10:30.120", " 2026-03-01 09:10:30.120 ",
		"2026-03-01 09:10:30.120Z", "2026-03-01T10:10:30.120+0100",
	} {
		if got := parseTime(s); got != want {
			t.Errorf("%q: %v", s, got.Std())
		}
	}
	for _, s := range []string{"", "now", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-13-01T00:00:00Z", "2026-03-01", strings.Repeat("2", 100)} {
		if got := parseTime(s); got.Known() {
			t.Errorf("%q: %v", s, got.Std())
		}
	}
}

func TestParseQuantity(t *testing.T) {
	for s, want := range map[string]float64{
		"0": 0, "0B": 0, "256Gi": 256 << 30, "1.5": 1.5, "500m": 0.5, "2k": 2000, "1e3": 1000, "1E3": 1000, "12E": 12e18, "1Ei": 1 << 60, "3M": 3e6,
		"-1": -1, "+2": 2, "100n": 1e-7, "7u": 7e-6, "4Ti": 4 << 40, "1GiB": 1 << 30, "1.5e-3": 0.0015, ".5": 0.5, "2K": 2000,
	} {
		if got, ok := parseQuantity(s); !ok || got != want {
			t.Errorf("%q: %v %v, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "B", "Gi", "1Gx", "1.2.3", "ten", "0x10", "1_000", "NaN", "Inf", "1e999", "1 Gi", "1mi", "--1", "1ki", strings.Repeat("1", 100), "1p-2", "1e5Gi"} {
		if got, ok := parseQuantity(s); ok {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestPhasesAreAllKnown(t *testing.T) {
	want := map[string]collector.Phase{
		"Creating": collector.Pending, "Pending": collector.Pending, "Initializing": collector.Initializing, "Resuming": collector.Initializing,
		"Running": collector.Running, "Updating": collector.Running, "Degraded": collector.Running, "Stopped": collector.Paused,
		"Stopping": collector.Stopping, "Deleting": collector.Stopping, "Terminating": collector.Stopping, "Completed": collector.Succeeded,
		"Failed": collector.Failed, "Unknown": collector.Unknown,
	}
	for word, phase := range want {
		if got, known := phaseOf(word); got != phase || !known {
			t.Errorf("%s is %s, %v", word, got, known)
		}
	}
	if got, known := phaseOf("Hibernating"); got != collector.Unknown || known {
		t.Errorf("an unknown word is %s, %v", got, known)
	}
}

const eventsPage = `{"next":2,"events":[
 {"createdAt":"2026-03-01T09:04:10.531Z","id":"5b0a8c5e","type":"Normal","clusterId":"71f6","reason":"Started","source":"kubelet","message":"Started container pytorch","involvedObject":{"uid":"0f7c","kind":"Pod","name":"bert-0","namespace":"runai-vision"}},
 null,
 {"createdAt":"2026-03-01T09:04:02Z","type":"Warning","clusterId":"71f6","message":"0/8 nodes available"},
 {"createdAt":"2026-03-01T09:04:01Z","type":"Normal","reason":"Evict","message":"Pod a/b was preempted by higher priority workload c"},
 {"createdAt":"2026-03-01T09:04:00Z","type":"Alarm","reason":"MadeUp","message":{"a":1}},
 7]}`

func TestEventsPage(t *testing.T) {
	p := recordPage{list: eventList}
	if err := decode(t, eventsPage, p.read); err != nil {
		t.Fatal(err)
	}
	if len(p.records) != 6 || !p.more || p.next != 2 || p.records[1] != nil || p.records[5] != nil {
		t.Fatalf("%d records, more %v, next %d", len(p.records), p.more, p.next)
	}
	if r := p.records[0]; r.id != "5b0a8c5e" || r.event.Reason != "Started" || r.event.Warning || r.event.Message != "Started container pytorch" {
		t.Errorf("%+v", r)
	}
	if r := p.records[2]; r.id != "" || r.event.Reason != "" || !r.event.Warning || !strings.HasPrefix(r.key(), "e-") {
		t.Errorf("%+v", r)
	}
	if r := p.records[3]; r.event.Reason != "Evict" || !r.event.Warning || collector.FailureClass(r.event.Reason+" "+r.event.Message) != "preempted" {
		t.Errorf("%+v", r)
	}
	if r := p.records[4]; r.event.Reason != otherReason || r.event.Warning {
		t.Errorf("%+v", r)
	}
	if got := strings.Join(p.odd, " "); got != "event.type event" {
		t.Errorf("odd %q", got)
	}
}

const historyPage = `{"records":[
 {"meta":{"creationTimestamp":"2026-03-01T09:04:10.531Z","type":"PhaseUpdate"},"spec":{"event":null,"phaseUpdate":{"phase":"Failed","phaseMessage":"exit code 1"}}},
 {"meta":{"creationTimestamp":"2026-03-01T09:04:02Z","type":"Event"},"spec":{"event":{"createdAt":"2026-03-01T09:04:02Z","type":"Warning","clusterId":"71f6","message":"0/8 nodes available"}}},
 {"meta":{"creationTimestamp":"2026-03-01T09:04:03Z","type":"Event"},"spec":{"phaseUpdate":null}},
 {"meta":{"creationTimestamp":"2026-03-01T09:04:03Z","type":"PhaseUpdate"},"spec":{"phaseUpdate":null}},
 {"meta":{"creationTimestamp":"2026-03-01T09:04:04Z","type":"Event"},"spec":{"event":{"id":"x","type":"Normal","message":"undated"}}},
 {"meta":{"creationTimestamp":"2026-03-01T09:04:04Z","type":"Surprise"},"spec":{}},
 {"meta":{"creationTimestamp":"2026-03-01 09:04:05","type":"PhaseUpdate"},"spec":{"phaseUpdate":{"phase":"Hibernating","phaseMessage":null}}},
 null]}`

func TestHistoryPage(t *testing.T) {
	e, h := recordPage{list: eventList}, recordPage{list: historyList}
	if err := decode(t, eventsPage, e.read); err != nil {
		t.Fatal(err)
	}
	if err := decode(t, historyPage, h.read); err != nil {
		t.Fatal(err)
	}
	if len(h.records) != 8 || h.more {
		t.Fatalf("%d records", len(h.records))
	}
	if r := h.records[0]; !r.phase || r.event.Phase != collector.Failed || r.event.Status != "Failed" || r.event.Message != "exit code 1" {
		t.Errorf("%+v", r)
	}
	if h.records[1].key() != e.records[2].key() {
		t.Error("an event without id has another key in the history")
	}
	if r := h.records[4]; r == nil || r.id != "x" || r.at != h.records[4].event.At || !r.at.Known() {
		t.Errorf("%+v", r)
	}
	if r := h.records[6]; r.event.Phase != collector.Unknown || r.event.Status != "Hibernating" {
		t.Errorf("%+v", r)
	}
	for _, i := range []int{2, 3, 5, 7} {
		if h.records[i] != nil {
			t.Errorf("record %d is %+v", i, h.records[i])
		}
	}
	if got := strings.Join(h.odd, " "); got != "history.type history.phase" {
		t.Errorf("odd %q", got)
	}
}

// TestThePileTakesEachOnce puts together lists that show the same events in different ways.
func TestThePileTakesEachOnce(t *testing.T) {
	row := func(id, message string, second int) *record {
		e := rawEvent{id: id, typ: "Normal", message: message, at: collector.Time(second) * 1e9}
		return e.record()
	}
	for name, c := range map[string]struct {
		events, history []*record
		want, extra     int
	}{
		"the same":             {[]*record{row("a", "x", 1), row("", "y", 2)}, []*record{row("", "y", 2), row("a", "x", 1)}, 2, 0},
		"history without ids":  {[]*record{row("a", "x", 1), row("b", "x", 1)}, []*record{row("", "x", 1), row("", "x", 1)}, 2, 0},
		"events without ids":   {[]*record{row("", "x", 1)}, []*record{row("a", "x", 1)}, 1, 0},
		"three of a kind":      {[]*record{row("", "x", 1), row("", "x", 1), row("", "x", 1)}, []*record{row("", "x", 1)}, 3, 0},
		"more in the history":  {[]*record{row("", "x", 1)}, []*record{row("", "x", 1), row("", "x", 1), row("b", "z", 3)}, 1, 2},
		"repeated since":       {[]*record{row("a", "x", 9)}, []*record{row("a", "x", 1)}, 1, 0},
		"only in the history":  {nil, []*record{row("a", "x", 1), row("", "y", 2)}, 0, 2},
		"some with, some less": {[]*record{row("a", "x", 1), row("", "x", 1)}, []*record{row("a", "x", 1), row("b", "x", 1)}, 2, 0},
	} {
		p := newPile()
		p.add(inEvents, c.events)
		p.add(inHistory, c.history)
		seen := map[string]bool{}
		for _, e := range append(p.events(), p.extras()...) {
			seen[e.ID] = true
		}
		if got, extra := len(p.events()), len(p.extras()); got != c.want || extra != c.extra || len(seen) != got+extra {
			t.Errorf("%s: %d shown, %d extra, %d ids", name, got, extra, len(seen))
		}
	}
}

func TestWorkloadPage(t *testing.T) {
	const page = `{"next":"","workloads":[{"id":"0d0c","tenantId":1001,"name":"bert-ddp","type":"DistributedWorkload","category":"Train","projectId":4501,"projectName":"vision",
	"departmentName":"research","createdAt":"2026-03-01T09:00:00.120Z","phase":"Running","phaseMessage":"","phaseReason":null,"phaseUpdatedAt":"2026-03-01 09:04:10.000",
	"updatedAt":"2026-03-01T09:20:00.000Z","completedAt":null,"deletedAt":null,"conditions":[{"type":"x"}],"runningPods":4,
	"requestedPods":{"number":null,"parallelism":6},"allocatedResources":{"gpu":0.5,"gpuMemory":null,"cpu":"64","cpuMemory":"256Gi","extendedResources":[{"quantity":2}]},
	"workloadRequestedResources":{"gpu":{"limit":8,"request":null}},"idleGpus":1,"idleAllocatedGpus":2.5,"distributedFramework":"PyTorch","submittedBy":"ada","environmentVariables":{"KEY":"secret"}},
	{"id":17,"actualPhase":"Stopped","runningPods":"many","allocatedResources":null},{"id":".."},null]}`
	r := workloadReader{}
	if err := decode(t, page, r.read); err != nil {
		t.Fatal(err)
	}
	if len(r.workloads) != 4 || r.bad != 2 || r.more {
		t.Fatalf("%d workloads, %d bad, more %v", len(r.workloads), r.bad, r.more)
	}
	w := r.workloads[0]
	if w.id != "0d0c" || w.projectID != "4501" || w.owner != "ada" || w.phaseAt != parseTime("2026-03-01T09:04:10Z") || w.completed.Known() || len(w.odd) > 0 {
		t.Errorf("%+v", w)
	}
	want := map[collector.Metric]float64{
		collector.PodsRunning: 4, collector.PodsRequested: 6, collector.GPURequested: 8, collector.GPUAllocated: 0.5, collector.GPUIdle: 2.5,
		collector.CPUAllocated: 64, collector.MemoryAllocated: 256 << 30,
	}
	for _, got := range w.readings() {
		v, ok := want[got.Metric]
		if !ok && !got.Gone || ok && got.Value != v {
			t.Errorf("reading %+v", got)
		}
	}
	if w := r.workloads[1]; w.id != "17" || w.word() != "Stopped" || strings.Join(w.odd, " ") != "workload.runningPods" || !w.amounts[allocatedGPUs].null {
		t.Errorf("%+v", w)
	}
}

const metricsPage = `{"measurements":[
 {"type":"GPU_UTILIZATION","labels":null,"values":[{"value":"85","timestamp":"2026-03-01T09:10:00Z"},{"value":"92","timestamp":"2026-03-01 09:10:30.000"},{"value":"91","timestamp":"2026-03-01T09:10:15Z"},{"value":null,"timestamp":"2026-03-01T09:11:00Z"}]},
 {"type":"GPU_UTILIZATION","labels":{"gpu":"0"},"values":[{"value":50,"timestamp":"2026-03-01T09:10:00Z"}]},
 {"type":"ALLOCATED_GPU","values":[{"value":"8","timestamp":"2026-03-01T09:10:00Z"}]},
 {"type":"GPU_MEMORY_USAGE_BYTES","values":null},
 {"type":"CPU_USAGE_CORES","values":[{"value":"NaN","timestamp":"2026-03-01T09:10:00Z"}]},
 {"type":"CPU_MEMORY_USAGE_BYTES","values":[{"value":"1","timestamp":"2026-03-01T08:10:00Z"},{"value":"2","timestamp":null},{"value":"3","timestamp":"2026-03-02T08:10:00Z"}]},
 {"type":"RUNNING_POD_COUNT","labels":{"pod":"x"},"values":[{"value":"1","timestamp":"2026-03-01T09:10:00Z"}]},
 {"type":"NIM_SOMETHING","values":[{"value":"1","timestamp":"2026-03-01T09:10:00Z"}]}, null],
 "histogram":[{"type":"NIM_TIME_TO_FIRST_TOKEN_SECONDS","values":[{"timestamp":"2026-03-01T09:10:00Z","data":{"0.1":"812"}}]}]}`

func TestMetricsPage(t *testing.T) {
	r := metricsReader{from: parseTime("2026-03-01T09:06:00Z"), until: parseTime("2026-03-01T09:16:00Z")}
	if err := decode(t, metricsPage, r.read); err != nil {
		t.Fatal(err)
	}
	got := r.readings(false, false)
	if len(got) != 4 || len(r.readings(true, true)) != 3 {
		t.Fatalf("readings %+v", got)
	}
	if got[0].Value != 0.92 || got[0].At != parseTime("2026-03-01T09:10:30Z") || got[0].Label != "" || got[1].Label != "0" || got[1].Value != 0.5 {
		t.Errorf("utilisation %+v", got[:2])
	}
	if got[2].Metric != collector.GPUAllocated || got[3].Metric != collector.CPUUsage || got[3].Value == got[3].Value {
		t.Errorf("readings %+v", got[2:])
	}
	if odd := strings.Join(r.odd, " "); odd != "metrics.labels metrics.type metrics.measurement" {
		t.Errorf("odd %q", odd)
	}
}

func TestCursorsAreTolerant(t *testing.T) {
	job := &collector.Job{Updated: 1000 * 1e9, Events: []collector.Count{{Name: "notice", N: 3}}}
	for _, text := range []string{"", "{", "null", "[]", `{"v":2}`, `{"v":1,"c":-5}`, `"x"`, `{"v":1,"o":-7}`, strings.Repeat("x", 1000)} {
		job.Cursor = text
		if c := cursorOf(job, 10*time.Second); c.Cut != 990*1e9 || c.Seen != 1000*1e9 || c.Offset != 0 {
			t.Errorf("%q: %+v", text, c)
		}
	}
	if c := cursorOf(&collector.Job{Cursor: "garbage"}, time.Minute); c.Cut != 0 {
		t.Errorf("of a job without events: %+v", c)
	}
	for range 3 {
		c := cursor{V: cursorVersion, Cut: 5, Sticky: []sticky{{"a", 7}}, Phases: []string{"p"}, Mark: "Running@5", Next: 9, Until: 10, Offset: 3, Last: 4, Seen: 6, PhaseCut: 2}
		text, err := c.text()
		if err != nil {
			t.Fatal(err)
		}
		job.Cursor = text
		back := cursorOf(job, time.Minute)
		if again, _ := back.text(); again != text {
			t.Errorf("%s became %s", text, again)
		}
	}
}

// readers are all decoders of answers.
func readers() map[string]func(*api.Decoder) error {
	e, h, m, v := &recordPage{list: eventList}, &recordPage{list: historyList}, &metricsReader{until: 1 << 62}, &workloadReader{list: "revisions"}
	return map[string]func(*api.Decoder) error{
		"events": e.read, "history": h.read, "metrics": m.read, "workloads": (&workloadReader{}).read, "revisions": v.read, "token": (&given{}).read,
	}
}

func FuzzAnswers(f *testing.F) {
	for _, s := range []string{eventsPage, historyPage, metricsPage, `{"workloads":[{"id":1}]}`, `{"access_token":"x","expires_in":3600}`, `{"revisions":[{}]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range readers() {
			_ = decode(t, text, read)
		}
		p := recordPage{list: historyList}
		if decode(t, text, p.read) != nil {
			return
		}
		pile := newPile()
		pile.add(inHistory, p.records)
		date(p.records)
		pile.add(inEvents, p.records)
		for _, e := range append(append(pile.events(), pile.extras()...), pile.changes()...) {
			if e.ID == "" || !e.At.Known() || len(e.ID) > 200 {
				t.Errorf("event %+v", e)
			}
		}
	})
}

func FuzzTexts(f *testing.F) {
	for _, s := range []string{"2026-03-01 09:10:30.120", "256Gi", "1e3", jwt(`{"exp":1700003600}`), `{"v":1,"c":5}`, "projectName==a", "a-12"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if at := parseTime(s); at < 0 {
			t.Errorf("time %v", at)
		}
		if v, ok := parseQuantity(s); ok && v-v != 0 {
			t.Errorf("quantity %v", v)
		}
		if d := lifetime(s, 0, time.Minute, time.Unix(1_700_000_000, 0)); d <= 0 {
			t.Errorf("lifetime %v", d)
		}
		if c := cursorOf(&collector.Job{Cursor: s}, time.Minute); c.Cut < 0 || c.Offset < -1 {
			t.Errorf("cursor %+v", c)
		}
		_ = checkFilter(s)
		if checkID(s) && (s == "" || s == ".." || strings.ContainsAny(s, "/\x00")) {
			t.Errorf("id %q", s)
		}
		if s != "" && namePrefix(s) == "" {
			t.Errorf("prefix of %q is empty", s)
		}
		_ = trimBase(s)
	})
}
