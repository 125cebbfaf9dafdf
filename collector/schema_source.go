package collector

// Identity implements [Entity].
func (s *SourceView) Identity(dst []string) []string { return append(dst, s.Name) }

// Start implements [Entity]: the totals are older than the process.
func (s *SourceView) Start() Time {
	if s.Totals == nil {
		return s.Began
	}
	return s.Totals.Birth
}

// Done implements [Entity].
func (s *SourceView) Done() bool { return false }

type sourceRow = Row[*SourceView]

// SourceRows is the table of metrics of a source. The slice is new; the caller may keep it.
func SourceRows() []Row[*SourceView] {
	return append(append(healthRows(), budgetRows()...), append(totalsRows(), accountingRows()...)...)
}

func healthRows() []sourceRow {
	return []sourceRow{
		gaugeOf("training.source.up", "", "1 if the source answers: its latest poll, or one of the latest few, succeeded.",
			func(s *SourceView) (float64, bool) { return flag(s.Health.Up), s.Health.Known }),
		{
			Name: "training.source.fault.info", Prom: "training_source_fault_info", Kind: UpDown, Tier: Forever, Labels: []string{"error.type"},
			Help: "Why the source is down: the class of its latest failure. Absent while it is up.",
			read: func(s *SourceView, to *Points) {
				if h := &s.Health; h.Known && !h.Up && h.LastError != "" {
					to.Add(1, h.LastError)
				}
			},
		},
		gaugeOf("training.source.last_poll_timestamp", "s", "When the source was last polled; polls that rest after a refusal count too.",
			func(s *SourceView) (float64, bool) { return s.Health.LastPoll.Seconds(), s.Health.LastPoll.Known() }),
		gaugeOf("training.source.last_success_timestamp", "s", "When a poll last brought an answer.",
			func(s *SourceView) (float64, bool) {
				return s.Health.LastSuccess.Seconds(), s.Health.LastSuccess.Known()
			}),
		gaugeOf("training.source.last_event_timestamp", "s", "When something new was last seen in any job.",
			func(s *SourceView) (float64, bool) {
				return s.totals().LastEvent.Seconds(), s.totals().LastEvent.Known()
			}),
		{
			Name: "training.source.poll.duration", Prom: "training_source_poll_duration_seconds", Unit: "s", Kind: Distribution, Tier: Forever,
			Help: "How long polls took, waiting for the request budget included.", Bounds: exponents(-8, 6),
			read: func(s *SourceView, to *Points) { to.AddHistogram(s.Health.PollTimes) }, start: processStart,
		},
		processCounter("training.source.polls", "{poll}", "Polls made since the bridge started.", nil,
			func(s *SourceView, to *Points) { to.Add(float64(s.Health.Polls)) }),
		processCounter("training.source.poll_errors", "{error}", "Polls that failed since the bridge started, by class of error.",
			[]string{"error.type"}, readPollErrors),
		processCounter("training.source.requests", "{request}", "Requests sent since the bridge started, by status code and operation.",
			[]string{"code", "training.request.operation"}, func(s *SourceView, to *Points) {
				for _, r := range s.Health.Requests {
					to.Add(float64(r.N), r.Code, r.Operation)
				}
			}),
		gaugeOf("training.source.event_lag", "s", "How late the most overdue poll is.",
			func(s *SourceView) (float64, bool) { return s.Health.Lag.Seconds(), s.Health.Known }),
		gaugeOf("training.source.clock_skew", "s", "The service's clock minus the bridge's, known to a second.",
			func(s *SourceView) (float64, bool) {
				if s.Health.Skew == nil {
					return 0, false
				}
				return s.Health.Skew.Seconds(), true
			}),
		gaugeOf("training.source.credential_expiry_timestamp", "s", "When the credential of the source ends, where a certificate, the token itself or the configuration says so.",
			func(s *SourceView) (float64, bool) {
				return s.Health.CredentialExpiry.Seconds(), s.Health.CredentialExpiry.Known()
			}),
	}
}

// readPollErrors starts every class at 0, so that the first error is an increase.
func readPollErrors(s *SourceView, to *Points) {
	if !s.Health.Start.Known() {
		return
	}
	for _, class := range ErrorClasses() {
		n := uint64(0)
		for _, e := range s.Health.PollErrors {
			if e.Name == class {
				n = e.N
			}
		}
		to.Add(float64(n), class)
	}
}

func budgetRows() []sourceRow {
	return []sourceRow{
		gaugeOf("training.source.request_budget.limit", "{request}", "Requests that may be made at once, by our limit or the service's.",
			func(s *SourceView) (float64, bool) { return known(s.Health.BudgetLimit) }),
		gaugeOf("training.source.request_budget.remaining", "{request}", "Requests that may still be made now.",
			func(s *SourceView) (float64, bool) { return known(s.Health.BudgetRemaining) }),
		gaugeOf("training.source.request_budget.demand", "1", "Polls that are due as a share of what the budget allows; above 1 polls are stretched.",
			func(s *SourceView) (float64, bool) { return known(s.Health.DemandRatio) }),
	}
}

