package tensoronetest

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Faults are the ways a server misbehaves. The zero value is good behaviour. Faults are combined freely.
type Faults struct {
	Fail    Answer        // given instead of the next Fail.Count answers
	Latency time.Duration // before every answer
	Hang    bool          // no answer until the client leaves or the faults are replaced
	Body    BodyFault     // what happens to answers with status 200

	Status        string   // that every job shows
	NullObjects   bool     // half of the parts of a job are null
	MissingFields bool     // a third of them are left out
	ExtraFields   bool     // undocumented ones
	StringNumbers bool     // every number is a text
	Exponents     bool     // every number is written like 8e-05
	Words         bool     // NaN is written as the text "NaN" instead of null
	DriftGPUs     bool     // lists of GPUs have another length each time
	Durations     []string // that estimatedTimeRemaining shows in turn
	Grace         int      // the first Grace requests for each job are answered 404

	IgnoreOffset bool // every page of the listing is the first
	NoTotal      bool // the listing has no total
	TotalCount   bool // it is called totalCount
	BareList     bool // the listing is an array
}

// Answer replaces an answer. [ErrorBody] and [Page] make common ones.
type Answer struct {
	Count  int // how many answers are replaced; negative is all
	Status int
	Header http.Header
	Body   string
}

// ErrorBody is a short error as some documented samples have it.
func ErrorBody(count, status int, code, message string) Answer {
	return Answer{Count: count, Status: status, Body: string(encode(map[string]any{"error": code, "message": message, "code": status}))}
}

// Page is what a proxy or web application answers: HTML.
func Page(count, status int) Answer {
	return Answer{
		Count: count, Status: status, Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		Body: "<!doctype html><html><head><title>TensorOne</title></head><body>Sign in</body></html>",
	}
}

// TooMany is status 429 with a Retry-After.
func TooMany(count int, retryAfter string) Answer {
	a := ErrorBody(count, http.StatusTooManyRequests, "RATE_LIMIT_EXCEEDED", "Rate limit exceeded")
	a.Header = http.Header{"Retry-After": {retryAfter}}
	return a
}

// BodyFault is what happens to a good answer's body.
type BodyFault string

// The body faults.
const (
	Whole     BodyFault = ""
	Truncated BodyFault = "truncated" // half of it
	Garbage   BodyFault = "garbage"
	HTML      BodyFault = "html"
	Empty     BodyFault = "empty"
)

// faultState is Faults in force.
type faultState struct {
	Faults
	left     atomic.Int64  // answers still to be replaced
	replaced chan struct{} // closed when other faults are set
}

func newFaultState(f Faults) *faultState {
	next := &faultState{Faults: f, replaced: make(chan struct{})}
	next.left.Store(int64(f.Fail.Count))
	return next
}

// SetFaults replaces the faults of the server.
func (s *Server) SetFaults(f Faults) {
	if old := s.faults.Swap(newFaultState(f)); old != nil {
		close(old.replaced)
	}
}

// inForce never returns nil.
func (s *Server) inForce() *faultState {
	if f := s.faults.Load(); f != nil {
		return f
	}
	return newFaultState(Faults{})
}

func (f *faultState) takeFailure() bool {
	if f.Fail.Count < 0 {
		return true
	}
	return f.Fail.Count > 0 && f.left.Add(-1) >= 0
}

// wait holds a request back. It is false when the client has left.
func (f *faultState) wait(r *http.Request) bool {
	if f.Hang {
		select {
		case <-r.Context().Done():
			return false
		case <-f.replaced:
		}
	}
	if f.Latency <= 0 {
		return true
	}
	t := time.NewTimer(f.Latency)
	defer t.Stop()
	select {
	case <-r.Context().Done():
		return false
	case <-t.C:
		return true
	}
}

func (rep reply) send(w http.ResponseWriter, f *faultState) {
	for k, v := range rep.header {
		w.Header()[http.CanonicalHeaderKey(k)] = v
	}
	body := rep.body
	if rep.status == http.StatusOK {
		switch f.Body {
		case Truncated:
			body = body[:len(body)/2]
		case Garbage:
			body = []byte("\x00\xff]{\"jobId\":}")
		case HTML:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			body = []byte(Page(0, 0).Body)
		case Empty:
			body = nil
		}
	}
	w.WriteHeader(rep.status)
	w.Write(body) // an error means that the client has left
}
