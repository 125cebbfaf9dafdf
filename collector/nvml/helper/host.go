package helper

import (
	"context"
	"io"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// How long things may wait.
const (
	hungAfter  = 5 * time.Second        // for a call, unless the options say otherwise
	maxGrace   = 500 * time.Millisecond // for the GPUs of a tick
	xidGrace   = 100 * time.Millisecond // for more XIDs, before a frame tells of one
	waitEvents = 5 * time.Second        // in one call for the next XID
)

// Open initialises a driver. It is called once.
type Open func() (driver.Driver, error)

// Run is the life of a helper. It ends when ctx does, at the end of in, when out cannot be written to, or after a frame that says
// that a helper must begin anew. Calls may hang for ever, so it does not wait for its goroutines: the process must end with it.
func Run(ctx context.Context, o Options, open Open, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.HungAfter <= 0 {
		o.HungAfter = hungAfter
	}
	h := &host{options: o, began: time.Now(), soon: make(chan time.Duration, 1), opened: make(chan struct{}), xids: map[xidKey]*XID{}}
	h.frame.Fault, h.frame.Detail = Starting, "the driver's library is being initialised"
	orphaned := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in) // nothing more is said on stdin
		close(orphaned)
	}()
	done := make(chan error, 1)
	go func() { done <- h.run(ctx, open, out) }()
	select {
	case err := <-done:
		return err
	case <-orphaned:
	case <-ctx.Done():
	}
	return nil
}

// host is what is known of all GPUs. Goroutines that make calls write to it, and hold the lock only between calls.
type host struct {
	options Options
	began   time.Time
	soon    chan time.Duration // a frame is wanted within this time
	opened  chan struct{}      // closed when gpus is set

	mu    sync.Mutex
	frame Frame // versions, fault and why to begin anew
	ready time.Time
	gpus  []*gpu
	round uint64 // of the last tick
	left  int    // GPUs that have not finished it
	calls costs
	xids  map[xidKey]*XID
}

type xidKey struct{ id, code string }

// run writes frames. It is the only goroutine that writes, and makes no calls.
func (h *host) run(ctx context.Context, open Open, out io.Writer) error {
	go h.begin(ctx, open)
	ticker := time.NewTicker(h.options.Interval)
	defer ticker.Stop()
	timer := time.NewTimer(0) // the first frame says that there is a helper
	defer timer.Stop()
	opened := h.opened
	var due time.Time // when the next frame is wanted
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-opened:
			opened = nil
			ticker.Reset(h.options.Interval)
			due = h.tick(time.Now())
		case <-ticker.C:
			due = h.tick(time.Now())
		case d := <-h.soon:
			due = earlier(due, time.Now().Add(d))
		case <-timer.C:
			f := h.compose(time.Now())
			if err := WriteFrame(out, f); err != nil || f.Again != "" {
				return err
			}
			if !due.After(time.Now()) { // it may be that a call seems to hang, and a frame is wanted still
				due = time.Time{}
			}
		}
		if next := earlier(due, h.nextHang()); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// earlier is the earlier of two times, where zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// want asks for a frame within d.
func (h *host) want(d time.Duration) {
	select {
	case h.soon <- d:
	default: // One is asked for already. A lesser wait replaces it.
		select {
		case was := <-h.soon:
			d = min(d, was)
		default:
		}
		select {
		case h.soon <- d:
		default:
		}
	}
}

// begin initialises the driver and starts the goroutines of the GPUs.
func (h *host) begin(ctx context.Context, open Open) {
	d, err := open()
	h.mu.Lock()
	h.frame.Init = time.Since(h.began)
	h.mu.Unlock()
	if err != nil {
		h.fail(err)
		return
	}
	n, err := h.count(d)
	if err != nil {
		h.fail(err)
		return
	}
	versions := d.Versions()
	h.mu.Lock()
	h.frame.Versions = collector.DriverVersions{
		Driver: collector.Clean(versions.Driver), NVML: collector.Clean(versions.NVML), CUDA: collector.Clean(versions.CUDA),
	}
	h.frame.Fault, h.frame.Detail = "", ""
	if n == 0 {
		h.frame.Fault, h.frame.Detail = "no_gpu", "the driver knows no GPU"
	}
	h.ready = time.Now()
	for i := range n {
		h.gpus = append(h.gpus, newGPU(h, d, i))
	}
	for _, g := range h.gpus {
		go g.run(ctx)
	}
	h.mu.Unlock()
	close(h.opened)
	h.watchCount(ctx, d, n)
}

