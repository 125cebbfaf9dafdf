package runaitest

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The words for the type of a workload that the server gives a meaning. They are a guess; any other word is taken for
// training.
const (
	Training    = "TrainingWorkload"
	Distributed = "DistributedWorkload"
	Workspace   = "InteractiveWorkload"
	Inference   = "InferenceWorkload"
)

// Workload describes a workload to add.
type Workload struct {
	ID          string // a UUID made from the server's seed when empty
	Name        string // default workload-N
	Type        string // default Training
	Category    string // default Train, or Build and Deploy for the types Workspace and Inference
	Project     string // default default
	ProjectID   string // digits; made from the name when empty
	SubmittedBy string
	Framework   string // distributedFramework
	Nodepool    string // default default
	GPUs        float64
	Pods        int       // requested; default 1
	CreatedAt   time.Time // default now
}

func (d Workload) withDefaults(n uint64, seed uint64, now time.Time) Workload {
	if d.ID == "" {
		d.ID = uuid(seed, n)
	}
	if d.Name == "" {
		d.Name = "workload-" + strconv.FormatUint(n, 10)
	}
	if d.Type == "" {
		d.Type = Training
	}
	if d.Category == "" {
		d.Category = map[string]string{"workspaces": "Build", "inferences": "Deploy"}[family(d.Type)]
	}
	if d.Category == "" {
		d.Category = "Train"
	}
	if d.Project == "" {
		d.Project = "default"
	}
	if d.ProjectID == "" {
		d.ProjectID = strconv.FormatUint(4000+hashName(d.Project)%1000, 10)
	}
	if d.Nodepool == "" {
		d.Nodepool = "default"
	}
	if d.Pods == 0 {
		d.Pods = 1
	}
	if d.CreatedAt.IsZero() {
		d.CreatedAt = now
	}
	return d
}

// family is the endpoint for workloads of a type.
func family(typ string) string {
	lower := strings.ToLower(typ)
	inference := strings.Contains(lower, "inference")
	switch {
	case inference && strings.Contains(lower, "distributed"):
		return "distributed-inferences"
	case inference:
		return "inferences"
	case strings.Contains(lower, "distributed"):
		return "distributed"
	case strings.Contains(lower, "interactive") || strings.Contains(lower, "workspace"):
		return "workspaces"
	}
	return "trainings"
}

// workload is guarded by the mutex of the server.
type workload struct {
	Workload
	stream

	phase, message string
	phaseAt        time.Time
	updated        time.Time
	completed      time.Time
	deleted        time.Time
	running        int           // pods
	waited, ran    time.Duration // until phaseAt
	idle           float64       // allocated GPUs that do nothing

	changed   uint64 // Server.changes when it last changed
	gone      bool   // purged
	metrics   map[string][]sample
	revisions []*revision

	faults   atomic.Pointer[faultState]
	polls    atomic.Int64
	lastPoll atomic.Int64 // Unix nanoseconds
}

// AddWorkload adds a workload in the phase Creating and returns its id. The id of a workload that exists changes nothing.
func (s *Server) AddWorkload(d Workload) string {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(d, now).ID
}

func (s *Server) add(d Workload, now time.Time) *workload {
	if w := s.workloads[d.ID]; w != nil {
		return w
	}
	s.made++
	w := &workload{Workload: d.withDefaults(s.made, mix(uint64(s.o.Seed)), now)}
	w.stream.seed = hashName(w.ID)
	s.workloads[w.ID] = w
	s.all = append(s.all, w)
	s.setPhase(w, "Creating", "", w.CreatedAt)
	return w
}

// touch notes that something changed that listings sort or filter by.
func (s *Server) touch(w *workload) {
	s.changes++
	w.changed = s.changes
}

// change calls do with a workload that exists, and with the time.
func (s *Server) change(id string, do func(w *workload, now time.Time)) {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.workloads[id]; w != nil {
		do(w, now)
	}
}

// SetPhase changes the phase of a workload now, as SetPhaseAt does.
func (s *Server) SetPhase(id, phase, message string) {
	s.change(id, func(w *workload, now time.Time) { s.setPhase(w, phase, message, now) })
}

