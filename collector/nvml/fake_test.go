package nvml

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// fakeProcess is a helper that is not there.
type fakeProcess struct {
	out, errs     *io.PipeReader
	stdout, lines *io.PipeWriter
	stdin         chan struct{} // closed when the parent closes it
	ended         chan struct{}
	unkillable    atomic.Bool
	rude          atomic.Bool // does not end with its stdin
	closeOnce     sync.Once
	endOnce       sync.Once
	err           error
	began         time.Time
}

func (p *fakeProcess) Stdout() io.Reader { return p.out }
func (p *fakeProcess) Stderr() io.Reader { return p.errs }

func (p *fakeProcess) CloseStdin() {
	p.closeOnce.Do(func() { close(p.stdin) })
	if !p.rude.Load() && !p.unkillable.Load() {
		p.end(nil)
	}
}

func (p *fakeProcess) Kill() {
	if !p.unkillable.Load() {
		p.end(errors.New("signal: killed"))
	}
}

func (p *fakeProcess) Wait() error {
	<-p.ended
	return p.err
}

// end is the end of the process, whatever holds it.
func (p *fakeProcess) end(err error) {
	p.endOnce.Do(func() {
		p.err = err
		_ = p.stdout.Close()
		_ = p.lines.Close()
		close(p.ended)
	})
}

func (p *fakeProcess) write(f *helper.Frame) bool { return helper.WriteFrame(p.stdout, f) == nil }

// frames writes one frame per interval, as a healthy helper does.
func (p *fakeProcess) frames(o helper.Options, make func(n int) *helper.Frame) {
	for n := 0; ; n++ {
		f := make(n)
		if f != nil && !p.write(f) {
			return
		}
		select {
		case <-p.ended:
			return
		case <-time.After(o.Interval):
		}
	}
}

// nursery starts fake helpers and knows how many are alive.
type nursery struct {
	mu     sync.Mutex
	all    []*fakeProcess
	starts []time.Duration // since the beginning
	began  time.Time
	most   int
	behave func(n int, p *fakeProcess, o helper.Options)
	fail   error
}

func (n *nursery) start(o helper.Options) (process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.starts = append(n.starts, time.Since(n.began))
	if n.fail != nil {
		return nil, n.fail
	}
	p := &fakeProcess{stdin: make(chan struct{}), ended: make(chan struct{}), began: time.Now()}
	p.out, p.stdout = io.Pipe()
	p.errs, p.lines = io.Pipe()
	n.all = append(n.all, p)
	number := len(n.all) - 1
	alive := 0
	for _, p := range n.all {
		select {
		case <-p.ended:
		default:
			alive++
		}
	}
	n.most = max(n.most, alive)
	go n.behave(number, p, o)
	return p, nil
}

// times are when helpers were started.
func (n *nursery) times() []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.starts)
}

// one is a helper that was started.
func (n *nursery) one(i int) *fakeProcess {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all[i]
}

func (n *nursery) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.starts)
}

// cradle is a monitor over fake helpers, in virtual time.
type cradle struct {
	*nursery
	t       *testing.T
	m       *Monitor
	cancel  context.CancelFunc
	done    chan struct{}
	vmu     sync.Mutex
	view    *collector.GPUView
	views   atomic.Int64
	watch   *watcher
	logs    *syncBuffer
	stopped time.Time
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) count(what string) int { return strings.Count(s.String(), what) }

func newLog(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

func newCradle(t *testing.T, c Config, behave func(n int, p *fakeProcess, o helper.Options)) *cradle {
	t.Helper()
	b := &cradle{nursery: &nursery{behave: behave, began: time.Now()}, t: t, done: make(chan struct{}), watch: newWatcher(), logs: &syncBuffer{}}
	b.make(c)
	return b
}

func (b *cradle) make(c Config) {
	m, err := New(c, Env{Hostname: "node", Command: []string{"none"}, Publish: b.publish, Log: newLog(b.logs)})
	if err != nil {
		b.t.Fatal(err)
	}
	m.start = b.nursery.start
	b.m = m
}

func (b *cradle) publish(v *collector.GPUView) {
	b.vmu.Lock()
	defer b.vmu.Unlock()
	b.view = v
	b.views.Add(1)
	for _, problem := range b.watch.see(v) {
		b.t.Error(problem)
	}
}

func (b *cradle) run() *cradle {
	ctx, cancel := context.WithCancel(b.t.Context())
	b.cancel = cancel
	go func() {
		if err := b.m.Run(ctx); err != nil {
			b.t.Error(err)
		}
		b.stopped = time.Now()
		close(b.done)
	}()
	return b
}

// stop ends the monitor and, after a look at how long that took, all that is left.
func (b *cradle) stop() {
	began := time.Now()
	b.cancel()
	<-b.done
	if took := b.stopped.Sub(began); took >= 2*time.Second {
		b.t.Errorf("Run took %s to return", took)
	}
	for _, p := range b.all {
		if !p.unkillable.Load() {
			select {
			case <-p.ended:
			default:
				b.t.Error("a helper is left behind that could have been ended")
			}
		}
		p.end(nil)
	}
	b.sleep(10 * time.Minute) // until all goroutines have noticed
	if b.most > maxHelpers {
		b.t.Errorf("%d helpers were alive at once", b.most)
	}
}

func (b *cradle) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *cradle) now() *collector.GPUView {
	b.vmu.Lock()
	defer b.vmu.Unlock()
	if b.view == nil {
		return &collector.GPUView{Host: &collector.GPUHost{}}
	}
	return b.view
}

