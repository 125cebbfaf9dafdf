package collector

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Snapshot is an immutable view of everything that is exposed. It holds only what the ledger has committed, and the
// health of the sources.
type Snapshot struct {
	Jobs    Table[Job]
	Groups  Table[Group]
	Sources []*SourceView // sorted by name
	GPUs    *GPUView      // nil where no GPUs are read
}

// SourceView is one source as exporters see it.
type SourceView struct {
	Name       string
	Totals     *Totals
	Health     HealthView
	Jobs       [phaseCount]int64 // tracked jobs by phase, those hidden by a limit included
	Began      Time              // of the totals where there are none yet
	HeldGroups int               // groups without series, because of a limit
	Suppressed int64             // tracked jobs without series, because of a limit
}

// Limits bound what is exposed. Zero takes the default.
type Limits struct {
	JobsPerSource int // jobs with series, default 200,000
	Series        int // series of all jobs together, default 5,000,000
	FreeForm      int // free-form names per job, default 64
}

// WithDefaults fills what is not set.
func (l Limits) WithDefaults() Limits {
	if l.JobsPerSource == 0 {
		l.JobsPerSource = 200_000
	}
	if l.Series == 0 {
		l.Series = 5_000_000
	}
	if l.FreeForm == 0 {
		l.FreeForm = 64
	}
	return l
}

// Store holds the current version of every job and group and publishes snapshots of it. Only the recorder writes;
// Snapshot may be called from any goroutine.
type Store struct {
	limits Limits
	rows   []Row[*Job]

	mu      sync.Mutex // guards all below but published
	jobs    map[Key]*stored
	groups  map[GroupKey]*storedGroup
	sources map[string]*sourceState
	table   *tableWriter[Job]
	rollups *tableWriter[Group]
	series  int
	scratch Points
	began   Time // where counters begin that no ledger has yet

	published atomic.Pointer[tables]
	gpus      atomic.Pointer[GPUView]
}

type tables struct {
	jobs   Table[Job]
	groups Table[Group]
}

type stored struct {
	job    *Job
	at     place
	shown  bool
	series int32
}

type storedGroup struct {
	group *Group
	at    place
	shown bool
	held  bool // over the limit
}

type sourceState struct {
	totals     *Totals
	health     *Health
	jobs       [phaseCount]int64
	shown      int
	groups     int // with series
	held       int // groups without series, because of the limit
	suppressed int64
	hidden     bool          // not configured any more
	added      []Key         // new jobs that the scheduler has not taken yet
	wake       chan struct{} // has one element while there are any
}

// NewStore is an empty store.
func NewStore(l Limits) *Store {
	s := &Store{
		limits: l.WithDefaults(), rows: JobRows(),
		jobs: map[Key]*stored{}, groups: map[GroupKey]*storedGroup{}, sources: map[string]*sourceState{},
		table: newTableWriter[Job](), rollups: newTableWriter[Group](), began: TimeOf(time.Now()),
	}
	s.published.Store(&tables{})
	return s
}

// Snapshot is the current view. Its cost does not depend on the number of jobs.
func (s *Store) Snapshot() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.published.Load()
	snap := &Snapshot{Jobs: t.jobs, Groups: t.groups, GPUs: s.gpus.Load()}
	for name, src := range s.sources {
		if src.hidden {
			continue
		}
		v := &SourceView{Name: name, Totals: src.totals, Jobs: src.jobs, Suppressed: src.suppressed, Began: s.began, HeldGroups: src.held}
		if src.health != nil {
			v.Health = src.health.View()
		}
		snap.Sources = append(snap.Sources, v)
	}
	slices.SortFunc(snap.Sources, func(a, b *SourceView) int { return cmp.Compare(a.Name, b.Name) })
	return snap
}

// SetHealth says whose health to show for a source.
func (s *Store) SetHealth(source string, h *Health) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.source(source).health = h
}

// Configured names the sources that exist. Whatever the ledger still holds of others is kept and not shown: nobody asks
// about their jobs, which would seem to run for ever.
func (s *Store) Configured(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, src := range s.sources {
		if hidden := !slices.Contains(names, name); hidden != src.hidden {
			src.hidden = hidden
			s.replaceSource(name, src)
		}
	}
	s.published.Store(&tables{jobs: s.table.publish(), groups: s.rollups.publish()})
}

// Job is the current version of a job, nil if it is not tracked.
func (s *Store) Job(k Key) *Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.jobs[k]; e != nil {
		return e.job
	}
	return nil
}

// Group is the current version of a group, nil if there is none.
func (s *Store) Group(k GroupKey) *Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.groups[k]; e != nil {
		return e.group
	}
	return nil
}

// Totals are the current totals of a source, nil if there are none.
func (s *Store) Totals(source string) *Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	if src := s.sources[source]; src != nil {
		return src.totals
	}
	return nil
}

// GroupsOf returns the groups of a source, in no order.
func (s *Store) GroupsOf(source string) []*Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	var groups []*Group
	for k, e := range s.groups {
		if k.Source == source {
			groups = append(groups, e.group)
		}
	}
	return groups
}

// JobsOf returns the tracked jobs of a source, in no order.
func (s *Store) JobsOf(source string) []*Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []*Job
	for k, e := range s.jobs {
		if k.Source == source {
			jobs = append(jobs, e.job)
		}
	}
	return jobs
}

// Added returns a channel that has an element while there are new jobs of a source, or jobs that came back, and a function
// that takes them.
func (s *Store) Added(source string) (wake <-chan struct{}, take func() []Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	src := s.source(source)
	return src.wake, func() []Key {
		s.mu.Lock()
		defer s.mu.Unlock()
		added := src.added
		src.added = nil
		return added
	}
}

// done returns the jobs that will change no more.
func (s *Store) done() []*Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []*Job
	for _, e := range s.jobs {
		if e.job.Done() {
			jobs = append(jobs, e.job)
		}
	}
	return jobs
}

// idleGroups returns the groups that are shown without jobs and without news since a moment.
func (s *Store) idleGroups(since Time) []*Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	var groups []*Group
	for _, e := range s.groups {
		if g := e.group; !g.Hidden && g.Size() == 0 && g.Updated < since {
			groups = append(groups, g)
		}
	}
	return groups
}
