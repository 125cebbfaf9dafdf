// Package enginetest has a target to scrape for tests of the engine: an HTTP server without a network.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Target is the host:port of a [Toy].
const Target = "toy.example:9877"

// A Toy serves metrics over net.Pipe.
type Toy struct {
	mu      sync.Mutex
	metrics func() string
	down    bool

	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Start serves what metrics returns, in the text format, at every path. It ends with the test.
func Start(t testing.TB, metrics func() string) *Toy {
	t.Helper()
	toy := &Toy{metrics: metrics, accept: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: toy} //nolint:gosec // there is no network that could be slow
	served := make(chan error, 1)
	go func() { served <- server.Serve(toy) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close the toy: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve the toy: %v", err)
		}
	})
	return toy
}

// SetDown makes the toy refuse connections, and answer those that it has with an error.
func (t *Toy) SetDown(down bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = down
}

// ServeHTTP answers a scrape.
func (t *Toy) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	t.mu.Lock()
	metrics, down := t.metrics, t.down
	t.mu.Unlock()
	if down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = fmt.Fprint(w, metrics())
}

// Dial connects to the toy.
func (t *Toy) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	t.mu.Lock()
	down := t.down
	t.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case t.accept <- theirs:
		return ours, nil
	case <-t.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept is of net.Listener.
func (t *Toy) Accept() (net.Conn, error) {
	select {
	case c := <-t.accept:
		return c, nil
	case <-t.closed:
		return nil, net.ErrClosed
	}
}

// Close is of net.Listener.
func (t *Toy) Close() error {
	t.once.Do(func() { close(t.closed) })
	return nil
}

// Addr is of net.Listener.
func (t *Toy) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "toy" }
func (address) String() string  { return Target }
