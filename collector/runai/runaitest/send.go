package runaitest

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxPooled is the largest buffer that is kept for the next answer.
const maxPooled = 2 << 20

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	buf, ok := s.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	c := &call{s: s, r: r, now: s.o.Now()}
	c.route(r.URL.Path)
	about := s.subject(c)
	c.f = s.inForce(c.op, about)
	c.enc = enc{b: (*buf)[:0], zoneless: c.f.ZonelessTimes, numbers: c.f.NumericIDs}
	if r.URL.RawQuery != "" {
		c.q, _ = url.ParseQuery(r.URL.RawQuery) // what cannot be read is left out, as by the service
	}
	c.check()
	s.tokens.note(c)
	status := 0
	defer func() { s.watch.note(c, status) }() // also when a fault cuts the connection by panic
	if about != nil {
		about.notePoll(c.now)
	}
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
	c.send(w, rep)
	if cap(c.enc.b) <= maxPooled {
		*buf = c.enc.b[:0]
		s.buffers.Put(buf)
	}
}

// subject is the workload that a request is about, if any.
func (s *Server) subject(c *call) *workload {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if c.revision != "" {
		if r := s.revisions[c.revision]; r != nil {
			return r.of
		}
		return nil
	}
	return s.workloads[c.id]
}

// answer makes the answer of a well-behaved service, but for faults in the shape of what it says.
func (s *Server) answer(c *call) reply {
	if !s.watch.take(c.now) {
		c.violate("over_rate")
		r := c.problem(http.StatusTooManyRequests, "Too many requests.")
		r.header = http.Header{"Retry-After": {"1"}}
		return r
	}
	token := c.op == OpTokenV1 || c.op == OpTokenV2
	want := http.MethodGet
	if token {
		want = http.MethodPost
	}
	switch {
	case c.r.Method != want && c.r.Method != http.MethodGet:
		c.violate("write")
		fallthrough
	case c.r.Method != want:
		return c.problem(http.StatusMethodNotAllowed, "Method not allowed.")
	case c.op == OpTokenV1:
		return s.tokenV1(c)
	case c.op == OpTokenV2:
		return s.tokenV2(c)
	case c.op == OpUnknown:
		c.violate("unknown_path")
		return shell()
	}
	if bad, ok := s.authorize(c); !ok {
		return bad
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.read(c)
}

// read answers what needs no change, under the read lock.
func (s *Server) read(c *call) reply {
	switch c.op {
	case OpList:
		return s.list(c)
	case OpCount:
		return s.count(c)
	case OpAllPods:
		return s.allPods(c)
	case OpTelemetry:
		return s.telemetry(c)
	case OpClusters:
		return s.clusters(c)
	case OpRevisionEvents, OpRevisionHistory:
		return s.revisionStream(c)
	}
	w := s.workloads[c.id]
	if w == nil || c.f.DeletedGone && !w.deleted.IsZero() {
		return c.notFound()
	}
	switch c.op {
	case OpEvents:
		return c.events(&w.stream)
	case OpHistory:
		return c.history(&w.stream)
	case OpGet:
		c.item(w)
		return c.ok()
	case OpGetTyped:
		return c.typed(w)
	case OpPods:
		return c.pods(w)
	case OpMetrics, OpPodMetrics:
		return c.metrics(w)
	}
	return c.listRevisions(w)
}

// shell is the web page that the service answers where it knows no path.
func shell() reply {
	page := `<!doctype html><html lang="en"><head><meta charset="utf-8"/><title>Run:ai</title><base href="/"/>` +
		strings.Repeat(`<link rel="modulepreload" href="chunk-made-up.js"/>`, 36) +
		`<script defer="defer" src="main.js"></script></head><body><div id="app"></div></body></html>`
	return reply{status: http.StatusOK, body: []byte(page), header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}}
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
	if rep.status < 300 && c.f.Body != Whole {
		c.sendFaulty(w, rep)
		return
	}
	h["Content-Length"] = []string{strconv.Itoa(len(rep.body))}
	w.WriteHeader(rep.status)
	w.Write(rep.body) // an error means that the client has left
}

func (c *call) sendFaulty(w http.ResponseWriter, rep reply) {
	switch c.f.Body {
	case Slow:
		c.sendSlow(w, rep.body)
	case Truncated:
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(rep.body))}
		w.Write(rep.body[:len(rep.body)/2])
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
		_ = z.Close() // fails when the client has left
	case Deep:
		depth := c.f.size(100_000)
		head, tail := c.frame()
		io.WriteString(w, head+`{"deep":`+strings.Repeat(`{"a":`, depth)+"1"+strings.Repeat("}", depth)+"}"+tail)
	case Garbage:
		w.Write([]byte("\x00\xff\xfe]{\"workloads\":[}garbage\n"))
	case HTML:
		page := shell()
		w.Header()["Content-Type"] = page.header["Content-Type"]
		w.Write(page.body)
	case Empty:
		w.WriteHeader(http.StatusOK)
	}
}

// frame is what stands around an element of the answer's list.
func (c *call) frame() (head, tail string) {
	name := ""
	switch c.op {
	case OpList:
		name = "workloads"
	case OpEvents, OpRevisionEvents:
		name = "events"
	case OpHistory, OpRevisionHistory:
		name = "records"
	case OpMetrics, OpPodMetrics:
		name = "measurements"
	case OpPods:
		name = "pods"
	case OpRevisions:
		name = "revisions"
	case OpTelemetry:
		name = "values"
	case OpClusters:
		return "[", "]"
	default:
		name = "details"
	}
	return `{"` + name + `":[`, "]}"
}

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
	_ = http.NewResponseController(w).Flush() // not every writer can
}

// sendEndless sends elements that look like those of the operation's list.
func (c *call) sendEndless(w http.ResponseWriter) {
	head, _ := c.frame()
	io.WriteString(w, head)
	var chunk []byte
	for n, sent := uint64(0), 0; ; sent += len(chunk) {
		chunk = chunk[:0]
		for len(chunk) < 32<<10 {
			e := enc{b: chunk}
			e.open()
			e.text("id", uuid(1, n))
			e.text("type", "Normal")
			e.time("createdAt", c.now)
			e.text("message", "again")
			e.close()
			e.b = append(e.b, ',')
			chunk = e.b
			n++
		}
		if _, err := w.Write(chunk); err != nil || c.r.Context().Err() != nil {
			return
		}
		if c.f.Size > 0 && sent > c.f.Size {
			return
		}
	}
}

func (c *call) writeHuge(w io.Writer) {
	head, tail := c.frame()
	io.WriteString(w, head+`{"message":"`)
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	for left := c.f.size(64 << 20); left > 0; left -= len(chunk) {
		if _, err := w.Write(chunk[:min(left, len(chunk))]); err != nil {
			return
		}
	}
	io.WriteString(w, `"}`+tail)
}
