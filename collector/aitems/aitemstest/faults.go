package aitemstest

import (
	"strings"
	"time"
)

// Faults are the ways a server misbehaves, or behaves otherwise than documented. The zero value is good behaviour.
type Faults struct {
	Fail   Answer         // given instead of the next Fail.Count answers
	Denied map[string]int // status for each request about the service of that id: 401 with code 210, 403, 404, 500 and so on
	Shape  Shape          // of errors that have none of their own

	ClockSkew time.Duration // the server's clock minus the true one
	NoDate    bool          // answers have no Date

	IgnoreOffset bool   // every page is the first
	IgnoreLimit  bool   // every page has all that follow
	OffsetIsPage bool   // offset counts pages
	Cap          int    // the largest page, which the answer does not tell
	NoEcho       bool   // answers lack offset and limit
	Shuffle      bool   // lists have another order each time
	Duplicate    bool   // the last item of each page is replaced by its first
	EmptyPages   int    // of the next pages after a first one, so many are empty
	EmptyLists   int    // of the next lists, so many are empty
	EmptyName    string // which lists that is about: services or trains; any if empty
	Endless      bool   // every page is full of trainings never seen before
	Odd          int    // elements in each list that are not what they should be

	NullOptionals bool // absent fields are null
	Digits        int  // of a second's fraction in dates, up to 9; 0 is 3, negative is none
	Zoned         bool // dates have a zone

	Truncate int // of the next good answers, so many are cut in the middle
	Pages    int // of the next good answers, so many are a web page with status 200
}

// Answer replaces an answer.
type Answer struct {
	Count      int    // how many answers are replaced; negative is all
	Service    string // only answers about this service, if set
	Suffix     string // only answers to paths that end so, if set
	Unsigned   bool   // before the signature is looked at
	Status     int    //
	Code       string // of the gateway; that of the status if empty
	Message    string // that of the code if empty
	Shape      Shape  //
	RetryAfter string // header
	Location   string // header
}

// Shape is how an error is written.
type Shape string

// The shapes of errors that have been documented or seen on this cloud.
const (
	Gateway       Shape = ""              // {"error":{"errorCode":"210","message":""}}
	GatewayNumber Shape = "number"        // the same with a number
	GatewayMore   Shape = "details"       // the same with details
	ResponseError Shape = "responseError" // {"responseError":{"returnCode":"","returnMessage":""}}
	Flat          Shape = "flat"          // {"errorCode":9014,"message":""}
	CodeMsg       Shape = "codeMsg"       // {"code":1,"msg":"","data":null}
	StatusObject  Shape = "status"        // {"status":{"code":"","message":""}}
	Spring        Shape = "spring"        // {"timestamp":"","status":401,"error":"Unauthorized","message":""}
	XML           Shape = "xml"           // <responseError>
	EmptyObject   Shape = "object"        // {}
	Empty         Shape = "empty"         // nothing at all
	Text          Shape = "text"          //
	HTML          Shape = "html"          //
)

// Shapes lists all shapes of errors.
func Shapes() []Shape {
	return []Shape{Gateway, GatewayNumber, GatewayMore, ResponseError, Flat, CodeMsg, StatusObject, Spring, XML, EmptyObject, Empty, Text, HTML}
}

// SetFaults replaces the faults.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// replaced is the answer that takes the place of one about a service, if any. The mutex is held.
func (f *Faults) replaced(serviceID, path string, unsigned bool) (Answer, bool) {
	a := f.Fail
	if a.Count == 0 || a.Unsigned != unsigned || a.Service != "" && a.Service != serviceID || !strings.HasSuffix(path, a.Suffix) {
		return Answer{}, false
	}
	if a.Count > 0 {
		f.Fail.Count--
	}
	return a, true
}

// take uses one of n.
func take(n *int) bool {
	if *n == 0 {
		return false
	}
	if *n > 0 {
		*n--
	}
	return true
}
