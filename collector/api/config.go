package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

// Config is what an operator sets about the requests of a source. It is inlined into the source's own configuration. A zero
// field takes its default.
type Config struct {
	// HTTP is how to connect and authorize: authorization, basic_auth, oauth2, tls_config, proxy_url, http_headers,
	// enable_http2 (off by default) and the rest, as in Prometheus. Secrets in files are read again for every request.
	HTTP config.HTTPClientConfig `yaml:",inline"`
	// CredentialsEnv names an environment variable that holds a bearer key. It is read when the source is built.
	CredentialsEnv string `yaml:"credentials_env,omitempty"`
	// CredentialsExpire is when the credential ends, where nothing but the operator knows: a date such as 2027-01-31, which means
	// its first moment in UTC, or a time as in RFC 3339. Client certificates and JWTs tell themselves.
	CredentialsExpire string `yaml:"credentials_expire,omitempty"`
	// RateLimit is in requests per second, all jobs of the source together; 20 by default.
	RateLimit float64 `yaml:"rate_limit,omitempty"`
	// Burst is how many requests may start at once after a quiet time; 20 by default.
	Burst int `yaml:"burst,omitempty"`
	// MaxInFlight is how many requests may be under way; 16 by default.
	MaxInFlight int `yaml:"max_in_flight,omitempty"`
	// Timeout ends one attempt of a request, to the last byte of its answer; 20s by default.
	Timeout model.Duration `yaml:"timeout,omitempty"`
	// MaxBodyBytes bounds an answer after decompression; 4 MiB by default.
	MaxBodyBytes int64 `yaml:"max_body_bytes,omitempty"`
	// MaxItems bounds the list elements in one answer; 20000 by default.
	MaxItems int `yaml:"max_items,omitempty"`
	// MaxDepth bounds the nesting of an answer; 32 by default, at most 63.
	MaxDepth int `yaml:"max_depth,omitempty"`
	// MaxStringBytes bounds one string in an answer; 64 KiB by default.
	MaxStringBytes int `yaml:"max_string_bytes,omitempty"`
	// AllowHTTP permits plain http to other hosts than this one. Without TLS anyone on the way reads the credential.
	AllowHTTP bool `yaml:"allow_http,omitempty"`

	// Signer puts the source's own credential on requests, beside what HTTP says; set by sources that need more than a key.
	Signer Signer `yaml:"-" json:"-"`
	// Dial opens connections instead of [Dial]; for tests, which may have a network of their own.
	Dial config.DialContextFunc `yaml:"-" json:"-"`
}

// A Signer proves who asks, where a key in a header is not enough: signatures, tokens that end. It is safe for concurrent use.
type Signer interface {
	// Sign completes a request that is about to be sent, in place: its headers, never its URL. It is called for every attempt,
	// after the wait for the budget, so that a time in a signature is the time of sending. An error ends the call without a
	// request, and keeps its class; its text must hold no secret. Requests of its own are made with ctx.
	Sign(ctx context.Context, r *http.Request) error
	// Refused hears that r was answered 401. The request is signed and sent once more.
	Refused(r *http.Request)
	// Fingerprint tells one configured credential from the next, not one token of it from another: a credential that was
	// refused rests until it changes. It does not block.
	Fingerprint() string
	// Setting is the field of the configuration to check when the credential is refused, such as "check client_secret_file".
	Setting() string
}

// An Ender is a [Signer] that may know when its credential ends, which somebody must replace before.
type Ender interface {
	// Ends is the zero time where it is not known. It does not block.
	Ends() time.Time
}

// DefaultConfig is the Config of an operator who set nothing.
func DefaultConfig() Config {
	return Config{
		RateLimit: 20, Burst: 20, MaxInFlight: 16, Timeout: model.Duration(20 * time.Second),
		MaxBodyBytes: 4 << 20, MaxItems: 20000, MaxDepth: 32, MaxStringBytes: 64 << 10,
	}
}

