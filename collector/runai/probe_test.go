package runai

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/config"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
	"go.yaml.in/yaml/v3"
)

// TestProbeSaysWhatToFix has the mistakes that people make.
func TestProbeSaysWhatToFix(t *testing.T) {
	only := func(op runaitest.Operation, a runaitest.Answer) runaitest.Faults {
		return runaitest.Faults{Only: []runaitest.Operation{op}, Fail: a}
	}
	page := runaitest.Answer{Count: -1, Status: 200, Body: "<html></html>", Header: http.Header{"Content-Type": {"text/html"}}}
	for name, c := range map[string]struct {
		faults runaitest.Faults
		change func(*Config)
		class  string
		words  []string
	}{
		"all well":       {},
		"wrong secret":   {change: func(c *Config) { c.Token.ClientSecret = "wrong-secret-1234" }, class: "auth", words: []string{"token", "401", "token.client_secret"}},
		"wrong with 400": {faults: runaitest.Faults{BadSecretStatus: 400}, change: func(c *Config) { c.Token.ClientSecret, c.Token.Version = "wrong-secret-1234", "v1" }, class: "auth", words: []string{"400", "token.client_id"}},
		"no secret":      {change: func(c *Config) { c.Token.ClientSecret, c.Token.ClientSecretFile = "", "/nowhere/secret" }, class: "auth", words: []string{"/nowhere/secret", "token.client_secret_file"}},
		"no environment": {change: func(c *Config) { c.Token.ClientSecret, c.Token.ClientSecretEnv = "", "NOT_SET_RUNAI" }, class: "auth", words: []string{"NOT_SET_RUNAI", "token.client_secret_env"}},
		"no credential":  {change: func(c *Config) { c.Token = TokenConfig{} }, class: "auth", words: []string{"token.client_id"}},
		"wrong address":  {faults: runaitest.Faults{Fail: page}, class: "decode", words: []string{"text/html", "base_url"}},
		"wrong path":     {change: func(c *Config) { c.BaseURL += "/ui" }, class: "http_4xx", words: []string{"base_url"}},
		"path of others": {change: func(c *Config) { c.BaseURL += "/api/v1/" }},
		"web page":       {faults: only(runaitest.OpList, page), class: "decode", words: []string{"workloads", "base_url"}},
		"no role":        {faults: only(runaitest.OpList, runaitest.Problem(-1, 403, "You do not have sufficient permissions.")), class: "auth", words: []string{"sufficient permissions", "role"}},
		"bad filter":     {faults: only(runaitest.OpList, runaitest.Problem(-1, 400, "bad filter")), class: "http_4xx", words: []string{"filters"}},
		"not found":      {faults: only(runaitest.OpList, runaitest.Problem(-1, 404, "Not Found")), class: "not_found", words: []string{"base_url"}},
		"down":           {faults: runaitest.Faults{Fail: runaitest.ProxyError(-1, 503)}, class: "http_5xx", words: []string{"503"}},
		"busy":           {faults: only(runaitest.OpList, runaitest.TooMany(-1, "600")), class: "rate_limited", words: []string{"rate_limit"}},
		"unreachable": {change: func(c *Config) {
			c.HTTP.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
			}
		}, class: "connect", words: []string{"token", "connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, runaitest.Options{}, c.change)
				b.server.SetFaults(c.faults)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				err := b.source.Probe(ctx)
				if class := collector.ClassOf(err); class != c.class {
					t.Errorf("class %q: %v", class, err)
				}
				for _, w := range c.words {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%q is missing: %v", w, err)
					}
				}
				if err != nil && (strings.Contains(err.Error(), testSecret) || strings.Contains(err.Error(), "wrong-secret") || len(err.Error()) > 900) {
					t.Errorf("says too much: %v", err)
				}
			})
		})
	}
}

