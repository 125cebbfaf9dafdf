package runaitest

import "time"

// Revision describes a revision of an inference workload.
type Revision struct {
	ID        string // a UUID when empty
	Name      string // default that of the workload
	Phase     string // default Creating
	CreatedAt time.Time
}

// revision is guarded by the mutex of the server.
type revision struct {
	Revision
	stream
	of      *workload
	id      string
	phase   string
	message string
	phaseAt time.Time
}

// AddRevision adds a revision to a workload and returns its id; empty if there is no such workload.
func (s *Server) AddRevision(workloadID string, d Revision) string {
	id := ""
	s.change(workloadID, func(w *workload, now time.Time) {
		if d.CreatedAt.IsZero() {
			d.CreatedAt = now
		}
		id = s.addRevision(w, d).id
	})
	return id
}

func (s *Server) addRevision(w *workload, d Revision) *revision {
	r := &revision{Revision: d, of: w, id: d.ID}
	if r.id == "" {
		r.id = uuid(w.seed+2, uint64(len(w.revisions)))
	}
	if r.Name == "" {
		r.Name = w.Name
	}
	if d.Phase == "" {
		d.Phase = "Creating"
	}
	r.seed = hashName(r.id)
	r.change(d.Phase, "", r.CreatedAt)
	w.revisions = append(w.revisions, r)
	s.revisions[r.id] = r
	return r
}

func (r *revision) change(phase, message string, at time.Time) {
	r.setPhase(phase, message, at)
	r.phase, r.message, r.phaseAt = phase, message, at
}

// changeRevision calls do with a revision that exists, and with the time.
func (s *Server) changeRevision(id string, do func(r *revision, now time.Time)) {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.revisions[id]; r != nil {
		do(r, now)
	}
}

// SetRevisionPhase changes the phase of a revision now. An unknown revision is ignored.
func (s *Server) SetRevisionPhase(id, phase, message string) {
	s.changeRevision(id, func(r *revision, now time.Time) { r.change(phase, message, now) })
}

// AddRevisionEvent adds an event to a revision, as AddEvent does to a workload, and returns its id.
func (s *Server) AddRevisionEvent(id string, e Event) string {
	out := ""
	s.changeRevision(id, func(r *revision, now time.Time) { out = r.add(e, now) })
	return out
}

// RevisionTruth is what really happened to a revision: its phases, oldest first, and its distinct events by reason.
func (s *Server) RevisionTruth(id string) (phases []PhaseTruth, events map[string]int) {
	s.changeRevision(id, func(r *revision, _ time.Time) {
		events = make(map[string]int, len(r.truth.reasons))
		for reason, n := range r.truth.reasons {
			events[reason] = n
		}
		for _, p := range r.phases {
			phases = append(phases, p.PhaseTruth)
		}
	})
	return phases, events
}

// revisionStream answers the events or the history of a revision.
func (s *Server) revisionStream(c *call) reply {
	r := s.revisions[c.revision]
	switch {
	case r == nil || c.f.DeletedGone && !r.of.deleted.IsZero():
		return c.notFound()
	case c.op == OpRevisionEvents:
		return c.events(&r.stream)
	}
	return c.history(&r.stream)
}

// listRevisions answers the revisions of a workload, all of them at once.
func (c *call) listRevisions(w *workload) reply {
	if family(w.Type) != "inferences" {
		return c.notFound()
	}
	e := &c.enc
	e.open()
	e.key("revisions")
	e.b = append(e.b, '[')
	for i, r := range w.revisions {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		c.revisionItem(w, r)
	}
	c.badItem(len(w.revisions) > 0)
	e.b = append(e.b, ']')
	c.items += len(w.revisions)
	e.close()
	return c.ok()
}

func (c *call) revisionItem(w *workload, r *revision) {
	e := &c.enc
	e.open()
	e.text("type", "Revision")
	e.text("name", r.Name)
	e.text("id", r.id)
	e.text("workloadId", w.ID)
	e.int("tenantId", 1001)
	e.text("clusterId", c.s.cluster.ID)
	e.digits("projectId", w.ProjectID)
	e.digits("departmentId", departmentID)
	e.time("createdAt", r.CreatedAt)
	e.text("phase", c.phaseOf(r.phase))
	e.text("phaseMessage", r.message)
	e.time("phaseUpdatedAt", r.phaseAt)
	if r.phase == "Running" {
		e.int("runningPods", w.Pods)
	}
	e.close()
}
