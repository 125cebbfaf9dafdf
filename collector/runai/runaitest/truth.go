package runaitest

import (
	"maps"
	"time"
)

// JobTruth is what really happened to one workload.
type JobTruth struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Phase     string    `json:"phase"`
	Message   string    `json:"message,omitempty"`
	Result    string    `json:"result,omitempty"` // Completed or Failed, also of a workload that was deleted since
	Created   time.Time `json:"created"`
	PhaseAt   time.Time `json:"phase_at"`
	Completed time.Time `json:"completed,omitzero"`
	Deleted   time.Time `json:"deleted,omitzero"`

	Phases []PhaseTruth   `json:"phases"` // oldest first, Creating included
	Events map[string]int `json:"events"` // distinct events ever, pruned and deleted ones included, by reason
	Bad    int            `json:"bad"`    // null events ever

	Listed  int `json:"listed"`  // elements of the list of events now, null ones included
	Records int `json:"records"` // records of the history now

	RevisionEvents int `json:"revision_events"` // distinct events of revisions ever

	Polls    int       `json:"polls"` // requests made for this workload
	LastPoll time.Time `json:"last_poll,omitzero"`
}

// Distinct is how many distinct events there ever were.
func (t JobTruth) Distinct() int {
	n := 0
	for _, count := range t.Events {
		n += count
	}
	return n
}

// PhaseTruth is a phase and when it began.
type PhaseTruth struct {
	Phase   string    `json:"phase"`
	Message string    `json:"message,omitempty"`
	At      time.Time `json:"at"`
}

// tally counts events.
type tally struct {
	reasons map[string]int
	ids     map[string]bool
	bad     int
}

func (t *tally) event(e Event) {
	if t.reasons == nil {
		t.reasons, t.ids = make(map[string]int), make(map[string]bool)
	}
	t.reasons[e.Reason]++
	t.ids[e.ID] = true
}

// Truth says what has really happened so far, by workload id. Deleted workloads are included, purged ones are not.
func (s *Server) Truth() map[string]JobTruth {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make(map[string]JobTruth, len(s.all))
	for _, w := range s.all {
		out[w.ID] = w.report()
	}
	return out
}

// JobTruth says what has really happened to one workload; the zero value for an unknown one.
func (s *Server) JobTruth(id string) JobTruth {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if w := s.workloads[id]; w != nil {
		return w.report()
	}
	return JobTruth{}
}

func (w *workload) report() JobTruth {
	st := w.whole()
	out := JobTruth{
		ID: w.ID, Name: w.Name, Phase: w.phase, Message: w.message, Created: w.CreatedAt, PhaseAt: w.phaseAt,
		Completed: w.completed, Deleted: w.deleted, Events: maps.Clone(st.truth.reasons), Bad: st.truth.bad,
		Listed: len(st.rows), Records: len(st.phases), Polls: int(w.polls.Load()),
	}
	if at := w.lastPoll.Load(); at != 0 {
		out.LastPoll = time.Unix(0, at)
	}
	for _, p := range st.phases {
		out.Phases = append(out.Phases, p.PhaseTruth)
		switch p.Phase {
		case "Completed", "Failed":
			out.Result = p.Phase
		case "Deleting", "Terminating":
		default:
			out.Result = ""
		}
	}
	for _, r := range st.rows {
		if !r.NoHistory {
			out.Records++
		}
	}
	for _, r := range w.revisions {
		out.RevisionEvents += len(r.truth.ids)
	}
	return out
}
