package tensorone

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// nobodysJob is a job that does not exist, for a source that knows none.
const nobodysJob = "job_trainbridge_probe"

// versioned is a path that ends in the version of an API.
var versioned = regexp.MustCompile(`/v[0-9]+/?$`)

// Probe implements [collector.Prober]. It asks for the first job of the configuration; without one it asks for a page of one job, or, where
// jobs are not listed, for a job that does not exist: that it is not found is a good answer then.
func (s *Source) Probe(ctx context.Context) error {
	if len(s.static) > 0 {
		return s.probeJob(ctx, s.static[0].id)
	}
	if s.config.List != listOff {
		_, err := s.readPage(ctx, 0, 1)
		if err == nil {
			return nil
		}
		if s.config.List == listOn || !isUnlisted(err) {
			return s.explain("probe: list jobs", err)
		}
	}
	_, err := s.readJob(ctx, nobodysJob)
	if isMissing(err) && !versioned.MatchString(s.base.Path) {
		return &failure{
			doing: fmt.Sprintf("source %s: probe", s.name), class: collector.ClassOf(err), cause: err,
			hint: fmt.Sprintf("check base_url: its path is %q and does not end in a version, as %s does", s.base.Path, defaultBase),
		}
	}
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return s.explain("probe: get a job that does not exist", err)
	}
	return nil
}

func (s *Source) probeJob(ctx context.Context, id string) error {
	_, err := s.readJob(ctx, id)
	var e *api.Error
	switch {
	case err == nil:
		return nil
	case isMissing(err) && errors.As(err, &e):
		return &failure{
			doing: fmt.Sprintf("source %s: probe: get job %s", s.name, id), class: e.ErrorClass(), cause: err,
			hint: "the service answers and knows no such job: check jobs[0].id, the account of the key, and the path of base_url (" + defaultBase + ")",
		}
	}
	return s.explain("probe: get job "+id, err)
}
