package collectortest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Network is a network of one host, in memory. Nothing of it waits in the operating system, so that a test with
// testing/synctest can let hours pass over real HTTP.
type Network struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Serve answers every connection of the network that it returns with h until the test ends. Addresses mean nothing: any host
// and port reach h.
func Serve(t testing.TB, h http.Handler) *Network {
	t.Helper()
	n := &Network{accept: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(n) // always says that it was closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return n
}

// Base is an address of the network for a base URL; loopback, so that plain http is permitted.
func (n *Network) Base() string { return "http://127.0.0.1:80" }

// Dial connects to the one host.
func (n *Network) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n.accept <- server:
		return client, nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements [net.Listener].
func (n *Network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accept:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (n *Network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

// Addr implements [net.Listener].
func (n *Network) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
