package wandbtest

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// Faults are the ways a server, or one job of it, misbehaves. The zero value is good behaviour. Faults are combined freely.
type Faults struct {
	Only []Operation // the operations that are affected; none is all

	Fail    Answer        // given instead of the next Fail.Count answers
	Latency time.Duration // before every answer
	Hang    bool          // no answer until the client leaves or the faults are replaced
	Body    BodyFault     // what happens to the body of answers with status 200
	Size    int           // of a Huge, Bomb or Endless body in bytes (0: 64 MiB; Endless: no end) and the depth of a Deep one (0: 100,000)
	Pause   time.Duration // between the bytes of a Slow body; default 10 ms

	Unauthorized bool // status 401 for every key, until SetKey
	NoGetJob     bool // GET of a job is answered 404
	BareJob      bool // GET of a job shows the one documented field, id
	Grace        int  // the first Grace requests for each job after its creation are answered 404
	Unhealthy    bool // system-check answers 503

	Cursor      CursorFault // what an event id in after does
	LostCursor  CursorFault // the same for an id that is not, or no longer, listed; here the default is CursorNotFound, a guess
	HasMore     HasMore
	EmptyLastID bool // last_id and first_id are "" on every page
	Overlap     int  // a page after a cursor starts this many events early

	UnknownEvery int       // an event of unknown type follows each UnknownEvery events
	ExtraFields  bool      // undocumented fields everywhere
	Nonfinite    Nonfinite // replaces the server's when set
}

// Answer replaces an answer. The functions ProxyError, DetailString, DetailList, Redirect and TooMany make common ones.
type Answer struct {
	Count  int // how many answers are replaced; negative is all
	Status int // 0 closes the connection without an answer
	Header http.Header
	Body   string
}

// ProxyError is what a proxy before the service answers: HTML.
func ProxyError(count, status int) Answer {
	body := "<html>\r\n<head><title>" + strconv.Itoa(status) + " " + http.StatusText(status) + "</title></head>\r\n" +
		"<body><center><h1>" + strconv.Itoa(status) + "</h1></center><hr><center>proxy</center></body>\r\n</html>\r\n"
	return Answer{Count: count, Status: status, Body: body, Header: http.Header{"Content-Type": {"text/html; charset=UTF-8"}}}
}

// DetailString is an application error with {"detail":"text"}.
func DetailString(count, status int, text string) Answer {
	return Answer{Count: count, Status: status, Body: string(appendDetail(nil, text))}
}

// DetailList is an application error with a list of details, as of a parameter that is not valid.
func DetailList(count, status int, where, message string) Answer {
	return Answer{Count: count, Status: status, Body: string(appendInvalid(nil, "query", where, message, "value_error"))}
}

// TooMany is status 429. A non-empty retryAfter becomes the Retry-After header, valid or not.
func TooMany(count int, retryAfter string) Answer {
	a := DetailString(count, http.StatusTooManyRequests, "Concurrency limit reached for requests")
	if retryAfter != "" {
		a.Header = http.Header{"Retry-After": {retryAfter}}
	}
	return a
}

// Redirect sends clients elsewhere. A client must not take its key there.
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
	Endless   BodyFault = "endless"   // an event page that does not end
	Huge      BodyFault = "huge"      // a valid page with one huge string
	Bomb      BodyFault = "bomb"      // Huge, in a few kilobytes of gzip
	Deep      BodyFault = "deep"      // a valid page with deeply nested data
	Garbage   BodyFault = "garbage"   // bytes that are no JSON
	HTML      BodyFault = "html"      // a web page
	Empty     BodyFault = "empty"     // nothing at all
)

// CursorFault is what becomes of the after parameter.
type CursorFault string

// The cursor faults.
const (
	CursorKept          CursorFault = ""              // the page starts after the event
	CursorIgnored       CursorFault = "ignored"       // the list starts over
	CursorEmpty         CursorFault = "empty"         // the page is empty
	CursorNotFound      CursorFault = "not_found"     // status 404
	CursorUnprocessable CursorFault = "unprocessable" // status 422
)

// HasMore is what becomes of has_more.
type HasMore string

// The ways to send has_more.
const (
	HasMoreRight   HasMore = ""        // as it is
	HasMoreAlways  HasMore = "always"  // true, on an empty page too
	HasMoreNever   HasMore = "never"   // false, also when there is more
	HasMoreNull    HasMore = "null"    // null
	HasMoreMissing HasMore = "missing" // left out
)

// faultState is Faults in force.
type faultState struct {
	Faults
	left     atomic.Int64  // answers still to be replaced
	replaced chan struct{} // closed when other faults are set
	keyGen   int64
}

// SetFaults replaces the faults of the server.
func (s *Server) SetFaults(f Faults) { s.swapFaults(&s.faults, f) }

// SetJobFaults replaces the faults of one job. They hold instead of the server's for requests about that job, until
// they are replaced by the zero value. An unknown job is ignored.
func (s *Server) SetJobFaults(jobID string, f Faults) {
	if j := s.job(jobID); j != nil {
		s.swapFaults(&j.faults, f)
	}
}

func (s *Server) swapFaults(p *atomic.Pointer[faultState], f Faults) {
	var next *faultState
	if !reflect.ValueOf(f).IsZero() {
		next = &faultState{Faults: f, replaced: make(chan struct{}), keyGen: s.keyGen.Load()}
		next.left.Store(int64(f.Fail.Count))
	}
	if old := p.Swap(next); old != nil {
		close(old.replaced)
	}
}

// inForce finds the faults for a request. It never returns nil.
func (s *Server) inForce(op Operation, j *job) *faultState {
	f := s.faults.Load()
	if j != nil {
		if own := j.faults.Load(); own != nil {
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
