package assign

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

const (
	maxStat = 4096
	// maxProcesses bounds the processes that are looked at in one go, readers how many are read at the same time, and maxStuck
	// how many of the readers may wait for a process that hangs in the kernel.
	maxProcesses = 4096
	readers      = 4
	maxStuck     = 32
)

var (
	errEnded  = errors.New("the process ended")
	errDenied = errors.New("no permission")
	errHangs  = errors.New("the process cannot be read")
)

// environment reads variables of the processes that use a GPU.
type environment struct {
	Environment
	unseen map[int]bool    // processes that could not be found by the latest look
	known  map[int]process // what the latest look knew of processes

	mu      sync.Mutex
	reading map[int]bool // processes that are being read
}

func newEnvironment(e Environment) *environment {
	return &environment{Environment: e, unseen: map[int]bool{}, reading: map[int]bool{}}
}

// process is what was found out about a process.
type process struct {
	choice
	pid     int
	started string
	err     error
}

func (e *environment) look(ctx context.Context, gpus []GPU, _ *names) (*found, error) {
	f := newFound()
	users, pids := usersOf(gpus)
	if len(pids) > maxProcesses {
		f.bad.add("too many", fmt.Sprintf("more than %d processes use GPUs", maxProcesses))
		pids = pids[:maxProcesses]
	}
	denied, hanging := 0, 0
	unseen := map[int]bool{}
	known := make(map[int]process, len(pids))
	for _, p := range e.readAll(ctx, pids) {
		if errors.Is(p.err, errHangs) {
			hanging++
			p = e.known[p.pid] // it is the same process: one that hangs does not end
		}
		switch {
		case errors.Is(p.err, errEnded):
			unseen[p.pid] = true
		case errors.Is(p.err, errDenied):
			denied++
		case p.variable != "" && p.job == "":
			f.bad.add(fmt.Sprintf("%d %s %s", p.pid, p.started, p.variable),
				fmt.Sprintf("process %d: the value of variable %s is not the id of a job", p.pid, p.variable))
		case p.job != "":
			for _, id := range users[p.pid] {
				f.jobs[id] = append(f.jobs[id], collector.Key{Source: e.Source, ID: p.job})
			}
		}
		if p.err == nil && p.variable != "" {
			known[p.pid] = p
		}
	}
	e.known = known
	none := e.sawNone(unseen, len(pids))
	e.unseen = unseen
	return f, e.problem(denied, hanging, none)
}

// usersOf are the processes of GPUs, and the GPUs of each.
func usersOf(gpus []GPU) (users map[int][]string, pids []int) {
	users = map[int][]string{}
	for _, g := range gpus {
		for _, pid := range g.PIDs {
			if pid <= 0 {
				continue
			}
			if users[pid] == nil {
				pids = append(pids, pid)
			}
			users[pid] = append(users[pid], g.ID)
		}
	}
	return users, pids
}

// sawNone reports whether no process at all was found, and one of them was not found by the look before either: a process
// that ended is not listed for so long.
func (e *environment) sawNone(unseen map[int]bool, all int) bool {
	if all == 0 || len(unseen) < all {
		return false
	}
	for pid := range unseen {
		if e.unseen[pid] {
			return true
		}
	}
	return false
}

func (e *environment) problem(denied, hanging int, none bool) error {
	switch {
	case denied > 0:
		return errors.New("no permission to read the environment of processes that use a GPU: run as their user, or with the capability " +
			"SYS_PTRACE as root")
	case none:
		return fmt.Errorf("none of the processes that use a GPU is in %s: in a container, set hostPID (docker: --pid=host)", e.Proc)
	case hanging > 0:
		return errors.New("a process that uses a GPU cannot be read: it may hang in the kernel")
	default:
		return nil
	}
}

// readAll reads processes, a few at the same time. One that hangs takes its reader along and is not read again before that
// returns; when too many hang, no others are read. It leaves the caller time to use what came.
func (e *environment) readAll(ctx context.Context, pids []int) []process {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)*2/3)
		defer cancel()
	}
	came := make(chan process, len(pids))
	slots := make(chan struct{}, readers)
	out := make([]process, 0, len(pids))
	waiting := map[int]bool{}
	for _, pid := range pids {
		if !e.enter(ctx, pid, slots) {
			out = append(out, process{pid: pid, err: errHangs})
			continue
		}
		waiting[pid] = true
		go func() {
			p := e.read(pid)
			e.leave(pid, slots)
			came <- p
		}()
	}
	for len(waiting) > 0 {
		select {
		case p := <-came:
			delete(waiting, p.pid)
			out = append(out, p)
		case <-ctx.Done():
			for pid := range waiting {
				out = append(out, process{pid: pid, err: errHangs})
			}
			return out
		}
	}
	return out
}

func (e *environment) enter(ctx context.Context, pid int, slots chan struct{}) bool {
	e.mu.Lock()
	busy := e.reading[pid] || len(e.reading) >= maxStuck
	e.mu.Unlock()
	if busy {
		return false
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading[pid] = true
	return true
}

func (e *environment) leave(pid int, slots chan struct{}) {
	e.mu.Lock()
	delete(e.reading, pid)
	e.mu.Unlock()
	<-slots
}

// read reads a process. What is read belongs to one process only: between two looks at when it started, it was the same.
func (e *environment) read(pid int) process {
	p := process{pid: pid}
	dir := filepath.Join(e.Proc, strconv.Itoa(pid))
	if p.started, p.err = started(dir); p.err != nil {
		return p
	}
	f, err := os.Open(filepath.Join(dir, "environ"))
	if err != nil {
		p.err = kindOf(err)
		return p
	}
	defer f.Close()
	c, err := choose(f, e.Variables)
	if err != nil {
		p.err = kindOf(err)
		return p
	}
	if again, err := started(dir); err != nil || again != p.started {
		p.err = errEnded
		return p
	}
	p.choice = c
	return p
}

func started(dir string) (string, error) {
	f, err := os.Open(filepath.Join(dir, "stat"))
	if err != nil {
		return "", kindOf(err)
	}
	defer f.Close()
	stat, err := io.ReadAll(io.LimitReader(f, maxStat))
	if err != nil {
		return "", kindOf(err)
	}
	s, ok := startTime(stat)
	if !ok {
		return "", errEnded
	}
	return s, nil
}

// kindOf is all that is kept of an error.
func kindOf(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return errDenied
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
		return errEnded
	default:
		return errHangs
	}
}
