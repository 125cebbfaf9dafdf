package grafana

const thisJob = `training_source="$source", training_job_id="$job_id"`

func job() *Dashboard {
	return &Dashboard{
		UID: jobUID, Title: "Training job", From: "now-6h", Variables: jobVariables(),
		Description: "One job: how far it is, whether it learns, how fast, and what its GPUs do.",
		Rows: []Row{
			{Title: "State", Panels: jobState()}, {Title: "Learning", Panels: jobLearning()}, {Title: "Speed", Panels: jobSpeed()},
			{Title: "Checkpoints, cost and events", Panels: jobMoney()}, {Title: "GPUs", Panels: jobGPUs()},
		},
	}
}

// oneJob is a series of the job without what replicas add.
func oneJob(metric string, labels string) string {
	by := "training_source, training_job_id"
	if labels != "" {
		by += ", " + labels
	}
	return "max by (" + by + ") (" + metric + "{" + thisJob + "})"
}

func jobState() []Panel {
	identity := Panel{
		Kind: Table, Title: "Who it is", Width: 24, Height: 4, Unit: "short", Hide: []string{"Value", "training_source", "training_job_id"},
		Help:    "The trace id finds the job's trace in Tempo or Jaeger while it runs; the address leads to the provider's own page.",
		Queries: now("max by (training_source, training_job_id, training_job_name, training_project, training_group, training_owner, training_framework, training_base_model, training_job_kind, training_gpu_model, training_trace_id, training_job_url) (training_job_info{"+thisJob+"})", ""),
		Rename: map[string]string{
			"training_job_name": "Name", "training_project": "Project", "training_group": "Group", "training_owner": "Owner", "training_framework": "Framework",
			"training_base_model": "Base model", "training_job_kind": "Kind", "training_gpu_model": "GPU", "training_trace_id": "Trace", "training_job_url": "Address",
		},
	}
	phase := Panel{
		Kind: Timeline, Title: "Phase", Width: 24, Height: 5, Help: "The phases that the job was in.",
		Queries: query(oneJob("training_job_phase", "training_job_phase")+" == 1", "{{training_job_phase}}"), Names: map[string]string{"1": "in it"},
	}
	return []Panel{
		identity,
		ratio(stat("Progress", "percentunit", "Share of the planned work, where the provider tells it.", oneJob("training_job_progress_ratio", ""))),
		stat("Steps", "short", "Distinct gradient steps.", oneJob("training_job_gradient_steps_total", "")),
		perhaps(stat("Ends in", "s", "Until the estimated end.", oneJob("training_job_estimated_end_timestamp_seconds", "")+" - time()"), "not every service tells what is planned"),
		stat("Last step", "s", "Age of the newest step. Compare it with the median time between steps.", "time() - "+oneJob("training_job_last_step_timestamp_seconds", "")),
		stat("Between steps", "s", "The job's own median time between steps.", oneJob("training_job_step_interval_seconds", "")),
		stat("Values that are not finite", "short", "NaN, infinity and null: the run has diverged.", "sum("+oneJob("training_job_nonfinite_values_total", "training_metric_name")+") or vector(0)", 1),
		phase,
	}
}

func ratio(p Panel) Panel {
	p.Max = 1
	return p
}

func jobLearning() []Panel {
	return []Panel{
		lines("Loss", "short", "Of training and validation. A gap is a value that was not finite.", query(oneJob("training_job_loss", "training_split"), "{{training_split}}")...),
		perhaps(lines("Accuracy", "percentunit", "By split.", query(oneJob("training_job_accuracy_ratio", "training_split"), "{{training_split}}")...), "not every job reports it"),
		lines("Learning rate", "sci", "As the job reports it.", query(oneJob("training_job_learning_rate", ""), "learning rate")...),
		perhaps(lines("Gradient norm", "short", "A sudden rise comes before divergence.", query(oneJob("training_job_gradient_norm", ""), "gradient norm")...), "not every job reports it"),
		wide(perhaps(lines("Other numbers", "short", "Whatever else the job reports, by name.", query(oneJob("training_job_metric", "training_metric_name"), "{{training_metric_name}}")...), "not every job reports others"), 16),
	}
}

