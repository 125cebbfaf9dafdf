package aitems

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/prometheus/common/config"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// TestProbe has what a person can have got wrong, and the words that say what to change.
func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		faults aitemstest.Faults
		change func(*Config)
		class  string
		words  []string // none if the probe succeeds
	}{
		"all well":     {},
		"access key":   {change: func(c *Config) { c.AccessKey = "AK_OTHER" }, class: "auth", words: []string{"401", "check access_key and secret_key", "one pair"}},
		"secret key":   {change: func(c *Config) { c.SecretKey = "SK_OTHER" }, class: "auth", words: []string{"401", "check access_key and secret_key", "one pair"}},
		"no path":      {change: func(c *Config) { c.BaseURL = strings.Replace(c.BaseURL, "/api/v1", "/api/v2", 1) }, class: "not_found", words: []string{"404", "check base_url"}},
		"401/210":      {faults: fail(401, "210", ""), class: "auth", words: []string{"permission to view AiTEMS", "or name the services"}},
		"403":          {faults: fail(403, "", ""), class: "auth", words: []string{"permission to view AiTEMS"}},
		"403 in HTML":  {faults: fail(403, "", aitemstest.HTML), class: "auth", words: []string{"permission to view AiTEMS"}},
		"empty 401":    {faults: fail(401, "", aitemstest.Empty), class: "auth", words: []string{"one pair"}},
		"clock":        {faults: aitemstest.Faults{ClockSkew: 20 * time.Minute}, class: "auth", words: []string{"this machine's clock is 20m0s behind the service's", "synchronize it (NTP)"}},
		"clock, works": {faults: aitemstest.Faults{ClockSkew: -6 * time.Minute}, class: "_OTHER", words: []string{"this machine's clock is 6m0s ahead of the service's", "meanwhile", "synchronize it (NTP)"}},
		"web page":     {faults: aitemstest.Faults{Pages: -1}, class: "decode", words: []string{"text/html", "check base_url"}},
		"other JSON":   {faults: fail(200, "", aitemstest.CodeMsg), class: "decode", words: []string{`no list "services"`, "base_url"}},
		"502 in HTML":  {faults: fail(502, "", aitemstest.HTML), class: "http_5xx", words: []string{"502"}},
		"quota":        {faults: fail(429, "400", ""), class: "quota", words: []string{"quota", "raise it in the console"}},
		"rate":         {faults: fail(429, "420", ""), class: "rate_limited", words: []string{"lower rate_limit"}},
		"one service":  {change: func(c *Config) { c.Services = []string{"mine"} }},
		"no such service": {change: func(c *Config) { c.Services = []string{"other"} }, class: "not_found",
			words: []string{"404", "check base_url", `"other" may be no service of this account`}},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, aitemstest.Options{}, c.change, func(t *testing.T, b *bench) {
				b.server.AddService(aitemstest.Service{ID: "mine"})
				b.server.SetFaults(c.faults)
				err := b.source.Probe(t.Context())
				if len(c.words) == 0 {
					if err != nil {
						t.Error(err)
					}
					b.behaved()
					return
				}
				if err == nil || collector.ClassOf(err) != c.class || !strings.HasPrefix(err.Error(), "source test: ") {
					t.Fatalf("class %q: %v", collector.ClassOf(err), err)
				}
				for _, w := range c.words {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%q lacks %q", err, w)
					}
				}
				isClean(t, err.Error())
			})
		})
	}
}

func fail(status int, code string, shape aitemstest.Shape) aitemstest.Faults {
	return aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Status: status, Code: code, Shape: shape}}
}

// isClean wants a message that can be shown anywhere.
func isClean(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, testSecret) || strings.Contains(text, "<html") || len(text) > 1000 {
		t.Errorf("message %q", text)
	}
	for _, r := range text {
		if !unicode.IsPrint(r) && r != '\n' {
			t.Errorf("message %q", text)
		}
	}
}

