package tensorone

import (
	"errors"
	"fmt"
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
	if f.class == "not_found" && !isMissing(err) {
		f.class = "http_4xx" // something before the service said so
	}
	return f
}

// hint adds what the client, which knows nothing of TensorOne, does not say itself.
func (s *Source) hint(e *api.Error) string {
	switch {
	case e.Status == http.StatusUnauthorized && s.config.BareKey:
		return "it must be a whole API key of TensorOne (tpo_...); most of its documentation has the word Bearer before it: try without bare_key"
	case e.Status == http.StatusUnauthorized:
		return "it must be a whole API key of TensorOne (tpo_...)"
	case e.Status == http.StatusForbidden:
		return "the key is known and may not do this: give it the scope training (a Read key is enough)"
	case e.Class == "rate_limited" && e.Status == 0:
		return fmt.Sprintf("the reads of reads_per_hour (%d) are used up for now; lengthen poll_intervals, or raise it if the plan allows more",
			s.config.ReadsPerHour)
	case e.Class == "rate_limited", e.Class == "quota":
		return fmt.Sprintf("the service allows fewer reads than reads_per_hour (%d), or others use the same account: lower it",
			s.config.ReadsPerHour)
	case e.Operation == "list" && isUnlisted(e):
		return "the listing is not documented: set list: auto or off, and name jobs in jobs or job_files"
	case e.Status == http.StatusNotFound, e.Class == "decode" && e.Status != 0:
		return "if this goes on, check base_url: it is " + defaultBase + " in the documentation"
	case e.Class == "dns", e.Class == "connect", e.Class == "tls":
		return "check base_url, and the way to it (firewall, proxy_url)"
	}
	return ""
}

// isMissing reports whether the service itself said that there is no such job: it gives a reason in JSON, and what stands before it does not.
func isMissing(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusGone) && fromService(e)
}

func fromService(e *api.Error) bool { return e.Detail != "" }
