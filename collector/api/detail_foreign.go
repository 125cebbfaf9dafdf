package api

import (
	"html"
	"mime"
	"strings"
)

// readForeign takes what a body says that is not JSON: the fields of an XML error, the title of a web page, or the first line of a
// text. It is often not the service that speaks so, but something before it.
func (t *told) readForeign(contentType string, body []byte) {
	text := string(body)
	kind, _, _ := mime.ParseMediaType(contentType)
	switch start := strings.ToLower(text[:min(len(text), 15)]); {
	case kind == "text/html", strings.HasPrefix(start, "<html"), strings.HasPrefix(start, "<!doctype html"):
		t.foreign = firstElement(text, "title")
	case start[0] == '<':
		t.codes[0] = firstElement(text, "returnCode", "errorCode", "Code")
		t.foreign = firstElement(text, "returnMessage", "errorMessage", "Message")
	case kind == "text/plain", kind == "":
		t.foreign, _, _ = strings.Cut(text, "\n")
	}
}

// firstElement is the text of the first of the XML elements with one of the names, in any case.
func firstElement(text string, names ...string) string {
	lower := strings.ToLower(text)
	if len(lower) != len(text) { // some letter is shorter in lower case: places would not match
		return ""
	}
	for _, name := range names {
		_, rest, ok := cutAt(lower, text, "<"+strings.ToLower(name)+">")
		if !ok {
			continue
		}
		inner, _, ok := strings.Cut(rest, "<")
		if inner = strings.TrimSpace(html.UnescapeString(inner)); ok && inner != "" {
			return inner
		}
	}
	return ""
}

// cutAt cuts text where lower, which is as long, has the mark.
func cutAt(lower, text, mark string) (before, after string, ok bool) {
	i := strings.Index(lower, mark)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(mark):], true
}
