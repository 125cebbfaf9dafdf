package collector

// replaceSource shows or hides all that a source has.
func (s *Store) replaceSource(name string, src *sourceState) {
	for k, e := range s.jobs {
		if k.Source == name {
			s.place(src, e)
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
		src.suppressed++
		src.announce(j.Key)
	} else {
		src.jobs[e.job.Phase]--
		src.jobs[j.Phase]++
		if e.job.Done() && !j.Done() {
			src.announce(j.Key)
		}
	}
	e.job = j
	s.place(src, e)
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
	s.mu.Lock()
	s.jobs, s.groups, s.series = map[Key]*stored{}, map[GroupKey]*storedGroup{}, 0
	s.table, s.rollups = newTableWriter[Job](), newTableWriter[Group]()
	for _, src := range s.sources {
		src.totals, src.jobs, src.shown, src.suppressed = nil, [phaseCount]int64{}, 0, 0
	}
	s.mu.Unlock()
	for _, j := range state.Jobs {
		j.trace = j.TraceID() // before anyone else sees it
	}
	s.publish(&Batch{Jobs: state.Jobs, Groups: state.Groups, Totals: state.Totals})
}

// place shows, moves or hides a job's series. A job whose first backlog is still being read is not shown: its counters would
// look like fresh progress.
func (s *Store) place(src *sourceState, e *stored) {
	if !e.job.Live && !e.job.Done() {
		return
	}
	if e.job.Hidden || src.hidden {
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
		src.suppressed--
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
	s.hide(src, e)
	src.suppressed--
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
	src.suppressed++
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

func (s *Store) placeGroup(src *sourceState, e *storedGroup) {
	g := e.group
	switch {
	case (g.Hidden || src.hidden) && e.shown:
		s.rollups.remove(e.at)
		e.shown = false
	case !g.Shown, g.Hidden, src.hidden:
	case !e.shown:
		e.shown, e.at = true, s.rollups.add(g, false)
	default:
		s.rollups.set(e.at, g)
	}
}
