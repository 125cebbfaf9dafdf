package collectortest

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Subject is a kind of source that [Run] holds to what all sources promise.
type Subject struct {
	// Open makes a source as New of its package does. It is called inside the bubble of a [testing/synctest] test.
	Open func(t testing.TB, o SubjectOptions) collector.Source
	// Service makes a simulator with a few jobs that run, at least one of which takes several pages to list or to read. Its
	// clock is time.Now, which is that of the bubble. Its limits let a client ask a few hundred times an hour.
	Service func(t testing.TB) Service
	// Pages says that listings or events come in pages.
	Pages bool
	// Tokens says that the credential is exchanged for one that ends. Service must be a [TokenService].
	Tokens bool
	// Token tells requests for a token from those for data; nil are those that POST. Faults hit requests for data only, but
	// where the suite says otherwise.
	Token func(*http.Request) bool
}

// SubjectOptions is what a source under test is opened with.
type SubjectOptions struct {
	Base   string                                                               // where the service is: scheme, host and port
	Dial   func(ctx context.Context, network, address string) (net.Conn, error) // for api.Config.Dial
	BadKey bool                                                                 // with a credential that the service refuses
	Env    collector.Env
}

// Service is a simulator of a provider, as far as the suite needs it.
type Service interface {
	http.Handler
	// Advance lets the jobs go on. It is called after about as much time has passed; time also passes without it.
	Advance(d time.Duration)
	// Truth is what happened to each job that a source can know of, by id.
	Truth() map[string]Truth
	// Violations counts what the client did that the provider would refuse, by kind of violation. A good client has none.
	// Kinds that have "auth" or "token" in their names may be provoked by the suite.
	Violations() map[string]int
}

// TokenService is a simulator that gives out tokens.
type TokenService interface {
	Service
	// ExpireTokens makes every token given out so far worthless.
	ExpireTokens()
	// TokenRequests is how many tokens were asked for.
	TokenRequests() int
}

// Truth is what really happened to a job.
type Truth struct {
	Phase  collector.Phase
	Events int // distinct events that a source can count; -1 if the provider keeps none
}
