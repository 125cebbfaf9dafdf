package runaitest

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// Faults are the ways a server, or what it says of one workload, misbehaves. The zero value is good behaviour. Faults are
// combined freely.
type Faults struct {
	Only []Operation // the operations that are affected; none is all

	Fail    Answer        // given instead of the next Fail.Count answers
	Latency time.Duration // before every answer
	Hang    bool          // no answer until the client leaves or the faults are replaced
	Body    BodyFault     // what happens to the body of answers with status 200 or 207
	Size    int           // of a Huge, Bomb or Endless body in bytes (0: 64 MiB; Endless: no end) and the depth of a Deep one (0: 100,000)
	Pause   time.Duration // between the bytes of a Slow body; default 10 ms

	Unauthorized    bool // status 401 for every token; new ones are still given out
	BadSecretStatus int  // of the answer to wrong credentials; default 401
	DeletedGone     bool // a deleted workload is answered 404, but for listings

	PartialMetrics bool   // metrics are answered 207, the second half of the types without values
	NullValues     bool   // whatever may be null is null
	ExtraPhase     string // the phase of every workload, in place of its own
	ExtraFields    bool   // undocumented fields
	BadItem        string // JSON that stands as one more element in every list
	AllocatedAlias bool   // metrics call GPU_ALLOCATION by the name ALLOCATED_GPU
	OldVersion     bool   // as before 2.22: no category, no totals of time, the first twelve metrics, no sortOrder of events
	NoSortOrder    bool   // events ignore sortOrder: always newest first
	ZonelessTimes  bool   // times have a space and no zone
	NumericIDs     bool   // projectId and departmentId are numbers

	Next           Next
	ShortPages     int // no page has more elements than this; 0 is no bound
	UnsortedEvents bool
	HistoryOrder   HistoryOrder
	LateEvery      int           // one in so many events is shown only
	LateBy         time.Duration // this long after it was added
}

// Answer replaces an answer. The functions ProxyError, Problem, Redirect and TooMany make common ones.
type Answer struct {
	Count  int // how many answers are replaced; negative is all
	Status int // 0 closes the connection without an answer
	Header http.Header
	Body   string
}

// ProxyError is what a proxy before the service answers: HTML.
func ProxyError(count, status int) Answer {
	body := "<html>\r\n<head><title>" + strconv.Itoa(status) + " " + http.StatusText(status) + "</title></head>\r\n" +
		"<body><center><h1>" + strconv.Itoa(status) + "</h1></center><hr><center>nginx</center></body>\r\n</html>\r\n"
	return Answer{Count: count, Status: status, Body: body, Header: http.Header{"Content-Type": {"text/html"}}}
}

// Problem is an error of the service itself.
func Problem(count, status int, message string) Answer {
	return Answer{Count: count, Status: status, Body: string(appendProblem(nil, status, message))}
}

// TooMany is status 429. A non-empty retryAfter becomes the Retry-After header, valid or not.
func TooMany(count int, retryAfter string) Answer {
	a := Problem(count, http.StatusTooManyRequests, "Too many requests.")
	if retryAfter != "" {
		a.Header = http.Header{"Retry-After": {retryAfter}}
	}
	return a
}

// Redirect sends clients elsewhere. A client must not take its token or its secret there.
func Redirect(count int, to string) Answer {
	return Answer{Count: count, Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {to}}}
}

// BodyFault is what happens to a good answer's body.
type BodyFault string

// The body faults.
const (
	Whole     BodyFault = ""          // nothing
	Slow      BodyFault = "slow"      // byte by byte
	Truncated BodyFault = "truncated" // half, then the connection is cut
	Endless   BodyFault = "endless"   // a list that does not end
	Huge      BodyFault = "huge"      // a valid answer with one huge string
	Bomb      BodyFault = "bomb"      // Huge, in a few kilobytes of gzip
	Deep      BodyFault = "deep"      // a valid answer with deeply nested data
	Garbage   BodyFault = "garbage"   // bytes that are no JSON
	HTML      BodyFault = "html"      // the web page that unknown paths get
	Empty     BodyFault = "empty"     // nothing at all
)

// Next is what becomes of next, the offset of the next page.
type Next string

// The ways to send next.
const (
	NextRight  Next = ""       // where there is more, and left out at the end
	NextAbsent Next = "absent" // left out, also where there is more
	NextNull   Next = "null"   // null at the end
	NextEmpty  Next = "empty"  // an empty string at the end
	NextText   Next = "text"   // digits in a string
	NextStuck  Next = "stuck"  // the offset that was asked for, for ever
	NextAlways Next = "always" // also at the end, where an empty page follows
)

// HistoryOrder is the order of a history, which is not documented.
type HistoryOrder string

// The orders.
const (
	NewestFirst HistoryOrder = ""
	OldestFirst HistoryOrder = "oldest"
	Shuffled    HistoryOrder = "shuffled" // the same with every request
)

// faultState is Faults in force.
type faultState struct {
	Faults
	left     atomic.Int64  // answers still to be replaced
	replaced chan struct{} // closed when other faults are set
}

// SetFaults replaces the faults of the server.
func (s *Server) SetFaults(f Faults) { swapFaults(&s.faults, f) }

// SetWorkloadFaults replaces the faults of one workload. They hold instead of the server's for requests about that
// workload, until they are replaced by the zero value. An unknown workload is ignored.
func (s *Server) SetWorkloadFaults(id string, f Faults) {
	if w := s.workload(id); w != nil {
		swapFaults(&w.faults, f)
	}
}

func swapFaults(p *atomic.Pointer[faultState], f Faults) {
	var next *faultState
	if !reflect.ValueOf(f).IsZero() {
		next = &faultState{Faults: f, replaced: make(chan struct{})}
		next.left.Store(int64(f.Fail.Count))
	}
	if old := p.Swap(next); old != nil {
		close(old.replaced)
	}
}

// inForce finds the faults for a request. It never returns nil.
func (s *Server) inForce(op Operation, w *workload) *faultState {
	f := s.faults.Load()
	if w != nil {
		if own := w.faults.Load(); own != nil {
			f = own
		}
	}
	if f == nil || len(f.Only) > 0 && !slices.Contains(f.Only, op) {
		return &s.none
	}
	return f
}

// takeFailure says whether this request's answer is replaced.
func (f *faultState) takeFailure() bool {
	if f.Fail.Count < 0 {
		return true
	}
	for {
		n := f.left.Load()
		if n <= 0 {
			return false
		}
		if f.left.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// late says whether an event is still hidden.
func (f *faultState) late(r *row, now time.Time) bool {
	return f.LateEvery > 0 && mix(hashName(r.ID))%uint64(f.LateEvery) == 0 && now.Before(r.added.Add(f.LateBy))
}
