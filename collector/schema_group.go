package collector

// Identity implements [Entity].
func (g *Group) Identity(dst []string) []string { return append(dst, g.Key.Source, g.Key.Name) }

// Start implements [Entity].
func (g *Group) Start() Time { return g.Birth }

// Done implements [Entity].
func (g *Group) Done() bool { return false }

// GroupRows is the table of metrics of a group of jobs. The slice is new; the caller may keep it.
func GroupRows() []Row[*Group] {
	return []Row[*Group]{
		{
			Name: "training.group.jobs", Prom: "training_group_jobs", Unit: "{job}", Kind: UpDown, Tier: Forever,
			Help:   "Jobs of the group that are tracked, by phase.",
			Labels: []string{"training.job.phase"},
			read: func(g *Group, to *Points) {
				for _, p := range phaseOrder {
					to.Add(float64(g.Jobs[p]), p.String())
				}
			},
		},
		{
			Name: "training.group.gradient_steps", Prom: "training_group_gradient_steps_total", Unit: "{step}", Kind: Counter, Tier: Forever,
			Help: "Distinct gradient steps seen in all jobs of the group, those that are forgotten included.",
			read: func(g *Group, to *Points) {
				if g.Stepped || g.Steps > 0 {
					to.Add(float64(g.Steps))
				}
			},
		},
		{
			Name: "training.group.jobs_ended", Prom: "training_group_jobs_ended_total", Unit: "{job}", Kind: Counter, Tier: Forever,
			Help:   "Jobs of the group that ended, by result.",
			Labels: []string{"training.job.result"},
			read: func(g *Group, to *Points) {
				for _, r := range resultOrder {
					to.Add(float64(g.Ended[r]), r.String())
				}
			},
		},
		{
			Name: "training.group.loss", Prom: "training_group_loss", Kind: Gauge, Tier: Forever,
			Help:   "Newest loss of any job of the group.",
			Labels: []string{"training.split"},
			read:   func(g *Group, to *Points) { addReadings(to, g.Readings, Loss) },
		},
		{
			Name: "training.group.metric", Prom: "training_group_metric", Kind: Gauge, Tier: Forever,
			Help:   "Newest value of any other number that a job of the group reported.",
			Labels: []string{"training.metric.name"},
			read:   func(g *Group, to *Points) { addReadings(to, g.Readings, FreeForm) },
		},
		{
			Name: "training.group.last_step_timestamp", Prom: "training_group_last_step_timestamp_seconds", Unit: "s", Kind: Gauge, Tier: Forever,
			Help: "When the latest gradient step of any job of the group was seen.",
			read: func(g *Group, to *Points) { addTime(to, g.LastStep) },
		},
	}
}

// resultOrder is the order in which results are exposed.
var resultOrder = Results()
