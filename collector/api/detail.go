package api

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxDetailRunes = 200
	maxCodeRunes   = 64
	maxErrorBytes  = 16 << 10 // of an error's body that are looked at
	maxErrorDepth  = 3        // of the objects in it that are looked into
)

// told is what the body of an error says. Services have many shapes for it; all of them are read at once:
//
//	{"detail": "text"}, {"detail": [{"loc": [...], "msg": "text"}]}              FastAPI
//	{"error": "CODE", "message": "text", "code": 429, "details": {}, "request_id": "id"}
//	{"error": "code", "error_description": "text"}                               OAuth 2.0
//	{"error": {"errorCode": "210", "message": "text"}}, {"errorCode": 9014, "message": "text"},
//	{"responseError": {"returnCode": 1, "returnMessage": "text"}}, the same in XML,
//	{"code": 1, "msg": "text", "data": null}, {"status": {"code": 1, "message": "text"}}
//	{"code": 400, "message": "text", "details": "text"}
//	{"timestamp": "", "status": 401, "error": "Unauthorized", "message": "text"} Spring Boot
type told struct {
	status  int       // of the answer
	detail  string    // these three in the order in which they are believed
	message string    //
	failure string    //
	more    string    // what details add
	foreign string    // the text of a body that is not JSON
	codes   [3]string // the provider's: named as its own, named code, the word under error
	request string
	seconds Value // to wait
}

// toldBy reads the body of an error.
func toldBy(resp *http.Response) *told {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes)) // what was read is all we look at
	return readTold(resp, body)
}

// toldIn200 is what an answer says that had the status of a success and could not be read as one: some services report errors
// so. Of any other answer it is nil.
func toldIn200(resp *http.Response, seen []byte, err error) *told {
	if ClassOf(err) != classDecode {
		return nil
	}
	return readTold(resp, seen)
}

func readTold(resp *http.Response, body []byte) *told {
	t := &told{status: resp.StatusCode}
	switch trimmed := bytes.TrimSpace(body); {
	case len(trimmed) == 0:
	case isJSON(resp.Header.Get("Content-Type")), trimmed[0] == '{':
		limits := Limits{Bytes: maxErrorBytes, Items: 1000, Depth: 16, StringBytes: maxErrorBytes}
		_ = Decode(bytes.NewReader(body), limits, func(d *Decoder) error { // a broken body has what was found before the break
			return t.read(d, 0)
		})
	default:
		t.readForeign(resp.Header.Get("Content-Type"), trimmed)
	}
	for _, s := range []*string{&t.detail, &t.message, &t.failure, &t.more, &t.foreign, &t.request, &t.codes[0], &t.codes[1], &t.codes[2]} {
		*s = redact(clean(*s, maxErrorBytes), resp.Request) // cleaned first: what is invisible may stand inside of a secret
	}
	return t
}

// onto completes e with what the service told, if it did.
func (t *told) onto(e *Error) *Error {
	if t == nil {
		return e
	}
	e.Code, e.RequestID = t.code(), cmp.Or(clean(t.request, maxCodeRunes), e.RequestID)
	if text := t.text(); t.status/100 == 2 && text != "" {
		e.Detail = joinDetail(e.Detail, "the service says: "+text)
	} else if t.status/100 != 2 {
		e.Detail = text
	}
	e.foreign = clean(t.foreign, maxDetailRunes)
	return e
}

// text is the message of a body in JSON.
func (t *told) text() string {
	text := cmp.Or(t.detail, t.message, t.failure)
	if t.more != "" && t.more != text {
		text = strings.TrimPrefix(text+": "+t.more, ": ")
	}
	return clean(text, maxDetailRunes)
}

// code is the provider's own code. The number or words of the status are none.
func (t *told) code() string {
	for i, c := range t.codes {
		c = clean(c, maxCodeRunes)
		switch {
		case c == "" || i > 0 && c == strconv.Itoa(t.status):
		case i == 2 && (strings.ContainsAny(c, " :") || strings.EqualFold(c, http.StatusText(t.status))):
		default:
			return c
		}
	}
	return ""
}

// wait is how long the service asks to wait: by its headers, else, for an answer 429, by its limit's renewal or its body.
func (t *told) wait(h http.Header, now time.Time) (time.Duration, bool) {
	wait, ok := retryAfter(h, now)
	if ok || t.status != http.StatusTooManyRequests {
		return wait, ok
	}
	if a := allowanceOf(h, now); a.renews {
		return clampWait(a.reset.Seconds()), true
	}
	if s, ok, _ := t.seconds.Float(); ok && s > 0 {
		return clampWait(s), true
	}
	return 0, false
}