func TestUnreachable(t *testing.T) {
	c := Config{BaseURL: "http://127.0.0.1:1/api/v1", AccessKey: testAccess, SecretKey: testSecret}
	s, err := New(c, collector.Env{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Probe(t.Context())
	if err == nil || collector.ClassOf(err) != "connect" || !strings.Contains(err.Error(), "check base_url, and the way to it") {
		t.Error(err)
	}
}

// TestErrorShapes has every shape of an error with the codes that matter. The class never depends on the shape where the code or the
// text can be read.
func TestErrorShapes(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		class  string
		coded  bool // the class depends on the code
	}{
		{400, "", "http_4xx", false}, {401, "", "auth", false}, {401, "210", "auth", false}, {403, "", "auth", false}, {404, "", "not_found", false},
		{413, "", "http_4xx", false}, {429, "400", "quota", true}, {429, "410", "rate_limited", false}, {429, "420", "rate_limited", false},
		{500, "", "http_5xx", false}, {503, "", "http_5xx", false}, {504, "", "http_5xx", false},
	} {
		for _, shape := range aitemstest.Shapes() {
			within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
				b.server.SetFaults(fail(c.status, c.code, shape))
				_, err := b.list()
				blind := shape == aitemstest.Empty || shape == aitemstest.EmptyObject || shape == aitemstest.HTML
				if got := collector.ClassOf(err); got != c.class && !(c.coded && blind) {
					t.Errorf("%d %s as %s: class %s: %v", c.status, c.code, shape, got, err)
				}
				isClean(t, fmt.Sprint(err))
			})
		}
	}
}

// TestReplacedKey has a key file that is replaced while the key rests after a refusal.
func TestReplacedKey(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("access", testAccess+"\n")
	write("secret", "SK_OLD\n")
	files := func(c *Config) {
		c.AccessKey, c.SecretKey = "", ""
		c.AccessKeyFile, c.SecretKeyFile, c.Directory = "access", "secret", dir
	}
	within(t, aitemstest.Options{}, files, func(t *testing.T, b *bench) {
		b.server.AddTraining(b.server.AddService(aitemstest.Service{}), aitemstest.Training{})
		for range 2 {
			_, err := b.list()
			if collector.ClassOf(err) != "auth" || !strings.Contains(err.Error(), filepath.Join(dir, "secret")) || strings.Contains(err.Error(), "SK_OLD") {
				t.Error(err)
			}
		}
		refused := b.server.Violations()["bad_signature"]
		if refused != 2 {
			t.Errorf("%d requests with a key that was refused", refused)
		}
		write("secret", testSecret)
		if l, err := b.list(); err != nil || len(l.Jobs) != 1 {
			t.Errorf("%d jobs, %v", len(l.Jobs), err)
		}
		// Replaced again, at both ends: the attempt after the refusal reads the file anew.
		b.server.SetKeys(testAccess, "SK_NEW")
		write("secret", "SK_NEW")
		if l, err := b.list(); err != nil || len(l.Jobs) != 1 {
			t.Errorf("%d jobs, %v", len(l.Jobs), err)
		}
		for _, broken := range []string{"", "two\nlines", "a b"} {
			write("secret", broken)
			_, err := b.list()
			if collector.ClassOf(err) != "auth" || !strings.Contains(err.Error(), "secret_key_file") {
				t.Errorf("%q: %v", broken, err)
			}
		}
		if err := os.Remove(filepath.Join(dir, "secret")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.list(); collector.ClassOf(err) != "auth" || !strings.Contains(err.Error(), "secret_key_file") {
			t.Error(err)
		}
	})
}

func TestAdvice(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": " \n", "key": "secret-canary"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"key": "", "empty": "is empty", "missing": "no such file"} {
		s, err := New(Config{AccessKey: testAccess, SecretKeyFile: name, Directory: dir}, collector.Env{Name: "s"})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(s.Advice(), "\n")
		if (want == "") != (got == "") || !strings.Contains(got, want) || strings.Contains(got, "canary") || got != "" && !strings.HasPrefix(got, "secret_key_file: ") {
			t.Errorf("%s: advice %q", name, got)
		}
	}
}

