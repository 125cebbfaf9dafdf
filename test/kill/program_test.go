//go:build unix

package kill

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build makes the program from this tree.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trainbridge")
	args := append([]string{"build", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, "../../cmd/trainbridge")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// process is one life of the program.
type process struct {
	cmd  *exec.Cmd
	log  *safeBuffer
	done chan error
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (w *world) start(t *testing.T) *process {
	t.Helper()
	p := &process{log: &safeBuffer{}, done: make(chan error, 1)}
	p.cmd = exec.Command(w.program, "run", "--config.file=trainbridge.yml", "--web.listen-address="+w.address)
	p.cmd.Dir, p.cmd.Stderr, p.cmd.Stdout = w.dir, p.log, p.log
	p.cmd.Env = cleanEnvironment()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// cleanEnvironment leaves out what would configure the program beside its file.
func cleanEnvironment() (env []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "OTEL_") && !strings.HasPrefix(e, "WANDB_") {
			env = append(env, e)
		}
	}
	return env
}

// kill ends the process as a crash does. A process that ended by itself is a bug.
func (p *process) kill(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Kill()
	err := <-p.done
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the program ended by itself: %v\n%s", err, p.log)
	}
}

// stop asks the process to end and expects success within 10 s.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.done:
		if err != nil {
			t.Errorf("the program ended with %v\n%s", err, p.log)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("the program still runs 10 s after SIGTERM\n%s", p.log)
		_ = p.cmd.Process.Kill()
	}
}
