//go:build linux

package gpu

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var long = flag.Bool("gpu.long", false, "run the long forms, alone and against the bounds in full")

// together lets the short forms run at the same time: they wait much more than they work.
func together(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the real program for seconds")
	}
	if !*long {
		t.Parallel()
	}
}

// programs are where the program of this tree is built, once with cgo and once without.
var programs = struct{ with, without func() (string, error) }{
	sync.OnceValues(func() (string, error) { return build("1") }),
	sync.OnceValues(func() (string, error) { return build("0") }),
}

func build(cgo string) (string, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("trainbridge-gpu-test-%d-%s", os.Getpid(), cgo))
	cmd := exec.Command("go", "build", "-o", path, "../../cmd/trainbridge")
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // whatever the number of cores: tests wait
		panic(err)
	}
	code := m.Run()
	for _, cgo := range []string{"0", "1"} {
		_ = os.Remove(filepath.Join(os.TempDir(), fmt.Sprintf("trainbridge-gpu-test-%d-%s", os.Getpid(), cgo)))
	}
	os.Exit(code)
}

// process is the program at work.
type process struct {
	cmd     *exec.Cmd
	log     *safeBuffer
	ended   chan struct{} // closed when err is set
	err     error
	address string
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

// start runs the program with a configuration of GPUs.
func start(t *testing.T, program func() (string, error), gpus string) *process {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf("state: {directory: state}\ngpus: {%s}\n", gpus)
	if err := os.WriteFile(filepath.Join(dir, "trainbridge.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &process{log: &safeBuffer{}, ended: make(chan struct{})}
	p.cmd = exec.Command(path, "run", "--config.file=trainbridge.yml", "--web.listen-address=127.0.0.1:0")
	p.cmd.Dir, p.cmd.Stderr, p.cmd.Stdout = dir, p.log, p.log
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "OTEL_") {
			p.cmd.Env = append(p.cmd.Env, e)
		}
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the program's log:\n%s", p.log)
		}
	})
	p.listening(t)
	return p
}

// listening waits until the program says where it listens.
func (p *process) listening(t *testing.T) {
	t.Helper()
	said := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if found := said.FindStringSubmatch(p.log.String()); found != nil {
			p.address = found[1]
			return
		}
	}
	t.Fatal("the program does not listen")
}

// stop asks the program to end, and expects success within 5 s and no helper that is left.
func (p *process) stop(t *testing.T) {
	t.Helper()
	helpers := p.helpers(t)
	began := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("the program ended with %v", p.err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the program still runs 5 s after SIGTERM")
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	took := time.Since(began)
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := 0
		for _, pid := range helpers {
			if s := stat(pid); s != nil && s[stateField] != "Z" {
				left++
			}
		}
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%d of the helpers %v are left", left, helpers)
			break
		}
	}
	t.Logf("SIGTERM: ended after %v, had helpers %v", took.Round(time.Millisecond), helpers)
}

// Fields of /proc/PID/stat after the name of the command.
const (
	stateField  = 0
	parentField = 1
	userField   = 11
	systemField = 12
	threadField = 17
	startField  = 19
)

// stat is /proc/PID/stat from the state on; nil if there is no such process.
func stat(pid int) []string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
}

func number(t *testing.T, fields []string, field int) int {
	t.Helper()
	if fields == nil {
		t.Fatal("a process has gone")
	}
	n, err := strconv.Atoi(fields[field])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// helpers are the program's helpers that are alive.
func (p *process) helpers(t *testing.T) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.Contains(string(command), "nvml-helper") {
			continue
		}
		if s := stat(pid); s != nil && s[parentField] == strconv.Itoa(p.cmd.Process.Pid) && s[stateField] != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// helper is the only helper.
func (p *process) helper(t *testing.T) int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if pids := p.helpers(t); len(pids) == 1 {
			return pids[0]
		} else if time.Now().After(deadline) {
			t.Fatalf("there are the helpers %v, want one", pids)
		}
	}
}

// maps reports whether a process has the library loaded.
func maps(t *testing.T, pid int) bool {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.Contains(raw, []byte("libnvidia-ml"))
}