// FuzzErrorBodies has services that answer anything at all.
func FuzzErrorBodies(f *testing.F) {
	for _, shape := range aitemstest.Shapes() {
		f.Add(401, "application/json", string(shape)+`{"error":{"errorCode":"210","message":"Permission Denied AK_TEST"}}`)
	}
	f.Add(429, "application/json", `{"error":{"errorCode":400}}`)
	f.Add(200, "application/json", `{"services":[{"serviceId":"a/b"},null,{"serviceId":"x"}],"limit":-1}`)
	f.Add(200, "application/json", `{"trains":[{"type":"pop","version":"v","status":{}}]}`)
	f.Add(500, "text/html", "<html>SK_TEST")
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		if status < 200 || status > 599 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			n := collectortest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{kind}
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			}))
			s, err := New(testConfig(n, func(c *Config) { c.Services = []string{"a"}; c.SecretKey = "SK_TOP_SECRET" }), collector.Env{Name: "test"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			l, err := s.List(t.Context())
			if err != nil && strings.Contains(err.Error(), "SK_TOP_SECRET") || len(l.Jobs) > 0 && err == nil && status/100 != 2 {
				t.Errorf("%d jobs, %v", len(l.Jobs), err)
			}
			for i := range l.Jobs {
				if parts := strings.Split(l.Jobs[i].Key.ID, "/"); len(parts) != 3 {
					t.Errorf("job %q", l.Jobs[i].Key.ID)
				}
			}
			_ = s.Probe(t.Context())
		})
	})
}

func TestConfig(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"":                                func(*Config) {},
		"base_url: its path lacks":        func(c *Config) { c.BaseURL = "https://aitems.apigw.ntruss.com" },
		"base_url: has scheme":            func(c *Config) { c.BaseURL = "ftp://aitems.apigw.ntruss.com/api/v1" },
		"base_url: sends the credential":  func(c *Config) { c.BaseURL = "http://aitems.apigw.ntruss.com/api/v1" },
		"base_url: must not have":         func(c *Config) { c.BaseURL += "?a=b" },
		"base_url: is not a URL":          func(c *Config) { c.BaseURL = "https://h:x/api/v1" },
		"access_key: required":            func(c *Config) { c.AccessKey = "" },
		"access_key: set only one":        func(c *Config) { c.AccessKeyFile = "f" },
		"access_key: holds":               func(c *Config) { c.AccessKey = "a b" },
		"secret_key: required":            func(c *Config) { c.SecretKey = "" },
		"secret_key: set only one":        func(c *Config) { c.SecretKeyEnv = "X" },
		"authorization: requests are":     func(c *Config) { c.HTTP.HTTP.Authorization = &config.Authorization{Credentials: "x"} },
		"services[1]: \"a/b\" is not":     func(c *Config) { c.Services = []string{"a", "a/b"} },
		"services[2]: \"a\" stands":       func(c *Config) { c.Services = []string{"a", "b", "a"} },
		"list_interval: must be at least": func(c *Config) { c.ListInterval = 1 },
		"page_size: must be":              func(c *Config) { c.PageSize = 1 },
		"time_zone: this machine":         func(c *Config) { c.TimeZone = "Mars/Olympus" },
		"time_zone: is not an offset":     func(c *Config) { c.TimeZone = "+9" },
		"rate_limit: must be":             func(c *Config) { c.HTTP.RateLimit = -1 },
	} {
		c := Config{BaseURL: defaultBase, AccessKey: testAccess, SecretKey: testSecret}
		change(&c)
		err := c.Validate()
		if (want == "") != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
		if _, newErr := New(c, collector.Env{}); fmt.Sprint(newErr) != fmt.Sprint(err) {
			t.Errorf("New says %v, Validate %v", newErr, err)
		}
	}
}

func TestCredentialsFromTheEnvironment(t *testing.T) {
	t.Setenv("TEST_ACCESS", testAccess)
	t.Setenv("TEST_SECRET", " "+testSecret+"\n")
	c := Config{AccessKeyEnv: "TEST_ACCESS", SecretKeyEnv: "TEST_SECRET"}
	s, err := New(c, collector.Env{Name: "s"})
	if err != nil || len(s.Advice()) != 0 {
		t.Fatal(err)
	}
	if key, err := s.keys[1].read(t.Context()); key != testSecret || err != nil {
		t.Error(err)
	}
	t.Setenv("TEST_SECRET", "")
	if _, err := New(c, collector.Env{}); err == nil || !strings.HasPrefix(err.Error(), "secret_key_env: ") {
		t.Error(err)
	}
}
