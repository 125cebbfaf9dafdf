package wandb

import (
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// jobDetail is what GET of a job tells. Only the id is documented; the rest has been seen by clients, in formats that
// nobody wrote down.
type jobDetail struct {
	status                  string
	created, started, ended collector.Time
	message                 string
}

// endings are the words that can only mean that a job ended.
var endings = map[string]collector.Phase{
	"COMPLETED": collector.Succeeded, "COMPLETE": collector.Succeeded, "SUCCEEDED": collector.Succeeded, "SUCCESS": collector.Succeeded,
	"FINISHED": collector.Succeeded,
	"FAILED":   collector.Failed, "FAILURE": collector.Failed, "ERROR": collector.Failed, "ERRORED": collector.Failed,
	"CANCELLED": collector.Cancelled, "CANCELED": collector.Cancelled,
}

// tell adds what GET told to an update that holds the events read after it. Events know better how a job ended; a word is
// used only where they say nothing to their end.
func (d *jobDetail) tell(job *collector.Job, u *collector.Update) {
	if d == nil {
		return
	}
	u.Created, u.Started = d.created, d.started
	phase := job.Phase
	for i := range u.Events {
		e := &u.Events[i]
		switch {
		case job.Knows(e.ID):
		case e.Type == collector.EndedEvent:
			u.Ended = d.ended
			return
		case e.Type == collector.StartedEvent, e.Type == collector.StepEvent:
			phase = collector.Running
		}
	}
	if job.Gone || phase.Ended() || d.status == "" {
		return
	}
	u.HasPhase, u.Phase, u.Status = true, phase, d.status
	if ending, ok := endings[strings.ToUpper(d.status)]; ok && !u.More {
		u.Phase, u.Message, u.Ended = ending, d.message, d.ended
	}
	if u.Phase == collector.Pending && job.Attempt == 1 { // it waits from its creation
		u.PhaseAt = d.created
	}
}

// timeFormats are those that a FastAPI service may write. A time without a zone is UTC.
var timeFormats = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999"}

// earliest is before any job of the service.
var earliest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// parseTime reads a time that is text.
func parseTime(s string) collector.Time {
	for _, f := range timeFormats {
		if t, err := time.Parse(f, s); err == nil && t.After(earliest) && t.Year() < 2200 {
			return collector.TimeOf(t)
		}
	}
	return 0
}

// unixTime reads a time that is a number: seconds since the epoch, or milliseconds where seconds would be absurd.
func unixTime(v float64) collector.Time {
	if v > 1e11 {
		v /= 1e3
	}
	if !(v > float64(earliest.Unix()) && v < 7e9) {
		return 0
	}
	return collector.Time(v * 1e9)
}
