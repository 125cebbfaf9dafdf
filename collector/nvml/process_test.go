//go:build unix

package nvml

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// TestMain lets the test's own program be a helper, and a parent that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "nvml-helper":
			open := func(library string) (driver.Driver, error) { return scripted{library}, scripted{library}.begin() }
			if err := HelperMain(context.Background(), open, os.Stdin, os.Stdout); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case "nvml-parent":
			p := &parent{dir: os.Args[2]}
			_ = p.monitor().Run(context.Background())
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// scripted is a driver of eight GPUs that does what a file says, in a helper.
type scripted struct{ file string }

func (s scripted) begin() error {
	facts, _ := json.Marshal(facts{os.Getpid(), syscall.Getpgrp(), os.Environ()})
	name := filepath.Join(filepath.Dir(s.file), "helper")
	_ = os.WriteFile(name+".new", facts, 0o600)
	return os.Rename(name+".new", name)
}

// facts are what a helper knows of itself.
type facts struct {
	PID, Group  int
	Environment []string
}

func (s scripted) says(word string) bool {
	b, _ := os.ReadFile(s.file)
	return slices.Contains(strings.Fields(string(b)), word)
}

func (s scripted) Versions() collector.DriverVersions { return collector.DriverVersions{Driver: "1"} }
func (s scripted) Count() (int, error)                { return 8, nil }
func (s scripted) Open(i int) (driver.Device, error)  { return scriptedGPU{s, i}, nil }
func (s scripted) Events(_ []driver.Device) (driver.Events, error) {
	return nil, driver.ErrNotSupported
}

type scriptedGPU struct {
	scripted
	index int
}

func (g scriptedGPU) Identity() (driver.Identity, error) {
	return driver.Identity{ID: "GPU-" + strconv.Itoa(g.index)}, nil
}
func (g scriptedGPU) Instances() ([]driver.Device, error) { return nil, nil }

func (g scriptedGPU) Read(group driver.Group, to *driver.Values) error {
	if group != driver.Load {
		return nil
	}
	switch {
	case g.says("hang"), g.says("hang:" + strconv.Itoa(g.index)):
		select {}
	case g.says("segv"):
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	case g.says("print"):
		fmt.Println("the library says hello on stdout")
	case g.says("talk"):
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 5000)+"\x1b[31m")
	}
	to.Add(collector.DeviceEnergy, float64(time.Now().UnixMilli()%100_000))
	return nil
}

// parent is a monitor over real processes.
type parent struct {
	dir   string
	shown atomic.Pointer[collector.GPUView]
	logs  syncBuffer
}

func (p *parent) monitor() *Monitor {
	m, err := New(Config{
		Interval: model.Duration(100 * time.Millisecond), SlowInterval: model.Duration(100 * time.Millisecond), Library: "./script",
		Directory: p.dir,
	}, Env{Command: []string{self(), "nvml-helper"}, Publish: p.shown.Store, Log: newLog(&p.logs)})
	if err != nil {
		panic(err)
	}
	m.silence = time.Second
	return m
}

func self() string {
	name, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return name
}

func (p *parent) script(t *testing.T, words string) {
	t.Helper()
	name := filepath.Join(p.dir, "script")
	if err := os.WriteFile(name+".new", []byte(words), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// helper waits for facts of a helper other than one with a pid.
func (p *parent) helper(t *testing.T, other int) (f facts) {
	t.Helper()
	eventually(t, "a helper starts", func() bool {
		b, _ := os.ReadFile(filepath.Join(p.dir, "helper"))
		return json.Unmarshal(b, &f) == nil && f.PID != other
	})
	return f
}

func (p *parent) view() *collector.GPUView { return p.shown.Load() }

func (p *parent) up() int {
	v := p.view()
	if v == nil || !v.Host.Up {
		return -1
	}
	return v.Host.Seen
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not happen: %s", what)
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// raise starts a monitor; the test's end ends it, in time and without leaving a process.
func raise(t *testing.T) *parent {
	t.Helper()
	p := &parent{dir: t.TempDir()}
	m := p.monitor()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		pid := p.helper(t, 0).PID
		began := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("Run returned %v after %s", err, time.Since(began))
		}
		eventually(t, "the helper is gone", func() bool { return !alive(pid) })
		if t.Failed() {
			t.Log(p.logs.String())
		}
	})
	eventually(t, "all GPUs are up", func() bool { return p.up() == 8 })
	return p
}

