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

func age(t *testing.T, path string, to time.Time) {
	t.Helper()
	if err := os.Chtimes(path, to, to); err != nil {
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
	if l = listOf(t, s); !l.Unchanged || len(l.Jobs) != 0 {
		t.Errorf("nothing changed, and yet the listing is %+v", l)
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
		age(t, dir+"/"+name+"/jobs.json", past)
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
	for i, want := range []string{"a", ""} {
		if l := listOf(t, s); ids(l) != want || l.Unchanged != (i == 1) {
			t.Errorf("jobs %q, unchanged %v", ids(l), l.Unchanged)
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
	age(t, dir+"/jobs.json", past)
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
	if l = listOf(t, s); asked != 1 || !l.Local || !l.Unchanged {
		t.Errorf("asked %d times, listing %+v", asked, l)
	}
	s.urls[0].next = time.Time{} // the interval is over
	if l = listOf(t, s); asked != 2 || l.Local || !l.Unchanged {
		t.Errorf("asked %d times, listing %+v", asked, l)
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
