package aitems

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector/api"
)

// Config is what the operator writes for one source of kind aitems. Durations are written like 15s or 10m.
type Config struct {
	// BaseURL is the address of the API with its path, which is part of what is signed; default
	// https://aitems.apigw.ntruss.com/api/v1.
	BaseURL string `yaml:"base_url"`

	// HTTP is how the API is asked: TLS, proxy, limits. Credentials are those below: authorization, basic_auth, oauth2 and
	// credentials_env are refused. rate_limit is 5 by default here: the service documents no limit.
	HTTP api.Config `yaml:",inline"`

	// The access key names who asks. One of the three; it is not secret, but need not be known to everyone.
	AccessKey     string `yaml:"access_key"`
	AccessKeyFile string `yaml:"access_key_file"` // read again for every request
	AccessKeyEnv  string `yaml:"access_key_env"`  // an environment variable, read when the source is built

	// The secret key signs requests and is never sent. One of the three.
	SecretKey     config.Secret `yaml:"secret_key"`
	SecretKeyFile string        `yaml:"secret_key_file"` // read again for every request
	SecretKeyEnv  string        `yaml:"secret_key_env"`  // an environment variable, read when the source is built

	// Services are the ids of the services to watch; all that the key may list if empty.
	Services []string `yaml:"services"`
	// ListInterval is how often everything is listed, at one request and one more per service; default 60s.
	ListInterval model.Duration `yaml:"list_interval"`
	// PageSize is how many items are asked for at once. By default nothing is asked for, and the service gives its
	// documented 1000.
	PageSize int `yaml:"page_size"`
	// TimeZone is that of the service's dates, which name none: Asia/Seoul (the default), UTC, an offset such as +09:00, or
	// any zone that this machine knows.
	TimeZone string `yaml:"time_zone"`
	// Updates reads the refresh runs of the newest completed training of each type too, at one more request for each.
	Updates bool `yaml:"updates"`

	// Directory is what relative paths are relative to: that of the configuration file. It is set by the program.
	Directory string `yaml:"-"`
}

const (
	defaultBase = "https://aitems.apigw.ntruss.com/api/v1"
	// basePath is what the path of every known base URL has.
	basePath = "/api/v"

	maxServices = 10_000
	minPageSize = 2 // pages overlap by one at least
	maxPageSize = 10_000
	// minInterval is the shortest interval that can be set: tests want to be quick.
	minInterval = 100 * time.Millisecond
)

// withDefaults returns c with empty fields filled.
func (c Config) withDefaults() Config {
	c.BaseURL = cmp.Or(c.BaseURL, defaultBase)
	c.ListInterval = cmp.Or(c.ListInterval, model.Duration(time.Minute))
	c.TimeZone = cmp.Or(c.TimeZone, defaultZone)
	c.HTTP.SetDirectory(c.Directory)
	c.HTTP.RateLimit = cmp.Or(c.HTTP.RateLimit, 5)
	c.HTTP.Burst = cmp.Or(c.HTTP.Burst, 5)
	c.HTTP.SetDefaults()
	return c
}

// Validate returns the first thing that is wrong, with the name of its field.
func (c *Config) Validate() error {
	d := c.withDefaults()
	if err := checkBase(&d.HTTP, d.BaseURL); err != nil {
		return fmt.Errorf("base_url: %w", err)
	}
	if err := d.HTTP.Validate(); err != nil {
		return err
	}
	if err := d.checkCredentials(); err != nil {
		return err
	}
	if err := checkServices(d.Services); err != nil {
		return err
	}
	if time.Duration(d.ListInterval) < minInterval {
		return fmt.Errorf("list_interval: must be at least %s, is %s", minInterval, d.ListInterval)
	}
	if d.PageSize != 0 && (d.PageSize < minPageSize || d.PageSize > maxPageSize) {
		return fmt.Errorf("page_size: must be between %d and %d, or be left out, is %d", minPageSize, maxPageSize, d.PageSize)
	}
	if _, err := parseZone(d.TimeZone); err != nil {
		return fmt.Errorf("time_zone: %w", err)
	}
	return nil
}

// checkBase says why an address cannot be that of the API.
func checkBase(c *api.Config, s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("is not a URL") // the parser's own words would show a password
	}
	if err := c.CheckURL(u); err != nil {
		return err
	}
	switch {
	case strings.ContainsAny(s, "?#"):
		return errors.New("must not have a query or fragment")
	case !strings.Contains(u.Path, basePath):
		return fmt.Errorf("its path lacks /api/v1, which is part of what is signed: write it as %s", defaultBase)
	}
	return nil
}

// checkCredentials wants exactly one access key and one secret key.
func (c *Config) checkCredentials() error {
	h := &c.HTTP.HTTP
	if c.HTTP.CredentialsEnv != "" || h.Authorization != nil || h.BasicAuth != nil || h.OAuth2 != nil || h.BearerToken != "" ||
		h.BearerTokenFile != "" {
		return errors.New("authorization: requests are signed: set access_key and secret_key_file instead of " +
			"authorization, basic_auth, oauth2 or credentials_env")
	}
	if err := oneOf("access_key", c.AccessKey, c.AccessKeyFile, c.AccessKeyEnv); err != nil {
		return err
	}
	if c.AccessKey != "" {
		if err := checkKey(c.AccessKey); err != nil {
			return fmt.Errorf("access_key: %w", err)
		}
	}
	return oneOf("secret_key", string(c.SecretKey), c.SecretKeyFile, c.SecretKeyEnv)
}

func oneOf(field, text, file, variable string) error {
	n := 0
	for _, s := range []string{text, file, variable} {
		if s != "" {
			n++
		}
	}
	switch {
	case n == 0:
		return fmt.Errorf("%s: required: set it, or %s_file or %s_env", field, field, field)
	case n > 1:
		return fmt.Errorf("%s: set only one of %s, %s_file and %s_env", field, field, field, field)
	}
	return nil
}

func checkServices(ids []string) error {
	if len(ids) > maxServices {
		return fmt.Errorf("services: at most %d can be named, these are %d", maxServices, len(ids))
	}
	seen := map[string]int{}
	for i, id := range ids {
		if !isID(id) {
			return fmt.Errorf("services[%d]: %q is not the id of a service: it stands in the console and in GET /services as serviceId", i, id)
		}
		if first, twice := seen[id]; twice {
			return fmt.Errorf("services[%d]: %q stands at services[%d] already", i, id, first)
		}
		seen[id] = i
	}
	return nil
}

// file is an absolute path.
func (c *Config) file(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Directory, path)
}
