package tensorone

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
)

func TestAnEmptyConfigIsComplete(t *testing.T) {
	c := Config{}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := New(c, collector.Env{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Cadence(); got.Rate*3600+got.Burst > 500 || got.Burst != 20 {
		t.Errorf("cadence %+v", got)
	}
	if s.base.String() != "https://api.tensorone.ai/v2" {
		t.Errorf("base %s", s.base)
	}
}

func TestConfigsThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"base_url: https://u:p@host/v2":                "base_url: holds a user or password",
		"base_url: ftp://host":                         "base_url: has scheme",
		"base_url: http://example.com/v2":              "base_url: sends the credential to example.com unencrypted",
		"base_url: https://host/v2?key=x":              "base_url: must not have a query",
		"base_url: '::'":                               "base_url: is not a URL",
		"reads_per_hour: 3":                            "reads_per_hour: must be between 4 and 1000000, is 3",
		"reads_per_hour: -1":                           "reads_per_hour: must be between",
		"rate_limit: 1":                                "reads_per_hour: rate_limit 1 a second and burst 20 would allow 3620 requests in an hour, not 500",
		"{rate_limit: 0.13, burst: 100}":               "reads_per_hour: rate_limit 0.13 a second and burst 100 would allow 568 requests",
		"burst: 500":                                   "reads_per_hour: rate_limit",
		"list: maybe":                                  `list: must be auto, on or off, is "maybe"`,
		"checkpoints: both":                            "checkpoints: must be embedded or endpoint",
		"bare_key: true":                               "bare_key: there is no key",
		"list_interval: 1ms":                           "list_interval: must be at least 100ms",
		"poll_intervals: {running: 10ms}":              "poll_intervals.running: must be at least",
		"poll_intervals: {paused: 10ms}":               "poll_intervals.paused: must be at least",
		"units: {progress: furlongs}":                  "units.progress: must be one of percent, ratio",
		"units: {gpu_memory: gigs}":                    "units.gpu_memory: must be one of bytes, kB",
		"units: {text_sizes: GB}":                      "units.text_sizes: must be one of decimal, binary",
		"units: {step_time: hours}":                    "units.step_time: must be one of",
		"units: {currency: a very long currency name}": "units.currency: must be a code",
		"jobs: [{id: a/b}]":                            "jobs[0].id: holds '/'",
		"jobs: [{name: x}]":                            "jobs[0].id: required",
		"jobs: [{id: a}, {id: a}]":                     `jobs[1].id: "a" stands at jobs[0] already`,
		"jobs: [{id: a, url: 'javascript:x'}]":         "jobs[0].url:",
		"job_files: ['[']":                             "job_files[0]:",
		"credentials_env: NOT_SET_ANYWHERE":            "credentials_env: the environment variable NOT_SET_ANYWHERE is empty",
		"{bare_key: true, credentials_env: NOT_SET}":   "credentials_env: the environment variable NOT_SET is empty",
		"authorization: {type: basic, credentials: x}": "authorization type cannot be set",
	} {
		var c Config
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		s, err := New(c, collector.Env{Name: "test"})
		if err == nil {
			s.Close()
			t.Errorf("%s is accepted", text)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %q lacks %q", text, err, want)
		}
	}
}

// TestBudgetsAddUp: rate and burst never allow more in an hour than was set, and not much less.
func TestBudgetsAddUp(t *testing.T) {
	for reads := minReads; reads < 20_000; reads = reads*5/4 + 1 {
		c := Config{ReadsPerHour: reads}
		if err := c.Validate(); err != nil {
			t.Fatalf("%d: %v", reads, err)
		}
		d := c.withDefaults()
		inHour := d.HTTP.RateLimit*3600 + float64(d.HTTP.Burst)
		if inHour > float64(reads)+1e-6 || inHour < float64(reads)-1e-6 || d.HTTP.Burst < 1 || d.HTTP.RateLimit <= 0 {
			t.Errorf("%d reads: rate %g, burst %d", reads, d.HTTP.RateLimit, d.HTTP.Burst)
		}
	}
}

func TestKeysAndHeaders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(testKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TENSORONE_TEST_KEY", testKey)
	for name, change := range map[string]func(*Config){
		"bearer":  func(*Config) {},
		"no type": func(c *Config) { c.HTTP.HTTP.Authorization.Type = "" }, // which is Bearer
		"bare":    func(c *Config) { c.BareKey = true },
		"bare, from file": func(c *Config) {
			c.BareKey, c.HTTP.HTTP.Authorization = true, &config.Authorization{CredentialsFile: file}
		},
		"bare, from environment": func(c *Config) {
			c.BareKey, c.HTTP.HTTP.Authorization, c.HTTP.CredentialsEnv = true, nil, "TENSORONE_TEST_KEY"
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, tensoronetest.Options{Bare: strings.HasPrefix(name, "bare")}, func(c *Config) {
				c.Jobs = []Job{{ID: theJob}}
				change(c)
			})
			b.server.AddJob(running())
			if err := b.drive.Source().(*Source).Probe(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			b.violations()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{}, func(c *Config) {
			name(theJob)(c)
			c.BareKey = true
		})
		mustFail(t, b.drive.Source().(*Source).Probe(t.Context()), "401", "authorization.credentials", "bare_key")
	})
}

func TestAdvice(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jobs.json"), []byte(`[{"targets":["a","b","c","d","e","f","g","h","i","j"]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"list: off": {"authorization: no key is set", "jobs: none are named here or in job_files, and list is off"},
		"{authorization: {credentials_file: nowhere}, job_files: [none.json]}":                                            {"authorization.credentials_file: open", "job_files: job files"},
		"{authorization: {credentials: x}, job_files: [jobs.json], list: off}":                                            {"reads_per_hour: 10 jobs asked every 1m at 1 read each are 600 reads an hour while they run, and listings 0: 600, of 456 that can be planned with out of 500; each is asked about every 1m19s instead"},
		"{authorization: {credentials: x}, jobs: [{id: a}, {id: b}]}":                                                     {},
		"{authorization: {credentials: x}, jobs: [{id: a}], reads_per_hour: 1000}":                                        {"reads_per_hour: 1000 is above the 500 an hour that are documented"},
		"{authorization: {credentials: x}, jobs: [{id: a}], reads_per_hour: 20}":                                          {"reads_per_hour: 1 jobs asked every 1m"},
		"{authorization: {credentials: x}, job_files: [jobs.json], poll_intervals: {running: 3m}, checkpoints: endpoint}": {},
	} {
		c := Config{Directory: dir}
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		s, err := New(c, collector.Env{Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		got := s.Advice()
		s.Close()
		if len(got) != len(want) {
			t.Errorf("%s: advice %q, want %q", text, got, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s: advice %q, want %q", text, got[i], want[i])
			}
		}
	}
}
