package wandb

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// TestErrors has every documented and observed shape of a failure. Each becomes a message that a person can act on, with a class.
func TestErrors(t *testing.T) {
	tests := map[string]struct {
		faults wandbtest.Faults
		class  string
		words  string
	}{
		"refused key":        {wandbtest.Faults{Unauthorized: true}, "auth", "W&B API key"},
		"forbidden":          {wandbtest.Faults{Fail: wandbtest.DetailString(-1, 403, "no access")}, "auth", "W&B API key"},
		"proxy 404":          {wandbtest.Faults{Fail: wandbtest.ProxyError(-1, 404)}, "http_4xx", "check base_url"},
		"validation":         {wandbtest.Faults{Fail: wandbtest.DetailList(-1, 422, "training_job_id", "not a UUID")}, "http_4xx", "not a UUID"},
		"text detail":        {wandbtest.Faults{Fail: wandbtest.DetailString(-1, 500, "workflow error")}, "http_5xx", "workflow error"},
		"proxy 524":          {wandbtest.Faults{Fail: wandbtest.ProxyError(-1, 524)}, "http_5xx", "asked again"},
		"too many requests":  {wandbtest.Faults{Fail: wandbtest.TooMany(-1, "")}, "rate_limited", "rate_limit"},
		"redirect":           {wandbtest.Faults{Fail: wandbtest.Redirect(-1, "https://evil.example/")}, "_OTHER", "base_url"},
		"connection cut":     {wandbtest.Faults{Fail: wandbtest.Answer{Count: -1}}, "connect", ""},
		"web page":           {wandbtest.Faults{Body: wandbtest.HTML}, "decode", "base_url"},
		"garbage":            {wandbtest.Faults{Body: wandbtest.Garbage}, "decode", ""},
		"empty":              {wandbtest.Faults{Body: wandbtest.Empty}, "decode", "empty"},
		"half an answer":     {wandbtest.Faults{Body: wandbtest.Truncated}, "connect", ""},
		"endless":            {wandbtest.Faults{Body: wandbtest.Endless}, "too_large", ""},
		"no page":            {wandbtest.Faults{Fail: wandbtest.DetailString(-1, 200, "hello")}, "decode", "base_url"},
		"page that crashes":  {wandbtest.Faults{Fail: wandbtest.Answer{Count: -1, Status: 500, Body: "Internal Server Error"}}, "http_5xx", ""},
		"unprocessable text": {wandbtest.Faults{Fail: wandbtest.DetailString(-1, 400, "data artifact is gone")}, "http_4xx", "artifact is gone"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			id := b.server.AddJob(wandbtest.Job{})
			b.server.Append(id, wandbtest.Started(50))
			b.server.Append(id, steps(0, 30)...)
			job := b.drain(known(id))
			b.server.SetFaults(test.faults)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			u, err := b.source.Follow(ctx, job)
			if err == nil {
				t.Fatalf("no error, %d events", len(u.Events))
			}
			text := err.Error()
			if class := collector.ClassOf(err); class != test.class {
				t.Errorf("class %s, want %s: %s", class, test.class, text)
			}
			if !strings.HasPrefix(text, "source test: job "+id+": ") || !strings.Contains(text, test.words) {
				t.Errorf("message %q", text)
			}
			if strings.Contains(text, testKey) || strings.Contains(text, "<html") {
				t.Errorf("message %q", text)
			}
			if len(text) > 600 {
				t.Errorf("a message of %d bytes", len(text))
			}
		})
	}
}

func TestNotFound(t *testing.T) {
	b := newBench(t, func(c *Config) { c.CreationGrace = model.Duration(time.Hour) })
	job := known("7d0f6e0a-4b1e-4a57-9b1c-6a2f0f0c2f11")
	_, u := b.poll(job)
	if u.NotFound || !u.Polled {
		t.Error("a job that may be new counts as missing")
	}
	job.FirstSeen = collector.TimeOf(time.Now().Add(-2 * time.Hour))
	for range 3 {
		if job.Gone {
			t.Error("gone too early")
		}
		job, u = b.poll(job)
	}
	if !u.NotFound || !job.Gone {
		t.Errorf("not found %v, gone %v", u.NotFound, job.Gone)
	}
	b.server.AddJob(wandbtest.Job{ID: job.Key.ID})
	b.server.Append(job.Key.ID, wandbtest.Started(3))
	if job, _ = b.poll(job); job.Gone || job.Phase != collector.Running {
		t.Error("a job that came back is", job.Phase)
	}
	b.server.Remove(job.Key.ID)
	if _, u = b.poll(job); !u.NotFound {
		t.Error("a job that was there has no grace")
	}
	long := *job
	long.Cursor = "00000000-0000-4000-8000-00000000abcd"
	if _, u = b.poll(&long); !u.NotFound {
		t.Error("a refused bookmark hides that the job is missing")
	}
}

