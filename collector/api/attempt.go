package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// attempt is one call's way through its requests, one after the other.
type attempt struct {
	client  *Client
	request Request
	decode  func(*Decoder) error

	sent   int
	denied bool   // a 401 came before
	secret string // fingerprint of the credential before the retry of a 401
}

// run waits for its turn, asks once and takes in what the answer says about the service.
func (a *attempt) run(ctx context.Context) *Error {
	c := a.client
	ok, probe, wait, class := c.breaker.allow(time.Now())
	if !ok {
		return &Error{Class: class, Detail: "not asked, the last requests failed", RetryAfter: wait}
	}
	release, err := c.gate.acquire(ctx)
	if err != nil {
		c.breaker.done(time.Now(), probe, unknown, "")
		return asError(err)
	}
	defer release()
	if a.sent == 0 {
		c.budget.request(time.Now())
	}
	a.sent++
	start := time.Now()
	status, failure := a.ask(ctx)
	now := time.Now()
	code := "error"
	if status != 0 {
		code = strconv.Itoa(status)
	}
	c.observer.Request(a.request.Operation, code, now.Sub(start))
	c.breaker.done(now, probe, judge(ctx, status, failure), classOrNone(failure))
	if status != 0 && status != http.StatusUnauthorized && status != http.StatusTooManyRequests && status < 500 {
		c.gate.accepted(start)
	}
	return failure
}

// judge says what an attempt means for the breaker. That the caller gave up says nothing about the host.
func judge(ctx context.Context, status int, failure *Error) outcome {
	switch {
	case failure == nil:
		return worked
	case status >= 500, failure.retry != never && (status == 0 || status == http.StatusOK):
		return failed
	case status == 0 && (ctx.Err() != nil || failure.Class == classAuth):
		return unknown
	case status == 0:
		return failed
	}
	return worked
}

func classOrNone(e *Error) string {
	if e == nil {
		return ""
	}
	return e.Class
}

// ask sends the request once. status is 0 without an answer.
func (a *attempt) ask(ctx context.Context) (status int, failure *Error) {
	c := a.client
	attemptCtx, cancel := context.WithTimeout(ctx, time.Duration(c.config.Timeout))
	defer cancel()
	start := time.Now()
	req, err := a.build(attemptCtx)
	if err != nil {
		return 0, &Error{Detail: "the request cannot be built"}
	}
	if s := c.config.Signer; s != nil {
		if err := s.Sign(attemptCtx, req); err != nil {
			return 0, unsigned(err)
		}
	}
	collector.Spend(ctx)
	// The transport is used without http.Client: nothing follows a redirect or keeps a cookie.
	resp, err := c.transport.rt.RoundTrip(req)
	if err != nil {
		c.observer.Budget(c.gate.remaining())
		return 0, transportError(ctx, err, c.transport.setting)
	}
	defer resp.Body.Close() // of a body only read from: nothing is lost
	now := time.Now()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.observer.Skew(date.Add(time.Second / 2).Sub(start.Add(now.Sub(start) / 2))) // the header cuts off the fraction
	}
	if limit, remaining, ok := serverBudget(resp.Header); ok {
		c.observer.Budget(limit, remaining)
	} else {
		c.observer.Budget(c.gate.remaining())
	}
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode, a.refusal(req, resp, start, now)
	}
	if e := a.read(ctx, resp); e != nil {
		e.Status = resp.StatusCode
		return resp.StatusCode, e
	}
	return resp.StatusCode, nil
}

// unsigned is the error of a request that could not be signed. Its class is that of what went wrong, such as the token's request.
func unsigned(err error) *Error {
	e := asError(err)
	e.retry = never
	return e
}

