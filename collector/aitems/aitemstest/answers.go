package aitemstest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// response is an answer to write.
type response struct {
	status int
	kind   string // Content-Type
	header map[string]string
	body   string
	cut    bool // in the middle
}

func (r *response) write(w http.ResponseWriter) {
	h := w.Header()
	for name, value := range r.header {
		h.Set(name, value)
	}
	if r.kind != "" {
		h.Set("Content-Type", r.kind)
	} else {
		h["Content-Type"] = nil
	}
	body := r.body
	if r.cut {
		body = body[:len(body)/2]
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(r.status)
	io.WriteString(w, body)
}

const jsonType = "application/json;charset=UTF-8"

// known are the codes of the gateway and their texts, by status.
var known = map[int][2]string{
	400: {"100", "Bad Request Exception"}, 401: {"200", "Authentication Failed"}, 403: {"230", "Forbidden"},
	404: {"300", "Not Found Exception"}, 413: {"430", "Request Entity Too Large"}, 429: {"420", "Rate Limited"},
	500: {"900", "Unexpected Error"}, 503: {"500", "Endpoint Error"}, 504: {"510", "Endpoint Timeout"},
}

// texts are the texts of codes that are not the usual one of their status.
var texts = map[string]string{"210": "Permission Denied", "400": "Quota Exceeded", "410": "Throttle Limited"}

// refuse makes the answer of an error.
func (s *Server) refuse(a Answer) *response {
	code, text := known[a.Status][0], known[a.Status][1]
	if a.Code != "" && a.Code != code {
		code, text = a.Code, texts[a.Code]
	}
	if a.Message != "" {
		text = a.Message
	}
	if text == "" {
		text = http.StatusText(a.Status)
	}
	shape := a.Shape
	if shape == Gateway {
		shape = s.faults.Shape
	}
	kind, body := shape.write(a.Status, code, text)
	out := &response{status: a.Status, kind: kind, body: body, header: map[string]string{}}
	if a.RetryAfter != "" {
		out.header["Retry-After"] = a.RetryAfter
	}
	if a.Location != "" {
		out.header["Location"] = a.Location
	}
	return out
}

// write is the body of an error.
func (shape Shape) write(status int, code, text string) (kind, body string) {
	c, t := quoted(code), quoted(text)
	switch shape {
	case GatewayNumber:
		if _, err := strconv.Atoi(code); err == nil {
			c = code
		}
		return jsonType, `{"error":{"errorCode":` + c + `,"message":` + t + `}}`
	case GatewayMore:
		return jsonType, `{"error":{"errorCode":` + c + `,"message":` + t + `,"details":"see the documentation"}}`
	case ResponseError:
		return jsonType, `{"responseError":{"returnCode":` + c + `,"returnMessage":` + t + `}}`
	case Flat:
		return jsonType, `{"errorCode":` + c + `,"message":` + t + `}`
	case CodeMsg:
		return jsonType, `{"code":` + c + `,"msg":` + t + `,"data":null}`
	case StatusObject:
		return jsonType, `{"status":{"code":` + c + `,"message":` + t + `}}`
	case Spring:
		return jsonType, fmt.Sprintf(`{"timestamp":"2024-07-30T02:25:36.558+00:00","status":%d,"error":%s,"message":%s}`,
			status, quoted(http.StatusText(status)), t)
	case XML:
		return "application/xml", `<?xml version="1.0" encoding="UTF-8"?><responseError><returnCode>` + code + `</returnCode><returnMessage>` +
			text + `</returnMessage></responseError>`
	case EmptyObject:
		return jsonType, `{}`
	case Empty:
		return "", ""
	case Text:
		return "text/plain", text
	case HTML:
		return "text/html; charset=UTF-8", webPage(strconv.Itoa(status) + " " + http.StatusText(status))
	}
	return jsonType, `{"error":{"errorCode":` + c + `,"message":` + t + `}}`
}

func webPage(title string) string {
	return "<html>\r\n<head><title>" + title + "</title></head>\r\n<body><center><h1>" + title + "</h1></center></body>\r\n</html>\r\n"
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // of a string it does not fail
	return string(b)
}

// fields writes an object. Fields without a value are left out, or null.
type fields struct {
	b     strings.Builder
	nulls bool
}

func (f *fields) add(name, value string) {
	switch {
	case value == "" && !f.nulls:
		return
	case value == "":
		value = "null"
	}
	if f.b.Len() > 0 {
		f.b.WriteByte(',')
	}
	f.b.WriteString(`"` + name + `":` + value)
}

func (f *fields) text(name, value string) {
	if value != "" {
		value = quoted(value)
	}
	f.add(name, value)
}

func (f *fields) String() string { return "{" + f.b.String() + "}" }
