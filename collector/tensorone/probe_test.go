package tensorone

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
)

func (b *bench) probe() error { return b.drive.Source().(*Source).Probe(b.Context()) }

func TestProbes(t *testing.T) {
	named := func(c *Config) { c.Jobs = []Job{{ID: theJob}} }
	for name, w := range map[string]struct {
		options tensoronetest.Options
		change  func(*Config)
		class   string
		words   []string
	}{
		"a job":                  {change: named},
		"a listing":              {options: tensoronetest.Options{List: true}, change: listing},
		"auto with a listing":    {options: tensoronetest.Options{List: true}},
		"auto without a listing": {},
		"nothing":                {change: func(c *Config) { c.List = listOff }},
		"no listing":             {change: listing, class: "not_found", words: []string{"list jobs", "404", "list: auto or off"}},
		"another job":            {change: func(c *Config) { c.Jobs = []Job{{ID: "other"}} }, class: "not_found", words: []string{"other", "404", "jobs[0].id", "base_url"}},
		"a wrong key": {change: func(c *Config) { named(c); c.HTTP.HTTP.Authorization.Credentials = "tpo_live_wrong" },
			class: "auth", words: []string{"401", "authorization.credentials", "tpo_"}},
		"a wrong path": {change: func(c *Config) { named(c); c.BaseURL += "/v3" }, class: "not_found", words: []string{"404", "base_url"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, w.options, w.change)
			b.server.AddJob(running())
			err := b.probe()
			if class := collector.ClassOf(err); class != w.class {
				t.Errorf("%s: class %q, want %q: %v", name, class, w.class, err)
			}
			if w.class != "" {
				mustFail(t, err, w.words...)
			}
		})
	}
}

func TestProbesOfAServiceThatRefuses(t *testing.T) {
	scope := tensoronetest.Answer{Count: -1, Status: http.StatusForbidden, Body: `{"error":"FORBIDDEN","message":"Insufficient permissions","code":403,
		"details":{"required_permission":"training:read"},"request_id":"req_42","timestamp":"2024-01-15T14:30:00Z"}`}
	for name, w := range map[string]struct {
		faults tensoronetest.Faults
		class  string
		words  []string
	}{
		"scope":      {tensoronetest.Faults{Fail: scope}, "auth", []string{"training:read", "req_42", "scope training", "authorization.credentials"}},
		"HTML":       {tensoronetest.Faults{Fail: tensoronetest.Page(-1, 200)}, "decode", []string{"text/html", "base_url"}},
		"HTML 404":   {tensoronetest.Faults{Fail: tensoronetest.Page(-1, 404)}, "http_4xx", []string{"404", "base_url"}},
		"limit":      {tensoronetest.Faults{Fail: tensoronetest.TooMany(-1, "1800")}, "rate_limited", []string{"429", "not before 30m0s", "reads_per_hour"}},
		"HTML body":  {tensoronetest.Faults{Body: tensoronetest.HTML}, "decode", []string{"base_url"}},
		"truncated":  {tensoronetest.Faults{Body: tensoronetest.Truncated}, "decode", []string{"ends in the middle"}},
		"garbage":    {tensoronetest.Faults{Body: tensoronetest.Garbage}, "decode", nil},
		"empty":      {tensoronetest.Faults{Body: tensoronetest.Empty}, "decode", nil},
		"no answer":  {tensoronetest.Faults{Hang: true}, "timeout", nil},
		"no service": {tensoronetest.Faults{Fail: tensoronetest.ErrorBody(-1, 503, "SERVICE_UNAVAILABLE", "Down for maintenance")}, "http_5xx", []string{"Down for maintenance"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, tensoronetest.Options{}, func(c *Config) { c.Jobs = []Job{{ID: theJob}} })
			b.server.AddJob(running())
			b.server.SetFaults(w.faults)
			defer b.server.SetFaults(tensoronetest.Faults{})
			ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
			defer cancel()
			err := b.drive.Source().(*Source).Probe(ctx)
			if class := collector.ClassOf(err); class != w.class {
				t.Errorf("%s: class %q, want %q: %v", name, class, w.class, err)
			}
			mustFail(t, err, append(w.words, "source test", "probe", "job")...)
		})
	}
}

func TestAHostThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{}, func(c *Config) { c.Jobs = []Job{{ID: theJob}} })
		b.config.HTTP.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		s := b.open()
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		err := s.Probe(ctx)
		mustFail(t, err, "127.0.0.1", "base_url", "firewall")
		if class := collector.ClassOf(err); class != "connect" {
			t.Errorf("class %s", class)
		}
	})
}

// TestRetryAfter: on a success it means nothing, on a refusal it is obeyed.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{ReadsPerHour: 100_000}, name(theJob))
		b.server.AddJob(running())
		b.list()
		start := time.Now()
		for range 10 {
			b.poll(theJob) // each answer has Retry-After: 60
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("ten polls took %v", took)
		}
		b.server.SetFaults(tensoronetest.Faults{Fail: tensoronetest.TooMany(1, "1800")})
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		_, err := b.drive.Follow(ctx, theJob)
		mustFail(t, err, "429", "30m0s")
		asked := len(b.server.Requests())
		time.Sleep(29 * time.Minute)
		late, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		if _, err := b.drive.Follow(late, theJob); err == nil || len(b.server.Requests()) != asked {
			t.Errorf("asked %d times during the pause: %v", len(b.server.Requests())-asked, err)
		}
		time.Sleep(time.Minute)
		b.poll(theJob)
	})
}

func TestACallerThatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{List: true}, listing)
		b.server.AddJob(running())
		b.list()
		asked := len(b.server.Requests())
		time.Sleep(time.Hour)
		ctx := canceled(t)
		if _, err := b.drive.Source().List(ctx); err == nil {
			t.Error("List: no error")
		}
		if _, err := b.drive.Follow(ctx, theJob); err == nil {
			t.Error("Follow: no error")
		}
		if n := len(b.server.Requests()) - asked; n > 0 {
			t.Errorf("%d requests", n)
		}
	})
}