func TestProbeWithoutTrust(t *testing.T) {
	web := httptest.NewTLSServer(runaitest.New(runaitest.Options{}))
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	defer web.Close()
	s, err := New(Config{BaseURL: web.URL, Token: TokenConfig{ClientID: "a", ClientSecret: "secret-secret"}}, collector.Env{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Probe(t.Context()); collector.ClassOf(err) != "tls" || !strings.Contains(err.Error(), "tls_config") && !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("%s: %v", collector.ClassOf(err), err)
	}
}

func TestAdvice(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"good": "canary-secret", "empty": " \n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	no := false
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"all well":       {func(c *Config) { c.Token = TokenConfig{ClientID: "a", ClientSecretFile: "good"} }, ""},
		"no credential":  {func(*Config) {}, "token: no credential"},
		"missing":        {func(c *Config) { c.Token = TokenConfig{ClientID: "a", ClientSecretFile: "nothing"} }, "token.client_secret_file: open"},
		"empty":          {func(c *Config) { c.Token = TokenConfig{ClientID: "a", ClientSecretFile: "empty"} }, "is empty"},
		"no environment": {func(c *Config) { c.Token = TokenConfig{ClientID: "a", ClientSecretEnv: "NOT_SET_RUNAI"} }, "token.client_secret_env: "},
		"token file": {func(c *Config) {
			c.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", CredentialsFile: "empty"}
		}, "authorization.credentials_file: "},
		"nothing read": {func(c *Config) {
			c.Token, c.Events, c.History = TokenConfig{ClientID: "a", ClientSecretFile: "good"}, &no, &no
		}, "events: neither"},
	} {
		cfg := Config{BaseURL: "https://x.run.ai", Directory: dir}
		c.change(&cfg)
		s, err := New(cfg, collector.Env{Name: "s"})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(s.Advice(), "\n")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) || strings.Contains(got, "canary") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

const wholeConfig = `
base_url: https://acme.run.ai/
token:
  version: v2
  client_id: trainbridge
  client_secret_file: secret
  default_lifetime: 10m
rate_limit: 5
projects: [vision, speech]
types: [DistributedWorkload]
categories: [Train]
filters: ["submittedBy==ci@example.com"]
deleted: false
deleted_within: 2h
ended_within: 48h
events: true
history: false
metrics: true
revisions: true
event_window: 15m
metrics_interval: 2m
gpu_utilization: ratio
poll_intervals: {list: 1m, queued: 2m, running: 30s, paused: 5m}
page_size: 200
group_by: name_prefix
job_url: https://acme.run.ai/workloads/{id}
`

func TestConfigText(t *testing.T) {
	var c Config
	d := yaml.NewDecoder(strings.NewReader(wholeConfig))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	c.Directory = "/etc/bridge"
	s, err := New(c, collector.Env{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	cadence := s.Cadence()
	if cadence.List != time.Minute || cadence.Queued != 2*time.Minute || cadence.Running != 30*time.Second || cadence.Paused != 5*time.Minute || cadence.Rate != 5 {
		t.Errorf("cadence %+v", cadence)
	}
	if s.config.BaseURL != "https://acme.run.ai" || s.config.Token.ClientSecretFile != "/etc/bridge/secret" || *s.config.Deleted || !*s.config.Events || s.window != 15*time.Minute {
		t.Errorf("config %+v", s.config)
	}
	if d := (Config{BaseURL: "x"}).withDefaults(); !*d.Deleted || !*d.Events || !*d.History || !*d.Metrics || d.Revisions || d.PageSize != 500 || d.GPUUtilization != "percent" {
		t.Errorf("defaults %+v", d)
	}
	out, err := yaml.Marshal(Config{Token: TokenConfig{ClientSecret: "canary-secret"}})
	if err != nil || strings.Contains(string(out), "canary") {
		t.Errorf("written as %s, %v", out, err)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		field  string
	}{
		"nothing":            {func(c *Config) { c.BaseURL = "" }, "base_url: required"},
		"no URL":             {func(c *Config) { c.BaseURL = "acme.run.ai" }, "base_url: "},
		"query":              {func(c *Config) { c.BaseURL += "/?a" }, "base_url: "},
		"password":           {func(c *Config) { c.BaseURL = "https://a:canary@x" }, "base_url: "},
		"plain http":         {func(c *Config) { c.BaseURL = "http://acme.run.ai" }, "base_url: "},
		"version":            {func(c *Config) { c.Token.Version = "v3" }, "token.version: "},
		"no id":              {func(c *Config) { c.Token.ClientID = "" }, "token.client_id: "},
		"both ids":           {func(c *Config) { c.Token.AppID = "a" }, "token.app_id: "},
		"app of v2":          {func(c *Config) { c.Token = TokenConfig{AppID: "a", ClientSecret: "b", Version: "v2"} }, "token.app_id: "},
		"no secret":          {func(c *Config) { c.Token.ClientSecret = "" }, "token.client_secret: "},
		"two secrets":        {func(c *Config) { c.Token.ClientSecretEnv = "X" }, "token.client_secret: "},
		"token and key":      {func(c *Config) { c.HTTP.CredentialsEnv = "X" }, "token: "},
		"lifetime":           {func(c *Config) { c.Token.DefaultLifetime = 1 }, "token.default_lifetime: "},
		"page":               {func(c *Config) { c.PageSize = 501 }, "page_size: "},
		"negative page":      {func(c *Config) { c.PageSize = -1 }, "page_size: "},
		"group":              {func(c *Config) { c.GroupBy = "label" }, "group_by: "},
		"unit":               {func(c *Config) { c.GPUUtilization = "percents" }, "gpu_utilization: "},
		"interval":           {func(c *Config) { c.PollIntervals.Running = 1 }, "poll_intervals.running: "},
		"window":             {func(c *Config) { c.EventWindow = -5 }, "event_window: "},
		"link":               {func(c *Config) { c.JobURL = "javascript:x" }, "job_url: "},
		"filter":             {func(c *Config) { c.Filters = []string{"name==a", "updatedAt>=2026"} }, `filters[1]: "updatedAt"`},
		"filter's operator":  {func(c *Config) { c.Filters = []string{"name<>a"} }, `filters[0]: "<>"`},
		"filter's comma":     {func(c *Config) { c.Filters = []string{"name==a,b"} }, "filters[0]: must not have a comma"},
		"filter's value":     {func(c *Config) { c.Filters = []string{"name=="} }, "filters[0]: "},
		"empty project":      {func(c *Config) { c.Projects = []string{"a", ""} }, "projects[1]: "},
		"limits of requests": {func(c *Config) { c.HTTP.RateLimit = -1 }, "rate_limit: "},
	} {
		cfg := Config{BaseURL: "https://acme.run.ai", Token: TokenConfig{ClientID: "a", ClientSecret: "b"}}
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		c.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.field) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for in, want := range map[string]string{
		"https://a.run.ai": "https://a.run.ai", "https://a.run.ai/": "https://a.run.ai", "https://a.run.ai/api/v1": "https://a.run.ai", "https://a.run.ai/api/": "https://a.run.ai",
		"https://a/x/api/v2/": "https://a/x", "https://a/v1": "https://a/v1",
	} {
		if got := trimBase(in); got != want {
			t.Errorf("%s became %s", in, got)
		}
	}
}

func ExampleConfig() {
	c := Config{BaseURL: "https://acme.run.ai", Token: TokenConfig{ClientID: "trainbridge", ClientSecretFile: "/run/secrets/runai"}}
	fmt.Println(c.Validate())
	// Output: <nil>
}
