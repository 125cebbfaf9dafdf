// Package memnet is a network inside this process: what waits on it lets the virtual time of testing/synctest pass.
package memnet

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"

	"google.golang.org/grpc/test/bufconn"
)

const (
	buffered  = 64 << 10 // bytes that can be on their way in each direction of a connection
	firstPort = 10_000
)

// Network connects those who dial with those who listen. The zero value is ready; methods may be called from several goroutines.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
}

// Listen opens an address, host:port, in place of the listener that it had. Port 0 is one that nobody has.
func (n *Network) Listen(_ context.Context, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*bufconn.Listener{}
	}
	if port == "0" {
		address = net.JoinHostPort(host, strconv.Itoa(firstPort+len(n.listeners)))
	}
	l := listener{bufconn.Listen(buffered), hostPort(address)}
	n.listeners[address] = l.Listener
	return l, nil
}

// DialContext connects to an address that somebody listens on.
func (n *Network) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s: nobody listens", address)
	}
	return l.DialContext(ctx)
}

// hostPort is an address.
type hostPort string

func (hostPort) Network() string  { return "memory" }
func (a hostPort) String() string { return string(a) }

// listener is a listener with an address of its own.
type listener struct {
	*bufconn.Listener
	address net.Addr
}

// Addr implements [net.Listener].
func (l listener) Addr() net.Addr { return l.address }
