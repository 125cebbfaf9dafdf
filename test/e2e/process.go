package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// StopTimeout is how long a process may take from SIGTERM to its exit.
	StopTimeout = 10 * time.Second
	// logTail is how many lines of a process's log a failed test prints.
	logTail = 60
)

// A Process is a server under test. Its methods may be called from several goroutines.
type Process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and its output was read to the end
	err  error         // what Wait said; read it after done

	mu    sync.Mutex
	lines []string
	grown chan struct{} // closed and replaced with every line
}

// Start starts cmd and collects both of its output streams as one log, a line at a time. When the test ends the process
// is stopped as by [Process.Stop], and killed if it does not obey.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: name, cmd: cmd, done: make(chan struct{}), grown: make(chan struct{})}
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	cmd.SysProcAttr = dieWithParent()
	cmd.WaitDelay = StopTimeout // a grandchild that keeps the output open is an error of Wait, not a hang
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.collect(reader)
	}()
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
		_ = writer.Close()
		<-read
	}()
	t.Cleanup(func() { p.cleanUp(t) })
	return p
}

func (p *Process) collect(reader io.Reader) {
	lines := bufio.NewReader(reader)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			p.append(strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}

func (p *Process) append(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
	close(p.grown)
	p.grown = make(chan struct{})
}

func (p *Process) cleanUp(t testing.TB) {
	if err := p.Stop(); err != nil {
		t.Errorf("%v", err)
	}
	if !t.Failed() {
		return
	}
	log := p.Log()
	if len(log) > logTail {
		log = log[len(log)-logTail:]
	}
	t.Logf("the last lines of %s:\n%s", p.name, strings.Join(log, "\n"))
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Log returns the lines written so far, oldest first.
func (p *Process) Log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

// WaitFor returns the submatches of the first line of the log, from its beginning, that pattern matches. The test fails
// if there is none within timeout, or if the process ends without it.
func (p *Process) WaitFor(t testing.TB, timeout time.Duration, pattern string) []string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for seen, ended := 0, false; ; {
		lines, grown := p.since(seen)
		for _, line := range lines {
			if match := expression.FindStringSubmatch(line); match != nil {
				return match
			}
		}
		seen += len(lines)
		if ended {
			t.Fatalf("%s ended (%v) and never wrote a line like %q", p.name, p.err, pattern)
		}
		select {
		case <-grown:
		case <-p.done:
			ended = true
		case <-deadline.C:
			t.Fatalf("%s wrote no line like %q within %v", p.name, pattern, timeout)
		}
	}
}

func (p *Process) since(seen int) ([]string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[seen:len(p.lines):len(p.lines)], p.grown
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop asks the process to stop with SIGTERM and waits until it has. It is an error if that takes longer than
// [StopTimeout] (the process is then killed) or if it does not exit with 0. Stopping a process that has ended does nothing.
func (p *Process) Stop() error {
	if p.ended() {
		return nil
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("stop %s: %w", p.name, p.err)
		}
		return nil
	case <-time.After(StopTimeout):
		return errors.Join(fmt.Errorf("stop %s: it still runs %v after SIGTERM", p.name, StopTimeout), p.Kill())
	}
}

// Kill ends the process with SIGKILL, as a crash would, and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

func (p *Process) signal(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", signal, p.name, err)
	}
	return nil
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
