package tensorone

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// Follow implements [collector.Follower]. It is one read, or two where checkpoints have an endpoint of their own.
func (s *Source) Follow(ctx context.Context, job *collector.Job) (collector.Update, error) {
	id := job.Key.ID
	u := collector.Update{Key: job.Key, Polled: true}
	if err := checkID(id); err != nil {
		return u, fmt.Errorf("source %s: job id %q: %w", s.name, id, err)
	}
	r, err := s.readJob(ctx, id)
	u.At = collector.TimeOf(time.Now())
	if isMissing(err) {
		s.missing(job, &u)
		return u, nil
	}
	if err != nil {
		return u, s.explain("get job "+id, err)
	}
	total := amount{}
	if s.config.Checkpoints == endpoint && r.status != "queued" {
		if total, err = s.addCheckpoints(ctx, id, r); err != nil {
			return u, s.explain("list checkpoints of job "+id, err)
		}
		u.At = collector.TimeOf(time.Now())
	}
	u.Info = s.infoOf(id, r.info)
	r.tellPhase(job, &u)
	s.jobs.noted(id, r.updated)
	u.Readings = r.current(job, &u)
	tellCheckpoints(job, r, total, &u)
	u.Unknown = s.news(id, r.odd)
	return u, nil
}

// readJob asks for a job, with its metrics and never with its logs.
func (s *Source) readJob(ctx context.Context, id string) (r *report, err error) {
	u := s.at("training", "jobs", id)
	u.RawQuery = url.Values{"includeMetrics": {"true"}, "includeLogs": {"false"}}.Encode()
	err = s.client.JSON(ctx, api.Request{Operation: "job", URL: u}, func(d *api.Decoder) (err error) {
		if r, err = readReport(d, &s.config.Units); err == nil && r.id != id {
			err = errors.New("the answer is that of another job")
		}
		return err
	})
	return r, err
}

// missing is what a job that the service does not know means: nothing while it may not have been created yet in every place.
func (s *Source) missing(job *collector.Job, u *collector.Update) {
	young := u.At.Sub(job.FirstSeen) < time.Duration(s.config.CreationGrace) && job.Status == "" && job.EventCount() == 0
	u.NotFound, u.Early = !young, young
}

// checkpointLimit is how many checkpoints are asked for; the endpoint has no documented way to ask for more.
const checkpointLimit = 100

// addCheckpoints asks for the list of checkpoints and adds it to what came with the job. A failure costs its answer and not the job's.
func (s *Source) addCheckpoints(ctx context.Context, id string, r *report) (total amount, err error) {
	u := s.at("training", "jobs", id, "checkpoints")
	u.RawQuery = url.Values{"limit": {strconv.Itoa(checkpointLimit)}}.Encode()
	var rd *reader
	err = s.client.JSON(ctx, api.Request{Operation: "checkpoints", URL: u}, func(d *api.Decoder) error {
		rd, total = &reader{units: &s.config.Units, r: &report{}}, amount{}
		err := d.Object(func(key string) (err error) {
			switch key {
			case "checkpoints":
				err = rd.checkpoints(d)
			case "totalCount", "total":
				total.value, total.ok, err = rd.amount(d, "checkpoints."+key)
			}
			return err
		})
		if err == nil && !rd.r.listed {
			err = errors.New("the answer has no list of checkpoints")
		}
		return err
	})
	switch {
	case err == nil:
	case ctx.Err() != nil || api.IsAuth(err):
		return amount{}, err
	default:
		if s.told.First("checkpoints") {
			s.log.Warn("checkpoints cannot be listed, those that come with jobs are used: if this goes on, set checkpoints: embedded to save the read",
				"job", id, "err", err)
		}
		return amount{}, nil
	}
	r.checkpoints = append(rd.r.checkpoints, r.checkpoints...)
	r.bad = append(rd.r.bad, r.bad...)
	r.odd = append(r.odd, rd.r.odd...)
	r.listed = true
	if total.ok && total.value > float64(len(r.checkpoints)) && s.told.First("total "+id) {
		s.log.Warn("a job has more checkpoints than the service shows", "job", id, "shown", len(r.checkpoints), "total", total.value)
	}
	return total, nil
}

// live are the readings that leave when an answer no longer has them. All others keep their last value: a job that has ended says
// little more.
var live = []collector.Metric{
	collector.GPUUtilization, collector.GPUMemoryUsage, collector.MemoryUsage, collector.StorageUsage, collector.SamplesPerSecond,
	collector.TokensPerSecond, collector.LastStepDuration, collector.EstimatedEnd,
}

// current are the readings of an answer: with the estimated end, with nulls only where they withdraw what was there or tell of
// a loss that is not finite, and what is gone withdrawn.
func (r *report) current(job *collector.Job, u *collector.Update) []collector.Reading {
	running := u.HasPhase && u.Phase == collector.Running
	out := make([]collector.Reading, 0, len(r.readings)+4)
	stepped := false
	for _, rd := range r.readings {
		stepped = stepped || rd.Metric == collector.Step && rd.Value > 0
	}
	for _, rd := range r.readings {
		_, had := job.Reading(rd.Metric, rd.Label)
		first := rd.Metric == collector.Loss && rd.Label == "train" && stepped
		if !rd.Null || running && (had || first) {
			out = append(out, rd)
		}
	}
	ended := u.HasPhase && u.Phase.Ended() || !u.HasPhase && job.Phase.Ended()
	if r.told && !ended {
		base := r.updated
		if !base.Known() || base > u.At {
			base = u.At
		}
		out = append(out, collector.Reading{Metric: collector.EstimatedEnd, Value: base.Add(r.remaining).Seconds()})
	}
	if ended {
		return out
	}
	for _, old := range job.Readings {
		gone := func(rd collector.Reading) bool { return rd.Metric == old.Metric && rd.Label == old.Label }
		if !old.Null && slices.Contains(live, old.Metric) && !slices.ContainsFunc(out, gone) {
			out = append(out, collector.Reading{Metric: old.Metric, Label: old.Label, Gone: true})
		}
	}
	return out
}

// news are the names that were not told of the job within the hour: what is odd in an answer is odd in the next, too.
func (s *Source) news(id string, odd []string) []string {
	slices.Sort(odd)
	return slices.DeleteFunc(slices.Compact(odd), func(name string) bool { return !s.odd.First(id + " " + name) })
}
