package tensorone

import (
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

// phaseOf is the phase of a status. cancelling is documented with the request that causes it; American spellings are taken too.
func phaseOf(status string) (collector.Phase, bool) {
	p, ok := map[string]collector.Phase{
		"queued": collector.Pending, "initializing": collector.Initializing, "running": collector.Running, "paused": collector.Paused,
		"cancelling": collector.Stopping, "canceling": collector.Stopping, "completed": collector.Succeeded, "failed": collector.Failed,
		"cancelled": collector.Cancelled, "canceled": collector.Cancelled,
	}[strings.ToLower(status)]
	return p, ok
}

// tellPhase puts the state of a job into an update. before is what is known of it; nil if a listing tells.
func (r *report) tellPhase(before *collector.Job, u *collector.Update) {
	u.Created, u.Started = r.created, r.started
	if r.status == "" {
		return
	}
	phase, known := phaseOf(r.status)
	if !known {
		r.odd = append(r.odd, "status")
	}
	at := r.since(before, phase)
	if phase.Ended() {
		u.Ended = r.ended
	} else if before != nil && before.Phase.Ended() && !(phase == collector.Running && at > before.Ended) {
		r.odd = append(r.odd, "status.after_end") // an answer from before the end
		return
	}
	u.HasPhase, u.Phase, u.Status, u.PhaseAt = true, phase, r.status, at
	u.Observed = true
	if phase == collector.Failed {
		u.Message = r.message
	}
}

// since is when a phase began, where the answer tells. startedAt is that of the first running phase only: when a paused job went on is
// not told.
func (r *report) since(before *collector.Job, phase collector.Phase) collector.Time {
	switch {
	case phase.Ended() && r.ended.Known():
		return r.ended
	case phase.Ended():
		return r.updated
	case phase == collector.Pending:
		return r.created
	case phase != collector.Running:
		return 0
	case before == nil, before.Phase.Ended():
		return r.updated
	case before.Status == "", r.started > before.Since: // else it ran before
		return r.started
	}
	return 0
}
