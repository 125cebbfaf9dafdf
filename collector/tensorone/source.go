package tensorone

import (
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// provider is Info.Provider of every job.
const provider = "tensorone"

// Source watches the training jobs of one TensorOne account. It implements [collector.Follower], [collector.Prober],
// [collector.Paced] and [collector.Expiring], and is safe for concurrent use.
type Source struct {
	name    string
	base    *url.URL
	client  *api.Client
	meter   *meter
	log     *slog.Logger
	told    *api.Hourly // what the log was told
	odd     *api.Hourly // what was counted as not understood
	cadence collector.Cadence
	config  Config // with defaults
	static  []target

	listing sync.Mutex // of calls of List; guards files
	files   files
	jobs    jobList

	mu     sync.Mutex
	labels map[string]collector.Info // what the configuration and files say of jobs
}

var (
	_ collector.Follower = (*Source)(nil)
	_ collector.Prober   = (*Source)(nil)
	_ collector.Paced    = (*Source)(nil)
	_ collector.Expiring = (*Source)(nil)
	_ collector.Budgeted = (*Source)(nil)
	_ api.Observer       = (*meter)(nil)
	_ api.Signer         = (*bareKey)(nil)
	_ api.Ender          = (*bareKey)(nil)
)

// New makes the source. It reads environment variables and no file, and asks nobody yet.
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
		return nil, err
	}
	s := &Source{
		name: env.Name, base: base, log: env.Log, told: new(api.Hourly), odd: new(api.Hourly), config: c,
		files: files{patterns: c.patterns(), log: env.Log}, jobs: jobList{found: map[string]*found{}},
	}
	for _, j := range c.Jobs {
		s.static = append(s.static, j.target())
	}
	s.label(s.static)
	s.meter = &meter{
		Observer: observer(env), reads: float64(c.ReadsPerHour), rate: c.HTTP.RateLimit, burst: float64(c.HTTP.Burst), log: env.Log,
	}
	wire := c.HTTP
	if c.BareKey {
		if wire, err = bare(wire); err != nil {
			return nil, err
		}
	}
	if s.client, err = api.New(env.Name, wire, s.meter, env.Log); err != nil {
		return nil, err
	}
	s.cadence = collector.DefaultCadence()
	s.cadence.List = time.Duration(c.DiscoveryInterval)
	if c.List != listOff {
		s.cadence.List = min(s.cadence.List, time.Duration(c.ListInterval))
	}
	s.cadence.Queued = time.Duration(c.PollIntervals.Queued)
	s.cadence.Running = time.Duration(c.PollIntervals.Running)
	s.cadence.Paused = time.Duration(c.PollIntervals.Paused)
	s.cadence.Rate, s.cadence.Burst = c.HTTP.RateLimit, float64(c.HTTP.Burst)
	s.cadence.Workers = c.HTTP.MaxInFlight
	return s, nil
}

func observer(env collector.Env) api.Observer {
	if env.Health == nil {
		return collector.NewHealth(time.Now()) // that nobody reads
	}
	return env.Health
}

// Close lets go of connections that are kept. Calls under way go on.
func (s *Source) Close() error {
	s.client.Close()
	return nil
}

// CredentialExpiry implements [collector.Expiring].
func (s *Source) CredentialExpiry() time.Time { return s.client.CredentialExpiry() }

// Budget implements [collector.Budgeted].
func (s *Source) Budget() (collector.Money, string) {
	m, _ := collector.ParseBudget(s.config.Budget) // it was validated
	return m, s.config.Units.Currency
}

// Cadence implements [collector.Paced].
func (s *Source) Cadence() collector.Cadence {
	c := s.cadence
	c.Rate = s.meter.current()
	return c
}

// at is the address of something below the base URL, whose path stays. The segments are made safe.
func (s *Source) at(segments ...string) *url.URL {
	escaped := make([]string, len(segments))
	for i, segment := range segments {
		escaped[i] = url.PathEscape(segment)
	}
	return s.base.JoinPath(escaped...)
}

// label notes what is said of jobs outside of the service. Of a job that is named twice, the first knows better.
func (s *Source) label(targets []target) {
	labels := make(map[string]collector.Info, len(targets))
	for _, t := range targets {
		labels[t.id] = fill(labels[t.id], t.info)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.labels = labels
}

// infoOf is what is known of a job: what the operator says before what the service does.
func (s *Source) infoOf(id string, service collector.Info) collector.Info {
	s.mu.Lock()
	own := s.labels[id]
	s.mu.Unlock()
	own.Provider = provider
	return fill(own, service)
}
