package collectortest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"
)

// meddler stands before a service, spoils its answers and remembers what was asked. It is safe for concurrent use.
type meddler struct {
	service http.Handler
	token   func(*http.Request) bool
	host    string // of the service

	mu      sync.Mutex
	spoil   fault
	spoilt  int // requests that were offered to spoil
	asked   []asked
	secrets map[string]bool
	queries map[string]bool
	strays  []string // requests and connections that went elsewhere
	refuse  error    // of every connection
}

// asked is a request that came in.
type asked struct {
	at    time.Time
	token bool
	path  string
}

// A fault answers the nth request since it holds instead of the service; false leaves it to the service.
type fault func(n int, w http.ResponseWriter, r *http.Request) bool

func newMeddler(s Subject, service http.Handler, host string) *meddler {
	m := &meddler{service: service, token: s.Token, host: host, secrets: map[string]bool{}, queries: map[string]bool{}}
	if m.token == nil {
		m.token = func(r *http.Request) bool { return r.Method == http.MethodPost }
	}
	return m
}

// ServeHTTP implements [http.Handler].
func (m *meddler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := m.token(r)
	m.learn(r, token)
	m.mu.Lock()
	if !m.home(r.Host) {
		m.strays = append(m.strays, "a request to "+r.Host)
	}
	m.asked = append(m.asked, asked{at: time.Now(), token: token, path: r.URL.Path})
	spoil, n := m.spoil, 0
	if !token {
		m.spoilt++
		n = m.spoilt
	}
	m.mu.Unlock()
	if spoil != nil && spoil(n, w, r) {
		return
	}
	m.service.ServeHTTP(w, r)
}

// home reports whether an address is the service's. The port may be left out: it is that of the scheme.
func (m *meddler) home(address string) bool {
	return strings.TrimSuffix(address, ":80") == strings.TrimSuffix(m.host, ":80")
}

// meddle begins another fault, none if it is nil. Requests for tokens have the number 0 and are to be left alone by most.
func (m *meddler) meddle(f fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spoil, m.spoilt, m.refuse = f, 0, nil
}

// cut refuses every connection from now on.
func (m *meddler) cut(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// dialled notes a connection, and says why there is to be none.
func (m *meddler) dialled(address string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.home(address) {
		m.strays = append(m.strays, "a connection to "+address)
	}
	return m.refuse
}

// requests is how many there were.
func (m *meddler) requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.asked)
}

// between is how many requests for data came after one moment and before another.
func (m *meddler) between(after, before time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, a := range m.asked {
		if !a.token && a.at.After(after) && a.at.Before(before) {
			n++
		}
	}
	return n
}

// real is the service's own answer to a request.
func (m *meddler) real(r *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	m.service.ServeHTTP(answer, r)
	return answer
}

// plain are headers that hold nothing secret.
func plain(name string) bool {
	switch name {
	case "Accept", "Accept-Encoding", "Content-Type", "Content-Length", "User-Agent", "Connection":
		return true
	}
	return false
}

// minSecret is the length from which a text is worth looking for in others.
const minSecret = 8

// learn notes what of a request must not appear in a message.
func (m *meddler) learn(r *http.Request, token bool) {
	var secrets []string
	for name, values := range r.Header {
		if plain(name) {
			continue
		}
		for _, v := range values {
			_, key, found := strings.Cut(v, " ")
			if !found {
				key = v
			}
			secrets = append(secrets, key)
		}
	}
	if token {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10)) // what cannot be read, the service cannot read either
		r.Body = io.NopCloser(bytes.NewReader(body))
		secrets = append(secrets, secretsOf(body)...)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range secrets {
		if len(s) >= minSecret {
			m.secrets[s] = true
		}
	}
	if len(r.URL.RawQuery) >= minSecret {
		m.queries[r.URL.RawQuery] = true
	}
}

// secretsOf are the secrets in a request for a token, which is an object or a form.
func secretsOf(body []byte) []string {
	var out []string
	take := func(key, value string) {
		key = strings.ToLower(key)
		for _, word := range []string{"secret", "password", "token", "key"} {
			if strings.Contains(key, word) {
				out = append(out, value)
			}
		}
	}
	var object map[string]any
	if json.Unmarshal(body, &object) == nil {
		for key, v := range object {
			if text, ok := v.(string); ok {
				take(key, text)
			}
		}
		return out
	}
	form, _ := url.ParseQuery(string(body)) // what was understood
	for key, values := range form {
		for _, v := range values {
			take(key, v)
		}
	}
	return out
}

// shown is which of the secrets a text shows; queries are looked for too if asked. What it returns is safe to print.
func (m *meddler) shown(text string, queries bool) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.secrets {
		if strings.Contains(text, s) {
			return "a credential"
		}
	}
	for q := range m.queries {
		if queries && strings.Contains(text, q) {
			return "the query of a request"
		}
	}
	if strings.Contains(text, canary) {
		return "the body of an answer"
	}
	return ""
}

func (m *meddler) wandered() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.strays
}