func TestProbe(t *testing.T) {
	for name, test := range map[string]struct {
		faults wandbtest.Faults
		ok     bool
	}{
		"no such job":  {wandbtest.Faults{}, true},
		"unprocessed":  {wandbtest.Faults{Fail: wandbtest.DetailList(-1, 422, "training_job_id", "no UUID")}, true},
		"refused":      {wandbtest.Faults{Unauthorized: true}, false},
		"forbidden":    {wandbtest.Faults{Fail: wandbtest.DetailString(-1, 403, "no")}, false},
		"wrong host":   {wandbtest.Faults{Fail: wandbtest.ProxyError(-1, 404)}, false},
		"web page":     {wandbtest.Faults{Body: wandbtest.HTML, Fail: wandbtest.Answer{Count: -1, Status: 200, Body: "<html>", Header: map[string][]string{"Content-Type": {"text/html"}}}}, false},
		"service down": {wandbtest.Faults{Fail: wandbtest.ProxyError(-1, 503)}, false},
	} {
		b := newBench(t, nil)
		b.server.SetFaults(test.faults)
		within := 2 * time.Second // some failures are tried again until then
		if test.ok {
			within = time.Minute
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		if err := b.source.Probe(ctx); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	b := newBench(t, func(c *Config) { c.Jobs = []Job{{ID: "job-1"}} })
	b.server.AddJob(wandbtest.Job{ID: "job-1"})
	b.server.Append("job-1", steps(0, 30)...)
	if err := b.source.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestPoison has an event that no answer with it can be read.
func TestPoison(t *testing.T) {
	for name, raw := range map[string]string{
		"huge": `{"t":"` + strings.Repeat("x", 1<<20) + `"}`, "no JSON": `{"a":b}`,
		"deep":        strings.Repeat(`{"a":`, 10_000) + `"}"` + strings.Repeat("}", 10_000),
		"deep list":   strings.Repeat(`[`, 10_000) + strings.Repeat("]", 10_000),
		"long key":    `{"` + strings.Repeat("x", 1<<20) + `":1}`,
		"many values": `[` + strings.Repeat("0,", 30_000) + `0]`,
	} {
		b := newBench(t, nil)
		id := b.server.AddJob(wandbtest.Job{})
		b.server.Append(id, wandbtest.Started(500))
		b.server.Append(id, steps(0, 130)...)
		b.server.Append(id, wandbtest.Event{Type: wandbtest.TypeStep, Raw: []byte(raw)})
		b.server.Append(id, steps(0, 50)...)
		b.server.Append(id, wandbtest.Event{Type: wandbtest.TypeStep, Raw: []byte(raw)}, wandbtest.Event{Type: wandbtest.TypeStep, Raw: []byte(raw)})
		b.server.Append(id, steps(0, 150)...)
		b.server.Append(id, wandbtest.Ended())
		job := b.drain(known(id))
		if job.Steps != 330 || job.Bad != 3 || job.Phase != collector.Succeeded {
			t.Errorf("%s: %d steps, %d set aside, phase %v", name, job.Steps, job.Bad, job.Phase)
		}
		job, u := b.poll(job)
		if !u.Counted || u.Listed != 335 || job.Late != 0 {
			t.Errorf("%s: counted %v: %d, %d late", name, u.Counted, u.Listed, job.Late)
		}
	}
}

// TestDeep has data nested almost as deep as the client allows: it is an event like others.
func TestDeep(t *testing.T) {
	b := newBench(t, nil)
	id := b.server.AddJob(wandbtest.Job{})
	b.server.Append(id, wandbtest.Event{Type: wandbtest.TypeStep, Raw: []byte(strings.Repeat(`{"a":`, 29) + "1" + strings.Repeat("}", 29))})
	if job := b.drain(known(id)); job.Steps != 1 || job.Bad != 0 {
		t.Errorf("%d steps, %d set aside", job.Steps, job.Bad)
	}
}

// TestHalfwayFailure keeps what was read before a page that fails.
func TestHalfwayFailure(t *testing.T) {
	b := newBench(t, func(c *Config) { c.HTTP.MaxBodyBytes = 12_000 })
	id := b.server.AddJob(wandbtest.Job{})
	b.server.Append(id, steps(0, 500)...) // pages of 100 do not fit
	if job := b.drain(known(id)); job.Steps != 500 || job.Bad != 0 {
		t.Errorf("%d steps, %d set aside", job.Steps, job.Bad)
	}
}

func TestNonFinite(t *testing.T) {
	for _, mode := range []wandbtest.Nonfinite{wandbtest.NonfiniteNull, wandbtest.NonfiniteString, wandbtest.NonfiniteBare, wandbtest.NonfiniteOverflow} {
		b := newBench(t, nil)
		b.server.SetFaults(wandbtest.Faults{Nonfinite: mode})
		id := b.server.AddJob(wandbtest.Job{})
		nan := 0.0
		b.server.Append(id, wandbtest.Started(3), step(0), wandbtest.Step(wandbtest.Value{Key: "loss/train", Number: nan / nan}))
		job := b.drain(known(id))
		v, ok := job.Reading(collector.Loss, "train")
		if ok != (mode != wandbtest.NonfiniteNull) || ok && v-v == 0 {
			t.Errorf("%s: loss %v, %v", mode, v, ok)
		}
		if len(job.NonFinite) != 1 || job.NonFinite[0].N != 1 {
			t.Errorf("%s: %v", mode, job.NonFinite)
		}
	}
}

func TestReadJob(t *testing.T) {
	b := newBench(t, func(c *Config) { c.ReadJob = true })
	id := b.server.AddJob(wandbtest.Job{})
	job, _ := b.poll(known(id))
	if job.Status != "PENDING" || job.Phase != collector.Pending {
		t.Errorf("status %q, phase %v", job.Status, job.Phase)
	}
	b.server.Append(id, wandbtest.Started(3), step(1))
	if job, _ = b.poll(job); job.Status != "RUNNING" || job.Phase != collector.Running || !job.Started.Known() {
		t.Errorf("status %q, phase %v, started %v", job.Status, job.Phase, job.Started)
	}
	b.server.SetFaults(wandbtest.Faults{NoGetJob: true})
	b.server.Append(id, step(2))
	if job, _ = b.poll(job); job.Steps != 2 || job.Phase != collector.Running {
		t.Errorf("without the route: %d steps, phase %v", job.Steps, job.Phase)
	}
	b.server.SetFaults(wandbtest.Faults{})
	b.server.Append(id, wandbtest.Failed("boom"))
	if job, _ = b.poll(job); job.Phase != collector.Failed || job.Message != "boom" {
		t.Errorf("phase %v, message %q", job.Phase, job.Message)
	}
}

func TestJobDetail(t *testing.T) {
	job := known("x")
	ended := collector.Event{ID: "e", Type: collector.EndedEvent}
	started := collector.Event{ID: "s", Type: collector.StartedEvent}
	for name, test := range map[string]struct {
		status string
		events []collector.Event
		more   bool
		has    bool
		phase  collector.Phase
	}{
		"nothing":            {"", nil, false, false, 0},
		"strange word":       {"COOKING", nil, false, true, collector.Pending},
		"running":            {"RUNNING", []collector.Event{started}, false, true, collector.Running},
		"silent end":         {"completed", []collector.Event{started}, false, true, collector.Succeeded},
		"silent failure":     {"FAILED", nil, false, true, collector.Failed},
		"cancelled":          {"canceled", nil, false, true, collector.Cancelled},
		"events know better": {"COMPLETED", []collector.Event{ended}, false, false, 0},
		"end not read yet":   {"COMPLETED", []collector.Event{started}, true, true, collector.Running},
	} {
		u := collector.Update{Events: test.events, More: test.more}
		(&jobDetail{status: test.status}).tell(job, &u)
		if u.HasPhase != test.has || u.Phase != test.phase {
			t.Errorf("%s: has %v, phase %v", name, u.HasPhase, u.Phase)
		}
	}
}

func TestTimes(t *testing.T) {
	want := collector.TimeOf(time.Date(2026, 3, 2, 10, 15, 4, 120e6, time.UTC))
	for _, s := range []string{
		"2026-03-02T10:15:04.120Z", "2026-03-02T12:15:04.12+02:00", "2026-03-02T10:15:04.120", "2026-03-02 10:15:04.120", "2026-03-02 10:15:04.120+00:00",
	} {
		if got := parseTime(s); got != want {
			t.Errorf("%s is %v", s, got.Std())
		}
	}
	for _, s := range []string{"", "yesterday", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "2026-13-02T10:15:04Z"} {
		if got := parseTime(s); got.Known() {
			t.Errorf("%s is %v", s, got.Std())
		}
	}
	if got := unixTime(1772446504.12); got.Std().Unix() != 1772446504 {
		t.Error(got.Std())
	}
	if got := unixTime(1772446504120); got.Std().Unix() != 1772446504 {
		t.Error(got.Std())
	}
	for _, v := range []float64{0, -1, 5, 1e30} {
		if unixTime(v).Known() {
			t.Error(v, "is a time")
		}
	}
}
