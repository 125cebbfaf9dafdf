package nvml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"

	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// process is a helper that was started. Its methods may be called from any goroutine.
type process interface {
	Stdout() io.Reader // ends with the process
	Stderr() io.Reader // the same
	CloseStdin()       // asks it to end
	Kill()             // ends it if anything can
	// Wait returns when the process has ended and was reaped. It is called once, by who started it.
	Wait() error
}

// starter starts a helper and tells it its options. The process is waited for by the goroutine that starts it.
type starter func(o helper.Options) (process, error)

// selfExe is this program on Linux, even if its file was replaced.
const selfExe = "/proc/self/exe"

// commandOf is how to start a helper, if nothing else is wanted: this program.
func commandOf(command []string) ([]string, error) {
	if len(command) > 0 {
		return command, nil
	}
	self, err := executable()
	if err != nil {
		return nil, fmt.Errorf("find the program's own file to start the helper that reads GPUs: %w", err)
	}
	return []string{self, "nvml-helper"}, nil
}

// starterOf is how a monitor starts its helpers.
func starterOf(env Env) (starter, error) {
	if env.Within != nil {
		return startWithinProcess(env.Within), nil
	}
	command, err := commandOf(env.Command)
	if err != nil {
		return nil, err
	}
	return startCommand(command), nil
}

// environment is all that a helper knows of the environment: where libraries are. Secrets of the bridge stay out of a process
// that runs foreign code.
func environment() []string {
	env := []string{"GOMAXPROCS=2", "GOMEMLIMIT=64MiB"}
	if path := os.Getenv("LD_LIBRARY_PATH"); path != "" {
		env = append(env, "LD_LIBRARY_PATH="+path)
	}
	return env
}

// child is a real process.
type child struct {
	cmd            *exec.Cmd
	stdin          *os.File
	stdout, stderr *os.File
	once           sync.Once
}

// startCommand starts a command as a helper. Where the system ends a child with its parent, it does so when the *thread* that
// started it ends; the goroutine keeps its thread until Wait returns.
func startCommand(command []string) starter {
	return func(o helper.Options) (process, error) {
		runtime.LockOSThread()
		c, err := startChild(command, o)
		if err != nil {
			runtime.UnlockOSThread()
			return nil, fmt.Errorf("start the helper that reads GPUs (%s): %w", command[0], err)
		}
		return c, nil
	}
}

func startChild(command []string, o helper.Options) (*child, error) {
	var options bytes.Buffer
	if err := helper.WriteOptions(&options, o); err != nil {
		return nil, err
	}
	p, err := openPipes()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(command[0], command[1:]...), stdin: p.stdin, stdout: p.stdout, stderr: p.stderr} //nolint:noctx // it is ended by Kill, and ctx must not wait for it
	if command[0] == selfExe {
		c.cmd.Args[0] = "trainbridge" // what ps shows
	}
	c.cmd.Env, c.cmd.SysProcAttr = environment(), attributes()
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = p.theirs[0], p.theirs[1], p.theirs[2]
	err = c.cmd.Start()
	for _, f := range p.theirs {
		_ = f.Close() // the child has its own
	}
	if err != nil {
		c.closeOurs()
		return nil, err
	}
	if _, err := c.stdin.Write(options.Bytes()); err != nil { // it fits into the pipe: this does not wait
		c.Kill()
		_ = c.cmd.Wait()
		c.closeOurs()
		return nil, fmt.Errorf("tell it its options: %w", err)
	}
	return c, nil
}

// pipes are both ends of a child's stdin, stdout and stderr. As files they need no goroutine to copy, and a wait for the process
// waits for nothing else.
type pipes struct {
	stdin, stdout, stderr *os.File
	theirs                [3]*os.File
}

func openPipes() (p pipes, err error) {
	var errs [3]error
	p.theirs[0], p.stdin, errs[0] = os.Pipe()
	p.stdout, p.theirs[1], errs[1] = os.Pipe()
	p.stderr, p.theirs[2], errs[2] = os.Pipe()
	if err := errors.Join(errs[:]...); err != nil {
		for _, f := range []*os.File{p.stdin, p.stdout, p.stderr, p.theirs[0], p.theirs[1], p.theirs[2]} {
			_ = f.Close() // a nil file says so
		}
		return pipes{}, err
	}
	return p, nil
}

func (c *child) Stdout() io.Reader { return c.stdout }
func (c *child) Stderr() io.Reader { return c.stderr }
func (c *child) CloseStdin()       { c.once.Do(func() { _ = c.stdin.Close() }) }
func (c *child) Kill()             { _ = c.cmd.Process.Kill() }

func (c *child) Wait() error {
	defer runtime.UnlockOSThread()
	defer c.CloseStdin()
	return c.cmd.Wait()
}

func (c *child) closeOurs() {
	c.CloseStdin()
	_ = c.stdout.Close()
	_ = c.stderr.Close()
}
