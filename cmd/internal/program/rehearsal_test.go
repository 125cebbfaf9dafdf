package program

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// memoryNetwork is a network inside this process.
type memoryNetwork struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
}

type memoryListener struct {
	*bufconn.Listener
	address net.Addr
}

func (l memoryListener) Addr() net.Addr { return l.address }

func (n *memoryNetwork) Listen(context.Context, string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*bufconn.Listener{}
	}
	l := memoryListener{bufconn.Listen(64 << 10), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 10_000 + len(n.listeners)}}
	n.listeners[l.address.String()] = l.Listener
	return l, nil
}

func (n *memoryNetwork) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("nobody listens on %s", address)
	}
	return l.DialContext(ctx)
}

// TestRehearsal plays a scenario in virtual time.
func TestRehearsal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &memoryNetwork{}
		var out buffer
		r, err := NewRehearsal(RehearsalOptions{Scenario: "auth_rejected", Network: n, Log: slog.New(slog.NewTextHandler(&out, nil))})
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DialContext: n.DialContext}}
		defer client.CloseIdleConnections()
		read := func() string {
			resp, err := client.Get("http://" + r.Address() + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			return string(text)
		}
		r.Start()
		time.Sleep(warmUp - time.Second)
		if e := exposition(read()); !e.any("training_source_up", `training_source="wandb"`, is(1)) || !e.any("nvml_gpu_up", ".*", is(1)) {
			t.Errorf("before the fault:\n%s", e)
		}
		time.Sleep(10 * time.Minute)
		if e := exposition(read()); !e.any("training_source_fault_info", `training_source="wandb",error_type="auth"`, is(1)) {
			t.Errorf("the fault does not show:\n%s", e)
		}
		if err := r.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if e := exposition(read()); e.any("training_source_fault_info", `.*`, is(1)) {
			t.Errorf("the fault goes on:\n%s", e)
		}
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
		if strings.Contains(out.String(), "cannot play") {
			t.Error(out.String())
		}
	})
}
