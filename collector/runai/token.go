package runai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// tokens gives requests a token, and asks for another one when that is about to end or was refused. It implements [api.Signer].
type tokens struct {
	client   *api.Client // without a credential
	base     *url.URL
	account  account
	fallback time.Duration // of a token that does not say how long it lasts
	expiry   func(time.Time)
	log      *slog.Logger

	busy chan struct{} // holds one: who asks for a token

	mu      sync.Mutex
	version string // of the endpoint; empty until one has answered
	token   string
	renew   time.Time // when to ask for another
	ends    time.Time
	rest    rest
}

// rest is the time after a failure in which nobody asks again, unless the secret changes.
type rest struct {
	until  time.Time
	length time.Duration
	secret string // fingerprint
	cause  *tokenError
}

const (
	firstRest = time.Second
	maxRest   = time.Minute
	denied    = time.Minute // the first rest of an account that was refused
	maxDenied = 5 * time.Minute
	// margin is how long before its end a token is renewed, or a quarter of its life if that is shorter.
	margin = time.Minute
)

// newTokens makes the signer of a source. Its requests are few: they have a small budget of their own, and count in that of the
// source too.
func newTokens(name string, c Config, base *url.URL, o api.Observer, expiry func(time.Time), log *slog.Logger) (*tokens, error) {
	t := &tokens{
		base: base, account: c.Token.account(), fallback: time.Duration(c.Token.DefaultLifetime), version: c.Token.Version,
		expiry: expiry, log: log, busy: make(chan struct{}, 1),
	}
	h := c.HTTP
	h.Signer, h.RateLimit, h.Burst, h.MaxInFlight = holder{t.account}, 1, 6, 1
	var err error
	t.client, err = api.New(name, h, o, log)
	return t, err
}

// holder is the signer of requests for a token: the account is in their body.
type holder struct{ account account }

// Sign implements [api.Signer].
func (holder) Sign(context.Context, *http.Request) error { return nil }

// Refused implements [api.Signer].
func (holder) Refused(*http.Request) {}

// Fingerprint implements [api.Signer].
func (h holder) Fingerprint() string { return h.account.fingerprint() }

// Setting implements [api.Signer].
func (h holder) Setting() string { return h.account.setting() }

