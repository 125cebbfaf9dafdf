package collector

// Identity implements [Entity].
func (j *Job) Identity(dst []string) []string { return append(dst, j.Key.Source, j.Key.ID) }

// Start implements [Entity].
func (j *Job) Start() Time { return j.Birth }

type jobRow = Row[*Job]

// JobRows is the table of metrics of a job. The slice is new; the caller may keep it.
func JobRows() []Row[*Job] {
	return append(identityRows(), append(progressRows(), append(learningRows(), resourceRows()...)...)...)
}

func identityRows() []jobRow {
	return []jobRow{
		{
			Name: "training.job.info", Prom: "training_job_info", Kind: UpDown,
			Help: "Who the job is, always 1. Free text stands here only; join it to values by training_source and training_job_id.",
			Labels: []string{
				"training.job.name", "training.provider", "training.project", "training.group", "training.owner",
				"training.framework", "training.base_model", "training.job.kind", "training.gpu.model", "training.trace.id",
				"training.job.url",
			},
			read: readInfo,
		},
		{
			Name: "training.job.status.info", Prom: "training_job_status_info", Kind: UpDown,
			Help:   "The provider's own word for the state of the job, always 1.",
			Labels: []string{"training.job.status"},
			read: func(j *Job, to *Points) {
				if j.Status != "" {
					to.Add(1, Clean(j.Status))
				}
			},
		},
		{
			Name: "training.job.phase", Prom: "training_job_phase", Kind: UpDown,
			Help:   "1 for the phase the job is in, 0 for the others.",
			Labels: []string{"training.job.phase"},
			read: func(j *Job, to *Points) {
				for _, p := range phaseOrder {
					to.Add(flag(p == j.Phase), p.String())
				}
			},
		},
		timeRow("training.job.phase.since_timestamp", "When the job entered its phase; first seen where the provider gives no time.",
			Lasting, func(j *Job) Time { return j.Since }),
		timeRow("training.job.created_timestamp", "When the job was created, by the provider.",
			Lasting, func(j *Job) Time { return j.Created }),
		timeRow("training.job.started_timestamp",
			"When training began; first seen where the provider gives no time, absent if it began before the bridge looked.",
			Lasting, func(j *Job) Time { return j.Started }),
		timeRow("training.job.ended_timestamp", "When the job ended; first seen where the provider gives no time.",
			Lasting, func(j *Job) Time { return j.Ended }),
		timeRow("training.job.updated_timestamp", "When the bridge last saw anything new about the job.",
			Lasting, func(j *Job) Time { return j.Updated }),
		timeRow("training.job.last_step_timestamp",
			"When the latest gradient step was seen. Absent while only steps from before the bridge's first look are known.",
			Lasting, func(j *Job) Time { return j.LastStep }),
		timeRow("training.job.last_nonfinite_timestamp",
			"When a value last came as NaN, infinity or null. Absent while only such from before the bridge's first look are known.",
			Lasting, func(j *Job) Time { return j.NonFiniteAt }),
		readingRow(EstimatedEnd, Live, "training.job.estimated_end_timestamp", "s", "When the job is expected to end: by the provider, or from the planned steps that are left and the median time between steps."),
	}
}

func progressRows() []jobRow {
	return []jobRow{
		readingRow(Progress, Lasting, "training.job.progress", "1", "Share of the planned work that is done."),
		readingRow(Epoch, Lasting, "training.job.epoch", "{epoch}", "Epoch the job is in."),
		upDown(readingRow(EpochLimit, Lasting, "training.job.epoch.limit", "{epoch}", "Planned epochs.")),
		readingRow(Step, Lasting, "training.job.step", "{step}",
			"Step the job is at, as the provider counts; it can fall where the provider counts per epoch."),
		upDown(readingRow(StepLimit, Lasting, "training.job.step.limit", "{step}",
			"Planned steps. With gradient accumulation fewer may come.")),
		{
			Name: "training.job.gradient_steps", Prom: "training_job_gradient_steps_total", Unit: "{step}", Kind: Counter,
			Help: "Distinct gradient steps seen. Absent where the provider tells of none.",
			read: func(j *Job, to *Points) {
				if j.caughtUp() && j.TellsSteps() {
					to.Add(float64(j.Steps))
				}
			},
		},
		{
			Name: "training.job.events", Prom: "training_job_events_total", Unit: "{event}", Kind: Counter,
			Help:   "Distinct events seen, by type.",
			Labels: []string{"training.event.type"},
			read: func(j *Job, to *Points) {
				if j.caughtUp() {
					addCounts(to, j.Events)
				}
			},
		},
		{
			Name: "training.job.nonfinite_values", Prom: "training_job_nonfinite_values_total", Unit: "{value}", Kind: Counter,
			Help:   "Values that came as NaN, infinity or null, by name: a diverged run.",
			Labels: []string{"training.metric.name"},
			read:   func(j *Job, to *Points) { addCounts(to, j.NonFinite) },
		},
		counterRow("training.job.restarts", "{restart}", "Times the job started afresh, as the provider tells; a preempted job that goes on is none.", func(j *Job) uint64 { return j.Restarts }),
		{
			Name: "training.job.step.duration", Prom: "training_job_step_duration_seconds", Unit: "s", Kind: Distribution,
			Help:   "Durations of gradient steps, where the provider tells them.",
			Bounds: exponents(-6, 12),
			read:   func(j *Job, to *Points) { to.AddHistogram(j.StepTimes) },
		},
		readingRow(LastStepDuration, Live, "training.job.last_step.duration", "s", "Duration of the latest gradient step."),
		{
			Name: "training.job.step.interval", Prom: "training_job_step_interval_seconds", Unit: "s", Kind: Gauge, Tier: Live,
			Help: "The job's own median time between gradient steps; absent until there are five.",
			read: func(j *Job, to *Points) {
				if m, ok := medianInterval(j.Intervals); ok {
					to.Add(m)
				}
			},
		},
	}
}