// TestHelperEnds in ways that nobody can prepare for.
func TestHelperEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(t *testing.T, p *parent, pid int)
		reason string
		says   string
	}{
		"killed":  {func(_ *testing.T, _ *parent, pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }, "crashed", "signal: killed"},
		"stopped": {func(_ *testing.T, _ *parent, pid int) { _ = syscall.Kill(pid, syscall.SIGSTOP) }, "silent", "has said nothing"},
		"segv":    {func(t *testing.T, p *parent, _ int) { p.script(t, "segv") }, "crashed", "SIGSEGV: segmentation violation"},
		"prints":  {func(t *testing.T, p *parent, _ int) { p.script(t, "print") }, "crashed", "frames cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := raise(t)
			pid := p.helper(t, 0).PID
			c.end(t, p, pid)
			next := p.helper(t, pid)
			p.script(t, "")
			eventually(t, "all GPUs are up again", func() bool { return p.up() == 8 && p.view().Host.Helpers == 1 })
			if next.PID == pid || alive(pid) {
				t.Errorf("helper %d is alive", pid)
			}
			for _, e := range p.view().Host.Exits {
				if (e.Name == c.reason) != (e.N > 0) {
					t.Errorf("exits: %v", p.view().Host.Exits)
				}
			}
			if !strings.Contains(p.logs.String(), c.says) {
				t.Errorf("the log does not say %q", c.says)
			}
		})
	}
}

// TestHelperKnowsLittle of its parent: no secret reaches it, and a ^C for the parent is not one for it.
func TestHelperKnowsLittle(t *testing.T) {
	t.Setenv("TB_SECRET", "s3cret")
	t.Setenv("LD_PRELOAD_", "x")
	t.Setenv("LD_LIBRARY_PATH", "/opt/nvidia/lib")
	p := raise(t)
	f := p.helper(t, 0)
	slices.Sort(f.Environment)
	if want := []string{"GOMAXPROCS=2", "GOMEMLIMIT=64MiB", "LD_LIBRARY_PATH=/opt/nvidia/lib"}; !slices.Equal(f.Environment, want) {
		t.Errorf("it knows %q", f.Environment)
	}
	if f.Group != f.PID {
		t.Errorf("helper %d is of group %d", f.PID, f.Group)
	}
}

// TestWordsOnStderr are logged, few and short.
func TestWordsOnStderr(t *testing.T) {
	p := raise(t)
	p.script(t, "talk")
	eventually(t, "lines are logged", func() bool { return p.logs.count("helper that reads GPUs says") >= maxHelperLines })
	time.Sleep(300 * time.Millisecond)
	if n := p.logs.count("helper that reads GPUs says"); n != maxHelperLines || p.logs.count("\x1b") > 0 || p.up() != 8 {
		t.Errorf("%d lines", n)
	}
}

// TestParentIsKilled while its helper reads, and while the helper hangs: the helper goes too.
func TestParentIsKilled(t *testing.T) {
	for _, words := range []string{"", "hang"} {
		t.Run("script "+words, func(t *testing.T) {
			t.Parallel()
			p := &parent{dir: t.TempDir()}
			p.script(t, words)
			cmd := exec.Command(self(), "nvml-parent", p.dir)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid := p.helper(t, 0).PID
			time.Sleep(200 * time.Millisecond)
			if !alive(pid) {
				t.Error("the helper ended too early")
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			eventually(t, "the helper is gone", func() bool { return !alive(pid) })
		})
	}
}

// TestViewsDoNotWait reads 2,000 views while all GPUs hang in a real process, and while a helper is stopped.
func TestViewsDoNotWait(t *testing.T) {
	p := raise(t)
	p.script(t, "hang")
	eventually(t, "no GPU is up", func() bool { return p.up() <= 0 })
	pid := p.helper(t, 0).PID
	var longest time.Duration
	for i := range 2000 {
		if i == 1000 {
			_ = syscall.Kill(pid, syscall.SIGSTOP)
		}
		began := time.Now()
		v := p.view()
		if len(v.GPUs) != 8 || v.GPUs[0].Up {
			t.Fatalf("view %d: %+v", i, v.Host)
		}
		longest = max(longest, time.Since(began))
		if i%100 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	t.Logf("the longest of 2,000 took %s", longest)
	if longest > 250*time.Millisecond {
		t.Error("that is too long")
	}
	p.script(t, "")
	_ = syscall.Kill(pid, syscall.SIGCONT)
}

func TestOnceWithARealProcess(t *testing.T) {
	p := &parent{dir: t.TempDir()}
	p.script(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	v, err := p.monitor().Once(ctx)
	if err != nil || v.Host.Seen != 8 {
		t.Errorf("%v, %+v", err, v)
	}
	if pid := p.helper(t, 0).PID; alive(pid) {
		t.Errorf("helper %d is alive", pid)
	}
}
