package wandb

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
	"go.yaml.in/yaml/v3"
)

func ids(l collector.Listing) string {
	var out []string
	for _, u := range l.Jobs {
		out = append(out, u.Key.ID)
	}
	return strings.Join(out, " ")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func listOf(t *testing.T, s *Source) collector.Listing {
	t.Helper()
	l, err := s.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestStaticJobs(t *testing.T) {
	s := newSource(t, testConfig("http://127.0.0.1:1/v1", func(c *Config) {
		c.Jobs = []Job{{ID: "a", Name: "voice", Group: "agent", Project: "p", Owner: "speech", BaseModel: "b", Kind: "rl", URL: "https://x.example/y"}}
	}), nil)
	l := listOf(t, s)
	want := collector.Info{
		Provider: "wandb", Name: "voice", Group: "agent", Project: "p", Owner: "speech", BaseModel: "b", Kind: "rl", URL: "https://x.example/y",
	}
	if len(l.Jobs) != 1 || l.Jobs[0].Info != want || l.Jobs[0].Key != (collector.Key{Source: "test", ID: "a"}) || !l.Local || l.Partial {
		t.Errorf("listing %+v", l)
	}
}

func TestJobFiles(t *testing.T) {
	dir := t.TempDir()
	s := newSource(t, testConfig("http://127.0.0.1:1/v1", func(c *Config) {
		c.Directory, c.JobFiles = dir, []string{"jobs/*.json", "jobs/*.yml"}
		c.Jobs = []Job{{ID: "a", Name: "from the configuration"}}
	}), nil)
	if _, err := s.List(t.Context()); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "jobs")) {
		t.Errorf("a directory that is missing: %v", err)
	}
	write(t, dir+"/jobs/one.json", `[{"targets":["a","b"],"labels":{"name":"n","training_group":"g","__meta_x":"y","url":"javascript:1"}}]`)
	write(t, dir+"/jobs/two.yml", "- targets: [c, '../x', b]\n  labels: {owner: o}\n")
	l := listOf(t, s)
	if ids(l) != "a b c" || l.Partial {
		t.Fatalf("jobs %q, partial %v", ids(l), l.Partial)
	}
	if a, b := l.Jobs[0].Info, l.Jobs[1].Info; a.Name != "from the configuration" || a.Group != "g" || b.Name != "n" || b.Owner != "o" || b.URL != "" {
		t.Errorf("a %+v, b %+v", a, b)
	}
	unknown := slices.Sorted(slices.Values(l.Jobs[0].Unknown))
	if strings.Join(unknown, " ") != "discovery.id discovery.label discovery.url" {
		t.Errorf("unknown %q", unknown)
	}
	if l = listOf(t, s); l.Jobs[0].Unknown != nil {
		t.Error("what was not understood is told again though nothing changed")
	}
	write(t, dir+"/jobs/one.json", `[{"targets":["a","b","d"],"la`) // half written
	l, err := s.List(t.Context())
	if err == nil || !strings.Contains(err.Error(), "one.json") || !l.Partial || ids(l) != "a b c" {
		t.Errorf("half a file: jobs %q, partial %v, error %v", ids(l), l.Partial, err)
	}
	write(t, dir+"/jobs/one.json", ``)
	if l, err = s.List(t.Context()); err == nil || ids(l) != "a b c" {
		t.Errorf("an empty file: jobs %q, error %v", ids(l), err)
	}
	write(t, dir+"/jobs/one.json", `[]`)
	if l = listOf(t, s); ids(l) != "a c b" || l.Partial {
		t.Errorf("jobs %q, partial %v", ids(l), l.Partial)
	}
	os.Remove(dir + "/jobs/two.yml")
	if l = listOf(t, s); ids(l) != "a" || l.Partial {
		t.Errorf("jobs %q, partial %v", ids(l), l.Partial)
	}
}

