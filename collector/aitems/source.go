package aitems

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// provider is Info.Provider of every job.
const provider = "aitems"

// Source watches the trainings of one NAVER Cloud account. It implements [collector.Source], [collector.Prober],
// [collector.Paced] and [collector.Expiring], and is safe for concurrent use.
type Source struct {
	name    string
	base    *url.URL
	client  *api.Client
	clock   *clock
	log     *slog.Logger
	told    *api.Hourly
	keys    [2]credential // for Advice
	only    []string      // services, all if empty
	size    int           // of a page, 0 for the service's own
	zone    *time.Location
	updates bool
	cadence collector.Cadence

	listing sync.Mutex           // guards the two below
	asked   map[string]time.Time // when each service was last
	memory  memory
}

var (
	_ collector.Source   = (*Source)(nil)
	_ collector.Prober   = (*Source)(nil)
	_ collector.Paced    = (*Source)(nil)
	_ collector.Expiring = (*Source)(nil)
	_ api.Signer         = (*signer)(nil)
	_ api.Observer       = (*clock)(nil)
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
	zone, err := parseZone(c.TimeZone)
	if err != nil {
		return nil, err
	}
	access, secret, err := c.credentials()
	if err != nil {
		return nil, err
	}
	s := &Source{
		name: env.Name, base: base, log: env.Log, told: new(api.Hourly), keys: [2]credential{access, secret},
		only: slices.Clone(c.Services), size: c.PageSize, zone: zone, updates: c.Updates,
		asked: map[string]time.Time{}, memory: memory{},
	}
	s.clock = &clock{Observer: observer(env), trusted: isProven(base), log: env.Log, told: s.told}
	c.HTTP.Signer = &signer{access: access, secret: secret, clock: s.clock}
	if s.client, err = api.New(env.Name, c.HTTP, s.clock, env.Log); err != nil {
		return nil, err
	}
	s.cadence = collector.DefaultCadence()
	s.cadence.List = time.Duration(c.ListInterval)
	s.cadence.Rate, s.cadence.Burst = c.HTTP.RateLimit, float64(c.HTTP.Burst)
	return s, nil
}

func observer(env collector.Env) api.Observer {
	if env.Health == nil {
		return collector.NewHealth(time.Now()) // that nobody reads
	}
	return env.Health
}

// isProven reports whether an answer is the service's for sure: TLS proves it, and nobody stands between this machine and itself.
func isProven(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	// Plain http is allowed to this machine without being asked for.
	var strict api.Config
	return strict.CheckURL(u) == nil
}

// Close lets go of connections that are kept. Calls under way go on.
func (s *Source) Close() error {
	s.client.Close()
	return nil
}

// CredentialExpiry implements [collector.Expiring].
func (s *Source) CredentialExpiry() time.Time { return s.client.CredentialExpiry() }

// Cadence implements [collector.Paced].
func (s *Source) Cadence() collector.Cadence {
	c := s.cadence
	c.Rate = s.client.Rate()
	return c
}

// at is the address of something below the base URL.
func (s *Source) at(segments ...string) *url.URL {
	escaped := make([]string, len(segments))
	for i, segment := range segments {
		escaped[i] = url.PathEscape(segment)
	}
	return s.base.JoinPath(escaped...)
}

// pageOf is u with what asks for one page. The first page of the service's own size is asked for without parameters, which
// today's documentation of trainings does not have.
func (s *Source) pageOf(u *url.URL, offset int) *url.URL {
	if offset == 0 && s.size == 0 {
		return u
	}
	limit := s.size
	if limit == 0 {
		limit = serviceLimit
	}
	u.RawQuery = url.Values{"offset": {strconv.Itoa(offset)}, "limit": {strconv.Itoa(limit)}}.Encode()
	return u
}

// askWithin ends one request with all its attempts. It is shorter than the pause after an answer 429, so that a listing ends with
// what it has instead of waiting for the rest.
const askWithin = 45 * time.Second

// pageReader decodes an answer.
type pageReader[T keyed] func(*api.Decoder) (*page[T], error)

// ask reads one page of a list.
func ask[T keyed](ctx context.Context, s *Source, operation string, u *url.URL, read pageReader[T]) (p *page[T], err error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	err = s.client.JSON(ctx, api.Request{Operation: operation, URL: u}, func(d *api.Decoder) (err error) {
		p, err = read(d)
		return err
	})
	return p, err
}
