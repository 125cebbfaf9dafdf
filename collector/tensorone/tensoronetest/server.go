package tensoronetest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Options configure a Server. The zero value is a server that accepts any key and lists nothing.
type Options struct {
	Prefix string           // path before every route; default "/v2"
	Key    string           // accepted; any that is not empty if there is none
	Bare   bool             // the key comes without the word Bearer
	Now    func() time.Time // clock; default time.Now
	Seed   int64            // of ids, orders and fleets

	ReadsPerHour int // requests below /training in each window of an hour; default 500, negative is no limit
	TierReads    int // the plan's own limit an hour, if it is smaller; 0 is none

	List       bool // GET /training/jobs is answered
	ListStatus int  // else the status of its refusal; default 404
	PageLimit  int  // the most jobs on a page; default 100
}

func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = "/v2"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ReadsPerHour == 0 {
		o.ReadsPerHour = 500
	}
	if o.ListStatus == 0 {
		o.ListStatus = 404
	}
	if o.PageLimit <= 0 {
		o.PageLimit = 100
	}
	return o
}

// Job is a training job as a test sets it. Nil parts are left out of answers.
type Job struct {
	ID, Name, Status, Error              string // an empty id makes one, an empty status is queued
	Created, Started, Updated, Completed time.Time

	Framework, ModelType, BaseModel, GPUType string
	GPUs                                     int

	Progress  *Progress
	Metrics   *Metrics
	Resources *Resources
	Costs     *Costs
}

// Progress is a job's member progress. Step counts within an epoch.
type Progress struct {
	Epoch, Epochs, Step, Steps int
	Percent                    float64
	Remaining                  string
}

// Metrics is a job's member metrics. NaN is null in answers.
type Metrics struct {
	Loss, Accuracy, ValidationLoss, ValidationAccuracy, LearningRate float64
	Samples, Tokens, StepTime                                        float64
	Other                                                            map[string]float64
}

// Resources is a job's member resourceUsage: percent and GB.
type Resources struct {
	Utilization, Memory []float64
	System, Storage     float64
}

// Costs is a job's member costs.
type Costs struct{ GPU, Storage, Estimated float64 }

// Checkpoint is an element of a job's checkpoints.
type Checkpoint struct {
	ID                   string
	Epoch, Step          int
	Loss, ValidationLoss float64
	Size                 string
	Created              time.Time // none if zero
	Best                 bool
}

type job struct {
	Job
	checkpoints []Checkpoint // listed now, in the order in which they were added
	ever        map[string]bool
	order       Order
	asked       int
}

// Server is an http.Handler that speaks the API. Its methods are safe for concurrent use.
type Server struct {
	o      Options
	faults atomic.Pointer[faultState]
	fleet  atomic.Pointer[Fleet]

	mu         sync.Mutex
	jobs       map[string]*job
	order      []string // of ids, oldest first
	made       int
	window     window
	violations map[string]int
	requests   []time.Time
	answered   int
}

// New makes a server without jobs.
func New(o Options) *Server {
	return &Server{o: o.withDefaults(), jobs: map[string]*job{}, violations: map[string]int{}}
}

// AddJob adds a job and returns its id. A job of that id is replaced, but for its checkpoints.
func (s *Server) AddJob(j Job) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	if j.ID == "" {
		s.made++
		j.ID = fmt.Sprintf("job_train_%06x%04d", mix(uint64(s.o.Seed))&0xffffff, s.made)
	}
	if j.Status == "" {
		j.Status = "queued"
	}
	if j.Created.IsZero() {
		j.Created = now
	}
	if j.Updated.IsZero() {
		j.Updated = now
	}
	if old := s.jobs[j.ID]; old != nil {
		old.Job = j
		return j.ID
	}
	s.jobs[j.ID] = &job{Job: j, ever: map[string]bool{}}
	s.order = append(s.order, j.ID)
	return j.ID
}

// Set lets change have its way with a job, whose lastUpdated becomes now unless it sets another. It reports whether there is such a job.
func (s *Server) Set(id string, change func(*Job)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil {
		return false
	}
	before := j.Updated
	change(&j.Job)
	if j.Updated.Equal(before) {
		j.Updated = s.o.Now()
	}
	return true
}

// SetStatus changes a job's status, with the times that go with it.
func (s *Server) SetStatus(id, status string) {
	s.Set(id, func(j *Job) {
		j.Status = status
		if now := s.o.Now(); status == "running" && j.Started.IsZero() {
			j.Started = now
		}
	})
}

// Remove deletes a job: it is not found any more.
func (s *Server) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.jobs, id)
	s.order = slices.DeleteFunc(s.order, func(other string) bool { return other == id })
}

// Get is a copy of a job as it is, and whether there is one.
func (s *Server) Get(id string) (Job, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[id]; j != nil {
		return j.Job, true
	}
	return Job{}, false
}

// IDs are the ids of all jobs, oldest first.
func (s *Server) IDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// AddCheckpoint adds a checkpoint to a job, or replaces the one of its id.
func (s *Server) AddCheckpoint(id string, c Checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil {
		return
	}
	j.ever[c.ID] = true
	if i := slices.IndexFunc(j.checkpoints, func(o Checkpoint) bool { return o.ID == c.ID }); i >= 0 {
		j.checkpoints[i] = c
		return
	}
	j.checkpoints = append(j.checkpoints, c)
}

// DeleteCheckpoint takes one from the list.
func (s *Server) DeleteCheckpoint(id, checkpoint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[id]; j != nil {
		j.checkpoints = slices.DeleteFunc(j.checkpoints, func(c Checkpoint) bool { return c.ID == checkpoint })
	}
}

// Prune leaves the last checkpoints that were added, and the best ones.
func (s *Server) Prune(id string, keep int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j == nil {
		return
	}
	left := len(j.checkpoints)
	j.checkpoints = slices.DeleteFunc(j.checkpoints, func(c Checkpoint) bool {
		left--
		return left >= keep && !c.Best
	})
}

// SetOrder says how a job's checkpoints are listed.
func (s *Server) SetOrder(id string, o Order) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[id]; j != nil {
		j.order = o
	}
}

// Checkpoints is how many checkpoints a job ever had, and how many are listed now.
func (s *Server) Checkpoints(id string) (ever, listed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[id]; j != nil {
		return len(j.ever), len(j.checkpoints)
	}
	return 0, 0
}

// Advance lets the virtual time of the server's fleet go on. Without a fleet it does nothing.
func (s *Server) Advance(d time.Duration) {
	if f := s.fleet.Load(); f != nil {
		f.Advance(d)
	}
}

// phases are those of the statuses.
var phases = map[string]collector.Phase{
	"queued": collector.Pending, "initializing": collector.Initializing, "running": collector.Running, "paused": collector.Paused,
	"cancelling": collector.Stopping, "completed": collector.Succeeded, "failed": collector.Failed, "cancelled": collector.Cancelled,
}

// Truth is how each job really is. The service keeps no history, so that what a client can count depends on when it looks;
// checkpoints are counted by [Server.Checkpoints].
func (s *Server) Truth() map[string]collector.Phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]collector.Phase, len(s.jobs))
	for id, j := range s.jobs {
		out[id] = phases[j.Status]
	}
	return out
}

// Violations counts what clients did that they should not: missing_key, bad_auth, over_budget, logs_requested, write, bad_query, unknown_path.
func (s *Server) Violations() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.violations)
}

// Requests are the times of the newest requests, oldest first.
func (s *Server) Requests() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// mix is a fixed scrambling of 64 bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
