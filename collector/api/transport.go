package api

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/version"
)

const (
	tlsTimeout     = 3 * time.Second
	headerTimeout  = 10 * time.Second
	maxHeaderBytes = 64 << 10
	idleTimeout    = 2 * time.Minute
)

// transport is the way to the service: the connection, wrapped by what puts credentials on a request.
type transport struct {
	rt       http.RoundTripper
	secrets  []config.SecretReader // what a 401 may be about
	signer   Signer                // the same, nil if there is none
	setting  string                // the field of the configuration that a 401 is about
	expiries []func() time.Time    // of credentials, as they are now
}

// fingerprint tells one content of the secrets from another. It is kept in memory only.
func (t *transport) fingerprint() string {
	h := sha256.New()
	for _, s := range t.secrets {
		text, err := s.Fetch(context.Background()) // a file or memory: it does not block
		fmt.Fprintf(h, "%d %s %t\n", len(text), text, err != nil)
	}
	if t.signer != nil {
		fmt.Fprintf(h, "signer %s\n", t.signer.Fingerprint())
	}
	return string(h.Sum(nil))
}

func (t *transport) closeIdle() {
	if c, ok := t.rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// newTransport is what prometheus/common makes of its configuration, but on a transport with bounds of our own: the one
// inside of it cannot be reached from outside.
func newTransport(c Config) (*transport, error) {
	t := &transport{signer: c.Signer}
	settings, err := tlsSecrets(&c.HTTP.TLSConfig)
	if err != nil {
		return nil, fmt.Errorf("tls_config: %w", err)
	}
	t.certificate(settings)
	tlsConfig, err := config.NewTLSConfig(&c.HTTP.TLSConfig)
	if err != nil {
		return nil, fmt.Errorf("tls_config: %w", err)
	}
	auth, err := t.authorization(c)
	if err != nil {
		return nil, err
	}
	build := func(tc *tls.Config) (http.RoundTripper, error) { return auth(connection(c, tc)), nil }
	if c.HTTP.TLSConfig.CAFile == "" && c.HTTP.TLSConfig.CertFile == "" && c.HTTP.TLSConfig.KeyFile == "" {
		t.rt, err = build(tlsConfig)
	} else {
		t.rt, err = config.NewTLSRoundTripper(tlsConfig, settings, build)
	}
	if err != nil {
		return nil, fmt.Errorf("tls_config: %w", err)
	}
	return t, nil
}

func (t *transport) certificate(s config.TLSRoundTripperSettings) {
	if s.Cert != nil {
		t.expiries = append(t.expiries, endOf(s.Cert, certificateExpiry))
	}
}

// connection has a deadline for every step, so that a host that accepts and says nothing costs seconds.
func connection(c Config, tc *tls.Config) *http.Transport {
	t := &http.Transport{
		Proxy:                  c.HTTP.Proxy(), // nil, and so no environment, unless configured
		ProxyConnectHeader:     c.HTTP.GetProxyConnectHeader(),
		DialContext:            c.dial(),
		TLSClientConfig:        tc,
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        idleTimeout,
		MaxConnsPerHost:        c.MaxInFlight,
		MaxIdleConnsPerHost:    c.MaxInFlight,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(c.HTTP.EnableHTTP2)
	return t
}

// authorization is what adds the credentials and headers of the configuration to requests.
func (t *transport) authorization(c Config) (func(http.RoundTripper) http.RoundTripper, error) {
	h := c.HTTP
	var wrap func(http.RoundTripper) http.RoundTripper
	var err error
	switch {
	case c.CredentialsEnv != "":
		wrap, err = t.environment(c.CredentialsEnv)
	case h.Authorization != nil:
		wrap, err = t.bearer(h.Authorization)
	case h.BasicAuth != nil:
		wrap, err = t.basic(h.BasicAuth)
	case h.OAuth2 != nil:
		wrap, err = t.oauth2(c, h.OAuth2)
	default:
		t.setting = "no credential is set: set authorization or credentials_env"
		wrap = func(rt http.RoundTripper) http.RoundTripper { return rt }
	}
	if c.Signer != nil {
		t.setting = c.Signer.Setting() // whatever else is set is for a proxy
	}
	if e, ok := c.Signer.(Ender); ok {
		t.expiries = append(t.expiries, e.Ends)
	}
	if err != nil || h.HTTPHeaders == nil {
		return wrap, err
	}
	return func(rt http.RoundTripper) http.RoundTripper {
		return config.NewHeadersRoundTripper(h.HTTPHeaders, wrap(rt))
	}, nil
}

func (t *transport) environment(name string) (func(http.RoundTripper) http.RoundTripper, error) {
	key := strings.TrimSpace(os.Getenv(name))
	if key == "" {
		return nil, fmt.Errorf("credentials_env: the environment variable %s is empty or not set", name)
	}
	t.setting = "check the environment variable " + name + " (credentials_env)"
	secret := config.NewInlineSecret(key)
	t.expiries = append(t.expiries, endOf(secret, TokenExpiry))
	return func(rt http.RoundTripper) http.RoundTripper {
		return config.NewAuthorizationCredentialsRoundTripper("Bearer", secret, rt)
	}, nil
}

func (t *transport) bearer(a *config.Authorization) (func(http.RoundTripper) http.RoundTripper, error) {
	s, err := t.secret("authorization.credentials", string(a.Credentials), a.CredentialsFile, a.CredentialsRef)
	if err != nil {
		return nil, err
	}
	t.expiries = append(t.expiries, endOf(s, TokenExpiry))
	return func(rt http.RoundTripper) http.RoundTripper {
		return config.NewAuthorizationCredentialsRoundTripper(a.Type, s, rt)
	}, nil
}

func (t *transport) basic(a *config.BasicAuth) (func(http.RoundTripper) http.RoundTripper, error) {
	user, err := t.secret("basic_auth.username", a.Username, a.UsernameFile, a.UsernameRef)
	if err != nil {
		return nil, err
	}
	password, err := t.secret("basic_auth.password", string(a.Password), a.PasswordFile, a.PasswordRef)
	if err != nil {
		return nil, err
	}
	return func(rt http.RoundTripper) http.RoundTripper {
		return config.NewBasicAuthRoundTripper(user, password, rt)
	}, nil
}

func (t *transport) oauth2(c Config, o *config.OAuth2) (func(http.RoundTripper) http.RoundTripper, error) {
	var s config.SecretReader
	var err error
	if o.ClientCertificateKey != "" || o.ClientCertificateKeyFile != "" || o.ClientCertificateKeyRef != "" {
		s, err = t.secret("oauth2.client_certificate_key", string(o.ClientCertificateKey), o.ClientCertificateKeyFile, o.ClientCertificateKeyRef)
	} else {
		s, err = t.secret("oauth2.client_secret", string(o.ClientSecret), o.ClientSecretFile, o.ClientSecretRef)
	}
	if err != nil {
		return nil, err
	}
	settings, err := tlsSecrets(&o.TLSConfig)
	if err != nil {
		return nil, fmt.Errorf("oauth2.tls_config: %w", err)
	}
	t.certificate(settings)
	token, err := url.Parse(o.TokenURL)
	if err != nil || token.Host == "" {
		return nil, errors.New("oauth2.token_url: write it as https://host/path")
	}
	if err := c.CheckURL(token); err != nil {
		return nil, fmt.Errorf("oauth2.token_url: %w", err)
	}
	hosts := []string{hostPort(token)}
	if o.ProxyURL.URL != nil {
		hosts = append(hosts, hostPort(o.ProxyURL.URL))
	}
	t.setting = "check oauth2 (client_id, client_secret, token_url)"
	options := []config.HTTPClientOption{config.WithDialContextFunc(dialToken(c.dial(), hosts, time.Duration(c.Timeout)))}
	return func(rt http.RoundTripper) http.RoundTripper {
		return config.NewOAuth2RoundTripper(s, o, rt, options...)
	}, nil
}

// secret is where one secret of the configuration is read from. None set gives an empty one.
func (t *transport) secret(field, text, file, ref string) (config.SecretReader, error) {
	var s config.SecretReader = config.NewInlineSecret(text)
	t.setting = "check " + field
	switch {
	case ref != "":
		return nil, fmt.Errorf("%s_ref: there is no secret manager; use %s_file", field, field)
	case file != "":
		s = config.NewFileSecret(file)
		t.setting = fmt.Sprintf("check the content of %s (%s_file)", file, field)
	}
	t.secrets = append(t.secrets, s)
	return s, nil
}

// tlsSecrets is what a round tripper watches to load certificates again when their files change.
func tlsSecrets(c *config.TLSConfig) (config.TLSRoundTripperSettings, error) {
	if c.CARef != "" || c.CertRef != "" || c.KeyRef != "" {
		return config.TLSRoundTripperSettings{}, errors.New("ca_ref, cert_ref, key_ref: there is no secret manager; use files")
	}
	read := func(text, file string) config.SecretReader {
		switch {
		case text != "":
			return config.NewInlineSecret(text)
		case file != "":
			return config.NewFileSecret(file)
		}
		return nil
	}
	return config.TLSRoundTripperSettings{
		CA: read(c.CA, c.CAFile), Cert: read(c.Cert, c.CertFile), Key: read(string(c.Key), c.KeyFile),
	}, nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// UserAgent names the program and its version to services.
func UserAgent() string {
	v := version.Version
	if info, ok := debug.ReadBuildInfo(); v == "" && ok && strings.HasPrefix(info.Main.Version, "v") {
		v = strings.TrimPrefix(info.Main.Version, "v")
	}
	if v == "" {
		v = "devel"
	}
	return "trainbridge/" + v
}
