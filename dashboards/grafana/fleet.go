package grafana

const mine = `training_source=~"$source"`

func fleet() *Dashboard {
	return &Dashboard{
		UID: fleetUID, Title: "Training fleet", From: "now-6h", Variables: []Variable{anySource()},
		Description: "All training jobs: what runs, what failed, what waits, what it costs, and whether the sources answer.",
		Rows: []Row{
			{Title: "Now", Panels: fleetNow()}, {Title: "Jobs", Panels: fleetJobs()}, {Title: "Over time", Panels: fleetTime()},
			{Title: "Sources", Panels: fleetSources()},
		},
	}
}

// phases is how many jobs are in a phase, each counted once, whatever number of replicas shows it.
func phases(phase string) string {
	return `sum(max by (training_source) (training_source_jobs{` + mine + `, training_job_phase="` + phase + `"}))`
}

func fleetNow() []Panel {
	return []Panel{
		stat("Running", "short", "Jobs that run now.", phases("running")),
		stat("Waiting", "short", "Jobs that have not started.", phases("pending")),
		stat("Failed within the hour", "short", "Jobs whose failure is less than an hour old.",
			`count((max by (training_source, training_job_id) (training_job_phase{`+mine+`, training_job_phase="failed"}) == 1) and on (training_source, training_job_id) (time() - max by (training_source, training_job_id) (training_job_phase_since_timestamp_seconds{`+mine+`}) < 3600)) or vector(0)`, 1),
		stat("Sources down", "short", "Sources that do not answer.", `count(max by (training_source) (training_source_up{`+mine+`}) == 0) or vector(0)`, 1),
		stat("Steps a second", "short", "Gradient steps of all jobs.", `sum(max by (training_source, training_job_id) (rate(training_job_gradient_steps_total{`+mine+`}[$__rate_interval])))`),
		stat("GPUs that do not answer", "short", "Of the machines whose GPUs are read.", `count(max by (hw_id) (nvml_gpu_up) == 0) or vector(0)`, 1),
	}
}

func fleetJobs() []Panel {
	// Once for each job: two bridges may know different things about it, and what they know may just have changed.
	identity := `topk by (training_source, training_job_id) (1, max by (training_source, training_job_id, training_job_name, training_project, training_owner) (training_job_info{` + mine + `}))`
	columns := map[string]string{
		"training_source": "Source", "training_job_id": "Job", "training_job_name": "Name", "training_project": "Project", "training_owner": "Owner",
	}
	running := Panel{
		Kind: Table, Title: "Running jobs", Width: 24, Height: 9, Link: jobLink, Rename: with(columns, "Value #A", "Progress", "Value #B", "Loss", "Value #C", "Last step", "Value #D", "Runs"),
		Help: "Jobs that run, with what their provider tells: a service that knows no steps or loss leaves them empty.", Unit: "short",
		Hide: []string{"Value #E"},
		Queries: []Query{
			{Expr: `max by (training_source, training_job_id) (training_job_progress_ratio{` + mine + `}) and on (training_source, training_job_id) max by (training_source, training_job_id) (training_job_phase{training_job_phase="running"} == 1)`, Instant: true},
			{Expr: `max by (training_source, training_job_id) (training_job_loss{` + mine + `, training_split="train"}) and on (training_source, training_job_id) max by (training_source, training_job_id) (training_job_phase{training_job_phase="running"} == 1)`, Instant: true},
			{Expr: `time() - max by (training_source, training_job_id) (training_job_last_step_timestamp_seconds{` + mine + `}) and on (training_source, training_job_id) max by (training_source, training_job_id) (training_job_phase{training_job_phase="running"} == 1)`, Instant: true},
			{Expr: `time() - max by (training_source, training_job_id) (training_job_phase_since_timestamp_seconds{` + mine + `}) and on (training_source, training_job_id) max by (training_source, training_job_id) (training_job_phase{training_job_phase="running"} == 1)`, Instant: true},
			{Expr: identity + ` and on (training_source, training_job_id) max by (training_source, training_job_id) (training_job_phase{training_job_phase="running"} == 1)`, Instant: true},
		},
	}
	failed := Panel{
		Kind: Table, Title: "Failed jobs", Width: 24, Height: 7, Link: jobLink, Unit: "short",
		Help:    "Jobs that failed and are still shown, which is for the retention (an hour unless configured). Why stands in the trace and on the bridge's own page.",
		Rename:  with(columns, "Value", "Failed for (s)"),
		Queries: now(`(time() - max by (training_source, training_job_id) (training_job_ended_timestamp_seconds{`+mine+`})) * on (training_source, training_job_id) group_left (training_job_name, training_project, training_owner) `+identity+` and on (training_source, training_job_id) max by (training_source, training_job_id) (training_job_phase{training_job_phase="failed"} == 1)`, ""),
		Empty:   "no job has failed",
	}
	return []Panel{running, failed}
}

