package wandb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// fetchPage asks for the events of a job after the one with the given id, from the start of the list if it is empty. If not
// even the first element of a page can be read, it is asked for alone.
func (s *Source) fetchPage(ctx context.Context, jobID, after string) (*page, error) {
	r, err := s.fetchSome(ctx, jobID, after, pageLimit)
	if err == nil {
		return &r.page, nil
	}
	if p, ok := r.salvage(err, pageLimit); ok {
		return p, nil
	}
	if !r.inside || !isPoison(err) {
		return nil, err
	}
	if r, err = s.fetchSome(ctx, jobID, after, 1); err == nil {
		r.page.more = moreUnsaid // what is behind was not asked for
		return &r.page, nil
	}
	if p, ok := r.salvage(err, 1); ok {
		return p, nil
	}
	return nil, err
}

func (s *Source) fetchSome(ctx context.Context, jobID, after string, limit int) (*pageReader, error) {
	u := s.at("preview", "training-jobs", jobID, "events")
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if after != "" {
		q.Set("after", after)
	}
	u.RawQuery = q.Encode()
	r := &pageReader{stepKey: s.stepKey}
	request := api.Request{Operation: "events", URL: u, MaxItems: pageLimit + pageLimit/10}
	if limit == 1 {
		r.alone()
		request.Raw = r.see
	}
	return r, s.client.JSON(ctx, request, r.read)
}

// probeID is a job that nobody has, for a source that knows none.
const probeID = "00000000-0000-4000-8000-000000000000"

// Probe implements [collector.Prober]. It asks for one event of a configured job, or of one that does not exist: the answer
// tells whether the credential is taken.
func (s *Source) Probe(ctx context.Context) error {
	u := s.at("preview", "training-jobs", s.probeID, "events")
	u.RawQuery = "limit=1"
	err := s.client.JSON(ctx, api.Request{Operation: "probe", URL: u}, (&pageReader{}).read)
	var e *api.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e) || e.Status != 404 && e.Status != 422 || !fromService(e):
		return s.explain("", err)
	case e.Status == 404 && e.Detail == unrouted:
		return s.probePrefix(ctx)
	}
	return nil
}

// unrouted is what the service's framework says of a path that it does not have; a route may say the same of a job.
const unrouted = "Not Found"

// probePrefix tells a path that the service does not have from a job that it does not have, by its health route, which needs
// no credential.
func (s *Source) probePrefix(ctx context.Context) error {
	err := s.client.JSON(ctx, api.Request{Operation: "probe", URL: s.at("health")}, (*api.Decoder).Skip)
	if err == nil {
		return nil
	}
	if api.IsNotFound(err) {
		return fmt.Errorf("source %s: the service answers, but has no training API at %s: check the path of base_url "+
			"(it ends in /v1 at the documented addresses); the credentials were not tried", s.name, s.base.Redacted())
	}
	return s.explain("", err)
}

// readDetail asks for the job itself. The route is a bonus that not every deployment has: without an answer there is none.
func (s *Source) readDetail(ctx context.Context, jobID string) *jobDetail {
	d := &jobDetail{}
	if err := s.client.JSON(ctx, api.Request{Operation: "job", URL: s.at("preview", "training-jobs", jobID)}, d.read); err != nil {
		s.log.Debug("The job itself could not be read", "job", jobID, "err", err)
		return nil
	}
	return d
}

func (d *jobDetail) read(dec *api.Decoder) error {
	*d = jobDetail{}
	return dec.Object(func(key string) error {
		v, err := dec.Value()
		if err != nil {
			return err
		}
		switch key {
		case "status":
			d.status, _ = v.Text()
		case "created_at":
			d.created = timeOf(v)
		case "training_start":
			d.started = timeOf(v)
		case "training_end":
			d.ended = timeOf(v)
		case "error_message":
			d.message = messageOf(v)
		}
		return nil
	})
}

func timeOf(v api.Value) collector.Time {
	if s, ok := v.Text(); ok {
		if t := parseTime(s); t.Known() {
			return t
		}
	}
	f, _, _ := v.Float()
	return unixTime(f)
}

// isMissing reports whether the service itself said that there is no such job.
func isMissing(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && (e.Status == 404 || e.Status == 410) && fromService(e)
}

// isRefused reports whether a request may have failed because of the event it asked after.
func isRefused(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && (e.Status == 400 || e.Status == 404 || e.Status == 410 || e.Status == 422) && fromService(e)
}

// isPoison reports whether an answer was cut off by what it holds, and not by the way it came.
func isPoison(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && (e.Class == "too_large" || e.Class == "decode" && !strings.Contains(e.Detail, "ends in the middle"))
}

// fromService reports whether a refusal is the service's own, which always gives a reason in JSON, and not that of
// something before it.
func fromService(e *api.Error) bool { return e.Detail != "" }
