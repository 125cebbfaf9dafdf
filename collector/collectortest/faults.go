package collectortest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// canary stands in answers that no message may quote.
const canary = "canary-7f3a9c51"

const (
	page     = `<!doctype html><html><head><title>Sign in</title></head><body><p>` + canary + `</p></body></html>`
	jsonType = "application/json"
	big      = 64 << 20
)

// refused is what dialling a port gives that nobody listens at.
func refused() error { return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED} }

// data is a fault that leaves requests for tokens alone.
func data(f func(w http.ResponseWriter, r *http.Request)) fault {
	return func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 0 {
			return false
		}
		f(w, r)
		return true
	}
}

// from is a fault that begins with the nth request for data.
func from(first int, f fault) fault {
	return func(n int, w http.ResponseWriter, r *http.Request) bool { return n >= first && f(n, w, r) }
}

// status refuses with the service's own words, in every shape that services use for them.
func status(code int, header ...string) fault {
	return data(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		text := "refused for the test"
		w.Header().Set("Content-Type", jsonType)
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"code":%d,"message":%q,"detail":%q,"details":null,"error":{"errorCode":"900","message":%q}}`, code, text, text, text)
	})
}

// html is what a proxy or a web application answers.
func html(code int) fault {
	return data(func(w http.ResponseWriter, _ *http.Request) { send(w, code, "text/html; charset=utf-8", page) })
}

// says answers every request with the same body.
func says(contentType, body string) fault {
	return data(func(w http.ResponseWriter, _ *http.Request) { send(w, http.StatusOK, contentType, body) })
}

func send(w http.ResponseWriter, code int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	io.WriteString(w, body)
}

// redirect sends the client to another host.
func redirect(code int) fault {
	return data(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://192.0.2.66/"+canary+r.URL.Path)
		w.WriteHeader(code)
	})
}

// silent says nothing until the client leaves.
func silent() fault {
	return data(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// slow sends the right answer, a byte each second.
func (m *meddler) slow() fault {
	return data(func(w http.ResponseWriter, r *http.Request) {
		answer := m.real(r)
		copyHeader(w, answer.Header())
		for _, b := range answer.Body.Bytes() {
			if _, err := w.Write([]byte{b}); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // the next write says that the client left
			if !pause(r, time.Second) {
				return
			}
		}
	})
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

func copyHeader(w http.ResponseWriter, h http.Header) {
	for name, values := range h {
		w.Header()[name] = values
	}
}

// endless is a size that no client should read to its end. It has one, for the sake of the machine that tests one which does.
const endless = 80 << 20

// repeats begins an answer, goes on with filler until size bytes were sent, and ends it.
func repeats(begin, filler, end string, size int) fault {
	return data(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", jsonType)
		io.WriteString(w, begin)
		block := []byte(strings.Repeat(filler, 32<<10/len(filler)))
		for sent := 0; sent < size; sent += len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
		io.WriteString(w, end)
	})
}

// bomb is an answer of 64 MiB in a few kilobytes of gzip.
func bomb() fault {
	return data(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", jsonType)
		w.Write(packed())
	})
}

var packed = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	block := bytes.Repeat([]byte("a"), 1<<20)
	_, err := io.WriteString(z, `{"x":"`)
	for range big >> 20 {
		_, failed := z.Write(block)
		err = errors.Join(err, failed)
	}
	_, failed := io.WriteString(z, `"}`)
	if err = errors.Join(err, failed, z.Close()); err != nil {
		panic(err) // memory takes everything
	}
	return b.Bytes()
})

// brokenGzip claims to be compressed.
func brokenGzip() fault {
	return data(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		send(w, http.StatusOK, jsonType, canary)
	})
}

// flood has more headers than anyone needs.
func flood() fault {
	return data(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 4000 {
			w.Header().Set("X-Flood-"+strconv.Itoa(i), strings.Repeat("x", 100))
		}
		send(w, http.StatusOK, jsonType, "{}")
	})
}

// garbage is noise of one kind.
func garbage() fault {
	noise := make([]byte, 4<<10)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	return says(jsonType, "\x00\xff"+canary+string(noise))
}

// half sends half of the right answer. Where it is cut the connection is closed too early; else the answer just ends.
func (m *meddler) half(cut bool) fault {
	return data(func(w http.ResponseWriter, r *http.Request) {
		answer := m.real(r)
		body := answer.Body.Bytes()
		copyHeader(w, answer.Header())
		w.Header().Del("Content-Length")
		if cut {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		w.WriteHeader(answer.Code)
		w.Write(body[:len(body)/2])
		if cut {
			_ = http.NewResponseController(w).Flush() // the half arrives or the client left
			panic(http.ErrAbortHandler)
		}
	})
}

// hangUp closes the connection without an answer, or after something that is no HTTP.
func hangUp(words string) fault {
	return data(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(conn, words)
		_ = conn.Close()
	})
}

// changed sends the service's answer after change had its way with the body.
func (m *meddler) changed(change func(body []byte) []byte) fault {
	return data(func(w http.ResponseWriter, r *http.Request) {
		answer := m.real(r)
		copyHeader(w, answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		w.Write(change(answer.Body.Bytes()))
	})
}

// retyped sends the service's answer as another type.
func (m *meddler) retyped(contentType string) fault {
	return data(func(w http.ResponseWriter, r *http.Request) {
		answer := m.real(r)
		send(w, answer.Code, contentType, answer.Body.String())
	})
}

// twice writes the first key of an object, and its value, twice.
func twice(body []byte) []byte {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) < 3 || trimmed[0] != '{' || trimmed[len(trimmed)-1] != '}' {
		return body
	}
	inner := trimmed[1 : len(trimmed)-1]
	return []byte("{" + string(inner) + "," + string(inner) + "}")
}

// replay answers a request for data, the nth or the first after it that can be, with the answer that was given before at the
// same path. It does so once.
func (m *meddler) replay(n int) fault {
	var mu sync.Mutex
	last := map[string]string{}
	asked, done := 0, false
	again := func(path string) (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		body, known := last[path]
		if done || asked < n || !known {
			return "", false
		}
		done = true
		return body, true
	}
	return data(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := again(r.URL.Path); ok {
			send(w, http.StatusOK, jsonType, body)
			return
		}
		answer := m.real(r)
		if answer.Code == http.StatusOK {
			mu.Lock()
			last[r.URL.Path] = answer.Body.String()
			mu.Unlock()
		}
		copyHeader(w, answer.Header())
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	})
}