func totalsRows() []sourceRow {
	return []sourceRow{
		{
			Name: "training.source.jobs", Prom: "training_source_jobs", Unit: "{job}", Kind: UpDown, Tier: Forever,
			Help:   "Jobs that are tracked, by phase, those without series included.",
			Labels: []string{"training.job.phase"},
			read: func(s *SourceView, to *Points) {
				for _, p := range phaseOrder {
					to.Add(float64(s.Jobs[p]), p.String())
				}
			},
		},
		{
			Name: "training.source.jobs_suppressed", Prom: "training_source_jobs_suppressed", Unit: "{job}", Kind: UpDown, Tier: Forever,
			Help: "Jobs that are tracked without series: over a limit, or their first backlog is still being read.",
			read: func(s *SourceView, to *Points) { to.Add(float64(s.Suppressed)) },
		},
		{
			Name: "training.source.groups_suppressed", Prom: "training_source_groups_suppressed", Unit: "{group}", Kind: UpDown, Tier: Forever,
			Help: "Groups that are tracked without series: over the limit of 10,000.",
			read: func(s *SourceView, to *Points) { to.Add(float64(s.HeldGroups)) },
		},
		{
			Name: "training.source.jobs_ended", Prom: "training_source_jobs_ended_total", Unit: "{job}", Kind: Counter, Tier: Forever,
			Help:   "Jobs that ended, by result and, for failures, class.",
			Labels: []string{"training.job.result", "error.type"},
			read:   readEnded,
		},
		{
			Name: "training.source.events", Prom: "training_source_events_total", Unit: "{event}", Kind: Counter, Tier: Forever,
			Help:   "Distinct events counted in all jobs, by type and reason.",
			Labels: []string{"training.event.type", "training.event.reason"},
			read: func(s *SourceView, to *Points) {
				for _, e := range s.totals().Events {
					to.Add(float64(e.N), e.Type.String(), e.Reason)
				}
			},
		},
		{
			Name: "training.source.unknown_values", Prom: "training_source_unknown_values_total", Unit: "{value}", Kind: Counter, Tier: Forever,
			Help:   "Fields and values that the bridge did not understand, by field: the service changed.",
			Labels: []string{"training.field"},
			read:   func(s *SourceView, to *Points) { addCounts(to, s.totals().Unknown) },
		},
		resultHistogram("training.job.duration", "Time from start to end of jobs that ended, by result.", exponents(0, 22),
			func(t *Totals) []ResultSum { return t.Durations }),
		resultHistogram("training.job.queue.duration", "Time from creation to start of jobs that ended, by result.", exponents(0, 22),
			func(t *Totals) []ResultSum { return t.Queues }),
	}
}

func accountingRows() []sourceRow {
	return []sourceRow{
		totalsCounter("training.source.events_read", "{event}", "Items read in pages: counted, duplicate and quarantined ones together.",
			func(t *Totals) uint64 { return t.Read }),
		totalsCounter("training.source.events_duplicate", "{event}", "Items read again and not counted again.",
			func(t *Totals) uint64 { return t.Duplicate }),
		totalsCounter("training.source.events_quarantined", "{event}", "Items that could not be read and were set aside.",
			func(t *Totals) uint64 { return t.Quarantined }),
		totalsCounter("training.source.events_late", "{event}", "Events that a full count after a job's end found beyond those read.",
			func(t *Totals) uint64 { return t.Late }),
		totalsCounter("training.source.event_gaps", "{gap}", "Times the service had dropped events before the bridge read them.",
			func(t *Totals) uint64 { return t.Gaps }),
		totalsCounter("training.source.accounting_mismatches", "{job}", "Jobs whose full count was below what the bridge had counted.",
			func(t *Totals) uint64 { return t.Mismatches }),
		totalsCounter("training.source.values_held", "{value}", "Free-form values not shown because their job has too many names.",
			func(t *Totals) uint64 { return t.Held }),
	}
}

func (s *SourceView) totals() *Totals {
	if s.Totals == nil {
		return &Totals{}
	}
	return s.Totals
}

func processStart(s *SourceView) Time { return s.Health.Start }

func known(v *float64) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return *v, true
}

func gaugeOf(name, unit, help string, get func(*SourceView) (float64, bool)) sourceRow {
	return sourceRow{
		Name: name, Prom: promName(name, unit, Gauge), Unit: unit, Kind: Gauge, Tier: Forever, Help: help,
		read: func(s *SourceView, to *Points) {
			if v, ok := get(s); ok {
				to.Add(v)
			}
		},
	}
}

func processCounter(name, unit, help string, labels []string, read func(*SourceView, *Points)) sourceRow {
	return sourceRow{
		Name: name, Prom: promName(name, unit, Counter), Unit: unit, Kind: Counter, Tier: Forever, Help: help,
		Labels: labels, read: read, start: processStart,
	}
}

func totalsCounter(name, unit, help string, get func(*Totals) uint64) sourceRow {
	return sourceRow{
		Name: name, Prom: promName(name, unit, Counter), Unit: unit, Kind: Counter, Tier: Forever, Help: help,
		read: func(s *SourceView, to *Points) { to.Add(float64(get(s.totals()))) },
	}
}

func resultHistogram(name, help string, bounds []int, get func(*Totals) []ResultSum) sourceRow {
	return sourceRow{
		Name: name, Prom: promName(name, "s", Distribution), Unit: "s", Kind: Distribution, Tier: Forever, Help: help, Bounds: bounds,
		Labels: []string{"training.job.result"},
		read: func(s *SourceView, to *Points) {
			for _, d := range get(s.totals()) {
				to.AddHistogram(d.Histogram, d.Result.String())
			}
		},
	}
}

// readEnded starts every result and every class of failure at 0, so that the first failure is an increase.
func readEnded(s *SourceView, to *Points) {
	t := s.totals()
	for _, r := range resultOrder {
		if r != Failure {
			to.Add(float64(ended(t, r, "")), r.String(), "")
			continue
		}
		for _, class := range FailureClasses() {
			to.Add(float64(ended(t, r, class)), r.String(), class)
		}
	}
}

func ended(t *Totals, r Result, class string) uint64 {
	for _, e := range t.Ended {
		if e.Result == r && e.ErrorType == class {
			return e.N
		}
	}
	return 0
}
