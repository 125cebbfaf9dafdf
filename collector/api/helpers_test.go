package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

const canary = "canary-5ecret-4b1e"

// recorder is an observer that remembers.
type recorder struct {
	mu       sync.Mutex
	requests map[string]int
	limit    float64
	left     float64
	budgets  int
	skew     time.Duration
}

func (r *recorder) Request(operation, code string, _ time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.requests == nil {
		r.requests = map[string]int{}
	}
	r.requests[operation+" "+code]++
}

func (r *recorder) Budget(limit, remaining float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit, r.left = limit, remaining
	r.budgets++
}

func (r *recorder) Skew(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skew = d
}

func (r *recorder) count(key string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests[key]
}

// bearerConfig is a configuration with the canary as its key.
func bearerConfig() Config {
	return Config{HTTP: config.HTTPClientConfig{Authorization: &config.Authorization{Type: "Bearer", Credentials: canary}}}
}

func mustClient(t *testing.T, c Config, o Observer) *Client {
	t.Helper()
	client, err := New("test", c, o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// once asks with no time for a second attempt.
func once(t *testing.T, c *Client, at string, decode func(*Decoder) error) error {
	t.Helper()
	if decode == nil {
		decode = func(*Decoder) error { return nil }
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return c.JSON(ctx, Request{Operation: "get", Method: http.MethodGet, URL: mustURL(t, at+"/v1/things?token="+canary)}, decode)
}

// post asks in a way that is never tried again.
func post(t *testing.T, c *Client, at string, decode func(*Decoder) error) error {
	t.Helper()
	if decode == nil {
		decode = func(*Decoder) error { return nil }
	}
	return c.JSON(t.Context(), Request{Operation: "post", Method: http.MethodPost, URL: mustURL(t, at+"/v1/things?token="+canary), Body: []byte(`{}`)}, decode)
}

// service answers in memory, so that time can be virtual.
type service func(*http.Request) *http.Response

func (s service) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := s(r)
	if resp == nil {
		return nil, fmt.Errorf("connection to %s broken", canary)
	}
	resp.Request = r
	return resp, nil
}

func answer(status int, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// virtual is a client of an in-memory service.
func virtual(c Config, o Observer, log *bytes.Buffer, s service) *Client {
	c.SetDefaults()
	logger := slog.New(slog.DiscardHandler)
	if log != nil {
		logger = slog.New(slog.NewTextHandler(log, nil))
	}
	return newClient("virtual", c, &transport{rt: s, setting: "check the key"}, o, logger)
}

func get(ctx context.Context, c *Client) error {
	return c.JSON(ctx, Request{Operation: "get", URL: &url.URL{Scheme: "https", Host: "service.example", Path: "/v1"}}, func(*Decoder) error { return nil })
}

func secs(n float64) model.Duration { return model.Duration(n * float64(time.Second)) }
