package runaitest

import (
	"container/heap"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// FleetOptions configure a Fleet.
type FleetOptions struct {
	Seed   int64
	Speed  float64       // virtual seconds per real second in Run; default 30
	Jobs   int           // how many workloads live at once, those that have ended not counted; default 12, or 4 if healthy
	Tick   time.Duration // how often Run looks what is due, in real time; default 50 ms
	Keep   time.Duration // virtual time after which a workload that ended is deleted; default 20 min
	Forget time.Duration // virtual time after which a deleted workload is forgotten; default 1 h

	// Healthy is a fleet that nothing is wrong with: training only, which waits for seconds, keeps its GPUs busy and completes.
	Healthy bool

	// Transcript, if set, gets one line for everything that happens. It is the same for the same seed.
	Transcript io.Writer
}

func (o FleetOptions) withDefaults() FleetOptions {
	if !(o.Speed > 0) {
		o.Speed = 30
	}
	if o.Jobs <= 0 {
		o.Jobs = len(o.slots())
	}
	if o.Tick <= 0 {
		o.Tick = 50 * time.Millisecond
	}
	if o.Keep <= 0 {
		o.Keep = 20 * time.Minute
	}
	if o.Forget <= 0 {
		o.Forget = time.Hour
	}
	return o
}

// Fleet drives workloads of a Server in virtual time, which starts at 0. Its methods are safe for concurrent use.
//
// What happens between two calls of Advance is dated between them by the server's clock, at the same proportion: no time that
// the API shows is in the future, and with a clock that goes as fast as virtual time the two agree.
type Fleet struct {
	s *Server
	o FleetOptions

	mu    sync.Mutex
	now   time.Duration
	due   actions
	seq   uint64
	jobs  []*FleetJob
	clock time.Time // the server's, when now was reached

	span, took time.Duration // of the Advance under way: virtual and by the server's clock
	base       time.Duration // virtual time at its beginning
}

// FleetJob is a workload that the fleet drives.
type FleetJob struct {
	ID      string
	Name    string
	Plot    string // what becomes of it
	Created time.Duration
	Ended   time.Duration // 0 while it lives; all times are virtual
	Deleted time.Duration // 0 while it is listed
}

// NewFleet makes a fleet on s. Nothing happens before Advance or Run is called. A server takes one fleet.
func NewFleet(s *Server, o FleetOptions) *Fleet {
	f := &Fleet{s: s, o: o.withDefaults(), clock: s.o.Now()}
	all := f.o.slots()
	for i := range f.o.Jobs {
		sl := slot{plots: all[i%len(all)], number: i}
		f.at(time.Duration(i)*7*time.Second, func() { f.begin(sl, 0) })
	}
	s.fleet.Store(f)
	return f
}

// action is something to do at a virtual time. Actions of the same time are done in the order they were planned.
type action struct {
	at  time.Duration
	seq uint64
	do  func()
}

type actions []action

func (a actions) Len() int      { return len(a) }
func (a actions) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a actions) Less(i, j int) bool {
	if a[i].at != a[j].at {
		return a[i].at < a[j].at
	}
	return a[i].seq < a[j].seq
}

// Push implements heap.Interface.
func (a *actions) Push(x any) { *a = append(*a, x.(action)) }

// Pop implements heap.Interface.
func (a *actions) Pop() any {
	old := *a
	last := old[len(old)-1]
	old[len(old)-1] = action{}
	*a = old[:len(old)-1]
	return last
}

func (f *Fleet) at(t time.Duration, do func()) {
	f.seq++
	heap.Push(&f.due, action{t, f.seq, do})
}

// Advance does everything that is due in the next d of virtual time. Many small advances do the same as a large one.
func (f *Fleet) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advance(f.now + max(0, d))
}

func (f *Fleet) advance(to time.Duration) {
	clock := f.s.o.Now()
	f.base, f.span, f.took = f.now, max(0, to-f.now), max(0, clock.Sub(f.clock))
	for len(f.due) > 0 && f.due[0].at <= to {
		next := heap.Pop(&f.due).(action)
		f.now = next.at
		next.do()
	}
	f.now, f.clock, f.span = max(f.now, to), clock, 0
}

// stamp is the time of the server's clock that belongs to the virtual time.
func (f *Fleet) stamp() time.Time {
	if f.span == 0 {
		return f.clock.Add(f.took)
	}
	return f.clock.Add(time.Duration(float64(f.now-f.base) * (float64(f.took) / float64(f.span))))
}

// Now is the virtual time that was reached.
func (f *Fleet) Now() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Run advances with the clock, Speed times as fast, until ctx ends; it then returns nil.
func (f *Fleet) Run(ctx context.Context) error {
	tick := time.NewTicker(f.o.Tick)
	defer tick.Stop()
	began, from := time.Now(), f.Now()
	for {
		f.until(from + time.Duration(float64(time.Since(began))*f.o.Speed))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (f *Fleet) until(to time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advance(max(f.now, to))
}

// Jobs returns the workloads known so far, oldest first, without those that were forgotten.
func (f *Fleet) Jobs() []FleetJob {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]FleetJob, len(f.jobs))
	for i, j := range f.jobs {
		out[i] = *j
	}
	return out
}

// note writes a line of the transcript.
func (f *Fleet) note(name, what string) {
	if f.o.Transcript != nil {
		fmt.Fprintf(f.o.Transcript, "%d %s %s\n", f.now.Milliseconds(), name, what) // best effort
	}
}

// begin starts the n-th workload of a slot.
func (f *Fleet) begin(sl slot, n int) {
	p := newPlay(f, sl, n)
	j := &FleetJob{ID: p.work.ID, Name: p.work.Name, Plot: p.name, Created: f.now}
	f.jobs = append(f.jobs, j)
	p.work.CreatedAt = f.stamp()
	f.s.AddWorkload(p.work)
	f.note(j.Name, "created as "+p.name)
	p.script(p)
	f.at(p.at, func() { j.Ended = f.now })
	gone := p.at + f.o.Keep
	if p.removed {
		gone = p.at
	}
	f.at(gone, func() {
		j.Deleted = f.now
		f.s.change(j.ID, func(w *workload, _ time.Time) { f.s.delete(w, f.stamp()) })
		f.note(j.Name, "deleted")
	})
	f.at(gone+f.o.Forget, func() {
		f.s.Purge(j.ID)
		f.jobs = slices.DeleteFunc(f.jobs, func(other *FleetJob) bool { return other == j })
		f.note(j.Name, "forgotten")
	})
	f.at(p.at+p.between(time.Minute, 5*time.Minute), func() { f.begin(sl, n+1) })
}
