package aitems

import (
	"errors"
	"net/http"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// failure is a failed request in words for a person: what was done, what happened, what to check.
type failure struct {
	doing, hint, class string
	cause              error
}

// Error implements error.
func (f *failure) Error() string {
	text := f.doing + ": " + f.cause.Error()
	if f.hint != "" {
		text += ": " + f.hint
	}
	return text
}

// Unwrap gives the cause.
func (f *failure) Unwrap() error { return f.cause }

// ErrorClass implements [collector.Classified].
func (f *failure) ErrorClass() string { return f.class }

// explain says what a failed request means and what a person can do.
func (s *Source) explain(doing string, err error) error {
	f := &failure{doing: "source " + s.name + ": " + doing, class: collector.ClassOf(err), cause: err}
	var e *api.Error
	if errors.As(err, &e) {
		f.hint = s.hint(e)
	}
	return f
}

// permissionCode is the gateway's code, with 401, of a key that is accepted and may not do this.
const permissionCode = "210"

// hint adds what the client, which knows little of the gateway, does not say itself.
func (s *Source) hint(e *api.Error) string {
	switch {
	case e.Class == "auth" && s.clock.wrong():
		return s.clock.problem() + ": synchronize it (NTP)"
	case isForbidden(e):
		return "the key is accepted and may not see this: give its sub account the permission to view AiTEMS services and trainings, " +
			"or name the services it may see in services"
	case e.Status == http.StatusUnauthorized:
		return "access_key and secret_key must be one pair of an account or sub account, both active and copied whole " +
			"(console: API authentication keys)"
	case e.Status == http.StatusNotFound, e.Class == "decode" && e.Status != 0:
		return "if this goes on, check base_url: it is " + defaultBase + " in the documentation"
	case e.Class == "quota":
		return "the quota of calls is used up, more requests do not mend that: raise it in the console, or lengthen list_interval"
	case e.Class == "too_large":
		return "if the service sends very many trainings at once, raise max_body_bytes and max_items"
	case e.Class == "rate_limited":
		return "lower rate_limit or lengthen list_interval"
	case e.Class == "dns", e.Class == "connect", e.Class == "tls":
		return "check base_url, and the way to it (firewall, proxy_url)"
	}
	return ""
}

// isForbidden reports whether the key was accepted and may not see what was asked for.
func isForbidden(e *api.Error) bool {
	return e.Class == "auth" && (e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized && e.Code == permissionCode)
}

// isHidden reports whether a failure is that of one service, which is not there or may not be seen.
func isHidden(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && (isForbidden(e) || e.Class == "not_found")
}

// isGeneral reports whether a failure will be that of every other request too.
func isGeneral(err error) bool {
	switch collector.ClassOf(err) {
	case "auth", "quota", "rate_limited", "dns", "connect", "tls":
		return true
	}
	return false
}
