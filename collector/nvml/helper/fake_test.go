package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

var (
	errLost  = &driver.Error{Kind: driver.Lost, Op: "read", Code: 15, Text: "GPU is lost"}
	errStale = &driver.Error{Kind: driver.Stale, Op: "read", Code: 1, Text: "uninitialized"}
	errOther = &driver.Error{Kind: driver.Failed, Op: "read", Code: 999, Text: "unknown error"}
)

// fake is a driver whose every call can be made to hang, to take long or to fail.
type fake struct {
	mu    sync.Mutex
	n     int
	gpus  []*fakeGPU
	hangs map[string]chan struct{} // by call, such as "count", "open/3", "load/3"
	takes map[string]time.Duration
	fails map[string]error
	xids  map[int]chan driver.XID
	twice atomic.Bool // a GPU was asked twice at once
	opens atomic.Int32
}

type fakeGPU struct {
	f     *fake
	index int
	id    string
	part  int // MIG instance, from 1
	parts int
	reads atomic.Int64
	busy  *atomic.Bool
	more  func(g driver.Group, to *driver.Values)
}

func newFake(n int) *fake {
	f := &fake{
		n: n, hangs: map[string]chan struct{}{}, takes: map[string]time.Duration{}, fails: map[string]error{}, xids: map[int]chan driver.XID{},
	}
	for i := range n {
		f.gpus = append(f.gpus, &fakeGPU{f: f, index: i, id: "GPU-" + strconv.Itoa(i), busy: new(atomic.Bool)})
		f.xids[i] = make(chan driver.XID)
	}
	return f
}

