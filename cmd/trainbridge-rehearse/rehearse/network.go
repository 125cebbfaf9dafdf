package rehearse

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"

	"google.golang.org/grpc/test/bufconn"
)

// memory is a network inside this process: what waits on it lets virtual time pass.
type memory struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
}

const firstPort = 10_000

// memoryAddress is host:port.
type memoryAddress string

func (memoryAddress) Network() string  { return "memory" }
func (a memoryAddress) String() string { return string(a) }

// buffered is how much can be on its way in each direction of a connection.
const buffered = 64 << 10

// Listen implements [program.Network].
func (m *memory) Listen(_ context.Context, address string) (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listeners == nil {
		m.listeners = map[string]*bufconn.Listener{}
	}
	if host, port, _ := net.SplitHostPort(address); port == "0" {
		address = net.JoinHostPort(host, strconv.Itoa(firstPort+len(m.listeners)))
	}
	l := listener{bufconn.Listen(buffered), memoryAddress(address)}
	m.listeners[address] = l.Listener // the one before is closed
	return l, nil
}

// DialContext implements [program.Network].
func (m *memory) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	m.mu.Lock()
	l := m.listeners[address]
	m.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s: nobody listens", address)
	}
	return l.DialContext(ctx)
}

// listener is a listener with an address of its own.
type listener struct {
	*bufconn.Listener
	address net.Addr
}

func (l listener) Addr() net.Addr { return l.address }