func (b *cradle) gpu(id string) *collector.GPU {
	for _, g := range b.now().GPUs {
		if g.ID == id {
			return g
		}
	}
	return &collector.GPU{}
}

func (b *cradle) exits(why string) uint64 {
	for _, c := range b.now().Host.Exits {
		if c.Name == why {
			return c.N
		}
	}
	return 0
}

// watcher holds views to what is promised of them.
type watcher struct {
	counters map[string]map[valueKey]float64
	isCount  map[collector.GPUMetric]bool
	calls    map[string]uint64
	took     map[string]float64
}

func newWatcher() *watcher {
	return &watcher{counters: map[string]map[valueKey]float64{}, isCount: collector.GPUCounters(), calls: map[string]uint64{}, took: map[string]float64{}}
}

func (w *watcher) see(v *collector.GPUView) (problems []string) {
	last := ""
	for _, g := range v.GPUs {
		if g.ID <= last {
			problems = append(problems, fmt.Sprintf("GPU %q comes after %q", g.ID, last))
		}
		last = g.ID
		before := w.counters[g.ID]
		if before == nil {
			before = map[valueKey]float64{}
			w.counters[g.ID] = before
		}
		for i, x := range g.Values {
			k := valueKey{x.Metric, x.Label}
			if i > 0 && k == (valueKey{g.Values[i-1].Metric, g.Values[i-1].Label}) {
				problems = append(problems, fmt.Sprintf("%v stands twice", k))
			}
			if !w.isCount[x.Metric] {
				if !g.Up && x.Metric != collector.DeviceXIDLast {
					problems = append(problems, fmt.Sprintf("%s shows %v though it is not up", g.ID, k))
				}
				continue
			}
			if x.Value < before[k] {
				problems = append(problems, fmt.Sprintf("%s: %v fell from %g to %g", g.ID, k, before[k], x.Value))
			}
			before[k] = x.Value
		}
	}
	for _, c := range v.Host.Calls {
		if c.N < w.calls[c.Group] {
			problems = append(problems, fmt.Sprintf("calls of %s fell from %d to %d", c.Group, w.calls[c.Group], c.N))
		}
		if c.Seconds < w.took[c.Group] {
			problems = append(problems, fmt.Sprintf("time of %s fell from %v to %v", c.Group, w.took[c.Group], c.Seconds))
		}
		w.calls[c.Group], w.took[c.Group] = c.N, c.Seconds
	}
	if v.Host.Up == (v.Host.Fault != "") {
		problems = append(problems, fmt.Sprintf("up is %v with fault %q", v.Host.Up, v.Host.Fault))
	}
	return problems
}

// healthy is a frame of GPUs that are well.
func healthy(n int, ids ...string) *helper.Frame {
	f := &helper.Frame{
		Sequence: uint64(n), Versions: collector.DriverVersions{Driver: "580"},
		Calls: []collector.CallCost{{Group: "load", N: uint64(n + 1), Seconds: float64(n), Max: .1}},
	}
	for i, id := range ids {
		f.GPUs = append(f.GPUs, helper.GPU{
			Index: i, ID: id, State: helper.OK, ReadAt: collector.TimeOf(time.Now()), Rounds: uint64(n + 1), PIDs: []int{1},
			Info: collector.GPUInfo{Name: "Fake"},
			Values: []collector.GPUValue{
				{Metric: collector.DevicePower, Value: 100}, {Metric: collector.DeviceEnergy, Value: float64(10 * (n + 1))},
				{Metric: collector.ProcessMemoryUsage, Label: "1", Value: 5},
			},
		})
	}
	return f
}

// well is a helper without any trouble.
func well(ids ...string) func(int, *fakeProcess, helper.Options) {
	return func(_ int, p *fakeProcess, o helper.Options) {
		p.write(&helper.Frame{Fault: helper.Starting})
		p.frames(o, func(n int) *helper.Frame { return healthy(n, ids...) })
	}
}

func seconds(n int) model.Duration { return model.Duration(time.Duration(n) * time.Second) }
