package wandb

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/trainbridge/trainbridge/collector"
	"go.yaml.in/yaml/v3"
)

func TestConfigText(t *testing.T) {
	const text = `
base_url: https://forge.example/api/training/v1
authorization: {credentials_file: key}
rate_limit: 5
jobs:
  - {id: 7d0f6e0a-4b1e-4a57-9b1c-6a2f0f0c2f11, name: voice-agent, group: agent-001, owner: speech, project: p, base_model: b, kind: rl, url: "https://x.example"}
job_files: [jobs/*.json]
job_urls: [{url: "https://sd.example/jobs", refresh_interval: 1m, basic_auth: {username: u, password: p}}]
discovery_interval: 7s
poll_intervals: {queued: 30s, running: 5s}
creation_grace: 3m
read_job: true
step_duration_key: step_seconds
proxy: {enabled: true}
`
	var c Config
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	c.Directory = t.TempDir()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s := newSource(t, c, nil)
	if got := s.at("preview", "training-jobs", "a%b c").String(); got != "https://forge.example/api/training/v1/preview/training-jobs/a%25b%20c" {
		t.Errorf("address %s", got)
	}
	want := collector.DefaultCadence()
	got := s.Cadence()
	if got.List != 7*time.Second || got.Queued != 30*time.Second || got.Running != 5*time.Second || got.Rate != 5 || len(got.Reconcile) != len(want.Reconcile) {
		t.Errorf("cadence %+v", got)
	}
	if err := yaml.Unmarshal([]byte("jobs: [{id: a, nmae: b}]"), &c); err != nil {
		t.Error(err)
	}
}

func TestConfigMistakes(t *testing.T) {
	t.Setenv(keyVariable, "")
	long := strings.Repeat("x", 300)
	for text, want := range map[string]string{
		`base_url: "ftp://x"`:                                    "base_url: ",
		`base_url: "https://"`:                                   "base_url: ",
		`base_url: "https://x/v1?key=1"`:                         "base_url: must not have a query or fragment",
		`base_url: "https://user:secret@x/v1"`:                   "base_url: ",
		`base_url: "http://training.example/v1"`:                 "base_url: ",
		`jobs: [{id: a}, {id: b}, {name: x}]`:                    "jobs[2].id: required",
		`jobs: [{id: ..}]`:                                       "jobs[0].id: ",
		`jobs: [{id: "a/b"}]`:                                    "jobs[0].id: ",
		`jobs: [{id: "a%2fb"}]`:                                  "jobs[0].id: ",
		`jobs: [{id: "a\x00b"}]`:                                 "jobs[0].id: ",
		`jobs: [{id: ` + long + `}]`:                             "jobs[0].id: longer than 256 bytes",
		`jobs: [{id: a, url: "javascript:alert(1)"}]`:            "jobs[0].url: ",
		`job_files: ["jobs/[.json"]`:                             "job_files[0]: ",
		`job_files: [""]`:                                        "job_files[0]: ",
		`job_urls: [{}]`:                                         "job_urls[0].url: required",
		`job_urls: [{url: "https://x", refresh_interval: 1ms}]`:  "job_urls[0].refresh_interval: ",
		`job_urls: [{url: "https://x", follow_redirects: true}]`: "job_urls[0].",
		`discovery_interval: 1ms`:                                "discovery_interval: ",
		`poll_intervals: {running: 1ms}`:                         "poll_intervals.running: ",
		`rate_limit: -1`:                                         "rate_limit: ",
	} {
		var c Config
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		_, err := New(c, collector.Env{Name: "test"})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows a password", text)
		}
	}
}

func TestKeyFromEnvironment(t *testing.T) {
	t.Setenv(keyVariable, "key-of-the-environment")
	var got []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.URL.Path+" "+r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/sd" {
			io.WriteString(w, `[]`)
			return
		}
		io.WriteString(w, `{"data":[],"has_more":false}`)
	}))
	defer web.Close()
	s := newSource(t, Config{BaseURL: web.URL, JobURLs: []JobURL{{URL: web.URL + "/sd"}}}, nil)
	if err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	listOf(t, s)
	want := "/preview/training-jobs/" + probeID + "/events Bearer key-of-the-environment, /sd "
	if strings.Join(got, ", ") != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	got = nil
	s = newSource(t, testConfig(web.URL, nil), nil)
	if err := s.Probe(t.Context()); err != nil || !strings.HasSuffix(got[0], "Bearer "+testKey) {
		t.Errorf("asked %q, %v", got, err)
	}
}

// TestRelativeDirectory checks one configuration as often as the program does, and then reads the key beside its file.
func TestRelativeDirectory(t *testing.T) {
	t.Setenv(keyVariable, "")
	t.Chdir(t.TempDir())
	write(t, "etc/key", testKey)
	web := written(t, nil)
	c := Config{
		BaseURL: web, Directory: "etc", JobFiles: []string{"jobs.json"},
		JobURLs: []JobURL{{URL: web}},
	}
	c.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", CredentialsFile: "key"}
	c.JobURLs[0].HTTP.HTTP.BasicAuth = &config.BasicAuth{Username: "u", PasswordFile: "key"}
	for range 2 {
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		s := newSource(t, c, nil)
		if err := s.Probe(t.Context()); err != nil {
			t.Error(err)
		}
	}
	d := c.withDefaults()
	if got := d.JobURLs[0].HTTP.HTTP.BasicAuth.PasswordFile; got != "etc/key" {
		t.Errorf("the password of a job URL is read from %s", got)
	}
}