// SetDefaults fills the fields that are zero.
func (c *Config) SetDefaults() {
	d := DefaultConfig()
	setDefault(&c.RateLimit, d.RateLimit)
	setDefault(&c.Burst, d.Burst)
	setDefault(&c.MaxInFlight, d.MaxInFlight)
	setDefault(&c.Timeout, d.Timeout)
	setDefault(&c.MaxBodyBytes, d.MaxBodyBytes)
	setDefault(&c.MaxItems, d.MaxItems)
	setDefault(&c.MaxDepth, d.MaxDepth)
	setDefault(&c.MaxStringBytes, d.MaxStringBytes)
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// SetDirectory makes relative file names relative to dir, the folder of the configuration file. It changes c alone and
// nothing that c shares with a copy of it, so that a source can complete a copy of its configuration as often as it likes.
func (c *Config) SetDirectory(dir string) {
	h := &c.HTTP
	h.BasicAuth, h.Authorization, h.OAuth2 = copied(h.BasicAuth), copied(h.Authorization), copied(h.OAuth2)
	if h.HTTPHeaders != nil {
		own := make(map[string]config.Header, len(h.HTTPHeaders.Headers))
		for name, header := range h.HTTPHeaders.Headers {
			header.Files = slices.Clone(header.Files)
			own[name] = header
		}
		h.HTTPHeaders = copied(h.HTTPHeaders)
		h.HTTPHeaders.Headers = own
	}
	h.SetDirectory(dir)
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	own := *p
	return &own
}

// Validate reports the first field that cannot be, by its name. Zero fields pass: they take their defaults.
func (c *Config) Validate() error {
	for _, f := range []struct {
		name  string
		value float64
	}{
		{"rate_limit", c.RateLimit}, {"burst", float64(c.Burst)}, {"max_in_flight", float64(c.MaxInFlight)},
		{"timeout", float64(c.Timeout)}, {"max_body_bytes", float64(c.MaxBodyBytes)}, {"max_items", float64(c.MaxItems)},
		{"max_depth", float64(c.MaxDepth)}, {"max_string_bytes", float64(c.MaxStringBytes)},
	} {
		if !(f.value >= 0) { // also NaN
			return fmt.Errorf("%s: must be above 0", f.name)
		}
	}
	if c.MaxDepth > maxDepth {
		return fmt.Errorf("max_depth: must be at most %d, is %d", maxDepth, c.MaxDepth)
	}
	if _, err := expiry(c.CredentialsExpire); err != nil {
		return fmt.Errorf("credentials_expire: %w", err)
	}
	if c.HTTP.FollowRedirects {
		return errors.New("follow_redirects: redirects are never followed, a credential could leave the host; set base_url to the final address")
	}
	h := c.HTTP
	if c.CredentialsEnv != "" && (h.Authorization != nil || h.BasicAuth != nil || h.OAuth2 != nil || h.BearerToken != "" || h.BearerTokenFile != "") {
		return errors.New("credentials_env: set either this or one of authorization, basic_auth and oauth2")
	}
	if err := c.HTTP.Validate(); err != nil {
		return err
	}
	return c.HTTP.TLSConfig.Validate()
}

// CheckURL reports why requests to u would be refused. A source calls it for its base_url, so that the operator hears of it
// at the start.
func (c *Config) CheckURL(u *url.URL) error {
	switch {
	case u == nil || u.Host == "" || u.Hostname() == "":
		return errors.New("has no host: write it as https://host/path")
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("has scheme %q: write it as https://host/path", clean(u.Scheme, 20))
	case u.User != nil:
		return errors.New("holds a user or password: set authorization or basic_auth instead")
	case u.Scheme == "http" && !c.AllowHTTP && !isLoopback(u.Hostname()):
		return fmt.Errorf("sends the credential to %s unencrypted: use https, or set allow_http: true", u.Hostname())
	}
	return nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// SetDial sets Dial if there is something to set.
func (c *Config) SetDial(dial config.DialContextFunc) {
	if dial != nil {
		c.Dial = dial
	}
}

func (c *Config) dial() config.DialContextFunc {
	if c.Dial != nil {
		return c.Dial
	}
	return Dial()
}

func (c *Config) limits() Limits {
	return Limits{Bytes: c.MaxBodyBytes, Items: c.MaxItems, Depth: c.MaxDepth, StringBytes: c.MaxStringBytes}
}