func jobSpeed() []Panel {
	heat := Panel{
		Kind: HeatMap, Title: "Durations of steps", Unit: "s", Width: 8, Height: 8, Help: "How many steps took how long. Points are examples with a link to their span.",
		Queries: []Query{{Expr: "max by (le) (increase(training_job_step_duration_seconds_bucket{" + thisJob + "}[$__rate_interval]))", Legend: "{{le}}", Exemplars: true}},
		Empty:   "not every service tells how long steps take",
	}
	return []Panel{
		lines("Steps a second", "short", "Gradient steps, over the interval of the scrapes.", query("max by (training_source, training_job_id) (rate(training_job_gradient_steps_total{"+thisJob+"}[$__rate_interval]))", "steps")...),
		perhaps(lines("Throughput", "short", "Tokens and samples a second, where the job tells.",
			Query{Expr: oneJob("training_job_throughput_tokens_per_second", ""), Legend: "tokens"}, Query{Expr: oneJob("training_job_throughput_samples_per_second", ""), Legend: "samples"}), "not every service tells it"),
		heat,
	}
}

func jobMoney() []Panel {
	return []Panel{
		perhaps(lines("Checkpoints", "short", "How many there are, and the step of the newest.",
			Query{Expr: oneJob("training_job_checkpoint_available", ""), Legend: "available"}, Query{Expr: oneJob("training_job_checkpoint_last_step", ""), Legend: "newest step"}), "not every service tells it"),
		perhaps(lines("Cost and budget", "short", "Cost so far, what it is estimated to be at the end, and the budget.",
			Query{Expr: oneJob("training_job_cost", "training_currency"), Legend: "cost {{training_currency}}"},
			Query{Expr: oneJob("training_job_cost_estimated", "training_currency"), Legend: "estimated {{training_currency}}"},
			Query{Expr: oneJob("training_job_budget", "training_currency"), Legend: "budget {{training_currency}}"}), "not every service tells it"),
		lines("Events a minute", "short", "Events of the job, by type.",
			query("max by (training_event_type) (rate(training_job_events_total{"+thisJob+"}[$__rate_interval])) * 60", "{{training_event_type}}")...),
	}
}

// onGPUs joins a metric of GPUs with the job's assignment, whatever number of replicas shows either.
func onGPUs(metric, labels string) string {
	by := "hw_id"
	if labels != "" {
		by += ", " + labels
	}
	return "max by (" + by + ") (" + metric + ") and on (hw_id) (max by (hw_id) (training_gpu_assignment_info{" + thisJob + "}) == 1)"
}

func jobGPUs() []Panel {
	why := "only jobs on machines whose GPUs are read"
	gpu := func(title, unit, help, expr string) Panel {
		return perhaps(lines(title, unit, help, query(expr, "{{hw_id}}")...), why)
	}
	return []Panel{
		perhaps(lines("Utilisation by the provider", "percentunit", "Of each GPU, or of all together.", query(oneJob("training_job_gpu_utilization_ratio", "training_gpu_index"), "{{training_gpu_index}}")...), "not every service tells it"),
		gpu("Busy", "percentunit", "Share of time in which a kernel ran, which may be one that waits.", onGPUs(`hw_gpu_utilization_ratio{hw_gpu_task="general"}`, "")),
		gpu("SMs active", "percentunit", "Share of the SMs that had work. Low while busy is a hang.", onGPUs("nvml_gpu_sm_utilization_ratio", "")),
		gpu("Tensor cores active", "percentunit", "Share of time.", onGPUs("nvml_gpu_tensor_utilization_ratio", "")),
		gpu("Power", "watt", "Drawn by each GPU.", onGPUs("hw_power_watts", "")),
		gpu("Memory", "bytes", "Allocated on each GPU.", onGPUs("hw_gpu_memory_usage_bytes", "")),
	}
}
