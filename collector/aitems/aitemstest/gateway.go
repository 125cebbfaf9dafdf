package aitemstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	out := s.answer(r)
	s.served++
	id := "req-" + strconv.FormatUint(s.served, 10)
	date := s.now().UTC().Format(http.TimeFormat)
	if s.faults.NoDate {
		date = ""
	}
	s.mu.Unlock()
	h := w.Header()
	h["Date"] = nil
	if date != "" {
		h.Set("Date", date)
	}
	h.Set("X-Ncp-Request-Id", id)
	out.write(w)
}

// now is the server's clock. The mutex is held.
func (s *Server) now() time.Time { return s.o.Now().Add(s.faults.ClockSkew) }

func (s *Server) violate(what string) { s.violations[what]++ }

// answer is what the gateway and the service behind it say. The mutex is held.
func (s *Server) answer(r *http.Request) *response {
	id := s.serviceOf(r.URL)
	if a, ok := s.faults.replaced(id, r.URL.Path, true); ok {
		return s.refuse(a)
	}
	if !s.allow() {
		s.violate("over_rate")
		return s.refuse(Answer{Status: 429, Code: "420"})
	}
	if out := s.verify(r); out != nil {
		return out
	}
	if r.Method != http.MethodGet {
		s.violate("write")
		return s.refuse(Answer{Status: 403, Code: "230"})
	}
	if a, ok := s.faults.replaced(id, r.URL.Path, false); ok {
		return s.refuse(a)
	}
	if status := s.faults.Denied[id]; id != "" && status != 0 {
		return s.refuse(Answer{Status: status, Code: map[int]string{401: "210"}[status]})
	}
	return s.route(r)
}

// allow takes a request from the budget.
func (s *Server) allow() bool {
	if s.o.Rate <= 0 {
		return true
	}
	now := s.o.Now()
	s.tokens = min(float64(s.o.Burst), s.tokens+s.o.Rate*now.Sub(s.filled).Seconds())
	s.filled = now
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

const (
	maxSkew = 300_000 // milliseconds
	// keepSignatures is how many signatures are remembered.
	keepSignatures = 4096
)

// verify checks the headers of a request; nil lets it in.
func (s *Server) verify(r *http.Request) *response {
	refused := func(what string) *response {
		s.violate(what)
		return s.refuse(Answer{Status: 401, Code: "200"})
	}
	if r.Header.Get("Content-Type") == "" {
		s.violate("missing_header")
	}
	at, access := r.Header.Get("x-ncp-apigw-timestamp"), r.Header.Get("x-ncp-iam-access-key")
	given := r.Header.Get("x-ncp-apigw-signature-v2")
	if at == "" || access == "" || given == "" {
		return refused("missing_header")
	}
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return refused("stale_timestamp")
	}
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte(r.Method + " " + r.RequestURI + "\n" + at + "\n" + access))
	if access != s.access || given != base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		return refused("bad_signature")
	}
	if d := s.now().UnixMilli() - ms; d >= maxSkew || d <= -maxSkew {
		return refused("stale_timestamp")
	}
	s.remember(at + " " + r.RequestURI)
	return nil
}

// remember notes a signature, which must be fresh for every attempt.
func (s *Server) remember(key string) {
	if s.seen[key] {
		s.violate("reused_signature")
		return
	}
	s.seen[key] = true
	s.order = append(s.order, key)
	if len(s.order) > keepSignatures {
		delete(s.seen, s.order[0])
		s.order = s.order[1:]
	}
}

// serviceOf is the service that a request is about, or empty.
func (s *Server) serviceOf(u *url.URL) string {
	rest, ok := strings.CutPrefix(u.Path, s.o.Prefix+"/services/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}
