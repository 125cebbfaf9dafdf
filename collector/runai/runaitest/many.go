package runaitest

import (
	"strconv"
	"time"
)

// Many describes very many quiet workloads.
type Many struct {
	Workloads int
	Events    int           // of each; default 4
	Phase     string        // default Running
	Projects  int           // default 20
	Apart     time.Duration // between the creation of one and the next, the last now; default 1 s
}

// AddWorkloads adds many workloads that have been in their phase for a while, and returns their ids, oldest first. Their events
// and histories are made when they are read, so that 100,000 of them take little memory.
func (s *Server) AddWorkloads(m Many) []string {
	if m.Events == 0 {
		m.Events = 4
	}
	if m.Phase == "" {
		m.Phase = "Running"
	}
	if m.Projects == 0 {
		m.Projects = 20
	}
	if m.Apart == 0 {
		m.Apart = time.Second
	}
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, m.Workloads)
	for i := range ids {
		created := now.Add(-time.Hour - time.Duration(m.Workloads-i)*m.Apart)
		ids[i] = s.addQuiet(m, i, created)
	}
	return ids
}

func (s *Server) addQuiet(m Many, i int, created time.Time) string {
	s.made++
	w := &workload{}
	w.Workload = Workload{
		Project: "team-" + strconv.Itoa(i%m.Projects), SubmittedBy: "user-" + strconv.Itoa(i%37), GPUs: 1, CreatedAt: created,
	}.withDefaults(s.made, mix(uint64(s.o.Seed)), created)
	w.stream = stream{seed: hashName(w.ID), made: m.Events, from: created, reached: m.Phase}
	w.phase, w.phaseAt, w.waited = m.Phase, created.Add(startAfter), startAfter
	w.updated = w.phaseAt
	switch m.Phase {
	case "Running":
		w.running = 1
	case "Completed", "Failed":
		w.completed = w.phaseAt
	}
	s.workloads[w.ID] = w
	s.all = append(s.all, w)
	s.touch(w)
	return w.ID
}

// startAfter is how long a quiet workload took to reach its phase.
const startAfter = 30 * time.Second

// materialize makes the events and phases of a quiet workload real.
func (st *stream) materialize() {
	if st.reached != "" {
		*st = *st.whole()
	}
}

// whole is the stream with events and phases that are made up when they are read. It changes nothing.
func (st *stream) whole() *stream {
	if st.reached == "" {
		return st
	}
	out := st.sketch()
	for i := range out.rows {
		out.truth.event(out.rows[i].Event)
	}
	return out
}

// sketch is whole without what only Truth needs.
func (st *stream) sketch() *stream {
	if st.reached == "" {
		return st
	}
	reasons := [4]Event{
		{Reason: "Scheduled", Source: "runai-scheduler", Message: "Successfully assigned pod to node"},
		{Reason: "Pulled", Source: "kubelet", Message: "Container image already present on machine"},
		{Reason: "Created", Source: "kubelet", Message: "Created container main"},
		{Reason: "Started", Source: "kubelet", Message: "Started container main"},
	}
	out := &stream{seed: st.seed, rows: make([]row, st.made)}
	for i := range out.rows {
		at := st.from.Add(startAfter/2 + time.Duration(i)*time.Second)
		e := reasons[i%4]
		out.seq++
		e.ID, e.CreatedAt, e.Type, e.Kind = uuid(st.seed, out.seq), at, "Normal", "Pod"
		out.rows[i] = row{Event: e, added: at, seq: out.seq}
	}
	for i, phase := range [3]string{"Creating", "Pending", st.reached} {
		out.seq++
		at := st.from.Add(time.Duration(i) * startAfter / 2)
		out.phases = append(out.phases, phaseRow{PhaseTruth{Phase: phase, At: at}, out.seq})
	}
	return out
}
