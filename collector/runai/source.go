package runai

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// provider is the kind of this source, as the info of its jobs has it.
const provider = "runai"

// Source watches the workloads of one Run:ai control plane. It implements [collector.Follower], [collector.Prober],
// [collector.Paced] and [collector.Expiring], and is safe for concurrent use.
type Source struct {
	name   string
	config Config // complete
	base   *url.URL
	client *api.Client
	tokens *tokens // nil with a ready credential
	log    *slog.Logger
	filter string // the parameter filterBy
	window time.Duration

	longBacklog int // events; see the constant

	listing   sync.Mutex // held by the listing under way; guards the four below
	page      int        // rows of a page of workloads
	since     time.Time  // when the list of deleted workloads was last read
	podPage   int        // rows of a page of pods
	podsAsked time.Time  // when they were last asked for

	deleted, history, metrics, revisions, pods *feature

	mu        sync.Mutex
	memos     map[string]*memo // by job id
	listedAt  time.Time        // when the newest complete listing began
	podsAt    time.Time        // when all pods were last read; at first, when the source was made
	podsKnown bool             // they were
}

var (
	_ collector.Follower = (*Source)(nil)
	_ collector.Prober   = (*Source)(nil)
	_ collector.Paced    = (*Source)(nil)
	_ collector.Expiring = (*Source)(nil)
)

// New makes the source. It asks nobody yet.
func New(c Config, env collector.Env) (*Source, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	c.HTTP.SetDial(env.Dial)
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Health == nil {
		env.Health = collector.NewHealth(time.Now()) // that nobody reads
	}
	base, err := url.Parse(c.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base_url: %w", err)
	}
	s := &Source{
		name: env.Name, config: c, base: base, log: env.Log, filter: c.filterBy(), window: time.Duration(c.EventWindow), page: c.PageSize,
		deleted: newFeature("deleted workloads", env.Log), history: newFeature("history", env.Log),
		metrics: newFeature("metrics", env.Log), revisions: newFeature("revisions", env.Log), pods: newFeature("pods", env.Log),
		podPage: c.PageSize, podsAt: time.Now(),
		memos: map[string]*memo{}, longBacklog: longBacklog,
	}
	env.Health.TokenExpiry(time.Time{}) // of a configuration before this one
	if c.Token.used() {
		if s.tokens, err = newTokens(env.Name, c, base, asker{env.Health}, env.Health.TokenExpiry, env.Log); err != nil {
			return nil, err
		}
		c.HTTP.Signer = s.tokens
	}
	s.client, err = api.New(env.Name, c.HTTP, env.Health, env.Log)
	return s, err
}

// asker is the observer of requests for tokens: they count, but their budget is not that of the source.
type asker struct{ api.Observer }

func (asker) Budget(float64, float64) {}

// Close lets go of connections that are kept. Calls under way go on.
func (s *Source) Close() error {
	s.client.Close()
	if s.tokens != nil {
		s.tokens.client.Close()
	}
	return nil
}

// CredentialExpiry implements [collector.Expiring].
func (s *Source) CredentialExpiry() time.Time { return s.client.CredentialExpiry() }

// Cadence implements [collector.Paced].
func (s *Source) Cadence() collector.Cadence {
	c := s.config.cadence()
	c.Rate = s.client.Rate()
	return c
}

// get asks for something below /api/v1.
func (s *Source) get(ctx context.Context, operation string, q url.Values, read func(*api.Decoder) error, path ...string) error {
	escaped := make([]string, 0, len(path)+2)
	escaped = append(escaped, "api", "v1")
	for _, part := range path {
		escaped = append(escaped, url.PathEscape(part))
	}
	u := s.base.JoinPath(escaped...)
	u.RawQuery = q.Encode()
	return s.client.JSON(ctx, api.Request{Operation: operation, URL: u, MaxItems: maxItems}, read)
}

// maxItems bounds any list in an answer: pages have at most 500 rows, which have short lists of their own.
const maxItems = 2000

// Probe implements [collector.Prober]. It gets a token and asks for one workload.
func (s *Source) Probe(ctx context.Context) error {
	r := workloadReader{}
	err := s.get(ctx, "list", s.listQuery(false, 0, 1), r.read, "workloads")
	return s.explain("", err)
}

// checkID reports whether an id can be part of a path.
func checkID(id string) bool {
	odd := func(r rune) bool { return r < ' ' || r == 0x7f || r == '/' }
	return id != "" && id != "." && id != ".." && len(id) <= 256 && !strings.ContainsFunc(id, odd)
}