func learningRows() []jobRow {
	return []jobRow{
		labelled(readingRow(Loss, Lasting, "training.job.loss", "", "Latest loss. NaN is what the job reported."), "training.split"),
		labelled(readingRow(Accuracy, Lasting, "training.job.accuracy", "1", "Latest accuracy."), "training.split"),
		readingRow(LearningRate, Live, "training.job.learning_rate", "", "Latest learning rate."),
		readingRow(GradientNorm, Live, "training.job.gradient_norm", "", "Latest norm of the gradient."),
		labelled(readingRow(FreeForm, Lasting, "training.job.metric", "", "Latest value of any other number the job reports."),
			"training.metric.name"),
		readingRow(SamplesPerSecond, Live, "training.job.throughput.samples", "{sample}/s", "Samples trained per second."),
		readingRow(TokensPerSecond, Live, "training.job.throughput.tokens", "{token}/s", "Tokens trained per second."),
	}
}

func resourceRows() []jobRow {
	rows := []jobRow{
		upDown(readingRow(PodsRunning, Live, "training.job.pods.running", "{pod}", "Pods that run.")),
		upDown(readingRow(PodsRequested, Live, "training.job.pods.requested", "{pod}", "Pods that were asked for.")),
		upDown(readingRow(GPURequested, Lasting, "training.job.gpu.requested", "{gpu}", "GPUs that were asked for.")),
		labelled(readingRow(GPUUtilization, Live, "training.job.gpu.utilization", "1", "Utilisation of a GPU, by the provider."),
			"training.gpu.index"),
		upDown(labelled(readingRow(GPUMemoryUsage, Live, "training.job.gpu.memory.usage", "By", "Used memory of a GPU, by the provider."),
			"training.gpu.index")),
		upDown(labelled(readingRow(JobPod, Live, "training.job.pod.info", "", "A pod of the job that runs."),
			"k8s.namespace.name", "k8s.pod.name")),
		upDown(readingRow(GPUAllocated, Live, "training.job.gpu.allocated", "{gpu}", "GPUs that the job holds; a fraction where it shares one.")),
		upDown(readingRow(GPUIdle, Live, "training.job.gpu.idle", "{gpu}", "GPUs that the job holds and does not use, by the provider.")),
		readingRow(CPUUsage, Live, "training.job.cpu.usage", "{cpu}", "CPU cores in use."),
		upDown(readingRow(CPUAllocated, Live, "training.job.cpu.allocated", "{cpu}", "CPU cores that the job holds.")),
		upDown(readingRow(MemoryUsage, Live, "training.job.memory.usage", "By", "Used main memory.")),
		upDown(readingRow(MemoryAllocated, Live, "training.job.memory.allocated", "By", "Main memory that the job holds.")),
		upDown(readingRow(StorageUsage, Live, "training.job.storage.usage", "By", "Used storage.")),
		labelled(readingRow(Cost, Lasting, "training.job.cost", "{currency}", "Cost so far, by the provider."), "training.currency"),
		labelled(readingRow(CostComponent, Lasting, "training.job.cost.component", "{currency}", "Cost so far of one component."),
			"training.currency", "training.cost.component"),
		labelled(readingRow(CostEstimated, Lasting, "training.job.cost.estimated", "{currency}", "Cost at the end, as the provider estimates."),
			"training.currency"),
		labelled(readingRow(Budget, Lasting, "training.job.budget", "{currency}", "What the job may cost, as its labels or the configuration of its source say."),
			"training.currency"),
	}
	return append(rows,
		upDown(readingRow(CheckpointAvailable, Lasting, "training.job.checkpoint.available", "{checkpoint}", "Checkpoints that exist.")),
		readingRow(CheckpointLastStep, Lasting, "training.job.checkpoint.last_step", "{step}", "Step of the newest checkpoint."),
		readingRow(CheckpointLastCreated, Lasting, "training.job.checkpoint.last_created_timestamp", "s",
			"When the newest checkpoint was made."),
		readingRow(CheckpointInterval, Live, "training.job.checkpoint.interval", "s", "Median time between checkpoints."),
		readingRow(CheckpointLastSize, Lasting, "training.job.checkpoint.last_size", "By", "Size of the newest checkpoint."),
	)
}

func readInfo(j *Job, to *Points) {
	i := j.Info
	to.Add(1, i.Name, i.Provider, i.Project, i.Group, i.Owner, i.Framework, i.BaseModel, i.Kind, i.GPUModel,
		j.TraceID().String(), i.URL)
}
