package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// An Observer hears what a client does. Its methods are called from several goroutines and must not block.
type Observer interface {
	// Request is called once per attempt; code is the HTTP status as text, or "error" if there was no answer.
	Request(operation, code string, took time.Duration)
	// Budget is called after each attempt, with how many requests may be made in all and now: by our limiter (its burst, and
	// what is left of it), or by the service's own rate headers where those hold us back or leave less.
	Budget(limit, remaining float64)
	// Skew is called with the service's clock minus ours, which is known to about a second.
	Skew(d time.Duration)
}

// A Request is one question to a service.
type Request struct {
	Operation  string // a word from a small fixed set, for metrics and errors
	Method     string // GET if empty
	URL        *url.URL
	Header     http.Header // beside Accept, User-Agent and what Config adds
	Body       []byte
	Idempotent bool // the service may be asked twice; GET and HEAD always may
	MaxItems   int  // elements of any one list in the answer: the page size asked for, and some; 0 is no bound beside Config's
	// Raw is called with the answer as it is written, part by part, up to Config.MaxBodyBytes and a last part, also behind the
	// place where it cannot be decoded. It begins anew with every attempt that is answered: then it is called with nil.
	Raw func([]byte)
}

// A Client asks one service with one credential. It is safe for concurrent use, starts no goroutine of its own and must be
// closed to let go of idle connections.
type Client struct {
	name      string
	config    Config
	observer  Observer
	log       *slog.Logger
	transport *transport
	gate      *gate
	breaker   breaker
	budget    retryBudget
	agent     string
	decoders  sync.Pool
}

// maxAttempts is how often one call asks at most.
const maxAttempts = 3

// New makes the client of the source called name. It reads the credential's environment variable and certificate
// files, and sends nothing. observer and log may be nil.
func New(name string, c Config, observer Observer, log *slog.Logger) (*Client, error) {
	c.SetDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	t, err := newTransport(c)
	if err != nil {
		return nil, err
	}
	return newClient(name, c, t, observer, log), nil
}

func newClient(name string, c Config, t *transport, observer Observer, log *slog.Logger) *Client {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if observer == nil {
		observer = deaf{}
	}
	client := &Client{
		name: name, config: c, observer: observer, log: log, transport: t, agent: UserAgent(),
		gate: newGate(c, t.fingerprint, log),
	}
	client.decoders.New = func() any { return new(Decoder) }
	client.breaker.notified = func(open bool, class string, rest time.Duration) {
		if open {
			log.Warn("service fails, requests rest", "class", class, "rest", rest.Round(time.Millisecond))
		} else {
			log.Info("service answers again")
		}
	}
	return client
}

// deaf is the observer of a client that has none.
type deaf struct{}

func (deaf) Request(string, string, time.Duration) {}
func (deaf) Budget(float64, float64)               {}
func (deaf) Skew(time.Duration)                    {}

// Rate is how many requests a second may be made now: the configured rate, or less while the service slows us down. Whoever plans
// requests plans with it.
func (c *Client) Rate() float64 { return c.gate.current() }

// Close lets go of idle connections. Requests under way go on.
func (c *Client) Close() { c.transport.closeIdle() }

// JSON asks and hands the answer to decode, as often as it takes: decode must begin from scratch each time it is called, and
// may leave any part of the answer unread. JSON returns when decode has returned nil and the answer was read to its end, or
// with an [Error], inside the deadline of ctx. An error of decode is wrapped and not tried again.
func (c *Client) JSON(ctx context.Context, r Request, decode func(*Decoder) error) error {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if err := c.config.CheckURL(r.URL); err != nil {
		return &Error{Operation: r.Operation, Class: classOther, Detail: "the URL " + err.Error()}
	}
	a := attempt{client: c, request: r, decode: decode}
	for n := 1; ; n++ {
		err := a.run(ctx)
		if err == nil {
			return nil
		}
		err.Operation, err.Method, err.URL, err.Attempts = r.Operation, r.Method, safeURL(r.URL), a.sent
		if err.Class == "" {
			err.Class = classOther
		}
		if !c.again(ctx, &a, err, n) {
			return err
		}
	}
}

// again decides whether the nth attempt, which ended in err, is followed by another, and waits until then. The pause that
// a service asked for is waited for by the gate.
func (c *Client) again(ctx context.Context, a *attempt, err *Error, n int) bool {
	r := &a.request
	repeatable := r.Idempotent || r.Method == http.MethodGet || r.Method == http.MethodHead
	if ctx.Err() != nil || n >= maxAttempts || !repeatable || err.retry == never {
		return false
	}
	if err.retry == atOnce {
		return true
	}
	now := time.Now()
	wait := backoff(n)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(now.Add(max(wait, err.RetryAfter, c.gate.pausedFor(now)))) {
		return false
	}
	return c.budget.take(now) && sleep(ctx, wait)
}

// contextError is the error of a call whose context ended while it waited.
func contextError(ctx context.Context, doing string) *Error {
	err := ctx.Err()
	e := &Error{Class: classOther, Detail: "the caller gave up: " + doing, Err: err}
	if errors.Is(err, context.DeadlineExceeded) {
		e.Class, e.Detail = classTimeout, "the deadline passed: "+doing
	}
	return e
}

// String names the client without anything secret in it.
func (c *Client) String() string { return fmt.Sprintf("client of source %s", c.name) }