// TestSwappedLink changes a file as Kubernetes does: the directory behind a link is replaced; size and time may be equal.
func TestSwappedLink(t *testing.T) {
	dir := t.TempDir()
	past := time.Now().Add(-time.Hour)
	for name, id := range map[string]string{"v1": "a", "v2": "b"} {
		write(t, dir+"/"+name+"/jobs.json", `[{"targets":["`+id+`"]}]`)
		os.Chtimes(dir+"/"+name+"/jobs.json", past, past)
	}
	link := func(to string) {
		if err := os.Symlink(to, dir+"/new"); err != nil {
			t.Skip("no symbolic links:", err)
		}
		if err := os.Rename(dir+"/new", dir+"/..data"); err != nil {
			t.Fatal(err)
		}
	}
	link("v1")
	if err := os.Symlink("..data/jobs.json", dir+"/jobs.json"); err != nil {
		t.Fatal(err)
	}
	s := newSource(t, testConfig("http://127.0.0.1:1/v1", func(c *Config) { c.Directory, c.JobFiles = dir, []string{"jobs.json"} }), nil)
	for _, want := range []string{"a", "a"} {
		if l := listOf(t, s); ids(l) != want {
			t.Errorf("jobs %q", ids(l))
		}
	}
	link("v2")
	if l := listOf(t, s); ids(l) != "b" {
		t.Errorf("jobs %q after the swap", ids(l))
	}
	os.Remove(dir + "/..data")
	if l, err := s.List(t.Context()); err == nil || ids(l) != "b" || !l.Partial {
		t.Errorf("jobs %q, error %v with a dangling link", ids(l), err)
	}
}

func TestUnchangedFileIsNotRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/jobs.json", `[{"targets":["a"]}]`)
	past := time.Now().Add(-time.Hour)
	os.Chtimes(dir+"/jobs.json", past, past)
	first, err := readTargets(dir+"/jobs.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := readTargets(dir+"/jobs.json", first); err != nil || again != first {
		t.Error("an unchanged file was read again", err)
	}
}

func TestJobURLs(t *testing.T) {
	answer, status, asked := `[{"targets":["a","b/c"],"labels":{"name":"x","__address__":"http://evil"}}]`, 200, 0
	var header http.Header
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		header = r.Header.Clone()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	defer web.Close()
	s := newSource(t, testConfig("http://127.0.0.1:1/v1", func(c *Config) {
		u := JobURL{URL: web.URL + "/jobs?team=x", RefreshInterval: model.Duration(90 * time.Second)}
		u.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", Credentials: "another-key"}
		c.JobURLs = []JobURL{u}
	}), collector.NewHealth(time.Now()))
	l := listOf(t, s)
	if ids(l) != "a" || l.Local || l.Partial || l.Jobs[0].Info.Name != "x" {
		t.Errorf("listing %+v", l)
	}
	if header.Get("X-Prometheus-Refresh-Interval-Seconds") != "90" || header.Get("Authorization") != "Bearer another-key" {
		t.Errorf("headers %v", header)
	}
	if l = listOf(t, s); asked != 1 || !l.Local || ids(l) != "a" {
		t.Errorf("asked %d times, local %v, jobs %q", asked, l.Local, ids(l))
	}
	for _, bad := range []string{`{"targets":[]}`, `[{"targets":["a"`, `[{"targets":"a"}]`, ``} {
		answer = bad
		s.urls[0].next = time.Time{} // the interval is over
		l, err := s.List(t.Context())
		if err == nil || !l.Partial || ids(l) != "a" {
			t.Errorf("%s: jobs %q, partial %v, error %v", bad, ids(l), l.Partial, err)
		}
		if l = listOf(t, s); !l.Partial {
			t.Error("complete though the last answer was bad")
		}
	}
	answer = `[]`
	s.urls[0].next = time.Time{} // the interval is over
	if l = listOf(t, s); ids(l) != "" || l.Partial {
		t.Errorf("jobs %q, partial %v", ids(l), l.Partial)
	}
}

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
