package aitemstest

import (
	"container/heap"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// FleetOptions configure a Fleet.
type FleetOptions struct {
	Seed  int64
	Speed float64       // virtual seconds per real second in Run; default 30
	Tick  time.Duration // how often Run looks what is due, in real time; default 50 ms
	Keep  time.Duration // virtual time after which an ended training leaves the list; default 24 h, negative is never
	Jobs  int           // how many models are trained again and again, each by one training at a time; at most and by default 6

	// Healthy is a fleet that nothing is wrong with: every training waits for minutes, learns and completes.
	Healthy bool

	// Transcript, if set, gets one line for everything that happens. It is the same for the same seed.
	Transcript io.Writer
}

// Fleet drives the trainings of four services in virtual time. Its methods are safe for concurrent use.
type Fleet struct {
	s *Server
	o FleetOptions

	mu  sync.Mutex
	now time.Duration
	due actions
	seq uint64
}

// NewFleet makes the services of a fleet on s. Nothing else happens before Advance or Run is called. A server takes one fleet.
func NewFleet(s *Server, o FleetOptions) *Fleet {
	if o.Speed <= 0 {
		o.Speed = 30
	}
	if o.Tick <= 0 {
		o.Tick = 50 * time.Millisecond
	}
	if o.Keep == 0 {
		o.Keep = 24 * time.Hour
	}
	if o.Jobs <= 0 {
		o.Jobs = math.MaxInt
	}
	f := &Fleet{s: s, o: o}
	models := 0
	for _, p := range plans() {
		if models >= o.Jobs {
			break
		}
		id := s.AddService(p.Service)
		for i, l := range p.lines[:min(len(p.lines), o.Jobs-models)] {
			models++
			l.service, l.interval = id, p.Interval
			if o.Healthy {
				l.fates = []fate{completes}
			}
			l.rng = rand.New(rand.NewPCG(uint64(o.Seed), hash(p.Name)+uint64(i)))
			f.at(l.first, func() { f.train(&l, 0) })
		}
	}
	s.mu.Lock()
	s.fleet = f
	s.mu.Unlock()
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

func (f *Fleet) in(d time.Duration, do func()) { f.at(f.now+d, do) }

// Advance does everything that is due in the next d of virtual time. Many small advances do the same as a large one.
func (f *Fleet) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to := f.now + max(d, 0)
	for len(f.due) > 0 && f.due[0].at <= to {
		next := heap.Pop(&f.due).(action)
		f.now = next.at
		next.do()
	}
	f.now = to
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
		f.Advance(from + time.Duration(float64(time.Since(began))*f.o.Speed) - f.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// note writes a line of the transcript.
func (f *Fleet) note(job, what string) {
	if f.o.Transcript != nil {
		fmt.Fprintf(f.o.Transcript, "%d %s %s\n", f.now.Milliseconds(), job, what) // best effort
	}
}

func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
