package runaitest

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

// RequestRecord is one request as the server saw it. Tokens and secrets are not kept.
type RequestRecord struct {
	At        time.Time
	Operation Operation
	Method    string
	Path      string
	Query     string
	ID        string // of the workload in the path
	UserAgent string
	Status    int // of the answer; 0 if the connection was closed without one
}

// Counters count what clients did.
type Counters struct {
	Requests    int               `json:"requests"`
	ByOperation map[Operation]int `json:"by_operation"`
	ByStatus    map[int]int       `json:"by_status"`
	Items       int               `json:"items"`   // elements of lists that were sent, repeated ones included
	Expired     int               `json:"expired"` // requests with a token that had ended
	Refused     int               `json:"refused"` // requests for a token with wrong credentials
	Violations  map[string]int    `json:"violations"`
}

// watch notes what clients do.
type watch struct {
	rate, burst float64

	mu     sync.Mutex
	count  Counters
	ring   []RequestRecord
	next   int
	tokens float64
	last   time.Time
}

func (w *watch) init(o Options) {
	w.rate, w.burst = o.Rate, max(1, o.Rate)
	if o.Burst > 0 {
		w.burst = float64(o.Burst)
	}
	w.tokens = w.burst
	w.ring = make([]RequestRecord, 0, max(0, o.Keep))
	w.reset()
}

func (w *watch) reset() {
	w.count = Counters{ByOperation: make(map[Operation]int), ByStatus: make(map[int]int), Violations: make(map[string]int)}
}

// note adds a finished call.
func (w *watch) note(c *call, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := &w.count
	n.Requests++
	n.ByOperation[c.op]++
	n.ByStatus[status]++
	n.Items += c.items
	for _, kind := range c.wrong {
		n.Violations[kind]++
	}
	if c.expired {
		n.Expired++
	}
	if c.refused {
		n.Refused++
	}
	if cap(w.ring) == 0 {
		return
	}
	rec := RequestRecord{
		At: c.now, Operation: c.op, Method: c.r.Method, Path: c.r.URL.Path, Query: c.r.URL.RawQuery,
		ID: c.id, UserAgent: c.r.UserAgent(), Status: status,
	}
	if len(w.ring) < cap(w.ring) {
		w.ring = append(w.ring, rec)
		return
	}
	w.ring[w.next] = rec
	w.next = (w.next + 1) % len(w.ring)
}

// take is false if a request now is over the rate.
func (w *watch) take(now time.Time) bool {
	if w.rate == 0 {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if passed := now.Sub(w.last).Seconds(); passed > 0 {
		w.tokens = min(w.burst, w.tokens+passed*w.rate)
		w.last = now
	}
	if w.tokens < 1 {
		return false
	}
	w.tokens--
	return true
}

// Requests returns the newest requests, oldest first, at most Options.Keep. A request is listed when it has been answered.
func (s *Server) Requests() []RequestRecord {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(append(make([]RequestRecord, 0, len(w.ring)), w.ring[w.next:]...), w.ring[:w.next]...)
}

// Counters returns what was counted since the server was made or ResetCounters was called.
func (s *Server) Counters() Counters {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.count
	out.ByOperation, out.ByStatus = maps.Clone(out.ByOperation), maps.Clone(out.ByStatus)
	out.Violations = maps.Clone(out.Violations)
	return out
}

// Violations counts what clients did that a good one never does, by kind:
//
//	write              a method other than GET, but for tokens
//	unknown_path       a path that the API does not have
//	unknown_parameter  a parameter that the operation does not have
//	missing_token      no bearer token
//	wrong_token        a token that was never given out
//	bad_token_request  a request for a token that is not well formed
//	over_rate          more requests than Options.Rate
//	over_page_size     a limit above 500
//	bad_limit          another limit that is no positive number
//	bad_offset         an offset that is no number, or negative
//	bad_filter         a filterBy that does not match its pattern
//	repeated_filter    several filterBy parameters instead of one
//	bad_sort           an unknown sortBy or sortOrder
//	bad_metric_type    a metricType that is missing, repeated or unknown
//	bad_range          a start or end that is missing or no time, or an end before the start
//	bad_samples        a numberOfSamples outside 0 to 1000
//	bad_pods           a verbosity or completed of pods that is none of the words for it
//	bad_telemetry      a telemetryType or groupBy that is missing or unknown
//	no_accept          metrics or telemetry without Accept: application/json; the answer is CSV
//	no_user_agent      a User-Agent that is missing or Go's default
//
// A token that has ended and wrong credentials are no violations: see Counters.
func (s *Server) Violations() map[string]int { return s.Counters().Violations }

// ResetCounters starts Counters, Violations and Requests again from nothing.
func (s *Server) ResetCounters() {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reset()
	w.ring, w.next = w.ring[:0], 0
}

// check notes what is wrong with a request whatever its answer.
func (c *call) check() {
	switch c.r.UserAgent() {
	case "", "Go-http-client/1.1", "Go-http-client/2.0":
		c.violate("no_user_agent")
	}
	known, listed := parameters[c.op]
	for name := range c.q {
		if listed && !known[name] {
			c.violate("unknown_parameter")
		}
	}
}

// parameters are those that each operation documents. Operations that are not named are not checked.
var parameters = map[Operation]map[string]bool{
	OpList:     {"deleted": true, "offset": true, "limit": true, "sortOrder": true, "sortBy": true, "filterBy": true, "search": true},
	OpCount:    {"deleted": true, "filterBy": true, "search": true},
	OpGet:      {},
	OpGetTyped: {},
	OpPods:     {"deleted": true, "offset": true, "limit": true, "search": true},
	OpAllPods: {
		"deleted": true, "offset": true, "limit": true, "sortOrder": true, "sortBy": true, "filterBy": true, "verbosity": true,
		"completed": true, "search": true,
	},
	OpMetrics:         {"metricType": true, "start": true, "end": true, "numberOfSamples": true},
	OpPodMetrics:      {"metricType": true, "start": true, "end": true, "numberOfSamples": true},
	OpEvents:          {"offset": true, "limit": true, "sortOrder": true},
	OpRevisionEvents:  {"offset": true, "limit": true, "sortOrder": true},
	OpHistory:         {"offset": true, "limit": true},
	OpRevisionHistory: {"offset": true, "limit": true},
	OpRevisions:       {"deleted": true},
	OpTelemetry: {
		"telemetryType": true, "groupBy": true, "clusterId": true, "nodepoolName": true, "departmentId": true, "filterByPhases": true,
	},
}

// jsonAccepted says whether the client takes JSON before CSV.
func jsonAccepted(h http.Header) bool {
	accept := h.Get("Accept")
	return accept == "application/json" || strings.HasPrefix(accept, "application/json,")
}
