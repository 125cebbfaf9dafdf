package collector

// replaceSource shows or hides all that a source has.
func (s *Store) replaceSource(name string, src *sourceState) {
	for k, e := range s.jobs {
		if k.Source == name {
			src.suppressed -= e.suppressed()
			s.place(src, e)
			src.suppressed += e.suppressed()
		}
	}
	for k, e := range s.groups {
		if k.Source == name {
			s.placeGroup(src, e)
		}
	}
}

// publish makes a committed batch visible. Its cost grows with the batch, not with the number of jobs.
func (s *Store) publish(b *Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(b)
}

func (s *Store) write(b *Batch) {
	for _, j := range b.Retire {
		s.drop(j)
	}
	for _, j := range b.Jobs {
		s.putJob(j)
	}
	for _, g := range b.Groups {
		s.putGroup(g)
	}
	for _, t := range b.Totals {
		s.source(t.Source).totals = t
	}
	s.published.Store(&tables{jobs: s.table.publish(), groups: s.rollups.publish()})
}

// tracked is how many jobs of a source there are.
func (s *Store) tracked(source string) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, jobs := range s.source(source).jobs {
		n += jobs
	}
	return n
}

func (s *Store) source(name string) *sourceState {
	src := s.sources[name]
	if src == nil {
		src = &sourceState{wake: make(chan struct{}, 1)}
		s.sources[name] = src
	}
	return src
}

func (s *Store) putJob(j *Job) {
	src := s.source(j.Key.Source)
	e := s.jobs[j.Key]
	if e == nil {
		e = &stored{}
		s.jobs[j.Key] = e
		src.jobs[j.Phase]++
		src.announce(j.Key)
	} else {
		src.jobs[e.job.Phase]--
		src.jobs[j.Phase]++
		if e.job.Done() && !j.Done() {
			src.announce(j.Key)
		}
	}
	src.suppressed -= e.suppressed()
	e.job = j
	s.place(src, e)
	src.suppressed += e.suppressed()
}

// suppressed is 1 for a job that would have series but for a limit or an unread backlog.
func (e *stored) suppressed() int64 {
	if e.job == nil || e.shown || e.job.Hidden {
		return 0
	}
	return 1
}

func (src *sourceState) announce(k Key) {
	src.added = append(src.added, k)
	select {
	case src.wake <- struct{}{}:
	default:
	}
}

// replace publishes a state read from the ledger instead of everything there was.
func (s *Store) replace(state State) {
	for _, j := range state.Jobs {
		if j.trace == (TraceID{}) { // nobody else has seen it yet
			j.trace = j.TraceID()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs, s.groups, s.series = map[Key]*stored{}, map[GroupKey]*storedGroup{}, 0
	s.table, s.rollups = newTableWriter[Job](), newTableWriter[Group]()
	for _, src := range s.sources {
		src.totals, src.jobs, src.shown, src.suppressed, src.groups, src.held = nil, [phaseCount]int64{}, 0, 0, 0, 0
	}
	s.write(&Batch{Jobs: state.Jobs, Groups: state.Groups, Totals: state.Totals})
}

// place shows, moves or hides a job's series. A job whose first backlog is still being read is shown, without counters, if the
// provider stated its phase; otherwise all that could be shown is a guess.
func (s *Store) place(src *sourceState, e *stored) {
	if e.job.Hidden || src.hidden || !e.job.caughtUp() && e.job.Status == "" {
		s.hide(src, e)
		return
	}
	n := s.count(e.job)
	if !e.shown && (src.shown >= s.limits.JobsPerSource || s.series+n > s.limits.Series) {
		return
	}
	s.series += n - int(e.series)
	e.series = int32(n)
	quiet := e.job.Phase != Running
	switch {
	case !e.shown:
		e.shown, e.at = true, s.table.add(e.job, quiet)
		src.shown++
	case s.table.isQuiet(e.at) != quiet:
		s.table.remove(e.at)
		e.at = s.table.add(e.job, quiet)
	default:
		s.table.set(e.at, e.job)
	}
}

// count is how many series a job has.
func (s *Store) count(j *Job) int {
	s.scratch.Reset()
	for i := range s.rows {
		s.rows[i].Read(j, &s.scratch)
	}
	return s.scratch.Len()
}

func (s *Store) drop(j *Job) {
	e := s.jobs[j.Key]
	if e == nil {
		return
	}
	src := s.source(j.Key.Source)
	src.jobs[e.job.Phase]--
	src.suppressed -= e.suppressed()
	s.hide(src, e)
	delete(s.jobs, j.Key)
}

func (s *Store) hide(src *sourceState, e *stored) {
	if !e.shown {
		return
	}
	s.table.remove(e.at)
	s.series -= int(e.series)
	e.shown, e.series = false, 0
	src.shown--
}

func (s *Store) putGroup(g *Group) {
	e := s.groups[g.Key]
	if e == nil {
		e = &storedGroup{}
		s.groups[g.Key] = e
	}
	e.group = g
	s.placeGroup(s.source(g.Key.Source), e)
}

// maxGroups bounds the groups of a source that have series: their names come from whoever trains.
const maxGroups = 10_000

func (s *Store) placeGroup(src *sourceState, e *storedGroup) {
	g := e.group
	if e.held {
		e.held = false
		src.held--
	}
	switch {
	case (g.Hidden || src.hidden) && e.shown:
		s.rollups.remove(e.at)
		e.shown = false
		src.groups--
	case !g.Shown, g.Hidden, src.hidden:
	case !e.shown && src.groups >= maxGroups:
		e.held = true
		src.held++
	case !e.shown:
		e.shown, e.at = true, s.rollups.add(g, false)
		src.groups++
	default:
		s.rollups.set(e.at, g)
	}
}