// Sign implements [api.Signer].
func (t *tokens) Sign(ctx context.Context, r *http.Request) error {
	token, err := t.current(ctx)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// Refused implements [api.Signer]. The token is thrown away, unless it was replaced since.
func (t *tokens) Refused(r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && r.Header.Get("Authorization") == "Bearer "+t.token {
		t.token = ""
	}
}

// Fingerprint implements [api.Signer]: what is refused is the account. Another token of it is no other credential.
func (t *tokens) Fingerprint() string { return t.account.fingerprint() }

// Setting implements [api.Signer].
func (t *tokens) Setting() string { return t.account.setting() }

// current is a token that can be used, asked for if there is none.
func (t *tokens) current(ctx context.Context) (string, error) {
	if token := t.valid(time.Now()); token != "" {
		return token, nil
	}
	select {
	case t.busy <- struct{}{}:
		defer func() { <-t.busy }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if token := t.valid(time.Now()); token != "" { // another one has asked meanwhile
		return token, nil
	}
	return t.fetch(ctx)
}

// valid is the token in use, empty if it must be renewed.
func (t *tokens) valid(now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == "" || !now.Before(t.renew) {
		return ""
	}
	return t.token
}

// fetch asks for a token. One that has not ended yet does where that fails.
func (t *tokens) fetch(ctx context.Context) (string, error) {
	now, secret := time.Now(), t.account.fingerprint()
	err := t.resting(now, secret)
	if err == nil {
		err = t.ask(ctx, now, secret)
	}
	if ctx.Err() != nil && err != nil {
		return "", ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && time.Now().Before(t.ends) {
		return t.token, nil
	}
	if err != nil {
		return "", err
	}
	return t.token, nil
}

// resting is the failure that is rested from, or nil.
func (t *tokens) resting(now time.Time, secret string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.rest.until) && secret == t.rest.secret {
		again := *t.rest.cause
		again.again = t.rest.until.Sub(now)
		return &again
	}
	return nil
}

// ask makes the requests, and notes what came of them.
func (t *tokens) ask(ctx context.Context, now time.Time, secret string) error {
	got, err := t.request(ctx)
	if err != nil && passing(err) && sleep(ctx, time.Second) {
		got, err = t.request(ctx)
	}
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		return t.fail(err, secret)
	}
	life := lifetime(got.token, got.lasts, t.fallback, now)
	t.token, t.ends = got.token, now.Add(life)
	t.renew = t.ends.Add(-min(margin, life/4))
	t.rest = rest{}
	t.expiry(t.ends)
	return nil
}

// fail begins a rest.
func (t *tokens) fail(err error, secret string) error {
	failure := t.explain(err)
	first, most := firstRest, maxRest
	if failure.class == "auth" {
		first, most = denied, maxDenied
	}
	if t.rest.secret != secret || t.rest.cause != nil && t.rest.cause.class != failure.class {
		t.rest.length = 0
	}
	t.rest = rest{length: min(max(2*t.rest.length, first), most), secret: secret, cause: failure}
	t.rest.until = time.Now().Add(t.rest.length)
	if failure.class == "auth" {
		t.log.Error("the service gives no token, resting", "rest", t.rest.length, "err", failure, "check", t.account.setting())
	}
	return failure
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// passing reports whether a request for a token may go better in a moment.
func passing(err error) bool {
	switch collector.ClassOf(err) {
	case "connect", "timeout", "http_5xx":
		return true
	}
	return false
}

// given is an answer that has a token.
type given struct {
	token string
	lasts time.Duration // 0 if unsaid
}

// request asks the endpoint of the version that is set, or was found. Before version 2.24 there is no v2.
func (t *tokens) request(ctx context.Context) (given, error) {
	t.mu.Lock()
	version := t.version
	t.mu.Unlock()
	if version != "" {
		return t.requestFrom(ctx, version)
	}
	got, err := t.requestFrom(ctx, tokenV2)
	version = tokenV2
	if err != nil && absent(err) {
		version = tokenV1
		var older error
		if got, older = t.requestFrom(ctx, tokenV1); older == nil || !absent(older) {
			err = older
		}
	}
	if err == nil {
		t.mu.Lock()
		t.version = version
		t.mu.Unlock()
	}
	return got, err
}

// absent reports whether there is nothing behind a path: the service answers that with 404, or with the page of its user interface.
func absent(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed ||
		e.Status == http.StatusNotImplemented || e.Class == "decode" && e.Status == http.StatusOK)
}

func (t *tokens) requestFrom(ctx context.Context, version string) (given, error) {
	secret, err := t.account.secret()
	if err != nil {
		return given{}, err
	}
	r := api.Request{Operation: "token", Method: http.MethodPost, URL: t.base.JoinPath("api", version, "token")}
	switch {
	case version == tokenV2:
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {t.account.id}, "client_secret": {secret}}
		r.Body = []byte(form.Encode())
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	case t.account.app:
		r.Body, err = json.Marshal(map[string]string{"grantType": "app_token", "appID": t.account.id, "appSecret": secret})
	default:
		r.Body, err = json.Marshal(map[string]string{"grantType": "client_credentials", "clientID": t.account.id, "clientSecret": secret})
	}
	if err != nil {
		return given{}, err
	}
	var got given
	err = t.client.JSON(ctx, r, func(d *api.Decoder) error {
		got = given{}
		return got.read(d)
	})
	return got, err
}

// read reads an answer of either version.
func (g *given) read(d *api.Decoder) error {
	err := d.Object(func(key string) error {
		switch key {
		case "access_token", "accessToken", "expires_in", "expiresIn":
		default:
			return nil
		}
		v, err := d.Value()
		if err != nil {
			return err
		}
		if key == "access_token" || key == "accessToken" {
			g.token, _ = v.Text()
			return nil
		}
		if f, ok, _ := v.Float(); ok && v.Kind != api.Bool && f > 0 && f < maxLifetime.Seconds() {
			g.lasts = time.Duration(f * float64(time.Second))
		}
		return nil
	})
	if err == nil && !isToken(g.token) {
		return errors.New("the answer has no access token: is base_url the address of Run:ai?")
	}
	return err
}

// isToken reports whether a text can stand in a header.
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= api.MaxTokenBytes
}

// tokenError is why there is no token, in words for a person.
type tokenError struct {
	class string
	hint  string
	again time.Duration // before which nobody asks again
	cause error
}

// Error implements error.
func (e *tokenError) Error() string {
	text := e.cause.Error()
	if e.hint != "" {
		text += ": " + e.hint
	}
	if e.again > 0 {
		text += fmt.Sprintf(" (asked again in %v, or when the secret changes)", e.again.Round(time.Second))
	}
	return text
}

// Unwrap gives the cause.
func (e *tokenError) Unwrap() error { return e.cause }

// ErrorClass implements [collector.Classified].
func (e *tokenError) ErrorClass() string { return e.class }

// explain says what a failed request for a token means. A refused account is answered 401, or 400 with the words of OAuth 2, or
// plain 400 by the older endpoint.
func (t *tokens) explain(err error) *tokenError {
	out := &tokenError{class: collector.ClassOf(err), cause: err}
	var e *api.Error
	switch {
	case !errors.As(err, &e): // the secret cannot be read
		out.class = "auth"
	case e.Status == http.StatusBadRequest, e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		out.class = "auth" // the client adds what to check
	case absent(e):
		out.hint = "check base_url, and token.version where it is set"
	}
	return out
}
