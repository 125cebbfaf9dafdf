package wandbtest

import (
	"container/heap"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// FleetOptions configure a Fleet.
type FleetOptions struct {
	Seed     int64
	Speed    float64       // virtual seconds per real second in Run; default 30
	Scenario string        // a name from Scenarios; default "fleet"
	Jobs     int           // how many jobs run at once in scenario "big" (default 1,000) and in "healthy" (at most and by default 6)
	Tick     time.Duration // how often Run looks what is due, in real time; default 50 ms
	Keep     time.Duration // virtual time after which an ended or stalled job is forgotten; default 24 h, negative is never
	Entity   string        // owner of the models; default that of the server

	// Transcript, if set, gets one line for everything that happens. It is the same for the same seed and scenario.
	Transcript io.Writer
}

// Fleet drives jobs of a Server in virtual time, which starts at 0. Its methods are safe for concurrent use.
type Fleet struct {
	s *Server
	o FleetOptions

	mu     sync.Mutex
	now    time.Duration
	due    actions
	seq    uint64
	jobs   []*FleetJob
	posted map[string]*run // training of jobs that came through HTTP, by model
	err    error
}

// FleetJob is a job that the fleet drives.
type FleetJob struct {
	ID      string
	ModelID string
	Kind    Kind
	Labels  map[string]string // name, group, project, owner, base_model, kind
	Created time.Duration     // virtual
	Ended   time.Duration     // virtual; 0 while it runs
	Result  Result            // how the job stands
	Stalled bool              // it neither steps nor ends any more
}

// NewFleet makes the fleet of a scenario on s. Nothing happens before Advance or Run is called. An unknown scenario is
// reported by Run. A server takes one fleet.
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
	if o.Entity == "" {
		o.Entity = s.o.Entity
	}
	f := &Fleet{s: s, o: o, posted: make(map[string]*run)}
	build, err := findScenario(o.Scenario)
	if err != nil {
		f.err = err
		return f
	}
	for _, sp := range build(f) {
		f.at(sp.start, func() { f.begin(sp, 1) })
	}
	hook := f.train
	s.posted.Store(&hook)
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

// Advance does everything that is due until the virtual time to. It depends on nothing but the scenario, the seed and
// what was posted; many small advances do the same as a large one. An earlier time than was reached does nothing.
func (f *Fleet) Advance(to time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.due) > 0 && f.due[0].at <= to {
		next := heap.Pop(&f.due).(action)
		f.now = next.at
		next.do()
	}
	f.now = max(f.now, to)
}

// Now is the virtual time that was reached.
func (f *Fleet) Now() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Run advances with the clock, Speed times as fast, until ctx ends; it then returns nil. It fails at once if the
// scenario is unknown.
func (f *Fleet) Run(ctx context.Context) error {
	if f.err != nil {
		return f.err
	}
	tick := time.NewTicker(f.o.Tick)
	defer tick.Stop()
	began, from := time.Now(), f.Now()
	for {
		f.Advance(from + time.Duration(float64(time.Since(began))*f.o.Speed))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Jobs returns the jobs known so far, oldest first, without those that were forgotten.
func (f *Fleet) Jobs() []FleetJob {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]FleetJob, len(f.jobs))
	for i, j := range f.jobs {
		out[i] = *j
		out[i].Labels = maps.Clone(j.Labels)
	}
	return out
}

// note writes a line of the transcript.
func (f *Fleet) note(id, what string) {
	if f.o.Transcript != nil {
		fmt.Fprintf(f.o.Transcript, "%d %s %q\n", f.now.Milliseconds(), id, what) // best effort
	}
}

func (f *Fleet) emit(id string, e Event) {
	if enc := f.s.appendNew(id, e); f.o.Transcript != nil {
		f.note(id, enc)
	}
}

// add makes a job known. The id is already on the server, or is put there.
func (f *Fleet) add(j *FleetJob) {
	j.Created, j.Result = f.now, Queued
	f.s.AddJob(Job{ID: j.ID, ModelID: j.ModelID, Kind: j.Kind})
	f.jobs = append(f.jobs, j)
	f.note(j.ID, "created "+j.Labels["name"])
}

// over notes that nothing more will come from a job, and forgets it in time.
func (f *Fleet) over(j *FleetJob) {
	if f.o.Keep < 0 {
		return
	}
	f.in(f.o.Keep, func() {
		f.s.Remove(j.ID)
		f.jobs = slices.DeleteFunc(f.jobs, func(other *FleetJob) bool { return other == j })
		f.note(j.ID, "forgotten")
	})
}
