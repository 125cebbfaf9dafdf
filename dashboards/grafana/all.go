package grafana

// All are the dashboards. Their uids never change: links and bookmarks hang on them.
func All() []*Dashboard {
	return []*Dashboard{fleet(), job(), group(), gpus(), bridge()}
}

// The uids of the dashboards.
const (
	fleetUID  = "trainbridge-fleet"
	jobUID    = "trainbridge-job"
	groupUID  = "trainbridge-group"
	gpusUID   = "trainbridge-gpus"
	bridgeUID = "trainbridge-bridge"
)

// anySource is a choice of several sources.
func anySource() Variable {
	return Variable{Name: "source", Label: "Source", Query: "label_values(training_source_up, training_source)", Multi: true}
}

func jobVariables() []Variable {
	return []Variable{
		{Name: "source", Label: "Source", Query: "label_values(training_job_info, training_source)"},
		{Name: "job_id", Label: "Job", Query: `label_values(training_job_info{training_source="$source"}, training_job_id)`},
	}
}

func groupVariables() []Variable {
	return []Variable{
		{Name: "source", Label: "Source", Query: "label_values(training_group_jobs, training_source)"},
		{Name: "group", Label: "Group", Query: `label_values(training_group_jobs{training_source="$source"}, training_group)`},
	}
}

func machines() []Variable {
	return []Variable{{Name: "instance", Label: "Machine", Query: "label_values(nvml_up, instance)", Multi: true}}
}

// jobLink leads from a row of a table to the job.
const jobLink = "/d/" + jobUID + "?${datasource:queryparam}&var-source=${__data.fields[Source]}&var-job_id=${__data.fields[Job]}&${__url_time_range}"

// query is one query with a legend.
func query(expr, legend string) []Query { return []Query{{Expr: expr, Legend: legend}} }

// now is one query for the newest value.
func now(expr, legend string) []Query { return []Query{{Expr: expr, Legend: legend, Instant: true}} }

// lines is a panel of a third of the width.
func lines(title, unit, help string, queries ...Query) Panel {
	return Panel{Kind: Lines, Title: title, Unit: unit, Help: help, Width: 8, Height: 8, Queries: queries}
}

// stat is a single number.
func stat(title, unit, help, expr string, levels ...float64) Panel {
	return Panel{Kind: Stat, Title: title, Unit: unit, Help: help, Width: 4, Height: 4, Queries: now(expr, title), Levels: levels}
}

// perhaps says why a panel may be empty.
func perhaps(p Panel, why string) Panel { return p.maybe(why) }

func wide(p Panel, width int) Panel {
	p.Width = width
	return p
}
