package runai

import (
	"errors"
	"net/http"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// failure is a failed call in words for a person: which source and job, what happened, what to check.
type failure struct {
	subject, hint string
	cause         error
}

// Error implements error.
func (f *failure) Error() string {
	text := f.subject + ": " + f.cause.Error()
	if f.hint != "" {
		text += ": " + f.hint
	}
	return text
}

// Unwrap gives the cause.
func (f *failure) Unwrap() error { return f.cause }

// ErrorClass implements [collector.Classified].
func (f *failure) ErrorClass() string { return collector.ClassOf(f.cause) }

// explain says what a failed request means and what a person can do. The job id may be empty.
func (s *Source) explain(jobID string, err error) error {
	if err == nil {
		return nil
	}
	f := &failure{subject: "source " + s.name, cause: err}
	if jobID != "" {
		f.subject += ": workload " + jobID
	}
	var e *api.Error
	if errors.As(err, &e) {
		f.hint = s.advice(e, jobID)
	}
	return f
}

// advice adds what the client, which knows nothing of Run:ai, does not say itself.
func (s *Source) advice(e *api.Error, jobID string) string {
	switch {
	case e.Status == http.StatusForbidden:
		return "the account needs a role that may view workloads, in every project that is to be watched"
	case e.Status == http.StatusUnauthorized && s.tokens == nil && !hasCredential(&s.config.HTTP):
		return "set token.client_id and token.client_secret_file"
	case (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed) && jobID == "":
		return "the answer is not that of Run:ai: check base_url"
	case e.Status == http.StatusBadRequest && jobID == "":
		return "check filters; the fields that can be filtered by differ from version to version"
	case e.Status == http.StatusTooManyRequests:
		return "lower rate_limit or lengthen poll_intervals"
	case e.Class == "tls":
		return "check base_url and tls_config"
	case e.Class == "dns", e.Class == "connect" && e.Status == 0:
		return "check base_url"
	}
	return ""
}

// isMissing reports whether the service itself said that there is no such thing, which it does in JSON.
func isMissing(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusGone) && e.Detail != ""
}

// isRefused reports whether the service has a thing not, or not for us: its version does not know it, or the account may not.
func isRefused(err error) bool {
	var e *api.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return isMissing(err)
}
