package wandb

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/config"

	"github.com/trainbridge/trainbridge/collector"
)

func TestAdviceNamesWhatWillNotWork(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("empty", " \n")
	write("key", "secret-canary")
	write("bad.json", "[{")
	write("good.json", `[{"targets": ["a"]}]`)
	for name, c := range map[string]struct {
		key   string
		files []string
		want  []string
	}{
		"all well":    {"key", []string{"good.json"}, nil},
		"no key file": {"nokey", []string{"good.json"}, []string{"authorization.credentials_file: open"}},
		"empty key":   {"empty", []string{"good.json"}, []string{"authorization.credentials_file: ", "is empty"}},
		"job files":   {"key", []string{"missing.json", "bad.json"}, []string{"job_files: ", "missing.json", "bad.json"}},
		"no jobs":     {"key", nil, []string{"jobs: none are named"}},
	} {
		cfg := Config{BaseURL: "http://127.0.0.1:1/v1", JobFiles: c.files, Directory: dir}
		cfg.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", CredentialsFile: c.key}
		s, err := New(cfg, collector.Env{Name: "s"})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(s.Advice(), "\n")
		if (len(c.want) == 0) != (got == "") || strings.Contains(got, "canary") {
			t.Errorf("%s: advice %q", name, got)
		}
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: advice %q lacks %q", name, got, w)
			}
		}
	}
}

func TestProbeTellsAWrongPathFromAnUnknownJob(t *testing.T) {
	for path, wrong := range map[string]bool{"/v1": false, "/v2": true} {
		base := upstreamAt(t, path)
		s, err := New(Config{BaseURL: base}, collector.Env{Name: "s"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Probe(t.Context()); (err != nil) != wrong || wrong && !strings.Contains(err.Error(), "base_url") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// upstreamAt is a service under /v1 that says "Not Found" of jobs and of paths alike, and the base URL to ask it at.
func upstreamAt(t *testing.T, path string) string {
	t.Helper()
	t.Setenv(keyVariable, "key")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/v1/health" {
			_, _ = w.Write([]byte(`{"status":"ok"}`))
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"detail":"Not Found"}`))
	}))
	t.Cleanup(server.Close)
	return server.URL + path
}

// TestProxyKeepsThePasswordOfThePort: with basic auth on the bridge's own port, a caller's password must not reach the service.
func TestProxyKeepsThePasswordOfThePort(t *testing.T) {
	var got http.Header
	_, _, base := upstream(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() })
	_, header, _ := send(t, base+"/preview/models", "{}", http.Header{"Authorization": {"basic cHJvbTpzZWNyZXQ="}})
	if got.Get("Authorization") != "" {
		t.Errorf("the service was sent %q", got.Get("Authorization"))
	}
	if header.Get("Content-Type") != "" {
		t.Errorf("a content type was made up: %q", header.Get("Content-Type"))
	}
}