func fleetTime() []Panel {
	stacked := lines("Jobs by phase", "short", "Jobs that are tracked, by phase.",
		query(`sum by (training_job_phase) (max by (training_source, training_job_phase) (training_source_jobs{`+mine+`})) > 0`, "{{training_job_phase}}")...)
	stacked.Stacked = true
	return []Panel{
		stacked,
		lines("Ends an hour, by result", "short", "Jobs that ended in the hour before, by result.",
			query(`sum by (training_job_result) (max by (training_source, training_job_result, error_type) (increase(training_source_jobs_ended_total{`+mine+`}[1h])))`, "{{training_job_result}}")...),
		lines("Failures an hour, by class", "short", "What jobs failed of in the hour before.",
			query(`sum by (error_type) (max by (training_source, error_type) (increase(training_source_jobs_ended_total{`+mine+`, training_job_result="failure"}[1h]))) > 0`, "{{error_type}}")...),
		lines("Time in the queue", "s", "Time from creation to start of jobs that ended in the hour before: half and nine tenths took no longer.",
			Query{Expr: `histogram_quantile(0.5, sum by (le) (max by (training_source, training_job_result, le) (increase(training_job_queue_duration_seconds_bucket{` + mine + `}[1h]))))`, Legend: "half"},
			Query{Expr: `histogram_quantile(0.9, sum by (le) (max by (training_source, training_job_result, le) (increase(training_job_queue_duration_seconds_bucket{` + mine + `}[1h]))))`, Legend: "nine tenths"}),
		lines("Cost of the jobs shown", "short", "Cost so far, by currency, of running jobs and of those that ended within the retention, where the provider tells it.",
			query(`sum by (training_currency) (max by (training_source, training_job_id, training_currency) (training_job_cost{`+mine+`}))`, "{{training_currency}}")...),
		lines("Tokens and samples a second", "short", "Of all running jobs that tell it.",
			Query{Expr: `sum(max by (training_source, training_job_id) (training_job_throughput_tokens_per_second{` + mine + `}))`, Legend: "tokens"},
			Query{Expr: `sum(max by (training_source, training_job_id) (training_job_throughput_samples_per_second{` + mine + `}))`, Legend: "samples"}),
	}
}

func fleetSources() []Panel {
	up := Panel{
		Kind: Timeline, Title: "Sources that answer", Width: 12, Height: 7, Help: "Red while the service does not answer, or refuses the credentials.",
		Queries: query(`max by (training_source) (training_source_up{`+mine+`})`, "{{training_source}}"), Names: map[string]string{"0": "down", "1": "up"},
		Levels: []float64{0, 1}, Colors: []string{"red", "green"},
	}
	return []Panel{
		up,
		wide(lines("Age of the last answer", "s", "Grows while a source does not answer.",
			query(`time() - max by (training_source) (training_source_last_success_timestamp_seconds{`+mine+`})`, "{{training_source}}")...), 12),
	}
}

// with is m and pairs of further entries.
func with(m map[string]string, pairs ...string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = v
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}
