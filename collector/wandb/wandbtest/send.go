package wandbtest

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxPooled is the largest buffer that is kept for the next answer.
const maxPooled = 64 << 10

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	buf, ok := s.buffers.Get().(*[]byte)
	if !ok {
		buf = new(make([]byte, 0, 4<<10))
	}
	c := &call{r: r, now: s.o.Now(), buf: (*buf)[:0]}
	c.op, c.id, c.status = s.route(r)
	if c.op == OpEvents || c.op == OpGetJob {
		c.job = s.job(c.id)
	}
	c.q = parseQuery(r.URL.RawQuery, c.op)
	c.f = s.inForce(c.op, c.job)
	c.check()
	sent := false
	status := 0
	defer func() { // also when a fault cuts the connection by panic
		s.watch.note(c, status)
		if sent && cap(c.buf) <= maxPooled {
			*buf = c.buf[:0]
			s.buffers.Put(buf)
		}
	}()
	if !c.f.wait(r) {
		panic(http.ErrAbortHandler)
	}
	if c.f.takeFailure() {
		status = c.f.Fail.Status
		sendAnswer(w, c.f.Fail)
		return
	}
	rep := s.answer(c)
	status = rep.status
	c.buf = rep.body
	c.send(w, rep)
	sent = true
}

// wait holds the request back. It is false when the client has left, which net/http notices only once the body is read.
func (f *faultState) wait(r *http.Request) bool {
	if !f.Hang && f.Latency <= 0 {
		return true
	}
	ctx := r.Context()
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if f.Hang {
		select {
		case <-ctx.Done():
			return false
		case <-f.replaced:
		}
	}
	return pause(ctx, f.Latency)
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func sendAnswer(w http.ResponseWriter, a Answer) {
	if a.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	for k, v := range a.Header {
		h[k] = v
	}
	w.WriteHeader(a.Status)
	io.WriteString(w, a.Body) // an error means that the client has left
}

func (c *call) send(w http.ResponseWriter, rep reply) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	for k, v := range rep.header {
		h[k] = v
	}
	if rep.status == http.StatusOK && c.f.Body != Whole {
		c.sendFaulty(w, rep.body)
		return
	}
	h["Content-Length"] = []string{strconv.Itoa(len(rep.body))}
	w.WriteHeader(rep.status)
	w.Write(rep.body) // an error means that the client has left
}

func (c *call) sendFaulty(w http.ResponseWriter, body []byte) {
	switch c.f.Body {
	case Slow:
		c.sendSlow(w, body)
	case Truncated:
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
		w.Write(body[:len(body)/2])
		flush(w)
		panic(http.ErrAbortHandler)
	case Endless:
		c.sendEndless(w)
	case Huge:
		c.writeHuge(w)
	case Bomb:
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		c.writeHuge(z)
		z.Close()
	case Deep:
		depth := c.f.size(100_000)
		io.WriteString(w, pageHead+strings.Repeat(`{"a":`, depth)+"1"+strings.Repeat("}", depth)+pageTail)
	case Garbage:
		w.Write([]byte("\x00\xff\xfe]{\"data\":[}garbage\n"))
	case HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<!doctype html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n")
	case Empty:
		w.WriteHeader(http.StatusOK)
	}
}

// pageHead and pageTail enclose the data of one gradient step.
const (
	pageHead = `{"object":"list","data":[{"id":"00000000-0000-4000-8000-000000000001","type":"gradient_step","data":`
	pageTail = `}],"first_id":"","last_id":"","has_more":false}`
)

func (f *faultState) size(otherwise int) int {
	if f.Size > 0 {
		return f.Size
	}
	return otherwise
}

func (c *call) sendSlow(w http.ResponseWriter, body []byte) {
	wait := c.f.Pause
	if wait <= 0 {
		wait = 10 * time.Millisecond
	}
	for i := range body {
		if !pause(c.r.Context(), wait) {
			return
		}
		if _, err := w.Write(body[i : i+1]); err != nil {
			return
		}
		flush(w)
	}
}

func flush(w http.ResponseWriter) {
	http.NewResponseController(w).Flush() // not every writer can
}

func (c *call) sendEndless(w http.ResponseWriter) {
	io.WriteString(w, `{"object":"list","data":[`)
	var chunk []byte
	for n := uint64(0); ; {
		chunk = chunk[:0]
		for len(chunk) < 32<<10 {
			chunk = append(chunk, `{"id":"`...)
			chunk = appendUUID(chunk, mix(n), mix(n+1))
			chunk = append(chunk, `","type":"gradient_step","data":{"loss":1}},`...)
			n++
		}
		if _, err := w.Write(chunk); err != nil || c.r.Context().Err() != nil {
			return
		}
		if c.f.Size > 0 && n*90 > uint64(c.f.Size) {
			return
		}
	}
}

func (c *call) writeHuge(w io.Writer) {
	io.WriteString(w, pageHead+`{"loss":1,"text":"`)
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	for left := c.f.size(64 << 20); left > 0; left -= len(chunk) {
		if _, err := w.Write(chunk[:min(left, len(chunk))]); err != nil {
			return
		}
	}
	io.WriteString(w, `"}`+pageTail)
}
