package wandbtest

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

// RequestRecord is one request as the server saw it. The key is not kept.
type RequestRecord struct {
	At        time.Time
	Operation Operation
	Method    string
	Path      string
	Query     string
	ID        string // of the model or job in the path
	UserAgent string
	Status    int // of the answer; 0 if the connection was closed without one
}

// Counters count what clients did, and above all what they should not have done.
type Counters struct {
	Requests    int               `json:"requests"`
	ByOperation map[Operation]int `json:"by_operation"`
	ByStatus    map[int]int       `json:"by_status"`
	Events      int               `json:"events"` // sent in pages, repeated ones included

	NoAuth       int `json:"no_auth"`       // no bearer key where one is needed
	BadAuth      int `json:"bad_auth"`      // a key that is not accepted
	BadLimit     int `json:"bad_limit"`     // limit that is no integer from 1 to 100
	BadBody      int `json:"bad_body"`      // a body that was refused
	UnknownQuery int `json:"unknown_query"` // parameters that the operation does not have
	UnknownRoute int `json:"unknown_route"` // paths or methods that the API does not have
	UnknownID    int `json:"unknown_id"`    // jobs or models that do not exist
	NoUserAgent  int `json:"no_user_agent"` // User-Agent missing or Go's default
	OverRate     int `json:"over_rate"`     // faster than Options.Rate
	LateEnded    int `json:"late_ended"`    // for an ended job, later than Options.LateAfter
}

// Violations is the sum of what a well-behaved client never does. Unknown ids are left out: jobs are deleted, too.
func (c Counters) Violations() int {
	return c.NoAuth + c.BadAuth + c.BadLimit + c.BadBody + c.UnknownQuery + c.UnknownRoute + c.NoUserAgent + c.OverRate + c.LateEnded
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
	w.count = Counters{ByOperation: make(map[Operation]int), ByStatus: make(map[int]int)}
}

// note adds a finished call. The counts of violations came together in c.seen.
func (w *watch) note(c *call, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, seen := &w.count, &c.seen
	n.Requests++
	n.ByOperation[c.op]++
	n.ByStatus[status]++
	n.Events += seen.Events
	n.NoAuth += seen.NoAuth
	n.BadAuth += seen.BadAuth
	n.BadLimit += seen.BadLimit
	n.BadBody += seen.BadBody
	n.UnknownQuery += seen.UnknownQuery
	n.UnknownRoute += seen.UnknownRoute
	n.UnknownID += seen.UnknownID
	n.NoUserAgent += seen.NoUserAgent
	n.LateEnded += seen.LateEnded
	n.OverRate += w.take(c.now)
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

// take returns 1 if the request is over the rate.
func (w *watch) take(now time.Time) int {
	if w.rate == 0 {
		return 0
	}
	if passed := now.Sub(w.last).Seconds(); passed > 0 {
		w.tokens = min(w.burst, w.tokens+passed*w.rate)
		w.last = now
	}
	if w.tokens < 1 {
		return 1
	}
	w.tokens--
	return 0
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
	return out
}

// ResetCounters starts Counters and Requests again from nothing.
func (s *Server) ResetCounters() {
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reset()
	w.ring, w.next = w.ring[:0], 0
}

// check notes what is wrong with a request before it is answered.
func (c *call) check() {
	if ua := c.r.UserAgent(); ua == "" || ua == "Go-http-client/1.1" || ua == "Go-http-client/2.0" {
		c.seen.NoUserAgent++
	}
	if c.op == OpUnknown {
		c.seen.UnknownRoute++
	}
	c.seen.UnknownQuery += len(c.q.unknown)
}

// bearer returns the key of an Authorization header.
func bearer(r *http.Request) string {
	const scheme = "bearer "
	h := r.Header.Get("Authorization")
	if len(h) <= len(scheme) || !strings.EqualFold(h[:len(scheme)], scheme) {
		return ""
	}
	return h[len(scheme):]
}
