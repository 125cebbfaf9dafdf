package collector

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// Health is how a source's service answers and how far the bridge keeps up with it. Its methods may be called from
// several goroutines. Its counters begin with the process.
type Health struct {
	mu   sync.Mutex
	view HealthView
	// pollErrors and requests are keyed as their labels.
	pollErrors map[string]uint64
	requests   map[RequestCount]uint64
	failing    int  // polls in a row that failed
	credential Time // when somebody must have replaced it
	token      Time // when the token in use ends
}

// RequestCount is one cell of training_source_requests_total; N is set in views only.
type RequestCount struct {
	Operation, Code string
	N               uint64
}

// HealthView is a moment of a Health. Nil pointers are values that are not known.
type HealthView struct {
	Start       Time // of its counters
	Known       bool // a poll was made
	Up          bool
	LastPoll    Time
	LastSuccess Time
	PollTimes   *Histogram
	Polls       uint64
	PollErrors  []Count // sorted by error type
	Requests    []RequestCount

	BudgetLimit, BudgetRemaining *float64
	DemandRatio                  *float64
	Lag                          time.Duration
	Skew                         *time.Duration
	CredentialExpiry             Time   // of what somebody must replace, or else of the token in use
	Renewed                      bool   // it is a token that is renewed before it ends, by nobody but the program
	LastError                    string // class of the newest failure, empty after a success
}

// NewHealth starts the counters now.
func NewHealth(now time.Time) *Health {
	return &Health{
		view:       HealthView{Start: TimeOf(now)},
		pollErrors: map[string]uint64{}, requests: map[RequestCount]uint64{},
	}
}

// View is a copy that nobody changes.
func (h *Health) View() HealthView {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.view
	v.CredentialExpiry = cmp.Or(h.credential, h.token)
	v.Renewed = !h.credential.Known() && h.token.Known()
	for _, class := range slices.Sorted(maps.Keys(h.pollErrors)) {
		v.PollErrors = append(v.PollErrors, Count{class, h.pollErrors[class]})
	}
	v.Requests = make([]RequestCount, 0, len(h.requests))
	for r, n := range h.requests {
		r.N = n
		v.Requests = append(v.Requests, r)
	}
	slices.SortFunc(v.Requests, func(a, b RequestCount) int {
		return cmp.Or(cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Code, b.Code))
	})
	return v
}

// Request counts one attempt of a request; code is the HTTP status, or "error" where there was no answer.
func (h *Health) Request(operation, code string, _ time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests[RequestCount{Operation: operation, Code: code}]++
}

// Budget sets how many requests the source's limit allows and how many are left.
func (h *Health) Budget(limit, remaining float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.view.BudgetLimit, h.view.BudgetRemaining = &limit, &remaining
}

// Demand sets the polls due per second as a share of what the budget allows; above 1 polls are stretched.
func (h *Health) Demand(ratio float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.view.DemandRatio = &ratio
}

// Skew sets the service's clock minus ours.
func (h *Health) Skew(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.view.Skew = &d
}

// Expiry sets when the credential in use ends, which somebody must replace before; the zero time is not known.
func (h *Health) Expiry(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.credential = TimeOf(t)
}

// TokenExpiry sets when a token ends that the source itself renews before; the zero time is none. It is shown only where no
// end is known of what somebody must replace.
func (h *Health) TokenExpiry(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.token = TimeOf(t)
}

// Lag sets how late the most overdue poll is.
func (h *Health) Lag(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.view.Lag = max(d, 0)
}

// A Classified error knows its class in training_source_poll_errors_total.
type Classified interface {
	error
	ErrorClass() string
}

// ErrorClasses lists the closed set of error types of polls.
func ErrorClasses() []string {
	return []string{
		"dns", "connect", "tls", "timeout", "auth", "rate_limited", "quota", "decode", "too_large", "not_found",
		"http_4xx", "http_5xx", OtherClass,
	}
}

// OtherClass is the label value of whatever is not in a closed set.
const OtherClass = "_OTHER"

// ClassOf is the class of an error; an error without one is a timeout or other.
func ClassOf(err error) string {
	var c Classified
	switch {
	case err == nil:
		return ""
	case errors.As(err, &c) && slices.Contains(ErrorClasses(), c.ErrorClass()):
		return c.ErrorClass()
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return OtherClass
}

// Listed counts a listing that began at start and ended now. A local listing asks no service: only its failure counts.
func (h *Health) Listed(start, now time.Time, local bool, err error) {
	if !local {
		h.answered(start, now, err, err == nil) // a listing that is not found is a wrong address
		return
	}
	if err == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pollErrors[ClassOf(err)]++
}

// downAfter is how many polls in a row may fail before a source that answered counts as down.
const downAfter = 3

// Polled counts one poll that began at start and ended now with err. A job that is not found is an answer: the source is up.
func (h *Health) Polled(start, now time.Time, err error) {
	class := ClassOf(err)
	h.answered(start, now, err, class == "" || class == "not_found")
}

func (h *Health) answered(start, now time.Time, err error, well bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &h.view
	v.Polls++
	v.LastPoll = TimeOf(now)
	v.PollTimes = v.PollTimes.With(now.Sub(start).Seconds())
	class := ClassOf(err)
	if class != "" {
		h.pollErrors[class]++
	}
	if well {
		h.failing, v.Up, v.Known, v.LastSuccess, v.LastError = 0, true, true, TimeOf(now), ""
		return
	}
	v.LastError = class
	h.failing++
	if h.failing >= downAfter || class == "auth" || !v.Known {
		v.Up, v.Known = false, true
	}
}