// count is how many GPUs there are, within bounds.
func (h *host) count(d driver.Driver) (int, error) {
	began := time.Now()
	n, err := d.Count()
	h.cost(callCount, began, err)
	return max(0, min(n, MaxGPUs)), err
}

// watchCount begins anew when the number of GPUs changes.
func (h *host) watchCount(ctx context.Context, d driver.Driver, n int) {
	ticker := time.NewTicker(h.options.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now, err := h.count(d)
		switch {
		case err != nil && staleLibrary(driver.KindOf(err)):
			h.fail(err)
		case err == nil && now != n:
			h.again("the number of GPUs changed from " + strconv.Itoa(n) + " to " + strconv.Itoa(now))
		}
	}
}

// staleLibrary says that only a library that is initialised again can be of use.
func staleLibrary(k driver.Kind) bool {
	return !slices.Contains([]driver.Kind{driver.Failed, driver.Lost, driver.NoPermission}, k)
}

// fail begins anew because the driver as a whole does not answer. A library that is only stale is no fault: the next helper may
// find everything in order.
func (h *host) fail(err error) {
	h.mu.Lock()
	if h.frame.Again == "" && (h.ready.IsZero() || driver.KindOf(err) != driver.Stale) {
		h.frame.Fault, h.frame.Detail = driver.Fault(err), collector.CleanWords(err.Error())
	}
	h.mu.Unlock()
	h.again(err.Error())
}

// again asks for a last frame.
func (h *host) again(why string) {
	h.mu.Lock()
	if h.frame.Again == "" {
		h.frame.Again = collector.CleanWords(why)
	}
	h.mu.Unlock()
	h.want(0)
}

// cost counts a call that has come back.
func (h *host) cost(group string, began time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls.add(group, time.Since(began), err)
}

// tick tells the GPUs that wait for one, and returns when a frame is wanted.
func (h *host) tick(now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ready.IsZero() {
		return now
	}
	h.round++
	h.left = 0
	for _, g := range h.gpus {
		if g.begin(now, h.round) {
			h.left++
		}
	}
	if h.left == 0 {
		return now
	}
	return now.Add(min(maxGrace, h.options.Interval/2))
}

// finished is called by a GPU whose reading of a round came back, with the lock.
func (h *host) finished(round uint64) {
	all := len(h.gpus) > 0
	for _, g := range h.gpus {
		all = all && g.state == Failed && g.failures > 1
	}
	if all && h.frame.Again == "" {
		h.frame.Again = "all GPUs answer with errors"
		h.want(0)
	}
	if round != h.round {
		return
	}
	if h.left--; h.left == 0 {
		h.want(0)
	}
}

// nextHang is when the first of the calls that are being made has taken too long.
func (h *host) nextHang() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	var next time.Time
	for _, g := range h.gpus {
		if !g.call.IsZero() && !g.hung {
			next = earlier(next, g.call.Add(h.options.HungAfter))
		}
	}
	return next
}

// compose makes the next frame.
func (h *host) compose(now time.Time) *Frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frame.Sequence++
	f := h.frame
	f.At = collector.TimeOf(now)
	for _, g := range h.gpus {
		f.GPUs = g.show(f.GPUs, now)
	}
	for _, x := range h.xids {
		f.XIDs = append(f.XIDs, *x)
	}
	f.Calls = h.calls.clone()
	return &f
}

// finite reports whether a value is a number.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
