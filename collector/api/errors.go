package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

// The closed set of classes, which is that of training_source_poll_errors_total.
const (
	classDNS         = "dns"
	classConnect     = "connect"
	classTLS         = "tls"
	classTimeout     = "timeout"
	classAuth        = "auth"
	classRateLimited = "rate_limited"
	classQuota       = "quota"
	classDecode      = "decode"
	classTooLarge    = "too_large"
	classNotFound    = "not_found"
	class4xx         = "http_4xx"
	class5xx         = "http_5xx"
	classOther       = "_OTHER"
)

// Classes lists the closed set of error classes.
func Classes() []string {
	return []string{
		classDNS, classConnect, classTLS, classTimeout, classAuth, classRateLimited, classQuota, classDecode, classTooLarge,
		classNotFound, class4xx, class5xx, classOther,
	}
}

// An Error is a request that did not give a decoded answer. Its text holds no credential, no query and no body beyond the
// service's own short message.
type Error struct {
	Operation  string        // of the request
	Method     string        // of the request
	URL        string        // of the request, without user and query
	Status     int           // of the answer, 0 if there was none
	Class      string        // one of Classes
	Detail     string        // what happened, and what to do where we know; of an answer's body only what was JSON
	Code       string        // the provider's own code of the failure, if it has one beside the status
	RequestID  string        // the provider's name of the request, for its support
	RetryAfter time.Duration // how long the service, or our own pause, asks to wait; 0 if nothing was said
	Attempts   int           // requests made for the call
	Err        error         // the cause, where its text is known to hold nothing secret

	foreign string // what a body said that is not JSON: likely not the service's
	retry   retryKind
}

// retryKind is whether an attempt is worth another.
type retryKind uint8

const (
	never retryKind = iota
	later           // after a wait
	atOnce
)

// Error implements error.
func (e *Error) Error() string {
	var parts []string
	if e.Operation != "" {
		parts = append(parts, e.Operation)
	}
	if e.URL != "" {
		parts = append(parts, e.Method+" "+e.URL)
	}
	if e.Status != 0 && e.Status != http.StatusOK {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))))
	}
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	if e.foreign != "" {
		parts = append(parts, "it says: "+e.foreign)
	}
	text := strings.Join(parts, ": ")
	if e.Code != "" && !strings.Contains(e.Detail, e.Code) {
		text += " (code " + e.Code + ")"
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	var cause *Error
	if e.RetryAfter > 0 && !(errors.As(e.Err, &cause) && cause.RetryAfter == e.RetryAfter) { // else it is in the text
		text += fmt.Sprintf(" (not before %v)", e.RetryAfter.Round(100*time.Millisecond))
	}
	if e.Attempts > 1 {
		text += fmt.Sprintf(" (%d attempts)", e.Attempts)
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrorClass is the class for metrics.
func (e *Error) ErrorClass() string {
	if slices.Contains(Classes(), e.Class) {
		return e.Class
	}
	return classOther
}

// ClassOf is the class of an error that came from this package, _OTHER for any other error, and empty for none.
func ClassOf(err error) string {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.ErrorClass()
	}
	return classOther
}

// IsNotFound reports whether the service said that there is no such thing.
func IsNotFound(err error) bool { return ClassOf(err) == classNotFound }

// IsAuth reports whether the service refused the credential, or it could not be read.
func IsAuth(err error) bool { return ClassOf(err) == classAuth }

// statusClass is the class of an answer that is not a success.
func statusClass(status int, code, text string) string {
	quota := strings.Contains(strings.ToLower(text), "quota")
	switch {
	case status == http.StatusTooManyRequests && code == gatewayQuota:
		return classQuota
	case status == http.StatusTooManyRequests && (code == gatewayThrottle || code == gatewayRate):
		return classRateLimited
	case status == http.StatusPaymentRequired,
		quota && (status == http.StatusTooManyRequests || status == http.StatusBadRequest || status == http.StatusForbidden):
		return classQuota
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return classAuth
	case status == http.StatusNotFound, status == http.StatusGone:
		return classNotFound
	case status == http.StatusTooManyRequests:
		return classRateLimited
	case status >= 500:
		return class5xx
	case status >= 400:
		return class4xx
	}
	return classOther
}

// Codes of the gateway before the services of NAVER Cloud, as documented, where they say more than the status they come with.
const (
	gatewayPermission = "210" // with 401: the credential is fine, and may not do this
	gatewayQuota      = "400" // these with 429
	gatewayThrottle   = "410"
	gatewayRate       = "420"
)

// isRefusedCredential reports whether an answer says that the credential itself is not accepted.
func isRefusedCredential(status int, code string) bool {
	return status == http.StatusUnauthorized && code != gatewayPermission
}

// isPassing reports whether a status may go away by itself.
func isPassing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// safeURL is u without what may be secret.
func safeURL(u *url.URL) string {
	if u == nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// clean makes foreign text fit to print: at most n runes, none of them invisible.
func clean(s string, n int) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if unicode.IsSpace(r) {
			r = ' '
		}
		if !unicode.IsPrint(r) {
			continue
		}
		if n--; n < 0 {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}
