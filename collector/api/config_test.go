package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"go.yaml.in/yaml/v3"
)

var _ Observer = (*collector.Health)(nil)

func TestClassesAreTheCores(t *testing.T) {
	if got, want := fmt.Sprint(Classes()), fmt.Sprint(collector.ErrorClasses()); got != want {
		t.Errorf("got %s, the core has %s", got, want)
	}
	if got := collector.ClassOf(fmt.Errorf("list: %w", &Error{Class: classQuota})); got != classQuota {
		t.Errorf("the core sees %s", got)
	}
	if got := (&Error{Class: "invented"}).ErrorClass(); got != classOther {
		t.Errorf("got %s", got)
	}
}

// source is how a source inlines the configuration.
type source struct {
	BaseURL string `yaml:"base_url"`
	Config  `yaml:",inline"`
}

func parse(text string) (source, error) {
	s := source{Config: DefaultConfig()}
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	return s, d.Decode(&s)
}

func TestConfigFromYAML(t *testing.T) {
	s, err := parse(`
base_url: https://service.example/v1
authorization: {credentials: ` + canary + `}
tls_config: {ca_file: ca.pem, min_version: TLS13}
proxy_url: http://proxy.example:3128
http_headers: {X-Team: {values: [speech]}}
rate_limit: 0.5
timeout: 5s
max_items: 100
`)
	if err != nil {
		t.Fatal(err)
	}
	s.SetDirectory("/etc/trainbridge")
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	h := s.HTTP
	if h.Authorization.Credentials != canary || h.Authorization.Type != "Bearer" || h.TLSConfig.CAFile != "/etc/trainbridge/ca.pem" || h.EnableHTTP2 ||
		h.ProxyURL.Host != "proxy.example:3128" || s.RateLimit != 0.5 || time.Duration(s.Timeout) != 5*time.Second || s.MaxItems != 100 || s.Burst != 20 {
		t.Errorf("got %+v", s.RateLimit)
	}
	asYAML, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(asYAML) + string(asJSON); strings.Contains(text, canary) {
		t.Errorf("the secret is in %s", text)
	}
}

func TestBadConfig(t *testing.T) {
	for text, want := range map[string]string{
		`authorisation: {credentials: x}`:                               "authorisation not found",
		`authorization: {credential: x}`:                                "credential not found",
		`tls_config: {ca: a, ca_file: b}`:                               "at most one of ca",
		`rate_limit: -1`:                                                "rate_limit: must be above 0",
		`rate_limit: .nan`:                                              "rate_limit: must be above 0",
		`max_depth: 64`:                                                 "max_depth: must be at most 63",
		`follow_redirects: true`:                                        "follow_redirects: redirects are never followed",
		`{credentials_env: K, authorization: {credentials: x}}`:         "credentials_env: set either",
		`{basic_auth: {username: u}, authorization: {credentials: x}}`:  "at most one of",
		`credentials_env: TRAINBRIDGE_NO_SUCH_VARIABLE`:                 "TRAINBRIDGE_NO_SUCH_VARIABLE is empty or not set",
		`authorization: {credentials_ref: x}`:                           "no secret manager; use authorization.credentials_file",
		`tls_config: {ca_ref: x}`:                                       "no secret manager",
		`tls_config: {ca_file: /no/such/file}`:                          "tls_config: unable to read CA cert",
		`oauth2: {client_id: a, token_url: "http://t.example/"}`:        "oauth2.token_url: sends the credential to t.example unencrypted",
		`oauth2: {client_id: a, client_secret: b, token_url: "no url"}`: "oauth2.token_url: write it as",
	} {
		s, err := parse(text)
		if err == nil {
			_, err = New("bad", s.Config, nil, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestCredentialsEnv(t *testing.T) {
	t.Setenv("TRAINBRIDGE_TEST_KEY", " "+canary+"\n")
	var rec recorder
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+canary {
			t.Errorf("got %q", got)
		}
		jsonAnswer(`{}`)(w, r)
	})
	client := mustClient(t, Config{CredentialsEnv: "TRAINBRIDGE_TEST_KEY"}, &rec)
	if err := once(t, client, s.URL, nil); err != nil {
		t.Error(err)
	}
	if text := fmt.Sprintf("%v %+v", client, client); strings.Contains(text, canary) {
		t.Errorf("the secret is in %s", text)
	}
}
