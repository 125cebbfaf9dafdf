package grafana

const thisGroup = `training_source="$source", training_group="$group"`

func ofGroup(metric, labels string) string {
	by := "training_source, training_group"
	if labels != "" {
		by += ", " + labels
	}
	return "max by (" + by + ") (" + metric + "{" + thisGroup + "})"
}

func group() *Dashboard {
	jobs := lines("Jobs by phase", "short", "Jobs of the run that are tracked.", query(ofGroup("training_group_jobs", "training_job_phase")+" > 0", "{{training_job_phase}}")...)
	jobs.Stacked = true
	return &Dashboard{
		UID: groupUID, Title: "Training group", From: "now-6h", Variables: groupVariables(),
		Description: "A run that is made of many jobs, such as reinforcement learning with a job for every step: its curves go on while jobs come and go.",
		Rows: []Row{
			{Title: "State", Panels: []Panel{
				stat("Steps", "short", "Distinct gradient steps of all jobs of the run.", ofGroup("training_group_gradient_steps_total", "")),
				stat("Running jobs", "short", "Jobs of the run that run now.", `max by (training_source, training_group) (training_group_jobs{`+thisGroup+`, training_job_phase="running"})`),
				stat("Last step", "s", "Age of the newest step of any job.", "time() - "+ofGroup("training_group_last_step_timestamp_seconds", "")),
				stat("Failed jobs", "short", "Since the bridge knows the run.", `max by (training_source, training_group) (training_group_jobs_ended_total{`+thisGroup+`, training_job_result="failure"}) or vector(0)`, 1),
			}},
			{Title: "Curves", Panels: []Panel{
				lines("Loss", "short", "Newest of any job.", query(ofGroup("training_group_loss", "training_split"), "{{training_split}}")...),
				lines("Steps a second", "short", "Of all jobs together.", query("max by (training_source, training_group) (rate(training_group_gradient_steps_total{"+thisGroup+"}[$__rate_interval]))", "steps")...),
				jobs,
				wide(perhaps(lines("Other numbers", "short", "Whatever else its jobs report, by name.", query(ofGroup("training_group_metric", "training_metric_name"), "{{training_metric_name}}")...), "not every job reports others"), 16),
				lines("Ends an hour", "short", "Jobs of the run that ended, by result.",
					query("max by (training_job_result) (increase(training_group_jobs_ended_total{"+thisGroup+"}[1h]))", "{{training_job_result}}")...),
			}},
		},
	}
}
