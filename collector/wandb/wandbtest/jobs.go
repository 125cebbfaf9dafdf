package wandbtest

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Job describes a job to add.
type Job struct {
	ID      string // a UUID made from the server's seed when empty
	ModelID string // may be empty or unknown
	Kind    Kind   // default RL
}

// job is guarded by its mutex but for what never changes.
type job struct {
	id      string
	modelID string
	model   *model // nil if unknown
	kind    Kind
	faults  atomic.Pointer[faultState]

	mu       sync.Mutex
	list     list
	truth    tally
	polls    int
	lastPoll time.Time
}

// AddJob adds a job that has no events yet and returns its id. The id of a job that exists changes nothing.
func (s *Server) AddJob(j Job) string {
	if j.ID == "" {
		j.ID = s.newID()
	}
	if j.Kind == "" {
		j.Kind = RL
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[j.ID] != nil {
		return j.ID
	}
	m := s.models[j.ModelID]
	s.jobs[j.ID] = &job{
		id: j.ID, modelID: j.ModelID, model: m, kind: j.Kind,
		truth: tally{created: s.o.Now(), result: Queued, loss: math.NaN()},
	}
	if m != nil {
		m.mu.Lock()
		m.jobs++
		m.mu.Unlock()
	}
	return j.ID
}

// Append commits events at the end of a job's list. An event whose id the job already has is listed again but is not
// counted in Truth. An unknown job is ignored.
func (s *Server) Append(jobID string, events ...Event) {
	j := s.job(jobID)
	if j == nil {
		return
	}
	now := s.o.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range events {
		known := false
		if e.ID == "" {
			e.ID = s.newID()
		} else {
			known = j.list.find(e.ID) >= 0
		}
		j.push(e, now, known)
	}
}

// appendNew is Append for one event whose id is known to be new. It returns the event as it is sent.
func (s *Server) appendNew(jobID string, e Event) string {
	j := s.job(jobID)
	if j == nil {
		return ""
	}
	now := s.o.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.push(e, now, false)
}

func (j *job) push(e Event, now time.Time, known bool) string {
	r := encodeEvent(e)
	j.list.push(r)
	if !known {
		j.truth.fold(e, now, false)
	}
	return r.enc
}

// InsertLate commits an event earlier in the list than existing ones: before the event at place before, 0 being the
// oldest that is listed. A client that only reads on from the newest id never sees it.
func (s *Server) InsertLate(jobID string, before int, e Event) {
	j := s.job(jobID)
	if j == nil {
		return
	}
	if e.ID == "" {
		e.ID = s.newID()
	}
	now := s.o.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	known := j.list.find(e.ID) >= 0
	late := before < j.list.len()
	j.list.insert(before, encodeEvent(e))
	if !known {
		j.truth.fold(e, now, late)
	}
}

// Prune drops the n oldest events of a job from its list, as a retention period would.
func (s *Server) Prune(jobID string, n int) {
	if j := s.job(jobID); j != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.list.prune(n)
	}
}

// Remove forgets a job: it is answered with 404 from now on. The sums of its model keep what it did.
func (s *Server) Remove(jobID string) {
	s.mu.Lock()
	j := s.jobs[jobID]
	delete(s.jobs, jobID)
	s.mu.Unlock()
	if j == nil || j.model == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.model.mu.Lock()
	defer j.model.mu.Unlock()
	j.model.removedSteps += j.truth.steps()
	switch j.truth.result {
	case Success:
		j.model.removedEnded++
	case Failure:
		j.model.removedFailed++
	}
}

// AddBacklog adds jobs running jobs with events events each (training_started, then gradient steps) and returns their
// ids. The events are computed when they are read, so that millions of them take no memory; more can be appended.
func (s *Server) AddBacklog(jobs, events int) []string {
	modelID := s.AddModel(s.o.Entity, "backlog", "backlog", "Qwen/Qwen3-14B")
	ids := make([]string, jobs)
	for i := range ids {
		ids[i] = s.AddJob(Job{ModelID: modelID})
		if events > 0 {
			s.job(ids[i]).setBacklog(events, s.o.Now())
		}
	}
	return ids
}

func (j *job) setBacklog(events int, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	g := backlog{seed: mix(hashName(j.id)), to: events, planned: events - 1}
	j.list.gen = g
	t := &j.truth
	t.planned = g.planned
	t.events[0], t.events[1] = 1, events-1
	t.run(now)
	if events > 1 {
		t.lastStep, t.loss = now, g.loss(events-1)
		b, _ := appendNumber(nil, t.loss)
		t.lossRaw = string(b)
	}
}

// Truth says what has really happened so far. Jobs are read one after the other, not all at the same moment.
func (s *Server) Truth() Truth {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := Truth{Jobs: make(map[string]JobTruth, len(s.jobs)), Models: make(map[string]ModelTruth, len(s.models))}
	for id, m := range s.models {
		out.Models[id] = m.sum()
		out.Steps += out.Models[id].Steps
	}
	for id, j := range s.jobs {
		t := j.report()
		out.Jobs[id] = t
		out.Steps += t.Steps
		if m, ok := out.Models[j.modelID]; ok {
			m.Steps += t.Steps
			switch t.Result {
			case Success:
				m.Ended++
			case Failure:
				m.Failed++
			}
			out.Models[j.modelID] = m
		}
	}
	return out
}

// JobTruth says what has really happened to one job; the zero value for an unknown one.
func (s *Server) JobTruth(id string) JobTruth {
	if j := s.job(id); j != nil {
		return j.report()
	}
	return JobTruth{}
}

func (m *model) sum() ModelTruth {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := ModelTruth{
		ID: m.id, Entity: m.entity, Project: m.project, Name: m.name, BaseModel: m.base,
		Jobs: m.jobs, Steps: m.removedSteps, Ended: m.removedEnded, Failed: m.removedFailed,
		Checkpoints: len(m.checkpoints), LastCheckpoint: -1,
	}
	if n := len(m.checkpoints); n > 0 {
		t.LastCheckpoint = m.checkpoints[n-1].step
	}
	return t
}

func (j *job) report() JobTruth {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := &j.truth
	out := JobTruth{
		ID: j.id, ModelID: j.modelID, Kind: j.kind,
		Created: t.created, Started: t.started, Ended: t.ended, LastStep: t.lastStep,
		Planned: t.planned, Steps: t.steps(), Events: make(map[string]int), Listed: j.list.len(),
		LossRaw: t.lossRaw, Nonfinite: t.nonfinite,
		Result: t.result, Message: t.message, HasMessage: t.hasMessage,
		Polls: j.polls, LastPoll: j.lastPoll, Delivered: t.delivered,
	}
	if !math.IsNaN(t.loss) {
		loss := t.loss
		out.Loss = &loss
	}
	for i, typ := range eventTypes {
		if t.events[i] > 0 {
			out.Events[typ] = t.events[i]
		}
	}
	for typ, n := range t.others {
		out.Events[typ] = n
	}
	return out
}
