package wandb

import (
	"errors"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// failure is a failed poll in words for a person: which source and job, what happened, what to check.
type failure struct {
	subject, hint, class string
	cause                error
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
func (f *failure) ErrorClass() string { return f.class }

// explain says what a failed request means and what a person can do. The job id may be empty.
func (s *Source) explain(jobID string, err error) error {
	f := &failure{subject: "source " + s.name, class: collector.ClassOf(err), cause: err}
	if jobID != "" {
		f.subject += ": job " + jobID
	}
	var e *api.Error
	if errors.As(err, &e) {
		f.hint = advice(e)
		if f.class == "not_found" {
			f.class = "http_4xx" // a job that is not found is no failure: this is some proxy
		}
	}
	switch {
	case errors.Is(err, errIgnored):
		f.class = "decode"
	case errors.Is(err, errRefused):
		f.class = "http_4xx"
	}
	return f
}

// advice adds what the client, which knows nothing of W&B, does not say itself.
func advice(e *api.Error) string {
	switch {
	case e.Status == 401 || e.Status == 403:
		return "it must be a W&B API key that may see the job (" + keyVariable + " is used where none is configured)"
	case e.Status == 404 || e.Status == 410:
		return "the answer is not the training API's: check base_url, with its path"
	case e.Status == 422 || e.Status == 400:
		return "the service does not take this job id: check where the job is listed"
	case e.Status == 429:
		return "lower rate_limit or lengthen poll_intervals"
	case e.Status >= 500 && e.Detail == "":
		return "the service or a proxy before it fails; it is asked again"
	}
	return ""
}