func (f *fake) set(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

func (f *fake) hang(call string) { f.set(func() { f.hangs[call] = make(chan struct{}) }) }

func (f *fake) release(call string) {
	f.set(func() {
		close(f.hangs[call])
		delete(f.hangs, call)
	})
}

func (f *fake) fail(call string, err error) { f.set(func() { f.fails[call] = err }) }

func (f *fake) call(name string) error {
	f.mu.Lock()
	hang, takes := f.hangs[name], f.takes[name]
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	time.Sleep(takes)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fails[name]
}

func (f *fake) open() (driver.Driver, error) {
	f.opens.Add(1)
	if err := f.call("init"); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *fake) Versions() collector.DriverVersions {
	return collector.DriverVersions{Driver: "580.1\x00"}
}

func (f *fake) Count() (int, error) {
	err := f.call("count")
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n, err
}

func (f *fake) Open(i int) (driver.Device, error) {
	if err := f.call(fmt.Sprintf("open/%d", i)); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gpus[i], nil
}

func (f *fake) Events(ds []driver.Device) (driver.Events, error) {
	g := ds[0].(*fakeGPU)
	if err := f.call(fmt.Sprintf("events/%d", g.index)); err != nil {
		return nil, err
	}
	return fakeEvents{f, g.index}, nil
}

type fakeEvents struct {
	f     *fake
	index int
}

func (e fakeEvents) Wait(d time.Duration) (driver.XID, bool, error) {
	if err := e.f.call(fmt.Sprintf("wait/%d", e.index)); err != nil {
		return driver.XID{}, false, err
	}
	select {
	case x := <-e.f.xids[e.index]:
		return x, true, nil
	case <-time.After(d):
		return driver.XID{}, false, nil
	}
}

func (g *fakeGPU) enter(name string) error {
	if !g.busy.CompareAndSwap(false, true) {
		g.f.twice.Store(true)
	}
	defer g.busy.Store(false)
	return g.f.call(fmt.Sprintf("%s/%d", name, g.index))
}

func (g *fakeGPU) Identity() (driver.Identity, error) {
	err := g.enter("identify")
	g.f.mu.Lock()
	defer g.f.mu.Unlock()
	id := driver.Identity{ID: g.id, Info: collector.GPUInfo{Index: strconv.Itoa(g.index), Name: "Fake\n GPU"}}
	if g.part > 0 {
		id.ID = fmt.Sprintf("MIG-%d-%d", g.index, g.part)
		id.Info.Parent, id.Info.Instance = g.id, strconv.Itoa(g.part)
	}
	return id, err
}

func (g *fakeGPU) Instances() ([]driver.Device, error) {
	err := g.enter("instances")
	g.f.mu.Lock()
	defer g.f.mu.Unlock()
	var out []driver.Device
	for i := range g.parts {
		out = append(out, &fakeGPU{f: g.f, index: g.index, part: i + 1, busy: g.busy, id: g.id})
	}
	return out, err
}

func (g *fakeGPU) Read(group driver.Group, to *driver.Values) error {
	name := group.String()
	if g.part > 0 {
		name += fmt.Sprintf(".%d", g.part)
	}
	err := g.enter(name)
	n := float64(g.reads.Add(1))
	switch {
	case errors.Is(err, errHalf):
		to.Calls, to.Failed = 10, 5
	case errors.Is(err, errMost):
		to.Calls, to.Failed = 10, 6
	case err != nil && !errors.Is(err, errSome):
		return err
	}
	if g.more != nil {
		g.more(group, to)
	}
	switch group {
	case driver.Load:
		to.Add(collector.DevicePower, n)
	case driver.Fields:
		to.Add(collector.DeviceEnergy, n)
	case driver.Health:
		to.Add(collector.DeviceRowRemapPending, n)
	case driver.Profile:
		if n > 4 {
			to.Add(collector.DeviceSMOccupancy, .5)
		}
	case driver.Processes:
		to.Add(collector.ProcessMemoryUsage, 1, "7")
		to.PIDs = append(to.PIDs, 7)
	}
	return err
}

// Failures of calls of a group, whose others succeed. The driver does not tell how many are errSome.
var (
	errSome = &driver.Error{Op: "read the power", Code: 999}
	errHalf = &driver.Error{Op: "read the power", Code: 999}
	errMost = &driver.Error{Op: "read the power", Code: 999}
)

// bench runs a helper over a fake driver in virtual time.
type bench struct {
	t      *testing.T
	f      *fake
	cancel context.CancelFunc
	stdin  *io.PipeWriter
	mu     sync.Mutex
	frames []*Frame
	done   chan error
}

func start(t *testing.T, f *fake, o Options) *bench {
	t.Helper()
	o.Interval = max(o.Interval, 0)
	if o.Interval == 0 {
		o.Interval = 5 * time.Second
	}
	if o.Slow == 0 {
		o.Slow = 30 * time.Second
	}
	ctx, cancel := context.WithCancel(t.Context())
	in, stdin := io.Pipe()
	out, stdout := io.Pipe()
	b := &bench{t: t, f: f, cancel: cancel, stdin: stdin, done: make(chan error, 1)}
	go func() {
		for {
			frame, err := ReadFrame(out)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				return
			}
			b.mu.Lock()
			b.frames = append(b.frames, frame)
			b.mu.Unlock()
		}
	}()
	go func() {
		b.done <- Run(ctx, o, f.open, in, stdout)
		_ = stdout.Close()
	}()
	return b
}

// stop lets everything that hangs go.
func (b *bench) stop() {
	b.cancel()
	b.f.set(func() {
		for name, c := range b.f.hangs {
			close(c)
			delete(b.f.hangs, name)
		}
	})
	if b.f.twice.Load() {
		b.t.Error("a GPU was asked twice at once")
	}
	_ = b.stdin.Close()
	time.Sleep(time.Minute)
}

func (b *bench) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) all() []*Frame {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.frames)
}

func (b *bench) last() *Frame {
	fs := b.all()
	if len(fs) == 0 {
		return &Frame{}
	}
	return fs[len(fs)-1]
}

// ended reports whether the helper has ended by itself.
func (b *bench) ended() bool {
	select {
	case err := <-b.done:
		if err != nil {
			b.t.Error(err)
		}
		return true
	default:
		return false
	}
}

func (f *Frame) gpu(id string) GPU {
	for _, g := range f.GPUs {
		if g.ID == id {
			return g
		}
	}
	return GPU{Index: -1}
}

func (g GPU) value(m collector.GPUMetric) float64 {
	for _, v := range g.Values {
		if v.Metric == m {
			return v.Value
		}
	}
	return -1
}
