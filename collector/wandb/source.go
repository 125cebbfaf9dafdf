package wandb

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/common/config"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// Source watches the training jobs of one W&B account. It implements [collector.Follower], [collector.Prober],
// [collector.Paced] and [collector.Expiring], and is safe for concurrent use.
type Source struct {
	name     string
	base     *url.URL
	client   *api.Client
	upstream http.RoundTripper // of the proxy: no credential of ours
	log      *slog.Logger

	cadence collector.Cadence
	grace   time.Duration
	readJob bool
	stepKey string
	probeID string

	keyFile string // of the configuration, for Advice
	proxied bool

	static  []target
	listing sync.Mutex // guards the three below
	files   files
	urls    []*jobList
	listed  [][]target // what the last complete listing was made of; nil if it was not complete

	walks walks
}

var (
	_ collector.Follower = (*Source)(nil)
	_ collector.Prober   = (*Source)(nil)
	_ collector.Paced    = (*Source)(nil)
	_ collector.Expiring = (*Source)(nil)
)

// New makes the source. It reads no file and asks nobody yet.
func New(c Config, env collector.Env) (*Source, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	c.HTTP.SetDial(env.Dial)
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base_url: %w", err)
	}
	s := &Source{
		name: env.Name, base: base, log: env.Log, probeID: probeID,
		grace: time.Duration(c.CreationGrace), readJob: c.ReadJob, stepKey: c.StepDurationKey,
		files: files{patterns: c.patterns(), log: env.Log}, proxied: c.Proxy.Enabled,
	}
	if a := c.HTTP.HTTP.Authorization; a != nil {
		s.keyFile = a.CredentialsFile
	}
	if s.client, err = api.New(env.Name, c.HTTP, observer(env), env.Log); err != nil {
		return nil, err
	}
	if s.upstream, err = passThrough(c.HTTP.HTTP); err != nil {
		return nil, err
	}
	s.cadence = collector.DefaultCadence()
	s.cadence.List = time.Duration(c.DiscoveryInterval)
	s.cadence.Queued = time.Duration(c.PollIntervals.Queued)
	s.cadence.Running = time.Duration(c.PollIntervals.Running)
	s.cadence.Rate = c.HTTP.RateLimit
	s.cadence.Workers = c.HTTP.MaxInFlight
	for _, j := range c.Jobs {
		s.static = append(s.static, j.target())
	}
	if len(s.static) > 0 {
		s.probeID = s.static[0].id
	}
	return s, s.addURLs(&c, env)
}

func (s *Source) addURLs(c *Config, env collector.Env) error {
	for i, u := range c.JobURLs {
		client, err := api.New(env.Name, u.HTTP, asker{observer(env)}, env.Log)
		if err != nil {
			return fmt.Errorf("job_urls[%d]: %w", i, err)
		}
		address, err := url.Parse(u.URL)
		if err != nil {
			return fmt.Errorf("job_urls[%d].url: %w", i, err)
		}
		s.urls = append(s.urls, &jobList{client: client, url: address, every: time.Duration(u.RefreshInterval), log: env.Log})
	}
	return nil
}

func observer(env collector.Env) api.Observer {
	if env.Health == nil {
		return collector.NewHealth(time.Now()) // that nobody reads
	}
	return env.Health
}

// asker is the observer of an endpoint beside the service: its requests count, its budget and clock are not the service's.
type asker struct{ api.Observer }

func (asker) Budget(float64, float64) {}
func (asker) Skew(time.Duration)      {}

// Close lets go of connections that are kept. Calls under way go on.
func (s *Source) Close() error {
	s.client.Close()
	for _, u := range s.urls {
		u.client.Close()
	}
	if t, ok := s.upstream.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// CredentialExpiry implements [collector.Expiring].
func (s *Source) CredentialExpiry() time.Time {
	ends := s.client.CredentialExpiry()
	for _, u := range s.urls {
		ends = api.Earlier(ends, u.client.CredentialExpiry())
	}
	return ends
}

// Cadence implements [collector.Paced].
func (s *Source) Cadence() collector.Cadence {
	c := s.cadence
	c.Rate = s.client.Rate()
	return c
}

// at is the address of something below the base URL, whose path prefix stays. The segments are made safe.
func (s *Source) at(segments ...string) *url.URL {
	escaped := make([]string, len(segments))
	for i, segment := range segments {
		escaped[i] = url.PathEscape(segment)
	}
	return s.base.JoinPath(escaped...)
}

// passThrough is how the proxy reaches the service: as the source does, but without its credentials. A client certificate is one.
func passThrough(c config.HTTPClientConfig) (http.RoundTripper, error) {
	return config.NewRoundTripperFromConfig(config.HTTPClientConfig{
		TLSConfig: config.TLSConfig{
			CA: c.TLSConfig.CA, CAFile: c.TLSConfig.CAFile, ServerName: c.TLSConfig.ServerName,
			InsecureSkipVerify: c.TLSConfig.InsecureSkipVerify, MinVersion: c.TLSConfig.MinVersion, MaxVersion: c.TLSConfig.MaxVersion,
		},
		ProxyConfig: c.ProxyConfig, EnableHTTP2: c.EnableHTTP2,
	}, "trainbridge-proxy", config.WithDialContextFunc(api.Dial()))
}
