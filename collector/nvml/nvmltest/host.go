package nvmltest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// HostOptions configure a Host.
type HostOptions struct {
	Seed     int64
	Scenario string  // a name of Scenarios; default "fleet"
	Speed    float64 // how much faster than real the jobs train, which is how often they write checkpoints; default 30
	Model    string  // a name of Models; default DefaultModel
	GPUs     int     // default 8
	// Steps are sources that tell of the steps of their jobs. A job whose steps go on does not hang.
	Steps []string
	// Tick is how often Run looks; default 500 ms.
	Tick time.Duration
	// Sources are those whose folders of mapping files are there from the start, before they have a job.
	Sources []string
}

// Files is where a Host writes.
type Files struct {
	State    string // what Open reads
	Mappings string // holds a folder for each source, with a file for each GPU that has a job of it
}

// Host decides what happens to the GPUs of a machine. Its methods are safe for concurrent use.
type Host struct {
	o        HostOptions
	scenario scenario

	mu     sync.Mutex
	began  time.Time
	now    time.Time
	state  *State
	jobs   placement
	since  map[Job]time.Time // when each job got its GPUs
	played map[int]*playing  // by episode
	wrote  map[string]string
	dirty  bool
}

// playing is an episode that has begun.
type playing struct {
	turn    int // of the scenario
	gpus    []int
	job     Job
	began   time.Duration // since the host did
	reports int           // times the XIDs came
}

// NewHost makes a host. Nothing happens before Advance or Run is called. Anything unknown in the options is an error.
func NewHost(o HostOptions) (*Host, error) {
	if o.Speed <= 0 {
		o.Speed = 30
	}
	if o.Model == "" {
		o.Model = DefaultModel
	}
	if o.GPUs <= 0 {
		o.GPUs = 8
	}
	if o.Tick <= 0 {
		o.Tick = 500 * time.Millisecond
	}
	sc, err := findScenario(o.Scenario)
	if err != nil {
		return nil, err
	}
	if err := (&State{Model: o.Model, Checkpoints: 1}).check(); err != nil {
		return nil, err
	}
	return &Host{o: o, scenario: sc, jobs: placement{}, since: map[Job]time.Time{}, played: map[int]*playing{}, wrote: map[string]string{}}, nil
}

// Run advances the host in real time and writes its files until ctx ends. jobs tells which jobs run now.
func (h *Host) Run(ctx context.Context, files Files, jobs func() []Job) error {
	tick := time.NewTicker(h.o.Tick)
	defer tick.Stop()
	for {
		h.Advance(time.Now(), jobs())
		if err := h.Write(files); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// notice is how long before it happens a change is in the file, so that no reader can have looked past it.
const notice = time.Second

// Advance lets time pass until now, with the jobs that run now.
func (h *Host) Advance(now time.Time, jobs []Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state == nil {
		h.begin(now)
	}
	if now.Before(h.now) {
		return
	}
	h.now = now
	h.jobs.free(jobs)
	h.play(now)
	h.jobs.give(len(h.state.GPUs), h.usable, jobs)
	h.note(now)
	for i := range h.state.GPUs {
		h.apply(i, now.Add(notice))
	}
}

// note remembers since when each job has its GPUs.
func (h *Host) note(now time.Time) {
	maps.DeleteFunc(h.since, func(j Job, _ time.Time) bool { return h.jobs[j] == nil })
	for j := range h.jobs {
		if _, known := h.since[j]; !known {
			h.since[j] = now
		}
	}
}

func (h *Host) begin(now time.Time) {
	h.began = now
	h.state = NewState(h.o.Seed, h.o.Model, h.o.GPUs, now)
	h.state.Checkpoints = max(45, 1800/h.o.Speed)
	h.dirty = true
}

// Recover ends the scenario: from the next Advance on nothing is wrong with any GPU.
func (h *Host) Recover() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.scenario.episodes = nil
	clear(h.played)
}

// usable is true for a GPU that can be given to a job.
func (h *Host) usable(gpu int) bool {
	mode, _ := h.trouble(gpu)
	return !mode.dead() && h.state.GPUs[gpu].MIG == nil
}

// trouble is the mode that an episode puts a GPU in.
func (h *Host) trouble(gpu int) (Mode, bool) {
	for at, p := range h.played {
		if slices.Contains(p.gpus, gpu) {
			return h.scenario.episodes[at].mode, true
		}
	}
	return "", false
}

// apply makes the GPU do from a time on what its job and the scenario say.
func (h *Host) apply(i int, from time.Time) {
	mode, peers, id := Free, 0, ""
	if j, ok := h.jobs.owner(i); ok {
		mode, peers, id = Train, len(h.jobs[j]), j.Source+"/"+j.ID
	}
	if m, ok := h.trouble(i); ok {
		mode = m
	}
	if ends := h.state.GPUs[i].ends(); ends.Mode == mode && ends.Job == id && ends.Peers == peers {
		return
	}
	h.state.Change(i, from, func(sp *Spell) { sp.Mode, sp.Job, sp.Peers = mode, id, peers })
	h.dirty = true
}

// State is what holds now, as a copy.
func (h *Host) State() State {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state == nil {
		return State{}
	}
	s := *h.state
	s.GPUs = slices.Clone(s.GPUs) // spells and XIDs are never changed in place
	return s
}

// GPUs are the numbers of the GPUs that each job has.
func (h *Host) GPUs() map[Job][]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[Job][]int{}
	for j, gpus := range h.jobs {
		all[j] = slices.Clone(gpus)
	}
	return all
}
