package api

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
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
	attemptCtx, cancel := context.WithTimeout(ctx, time.Duration(c.config.Timeout))
	defer cancel()
	req, failure := a.prepare(attemptCtx)
	if failure != nil {
		c.breaker.done(time.Now(), probe, unknown, "")
		return failure
	}
	if a.sent == 0 {
		c.budget.request(time.Now())
	}
	a.sent++
	start := time.Now()
	status, failure := a.ask(ctx, req)
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

// prepare makes the request of one attempt, signed.
func (a *attempt) prepare(ctx context.Context) (*http.Request, *Error) {
	req, err := a.build(ctx)
	if err != nil {
		return nil, &Error{Detail: "the request cannot be built"}
	}
	s := a.client.config.Signer
	if s == nil {
		return req, nil
	}
	if err := s.Sign(chargeTo(ctx, a.client.gate), req); err != nil {
		return nil, unsigned(ctx, err, a.client.transport.setting)
	}
	return req, nil
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
func (a *attempt) ask(ctx context.Context, req *http.Request) (status int, failure *Error) {
	c := a.client
	start := time.Now()
	collector.Spend(ctx)
	// The transport is used without http.Client: nothing follows a redirect or keeps a cookie.
	resp, err := c.transport.rt.RoundTrip(req)
	if err != nil {
		c.observer.Budget(c.gate.budget(allowance{}))
		return 0, transportError(ctx, err, c.transport.setting)
	}
	defer resp.Body.Close() // of a body only read from: nothing is lost
	now := time.Now()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.observer.Skew(date.Add(time.Second / 2).Sub(start.Add(now.Sub(start) / 2))) // the header cuts off the fraction
	}
	said := allowanceOf(resp.Header, now)
	if resp.StatusCode != http.StatusTooManyRequests {
		c.gate.learn(start, now, said, resp.StatusCode/100 == 2)
	}
	if resp.StatusCode/100 != 2 {
		failure = a.refusal(req, resp, start, now)
	}
	c.observer.Budget(c.gate.budget(said))
	if failure != nil {
		return resp.StatusCode, failure
	}
	if e := a.read(ctx, resp); e != nil {
		e.Status, e.RequestID = resp.StatusCode, cmp.Or(e.RequestID, requestID(resp))
		return resp.StatusCode, e
	}
	return resp.StatusCode, nil
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
		req.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	return req, nil
}

// read decodes the body of a success.
func (a *attempt) read(ctx context.Context, resp *http.Response) *Error {
	if e := checkBody(resp); e != nil {
		return e
	}
	d := a.client.decoders.Get().(*Decoder)
	d.head.reset(resp.Body)
	body := io.Reader(&d.head)
	raw := rawTap{show: a.request.Raw}
	if raw.show != nil {
		raw.show(nil)
		body = io.TeeReader(body, &raw)
	}
	d.reset(body, a.client.config.limits(), a.request.MaxItems)
	err := d.document(a.decode)
	broken := d.filter.broken()
	said := toldIn200(resp, d.head.seen, err)
	if rest := a.client.config.MaxBodyBytes - raw.n; err != nil && broken == nil && raw.show != nil && rest > 0 {
		_, _ = io.CopyN(io.Discard, body, rest) // what comes is shown; how it ends matters no more
	}
	if d.reusable() {
		d.filter.src, d.head.src = nil, nil
		a.client.decoders.Put(d)
	}
	switch {
	case err == nil:
		return nil
	case broken != nil:
		return transportError(ctx, broken, a.client.transport.setting)
	}
	return said.onto(asError(err))
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
