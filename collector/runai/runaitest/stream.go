package runaitest

import (
	"cmp"
	"slices"
	"time"
)

// Event is something that the cluster says about a workload or a revision, as GET .../events shows it.
type Event struct {
	ID        string // a UUID made from the workload's id when empty
	NoID      bool   // no id is shown
	NoHistory bool   // the history has no record of it
	CreatedAt time.Time
	Type      string // Normal or Warning; default Normal
	Reason    string // left out when empty, and so are the rest
	Source    string
	Message   string
	Kind      string // of the object that is involved: Pod, PodGroup, ...
	Object    string // its name
}

// row is an event in a list.
type row struct {
	Event
	null  bool // shown as null
	added time.Time
	seq   uint64
}

// phaseRow is a PhaseUpdate in the history.
type phaseRow struct {
	PhaseTruth
	seq uint64
}

// stream is what happened to a workload or a revision. Events and phases are sorted by time, then by when they were added.
type stream struct {
	seed   uint64
	seq    uint64
	rows   []row
	phases []phaseRow
	truth  tally

	// made is how many events, and phases from Pending on, are made up when they are read. It is for very many quiet
	// workloads; the first change to such a stream makes them real.
	made    int
	from    time.Time
	reached string // the last phase
}

func (st *stream) place(at time.Time) int {
	i := len(st.rows)
	for i > 0 && st.rows[i-1].CreatedAt.After(at) {
		if i--; i%64 == 0 { // far back: no need to look at each
			n, _ := slices.BinarySearchFunc(st.rows[:i], at, func(r row, at time.Time) int {
				return cmp.Or(r.CreatedAt.Compare(at), -1)
			})
			return n
		}
	}
	return i
}

// add puts an event at its place and returns its id. An event whose id is listed moves instead, as one that Kubernetes
// repeats.
func (st *stream) add(e Event, now time.Time) string {
	st.materialize()
	st.seq++
	if e.CreatedAt.IsZero() {
		e.CreatedAt = now
	}
	if e.Type == "" {
		e.Type = "Normal"
	}
	known := false
	if e.ID == "" {
		e.ID = uuid(st.seed, st.seq)
	} else if known = st.truth.ids[e.ID]; known {
		st.rows = slices.DeleteFunc(st.rows, func(r row) bool { return r.ID == e.ID })
	}
	if !known {
		st.truth.event(e)
	}
	st.insert(row{Event: e, added: now, seq: st.seq})
	return e.ID
}

func (st *stream) insert(r row) { st.rows = slices.Insert(st.rows, st.place(r.CreatedAt), r) }

func (st *stream) addNull(now time.Time) {
	st.materialize()
	st.seq++
	st.truth.bad++
	st.insert(row{Event: Event{CreatedAt: now}, null: true, added: now, seq: st.seq})
}

func (st *stream) setPhase(phase, message string, at time.Time) {
	st.materialize()
	st.seq++
	i := len(st.phases)
	for i > 0 && st.phases[i-1].At.After(at) {
		i--
	}
	st.phases = slices.Insert(st.phases, i, phaseRow{PhaseTruth{phase, message, at}, st.seq})
}

// prune keeps the newest events.
func (st *stream) prune(keep int) {
	st.materialize()
	st.rows = slices.Clone(st.rows[max(0, len(st.rows)-keep):])
}

// remove takes away event i, counted from the newest.
func (st *stream) remove(i int) {
	st.materialize()
	if i >= 0 && i < len(st.rows) {
		at := len(st.rows) - 1 - i
		st.rows = slices.Delete(st.rows, at, at+1)
	}
}

// AddEvent adds an event to a workload, at the place of its CreatedAt (default: now) in the list and in the history, and
// returns its id. An event with the id of another replaces it and is not counted in Truth, as when Kubernetes repeats one. An
// unknown workload is ignored.
func (s *Server) AddEvent(id string, e Event) string {
	out := ""
	s.change(id, func(w *workload, now time.Time) {
		out = w.add(e, now)
		w.updated = now
	})
	return out
}

// AddNullEvent adds an element that is null to the list of events, and a record without its event to the history.
func (s *Server) AddNullEvent(id string) {
	s.change(id, func(w *workload, now time.Time) { w.addNull(now) })
}

// PruneEvents drops all but the newest events of a workload, as a retention period would.
func (s *Server) PruneEvents(id string, keep int) {
	s.change(id, func(w *workload, _ time.Time) { w.prune(keep) })
}

// DeleteEvent drops one event of a workload; 0 is the newest.
func (s *Server) DeleteEvent(id string, i int) {
	s.change(id, func(w *workload, _ time.Time) { w.remove(i) })
}
