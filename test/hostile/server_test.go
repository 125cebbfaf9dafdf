package hostile

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// server answers as badly as it can.
type server struct {
	service http.Handler
	grammar *grammar

	mu     sync.Mutex
	random *rand.Rand
	good   bool // for now
	given  int  // hostile answers
}

// ServeHTTP implements [http.Handler]. One request at a time, so that a seed always gives the same run.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	good := s.good || s.random.IntN(4) == 0 || r.Method == http.MethodPost && s.random.IntN(4) > 0 // most tokens are given
	var answer func()
	if !good {
		s.given++
		answer = s.pick(w, r)
	}
	s.mu.Unlock()
	if answer == nil {
		s.service.ServeHTTP(w, r)
		return
	}
	answer()
}

func (s *server) behave(good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = good
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// pick decides on an answer; what is left to do takes no randomness.
func (s *server) pick(w http.ResponseWriter, r *http.Request) func() {
	real := httptest.NewRecorder()
	s.service.ServeHTTP(real, r)
	body := real.Body.Bytes()
	if s.random.IntN(5) > 0 {
		body = s.grammar.mutate(body)
	}
	switch n := s.random.IntN(100); {
	case n < 45:
		return s.plain(w, real.Code, body)
	case n < 55:
		return s.wrap(w, r, body)
	case n < 70:
		return s.refuse(w, body)
	case n < 85:
		return s.transport(w, r, body)
	}
	return s.raw(w, body)
}

// plain sends the body as JSON, or as something else.
func (s *server) plain(w http.ResponseWriter, code int, body []byte) func() {
	kinds := []string{
		"application/json", "application/json", "application/json", "application/json; charset=utf-8", "application/problem+json",
		"application/json; charset=utf-16", "text/html", "text/plain", "", "application/json;;;", "image/png", "application/vnd.api+json",
	}
	kind := kinds[s.random.IntN(len(kinds))]
	return func() {
		w.Header()["Content-Type"] = []string{kind}
		w.WriteHeader(code)
		w.Write(body)
	}
}

// wrap compresses the body, or says so.
func (s *server) wrap(w http.ResponseWriter, _ *http.Request, body []byte) func() {
	how := s.random.IntN(4)
	return func() {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		switch how {
		case 0:
			w.Write(body) // it is not
		case 1:
			w.Header().Set("Content-Encoding", []string{"br", "deflate", "gzip, gzip", "zstd"}[len(body)%4])
			w.Write(body)
		case 2:
			z := gzip.NewWriter(w)
			_, _ = z.Write(body) // until the client leaves
			_ = z.Close()
		default:
			w.Write(bomb())
		}
	}
}

var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	block := strings.Repeat("[", 1<<20)
	for range 64 {
		_, _ = io.WriteString(z, block) // memory takes everything
	}
	_ = z.Close()
	return b.Bytes()
})

// refuse answers with a status of any kind.
func (s *server) refuse(w http.ResponseWriter, body []byte) func() {
	codes := []int{
		200, 201, 202, 203, 204, 205, 206, 207, 226, 300, 301, 302, 303, 304, 305, 307, 308, 399, 400, 401, 402, 403, 404, 405, 406, 407, 408,
		409, 410, 411, 413, 415, 418, 421, 422, 423, 425, 426, 428, 429, 429, 431, 451, 499, 500, 501, 502, 503, 503, 504, 507, 520, 599, 999,
	}
	waits := []string{"0", "1", "5", "-1", "3600", "99999999999", "1e9", "NaN", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "1.5", " 7 ", strings.Repeat("9", 5000)}
	places := []string{"/", "//", "http://192.0.2.1/", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", ":", "\x7f", "http://[::1"}
	code, wait, place := codes[s.random.IntN(len(codes))], waits[s.random.IntN(len(waits))], places[s.random.IntN(len(places))]
	kind := []string{"application/json", "text/html"}[s.random.IntN(2)]
	say := s.random.IntN(2) == 0
	return func() {
		h := w.Header()
		h.Set("Content-Type", kind)
		if say {
			h.Set("Retry-After", wait)
		}
		h.Set("X-RateLimit-Reset", wait)
		h.Set("X-RateLimit-Limit", wait)
		h.Set("X-RateLimit-Remaining", "0")
		if code/100 == 3 {
			h.Set("Location", place)
		}
		if code == 999 {
			h.Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
		}
		w.WriteHeader(code)
		if code != http.StatusNoContent && code != http.StatusNotModified {
			w.Write(body)
		}
	}
}

// transport sends the body in a way that takes long, never ends, or ends too early.
func (s *server) transport(w http.ResponseWriter, r *http.Request, body []byte) func() {
	how, cut, text := s.random.IntN(6), s.random.IntN(len(body)+1), s.random.IntN(2) == 0
	return func() {
		w.Header().Set("Content-Type", "application/json")
		flush := func() { _ = http.NewResponseController(w).Flush() } // the next write says that the client left
		switch how {
		case 0: // the connection breaks
			w.Header().Set("Content-Length", strconv.Itoa(len(body)+1))
			w.Write(body[:cut])
			flush()
			panic(http.ErrAbortHandler)
		case 1: // the answer just ends
			w.Write(body[:cut])
		case 2: // nothing comes
			<-r.Context().Done()
		case 3: // little by little
			for i := 0; i < len(body); i += 1 + len(body)/50 {
				w.Write(body[i:min(len(body), i+1+len(body)/50)])
				flush()
				if !pause(r, time.Second) {
					return
				}
			}
		case 4: // on and on
			begin, filler := body[:cut], " "
			if text {
				begin, filler = []byte(`{"x":"`), "a"
			}
			w.Write(begin)
			block := bytes.Repeat([]byte(filler), 64<<10)
			for range 4 << 10 { // 256 MiB, more than a client should read
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		default:
			for i := range 2000 {
				w.Header().Set("X-"+strconv.Itoa(i), strings.Repeat("y", i%200))
			}
			w.Write(body)
		}
	}
}

func pause(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// raw writes to the connection what is no HTTP, or nearly.
func (s *server) raw(w http.ResponseWriter, body []byte) func() {
	heads := []string{
		"", "\r\n\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: -5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 -1 no\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: nothing\r\n\r\n", "SSH-2.0-OpenSSH_9.9\r\n", "\x16\x03\x01\x02\x00\x01\x00", "HTTP/1.1 101 Switching\r\n\r\n",
		"HTTP/1.1 200 " + strings.Repeat("O", 100_000) + "\r\n\r\n", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 50),
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n\xef\xbb\xbf",
	}
	head := heads[s.random.IntN(len(heads))]
	return func() {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, head)
		_, _ = conn.Write(body)
	}
}