// SetPhaseAt changes the phase of a workload: the history gets a record, and phaseUpdatedAt, updatedAt, completedAt, the pods
// that run and what is allocated follow. Any word may be a phase. An unknown workload is ignored.
func (s *Server) SetPhaseAt(id, phase, message string, at time.Time) {
	s.change(id, func(w *workload, _ time.Time) { s.setPhase(w, phase, message, at) })
}

func (s *Server) setPhase(w *workload, phase, message string, at time.Time) {
	w.materialize()
	if passed := at.Sub(w.phaseAt); !w.phaseAt.IsZero() && passed > 0 {
		w.waited, w.ran = w.totals(at)
	}
	w.stream.setPhase(phase, message, at)
	w.phase, w.message, w.phaseAt, w.updated = phase, message, at, at
	switch phase {
	case "Running", "Updating":
		w.running, w.completed = w.Pods, time.Time{}
	case "Degraded", "Stopping", "Terminating", "Deleting", "Unknown":
	case "Completed", "Failed":
		w.running, w.completed, w.idle = 0, at, 0
	default:
		w.running, w.completed, w.idle = 0, time.Time{}, 0
	}
	s.touch(w)
}

// totals are the times spent waiting and running, which the service calls totalPendingTimeSeconds and
// totalRunningTimeSeconds.
func (w *workload) totals(now time.Time) (waited, ran time.Duration) {
	waited, ran = w.waited, w.ran
	switch passed := max(0, now.Sub(w.phaseAt)); w.phase {
	case "Creating", "Initializing", "Pending", "Resuming":
		waited += passed
	case "Running", "Updating", "Degraded":
		ran += passed
	}
	return waited, ran
}

// SetRunningPods says how many of a workload's pods run, until its phase changes.
func (s *Server) SetRunningPods(id string, n int) {
	s.change(id, func(w *workload, now time.Time) {
		w.running, w.updated = n, now
		s.touch(w)
	})
}

// SetIdleGPUs says how many of a workload's allocated GPUs do nothing.
func (s *Server) SetIdleGPUs(id string, n float64) {
	s.change(id, func(w *workload, now time.Time) {
		w.idle, w.updated = n, now
		s.touch(w)
	})
}

// Rename changes the name of a workload, which the service does not allow, but another workload of the same name exists in
// no time.
func (s *Server) Rename(id, name string) {
	s.change(id, func(w *workload, now time.Time) {
		w.Name, w.updated = name, now
		s.touch(w)
	})
}

// Delete deletes a workload: after a last phase, Deleting, it is only listed among the deleted ones. Its events and its
// history can still be read, which is a guess; Faults.DeletedGone takes them away.
func (s *Server) Delete(id string) {
	s.change(id, func(w *workload, now time.Time) { s.delete(w, now) })
}

func (s *Server) delete(w *workload, now time.Time) {
	if !w.deleted.IsZero() {
		return
	}
	if w.phase != "Deleting" {
		s.setPhase(w, "Deleting", "", now)
	}
	w.deleted, w.updated, w.running = now, now, 0
	s.touch(w)
}

// Purge forgets a workload as if it had never been: it is in no listing and answered with 404.
func (s *Server) Purge(id string) {
	s.change(id, func(w *workload, _ time.Time) { s.purge(w) })
}

func (s *Server) purge(w *workload) {
	w.gone = true
	s.touch(w)
	delete(s.workloads, w.ID)
	for _, r := range w.revisions {
		delete(s.revisions, r.id)
	}
	if i := slices.Index(s.all, w); i >= 0 {
		last := len(s.all) - 1
		s.all[i], s.all[last] = s.all[last], nil
		s.all = s.all[:last]
	}
}

// allocated is how many GPUs a workload holds.
func (w *workload) allocated() float64 {
	if w.Pods == 0 || w.running == 0 {
		return 0
	}
	return w.GPUs * float64(w.running) / float64(w.Pods)
}

// notePoll counts a request about the workload.
func (w *workload) notePoll(now time.Time) {
	w.polls.Add(1)
	w.lastPoll.Store(now.UnixNano())
}
