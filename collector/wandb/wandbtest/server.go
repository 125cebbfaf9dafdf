package wandbtest

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options configure a Server. The zero value is a server that accepts any key under /v1.
type Options struct {
	Prefix string   // path before every route; default "/v1", which is the end of every known base URL
	Key    string   // the bearer key; with no key at all, any non-empty one is accepted
	Keys   []string // further keys
	Entity string   // owner of a model whose creator names none; default "demo-entity"

	Seed  int64            // of every id the server makes
	NewID func() string    // instead of ids made from Seed; called from several goroutines
	Now   func() time.Time // clock; default time.Now

	Nonfinite Nonfinite // default NonfiniteNull; Faults may override it

	// Rate is how many requests a second clients are allowed, with bursts of Burst (default: one second's worth, at least
	// one). More are answered, and counted as Counters.OverRate. 0 is no limit.
	Rate  float64
	Burst int

	// LateAfter: a request for a job's events that comes later than this after its end was first delivered is counted as
	// Counters.LateEnded. 0 counts none.
	LateAfter time.Duration

	// Keep is how many of the newest requests Requests returns; default 1,000, negative keeps none.
	Keep int
}

func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = "/v1"
	}
	o.Prefix = "/" + strings.Trim(o.Prefix, "/")
	if o.Prefix == "/" {
		o.Prefix = ""
	}
	if o.Entity == "" {
		o.Entity = "demo-entity"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Nonfinite == "" {
		o.Nonfinite = NonfiniteNull
	}
	if o.Keep == 0 {
		o.Keep = 1000
	}
	return o
}

// Server is an http.Handler that speaks the API. Its methods are safe for concurrent use.
type Server struct {
	o      Options
	ids    atomic.Uint64
	keys   atomic.Pointer[[]string]
	keyGen atomic.Int64 // raised by SetKey
	faults atomic.Pointer[faultState]
	none   faultState                     // what holds where no faults are set; never written to
	posted atomic.Pointer[func(Job, int)] // told of jobs created through HTTP
	watch  watch

	buffers sync.Pool // of *[]byte, for answers

	mu     sync.RWMutex
	jobs   map[string]*job
	models map[string]*model
	byName map[modelName]*model
}

// New makes a server with no models and no jobs.
func New(o Options) *Server {
	s := &Server{
		o:      o.withDefaults(),
		jobs:   make(map[string]*job),
		models: make(map[string]*model),
		byName: make(map[modelName]*model),
	}
	s.watch.init(s.o)
	keys := slices.Clone(o.Keys)
	if o.Key != "" {
		keys = append(keys, o.Key)
	}
	s.SetKey(keys...)
	return s
}

// SetKey replaces the accepted bearer keys; with none, any non-empty key is accepted. It ends Faults.Unauthorized.
func (s *Server) SetKey(keys ...string) {
	keys = slices.Clone(keys)
	s.keys.Store(&keys)
	s.keyGen.Add(1)
}

func (s *Server) newID() string {
	if s.o.NewID != nil {
		return s.o.NewID()
	}
	return uuid(mix(uint64(s.o.Seed)), s.ids.Add(1))
}

type modelName struct{ entity, project, name string }

// model is guarded by its own mutex but for what never changes.
type model struct {
	modelName
	id, base, run string

	mu            sync.Mutex
	checkpoints   []checkpoint // by step
	jobs          int
	removedSteps  int // of jobs that were removed
	removedEnded  int
	removedFailed int
}

type checkpoint struct {
	id      string
	step    int
	metrics []Value
}

// AddModel adds a model with checkpoint step 0 and returns its id. A model of that name that exists is returned
// instead.
func (s *Server) AddModel(entity, project, name, baseModel string) string {
	m, _ := s.addModel("", modelName{entity, project, name}, baseModel)
	return m.id
}

// addModel also says whether the model is new. An empty id makes one.
func (s *Server) addModel(id string, n modelName, base string) (*model, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.byName[n]; m != nil {
		return m, false
	}
	if id == "" {
		id = s.newID()
	}
	m := &model{modelName: n, id: id, base: base, run: strconv.FormatUint(mix(hashName(id))>>24, 36)}
	m.checkpoints = []checkpoint{{id: uuid(hashName(id), 0), step: 0}}
	s.models[id], s.byName[n] = m, m
	return m, true
}

// AddCheckpoint adds or replaces the checkpoint of a model at a step. A metric that is not finite makes every page that
// shows the checkpoint answer 500, as the service's framework does. An unknown model is ignored.
func (s *Server) AddCheckpoint(modelID string, step int, metrics ...Value) {
	m := s.model(modelID)
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := checkpoint{id: uuid(hashName(m.id), uint64(step)), step: step, metrics: metrics}
	i, found := slices.BinarySearchFunc(m.checkpoints, step, func(c checkpoint, step int) int { return c.step - step })
	if found {
		m.checkpoints[i] = c
		return
	}
	m.checkpoints = slices.Insert(m.checkpoints, i, c)
}

func (s *Server) model(id string) *model {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.models[id]
}

func (s *Server) job(id string) *job {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.jobs[id]
}
