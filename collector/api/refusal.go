package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// refusal makes an error of an answer that is not a success, and slows down as it demands.
func (a *attempt) refusal(req *http.Request, resp *http.Response, start, now time.Time) *Error {
	c, status := a.client, resp.StatusCode
	if status/100 == 3 {
		return &Error{Status: status, Class: classOther, Detail: redirect(resp), RequestID: requestID(resp)}
	}
	said := toldBy(resp)
	e := said.onto(&Error{Status: status, RequestID: requestID(resp)})
	e.Class = statusClass(status, e.Code, said.text()+" "+e.foreign)
	wait, ok := said.wait(resp.Header, now)
	switch {
	case status == http.StatusTooManyRequests:
		e.RetryAfter, e.retry = c.gate.refused(start, now, wait, ok, e.Class == classQuota), later
	case isPassing(status):
		e.retry = later
		if ok {
			e.RetryAfter = wait
			c.gate.pause(now, wait)
		}
	case isRefusedCredential(status, e.Code):
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

// unsigned is the error of a request that could not be signed. Its class is that of what went wrong, such as the token's own
// request; but that the token's address is not found says nothing about what was asked for, and no status is an answer to it.
func unsigned(ctx context.Context, err error, setting string) *Error {
	if ctx.Err() != nil {
		return contextError(ctx, "the request was not signed")
	}
	out := &Error{Class: collector.ClassOf(err), Detail: "not asked, no credential: " + clean(err.Error(), maxUnsignedRunes), Err: err}
	var e *Error
	var path *fs.PathError
	switch {
	case errors.As(err, &e):
		out.RetryAfter = e.RetryAfter
	case out.Class == classOther, errors.As(err, &path):
		out.Class = classAuth
	}
	if out.Class == classNotFound {
		out.Class = class4xx
	}
	if out.Class == classAuth && setting != "" {
		out.Detail = joinDetail(out.Detail, setting)
	}
	return out
}

// maxUnsignedRunes bounds the text of a signer: it may hold that of a whole error of another request.
const maxUnsignedRunes = 600

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

// requestID is what the service calls this request, for its support to find it.
func requestID(resp *http.Response) string {
	h := resp.Header
	id := cmp.Or(h.Get("X-Ncp-Request-Id"), h.Get("X-Request-Id"), h.Get("X-Correlation-Id"))
	return clean(redact(clean(id, maxErrorBytes), resp.Request), maxCodeRunes)
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
