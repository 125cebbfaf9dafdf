package nvml

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// Why a helper ended: the closed set of nvml_helper_reason.
const (
	endedAgain   = "again"
	endedCrashed = "crashed"
	endedSilent  = "silent"
	endedStopped = "stopped"
)

func endings() []string { return []string{endedAgain, endedCrashed, endedSilent, endedStopped} }

// life is one helper, from the wish to start it until it was reaped. Only the monitor's goroutine reads and writes it, but for
// what is under the lock.
type life struct {
	number   uint64
	began    time.Time
	heard    time.Time // its last frame, or its start
	answered time.Time // its first frame that tells of GPUs
	ended    string    // why it is not read any more
	killAt   time.Time // when it is killed if it has not ended by itself
	init     time.Duration
	calls    []collector.CallCost
	well     map[string]bool   // GPUs that it has read and not lost since
	read     bool              // it has read a GPU
	lost     bool              // it has lost one that it had read: another may find it again
	counted  map[xidKey]uint64 // XIDs
	xidAt    time.Time         // when one of these counts last grew
	xids     map[xidKey]uint64 // what was taken over of them
	pending  *helper.Frame     // its last, while it is to replace another
	before   map[xidKey]uint64 // what had been taken over of the one that it is to replace when this one began

	mu     sync.Mutex
	proc   process
	killed bool
	closed bool
}

func newLife(number uint64, now time.Time) *life {
	return &life{
		number: number, began: now, heard: now, well: map[string]bool{}, counted: map[xidKey]uint64{}, xids: map[xidKey]uint64{},
	}
}

// note takes what a frame says of the helper itself.
func (l *life) note(f *helper.Frame, now time.Time) {
	l.heard, l.calls, l.init = now, f.Calls, f.Init
	if f.Fault == helper.Starting && f.Again == "" {
		return
	}
	if l.answered.IsZero() {
		l.answered = now
	}
	for i := range f.GPUs {
		switch g := &f.GPUs[i]; {
		case g.ID == "" || g.Info.Parent != "":
		case g.State == helper.OK:
			l.well[g.ID], l.read = true, true
		case g.State == helper.Lost && l.well[g.ID]:
			l.lost = true
			delete(l.well, g.ID)
		}
	}
	for _, x := range f.XIDs {
		if k := (xidKey{collector.Clean(x.ID), codeOf(x.Code)}); x.N > l.counted[k] && len(l.counted) < 2*helper.MaxXIDs {
			l.counted[k], l.xidAt = x.N, now
		}
	}
}

// message is what the goroutines of a life tell the monitor.
type message struct {
	life  *life
	frame *helper.Frame
	err   error // of reading frames, or of starting
	line  string
	gone  bool // it was reaped, or never started
}

// live starts a helper, and returns when it was reaped, however long that takes.
func (m *Monitor) live(l *life, o helper.Options) {
	p, err := m.start(o)
	if err != nil {
		m.alive.Add(-1)
		m.tell(message{life: l, err: err, gone: true})
		return
	}
	l.adopt(p)
	var readers sync.WaitGroup
	readers.Go(func() { m.readFrames(l, p.Stdout()) })
	readers.Go(func() { m.readLines(l, p.Stderr()) })
	err = p.Wait()
	m.alive.Add(-1)
	read := make(chan struct{})
	go func() {
		readers.Wait()
		close(read)
	}()
	select { // the last words first
	case <-read:
	case <-time.After(time.Second):
	}
	closePipes(p)
	m.tell(message{life: l, err: err, gone: true})
}

func closePipes(p process) {
	for _, r := range []io.Reader{p.Stdout(), p.Stderr()} {
		if c, ok := r.(io.Closer); ok {
			_ = c.Close()
		}
	}
}

// tell reaches the monitor, or nobody once it has stopped.
func (m *Monitor) tell(x message) {
	select {
	case m.messages <- x:
	case <-m.stopped:
	}
}

func (m *Monitor) readFrames(l *life, r io.Reader) {
	buffered := bufio.NewReader(r)
	for {
		f, err := helper.ReadFrame(buffered)
		m.tell(message{life: l, frame: f, err: err})
		if err != nil {
			return
		}
	}
}

// maxLine is how much of a line on stderr is kept.
const maxLine = 1024

func (m *Monitor) readLines(l *life, r io.Reader) {
	buffered := bufio.NewReaderSize(r, maxLine)
	for {
		line, isPrefix, err := buffered.ReadLine()
		if err != nil {
			return
		}
		if s := collector.Clean(strings.TrimSpace(string(line))); s != "" {
			m.tell(message{life: l, line: s})
		}
		for isPrefix && err == nil { // the rest of a long line is of no interest
			_, isPrefix, err = buffered.ReadLine()
		}
	}
}

func (l *life) adopt(p process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proc = p
	if l.closed {
		p.CloseStdin()
	}
	if l.killed {
		p.Kill()
	}
}

// dismiss asks a helper to end.
func (l *life) dismiss() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.proc != nil {
		l.proc.CloseStdin()
	}
}

// kill ends it, if anything can.
func (l *life) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed = true
	if l.proc != nil {
		l.proc.Kill()
	}
}

// wrong is what is wrong with what a helper wrote, in words; nothing if it only ended.
func wrong(err error) string {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ""
	}
	return fmt.Sprintf("its frames cannot be read: %v", err)
}