func (a *attempt) build(ctx context.Context) (*http.Request, error) {
	r := &a.request
	target := (&url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}).String()
	req, err := http.NewRequestWithContext(ctx, r.Method, target, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	if len(r.Body) == 0 {
		req.Body, req.GetBody, req.ContentLength = nil, nil, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", a.client.agent)
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	return req, nil
}

// read decodes the body of a success.
func (a *attempt) read(ctx context.Context, resp *http.Response) *Error {
	if e := checkBody(resp); e != nil {
		return e
	}
	body := io.Reader(resp.Body)
	raw := rawTap{show: a.request.Raw}
	if raw.show != nil {
		raw.show(nil)
		body = io.TeeReader(body, &raw)
	}
	d := a.client.decoders.Get().(*Decoder)
	d.reset(body, a.client.config.limits(), a.request.MaxItems)
	err := d.document(a.decode)
	broken := d.filter.broken()
	if rest := a.client.config.MaxBodyBytes - raw.n; err != nil && broken == nil && raw.show != nil && rest > 0 {
		_, _ = io.CopyN(io.Discard, body, rest) // what comes is shown; how it ends matters no more
	}
	if d.reusable() {
		d.filter.src = nil
		a.client.decoders.Put(d)
	}
	switch {
	case err == nil:
		return nil
	case broken != nil:
		return transportError(ctx, broken, a.client.transport.setting)
	}
	return asError(err)
}

// rawTap shows what is read of an answer.
type rawTap struct {
	show func([]byte)
	n    int64
}

// Write implements [io.Writer].
func (t *rawTap) Write(b []byte) (int, error) {
	t.n += int64(len(b))
	t.show(b)
	return len(b), nil
}

// checkBody refuses an answer that cannot be JSON.
func checkBody(resp *http.Response) *Error {
	ct := resp.Header.Get("Content-Type")
	switch {
	case resp.StatusCode == http.StatusNoContent, resp.ContentLength == 0:
		return &Error{Class: classDecode, Detail: "the answer is empty"}
	case !isJSON(ct):
		kind, _, _ := mime.ParseMediaType(ct)
		return &Error{Class: classDecode, Detail: fmt.Sprintf("the answer is of type %q, not JSON; check base_url", clean(kind, 60))}
	case resp.Header.Get("Content-Encoding") != "":
		return &Error{Class: classDecode, Detail: "the answer is encoded in a way that was not asked for"}
	}
	return nil
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// refusal makes an error of an answer that is not a success, and slows down as it demands.
func (a *attempt) refusal(req *http.Request, resp *http.Response, start, now time.Time) *Error {
	c, status := a.client, resp.StatusCode
	if status/100 == 3 {
		return &Error{Status: status, Class: classOther, Detail: redirect(resp)}
	}
	e := &Error{Status: status, Detail: detail(resp)}
	e.Class = statusClass(status, e.Detail)
	wait, said := retryAfter(resp.Header, now)
	switch {
	case status == http.StatusTooManyRequests:
		if !said {
			wait, said = resetAfter(resp.Header, now)
		}
		e.RetryAfter, e.retry = c.gate.refused(start, now, wait, said), later
	case isPassing(status):
		e.retry = later
		if said {
			e.RetryAfter = wait
			c.gate.pause(now, wait)
		}
	case status == http.StatusUnauthorized:
		if s := c.config.Signer; s != nil {
			s.Refused(req)
		}
		a.unauthorized(e, start, now)
	case e.Class == classAuth:
		e.Detail = joinDetail(e.Detail, "the credential may not do this; "+c.transport.setting)
	}
	return e
}

// unauthorized tries again once, for the key's file may have been replaced since it was read; then the credential rests.
func (a *attempt) unauthorized(e *Error, start, now time.Time) {
	c := a.client
	if !a.denied {
		a.denied, a.secret, e.retry = true, c.transport.fingerprint(), atOnce
	} else {
		c.gate.denied(start, now, a.secret, c.transport.setting)
	}
	e.Detail = joinDetail(e.Detail, "the credential is refused; "+c.transport.setting)
}

func joinDetail(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// redirect says where the service wants to send us, by host only: the rest may carry a token.
func redirect(resp *http.Response) string {
	to, err := resp.Location()
	if err != nil || to.Host == "" {
		return "redirected, which is never followed"
	}
	return fmt.Sprintf("redirected to %s://%s, which is never followed; if that is the service, set base_url to it", clean(to.Scheme, 10), clean(to.Host, 100))
}

// asError is err as an Error that may be changed.
func asError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Class: classOther, Detail: err.Error(), Err: err}
	}
	own := *e
	if err != error(e) { //nolint:errorlint // the question is whether it was wrapped, in words that say more
		own.Detail, own.Err = err.Error(), err
	}
	return &own
}
