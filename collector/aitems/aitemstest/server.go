package aitemstest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Options configure a Server.
type Options struct {
	AccessKey string // default "AK_TEST"
	SecretKey string // default "SK_TEST"

	Prefix string           // path before every route; default "/api/v1"
	Now    func() time.Time // clock; default time.Now
	Zone   *time.Location   // of dates; default Korea's
	Seed   int64            // of every id that the server makes

	// PageSize is the largest limit that may be asked for; more is a violation and gets as much. 0 is no bound.
	PageSize int
	// Rate is how many requests a second are allowed, with bursts of Burst (default: one second's worth, at least one). More are
	// refused with 429/420 and are violations. 0 is no limit.
	Rate  float64
	Burst int
}

func (o Options) withDefaults() Options {
	for _, f := range []struct {
		to   *string
		text string
	}{{&o.AccessKey, "AK_TEST"}, {&o.SecretKey, "SK_TEST"}, {&o.Prefix, "/api/v1"}} {
		if *f.to == "" {
			*f.to = f.text
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Zone == nil {
		o.Zone = time.FixedZone("KST", 9*60*60)
	}
	if o.Burst <= 0 {
		o.Burst = max(1, int(o.Rate))
	}
	return o
}

// Service is a recommendation service.
type Service struct {
	ID       string        // made if empty
	Name     string        //
	Status   string        // default "learnable"
	Interval time.Duration // of its retraining; 0 is a batch service
}

// Training is one training request.
type Training struct {
	Type        string    // default "pop"
	Version     string    // made if empty
	Description string    //
	Status      string    // default "requesting"
	Created     time.Time // default now
	Next        time.Time // nextUpdateDate
	Epochs      int       // hpConfig.epochs
}

// Refresh is one refresh run of a trained model.
type Refresh struct {
	Version  string    // made if empty
	Status   string    //
	Asked    time.Time // default now
	Finished time.Time // zero while it runs
	Users    int       // updateResult.inputUsersCnt
}

// Server is an http.Handler that speaks the API. Its methods are safe for concurrent use.
type Server struct {
	o Options

	mu         sync.Mutex
	ids        uint64 // made
	served     uint64 // requests
	faults     Faults
	services   []*service
	violations map[string]int
	requests   map[string]int
	seen       map[string]bool // timestamp and target of the newest signatures
	order      []string        // of seen, oldest first
	tokens     float64
	filled     time.Time
	fleet      *Fleet
	secret     string
	access     string
}

type service struct {
	Service
	created   time.Time
	trainings []*training // oldest first
}

type training struct {
	Training
	refreshes []Refresh
}

// New makes a server without services.
func New(o Options) *Server {
	s := &Server{o: o.withDefaults(), violations: map[string]int{}, requests: map[string]int{}, seen: map[string]bool{}}
	s.access, s.secret = s.o.AccessKey, s.o.SecretKey
	s.tokens, s.filled = float64(s.o.Burst), s.o.Now()
	return s
}

// SetKeys replaces the pair of keys.
func (s *Server) SetKeys(access, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access, s.secret = access, secret
}

// newID makes an id of 11 characters, as the service's are. The mutex is held.
func (s *Server) newID(prefix string) string {
	s.ids++
	x := (uint64(s.o.Seed) + s.ids) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	return fmt.Sprintf("%s%04x%05d", prefix, uint16(x), s.ids%100_000)
}

// AddService adds a service and returns its id.
func (s *Server) AddService(v Service) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.ID == "" {
		v.ID = s.newID("sv")
	}
	if v.Status == "" {
		v.Status = "learnable"
	}
	s.services = append(s.services, &service{Service: v, created: s.o.Now()})
	return v.ID
}

// RemoveService deletes a service with its trainings.
func (s *Server) RemoveService(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services = slices.DeleteFunc(s.services, func(v *service) bool { return v.ID == id })
}

// AddTraining adds a training to a service and returns the id of the job, "serviceId/type/version". An unknown service is ignored.
func (s *Server) AddTraining(serviceID string, t Training) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.service(serviceID)
	if v == nil {
		return ""
	}
	if t.Type == "" {
		t.Type = "pop"
	}
	if t.Version == "" {
		t.Version = s.newID("ma")
	}
	if t.Status == "" {
		t.Status = "requesting"
	}
	if t.Created.IsZero() {
		t.Created = s.o.Now()
	}
	v.trainings = append(v.trainings, &training{Training: t})
	return serviceID + "/" + t.Type + "/" + t.Version
}

// SetStatus gives a training another status. An unknown job is ignored.
func (s *Server) SetStatus(job, status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.training(job); t != nil {
		t.Status = status
	}
}

// Remove deletes a training.
func (s *Server) Remove(job string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.services {
		v.trainings = slices.DeleteFunc(v.trainings, func(t *training) bool { return v.ID+"/"+t.Type+"/"+t.Version == job })
	}
}

// AddRefresh adds a refresh run to a training, or replaces that of the same version, and returns its version.
func (s *Server) AddRefresh(job string, r Refresh) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.training(job)
	if t == nil {
		return ""
	}
	if r.Version == "" {
		r.Version = s.newID("up")
	}
	if r.Asked.IsZero() {
		r.Asked = s.o.Now()
	}
	if i := slices.IndexFunc(t.refreshes, func(o Refresh) bool { return o.Version == r.Version }); i >= 0 {
		t.refreshes[i] = r
		return r.Version
	}
	t.refreshes = append(t.refreshes, r)
	return r.Version
}

// service is the service of that id, or nil. The mutex is held.
func (s *Server) service(id string) *service {
	for _, v := range s.services {
		if v.ID == id {
			return v
		}
	}
	return nil
}

// training is the training of a job, or nil. The mutex is held.
func (s *Server) training(job string) *training {
	for _, v := range s.services {
		for _, t := range v.trainings {
			if v.ID+"/"+t.Type+"/"+t.Version == job {
				return t
			}
		}
	}
	return nil
}

// Advance lets the fleet of the server, if it has one, go on for d of its virtual time.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	f := s.fleet
	s.mu.Unlock()
	if f != nil {
		f.Advance(d)
	}
}

// phases are what the statuses mean, written down apart from the source's own table.
var phases = map[string]collector.Phase{
	"ready": collector.Pending, "requesting": collector.Pending, "waiting": collector.Pending,
	"learning": collector.Running, "stopping": collector.Stopping, "completed": collector.Succeeded,
	"requestFailed": collector.Failed, "refinedFailed": collector.Failed, "learningFailed": collector.Failed,
}

// Truth is how each training that is listed stands. How often its status changed is not for a client to know.
func (s *Server) Truth() map[string]collector.Phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]collector.Phase{}
	for _, v := range s.services {
		for _, t := range v.trainings {
			out[v.ID+"/"+t.Type+"/"+t.Version] = phases[t.Status]
		}
	}
	return out
}

// Violations counts what clients did that they should not have done: bad_signature, missing_header, stale_timestamp,
// reused_signature, write, is_recent_false, over_page_size, over_rate, unknown_path and unknown_parameter.
func (s *Server) Violations() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.violations)
}

// Requests counts the requests that were let in, by operation: services, service, trains, train, updates.
func (s *Server) Requests() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests)
}
