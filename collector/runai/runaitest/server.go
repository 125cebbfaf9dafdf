package runaitest

import (
	"sync"
	"sync/atomic"
	"time"
)

// Options configure a Server. The zero value is a server that gives a token to any client.
type Options struct {
	ClientID, ClientSecret string // of client_credentials; with no credentials at all, any that are not empty are accepted
	AppID, AppSecret       string // of app_token

	TokenLifetime time.Duration // default 1 h
	OpaqueTokens  bool          // tokens that are no JWT: only expiresIn tells when they end
	NoExpiresIn   bool          // answers without expiresIn, as before 2.24: only the JWT tells
	NoV2          bool          // POST /api/v2/token is a path that is not known, as before 2.24
	NoV2Status    int           // with NoV2: the status of that answer; default 200 and a web page

	Now  func() time.Time // clock; default time.Now
	Seed int64            // of every id and token the server makes

	// Rate is how many requests a second clients are allowed, with bursts of Burst (default: one second's worth, at least
	// one). More are answered with status 429 and counted as the violation "over_rate". 0 is no limit.
	Rate  float64
	Burst int

	// Keep is how many of the newest requests Requests returns; default 1,000, negative keeps none.
	Keep int
}

func (o Options) withDefaults() Options {
	if o.TokenLifetime == 0 {
		o.TokenLifetime = time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Keep == 0 {
		o.Keep = 1000
	}
	return o
}

// Server is an http.Handler that speaks the API. Its methods are safe for concurrent use.
type Server struct {
	o      Options
	faults atomic.Pointer[faultState]
	none   faultState // what holds where no faults are set; never written to
	watch  watch
	tokens tokens
	fleet  atomic.Pointer[Fleet]

	buffers sync.Pool // of *[]byte, for answers

	mu        sync.RWMutex
	made      uint64 // workloads and revisions ever made
	changes   uint64 // raised when something changes that listings sort or filter by
	workloads map[string]*workload
	all       []*workload // in no order
	revisions map[string]*revision
	cluster   Cluster
	indexes   indexes
}

// New makes a server with one cluster and no workloads.
func New(o Options) *Server {
	s := &Server{
		o:         o.withDefaults(),
		workloads: make(map[string]*workload),
		revisions: make(map[string]*revision),
	}
	s.cluster = Cluster{ID: uuid(mix(uint64(o.Seed)), 0), Name: "cluster-1", Version: "2.24.6", State: "Connected"}
	s.indexes.orders = make(map[orderKey]*order)
	s.indexes.views = make(map[string]*view)
	s.watch.init(s.o)
	s.tokens.init(s.o)
	return s
}

// Now is the time of the server's clock.
func (s *Server) Now() time.Time { return s.o.Now() }

// Advance lets the virtual time of the server's fleet go on. Without a fleet it does nothing.
func (s *Server) Advance(d time.Duration) {
	if f := s.fleet.Load(); f != nil {
		f.Advance(d)
	}
}

// Cluster is what GET /api/v1/clusters says.
type Cluster struct {
	ID      string
	Name    string
	Version string
	State   string // Connected, Disconnected, ...
}

// SetCluster replaces the one cluster. An empty id keeps the one before.
func (s *Server) SetCluster(c Cluster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ID == "" {
		c.ID = s.cluster.ID
	}
	s.cluster = c
}

func (s *Server) workload(id string) *workload {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.workloads[id]
}
