package grafana

const here = `instance=~"$instance"`

func gpus() *Dashboard {
	return &Dashboard{
		UID: gpusUID, Title: "GPU nodes", From: "now-3h", Variables: machines(),
		Description: "The GPUs of the machines: whether they answer, whether they really work, their health, and whose they are.",
		Rows: []Row{
			{Title: "Now", Panels: gpusNow()}, {Title: "Work", Panels: gpusWork()}, {Title: "Heat, power and clocks", Panels: gpusHeat()},
			{Title: "Health", Panels: gpusHealth()}, {Title: "Links", Panels: gpusLinks()}, {Title: "The reader", Panels: gpusReader(), Closed: true},
		},
	}
}

func gpusNow() []Panel {
	who := Panel{
		Kind: Table, Title: "Who has which GPU", Width: 24, Height: 8, Unit: "short", Hide: []string{"Value", "__name__", "job"},
		Help:    "GPUs that were given to jobs, by mapping files, the kubelet, process environments or the configuration.",
		Queries: now("max by (instance, hw_id, training_source, training_job_id) (training_gpu_assignment_info{"+here+"})", ""),
		Rename:  map[string]string{"instance": "Machine", "hw_id": "GPU", "training_source": "Source", "training_job_id": "Job"}, Link: jobLink,
	}
	return []Panel{
		stat("GPUs that answer", "short", "Of all machines chosen.", "sum(nvml_gpus{"+here+"})"),
		stat("Missing", "short", "Expected and not there. Only where the configuration says how many there should be.", "sum(nvml_gpus_expected{"+here+"} - on (instance) nvml_gpus{"+here+"}) or vector(0)", 1),
		stat("Machines without a driver", "short", "Where the driver's library does not answer.", "count(nvml_up{"+here+"} == 0) or vector(0)", 1),
		stat("Busy without work", "short", "GPUs that are busy while their SMs are not: a kernel that waits for ever.",
			`count((max by (hw_id) (hw_gpu_utilization_ratio{`+here+`, hw_gpu_task="general"}) > 0.9) and on (hw_id) (max by (hw_id) (nvml_gpu_sm_utilization_ratio{`+here+`}) < 0.1)) or vector(0)`, 1),
		stat("Throttled", "short", "GPUs whose clocks are held down by heat or by the power supply.",
			`count(max by (hw_id) (nvml_gpu_clock_event_active{`+here+`, nvml_clock_event_reason=~"hw_thermal|sw_thermal|hw_power_brake|hw_slowdown"}) == 1) or vector(0)`, 1),
		stat("XIDs within the hour", "short", "Kinds of XID errors seen within the last hour, by GPU.", "count(time() - nvml_gpu_xid_last_timestamp_seconds{"+here+"} < 3600) or vector(0)", 1),
		who,
	}
}

// each is a line for each GPU. Its index is asked for once, for it may just have changed.
func each(title, unit, help, metric, matchers, labels string) Panel {
	legend, by := "{{nvml_gpu_index}} {{instance}}", "instance, hw_id"
	if labels != "" {
		legend, by = "{{nvml_gpu_index}} {{"+labels+"}} {{instance}}", by+", "+labels
	}
	if matchers != "" {
		matchers = ", " + matchers
	}
	expr := "max by (" + by + ") (" + metric + "{" + here + matchers + "}) * on (instance, hw_id) group_left (nvml_gpu_index) topk by (instance, hw_id) (1, max by (instance, hw_id, nvml_gpu_index) (nvml_gpu_info{" + here + "}))"
	return lines(title, unit, help, query(expr, legend)...)
}

func gpusWork() []Panel {
	return []Panel{
		each("Busy", "percentunit", "Share of time in which a kernel ran. A kernel that waits for another machine is busy too.", "hw_gpu_utilization_ratio", `hw_gpu_task="general"`, ""),
		each("SMs active", "percentunit", "Share of the SMs that had work. Low while busy is a hang.", "nvml_gpu_sm_utilization_ratio", "", ""),
		each("Tensor cores active", "percentunit", "Share of time.", "nvml_gpu_tensor_utilization_ratio", "", ""),
		each("Memory allocated", "bytes", "Of each GPU.", "hw_gpu_memory_usage_bytes", "", ""),
		each("Memory bandwidth", "percentunit", "Share of the peak.", "nvml_gpu_memory_bandwidth_utilization_ratio", "", ""),
		each("Occupancy", "percentunit", "Share of the warps that the SMs could hold.", "nvml_gpu_sm_occupancy_ratio", "", ""),
	}
}

func gpusHeat() []Panel {
	return []Panel{
		each("Power", "watt", "Drawn by each GPU.", "hw_power_watts", "", ""),
		each("Temperature", "celsius", "Of the GPU and of its memory.", "hw_temperature_celsius", "", "hw_sensor_location"),
		each("SM clock", "hertz", "A GPU that is slower than its neighbours holds up the whole job.", "nvml_gpu_clock_frequency_hertz", `nvml_clock_domain="sm"`, ""),
		wide(throttle(), 16),
		lines("Energy", "watt", "Power of all GPUs together, from the counter of energy.", query("sum by (instance) (rate(hw_energy_joules_total{"+here+"}[$__rate_interval]))", "{{instance}}")...),
	}
}

func throttle() Panel {
	return lines("Time with clocks held down", "percentunit", "Share of time, by reason.",
		query("max by (instance, hw_id, nvml_clock_event_reason) (rate(nvml_gpu_throttle_time_seconds_total{"+here+"}[$__rate_interval])) > 0", "{{nvml_clock_event_reason}} {{hw_id}}")...)
}

func gpusHealth() []Panel {
	return []Panel{
		perhaps(lines("XID errors", "short", "Observed by the bridge, by code.", query("max by (instance, hw_id, nvml_xid) (nvml_gpu_xid_errors_total{"+here+"})", "{{nvml_xid}} {{hw_id}}")...), "no XID was seen"),
		lines("Memory errors", "short", "Uncorrectable, since the driver was loaded.",
			query(`max by (instance, hw_id) (nvml_gpu_ecc_errors_total{`+here+`, error_type="uncorrected", nvml_ecc_counter="volatile"})`, "{{hw_id}}")...),
		lines("Rows remapped, waiting and failed", "short", "A row that waits needs a reset; one that failed needs another GPU.",
			Query{Expr: "sum by (instance) (max by (instance, hw_id) (nvml_gpu_row_remap_pending{" + here + "}))", Legend: "waiting {{instance}}"},
			Query{Expr: "sum by (instance) (max by (instance, hw_id) (nvml_gpu_row_remap_failure{" + here + "}))", Legend: "failed {{instance}}"}),
	}
}

func gpusLinks() []Panel {
	return []Panel{
		each("PCIe", "Bps", "Bytes a second, by direction.", "hw_gpu_io_bytes_total", "", "network_io_direction").rated(),
		each("NVLink", "Bps", "Bytes a second, by direction.", "nvml_gpu_nvlink_io_bytes_total", "", "network_io_direction").rated(),
		each("PCIe lanes", "short", "Fewer than the GPU could have is a bad slot or riser.", "nvml_gpu_pcie_link_width", "", ""),
	}
}

func gpusReader() []Panel {
	return []Panel{
		lines("Time in the driver", "percentunit", "Share of a core that calls to the driver took, by group of calls.",
			query("sum by (instance, nvml_call_group) (rate(nvml_call_time_seconds_total{"+here+"}[$__rate_interval]))", "{{nvml_call_group}} {{instance}}")...),
		lines("Errors of the driver", "short", "A minute, by code.",
			query("sum by (instance, error_type) (rate(nvml_call_errors_total{"+here+"}[$__rate_interval])) * 60", "{{error_type}} {{instance}}")...).maybe("calls succeed"),
		lines("Helpers ended", "short", "In the hour before, by reason.",
			query("sum by (instance, nvml_helper_reason) (increase(nvml_helper_exits_total{"+here+"}[1h]))", "{{nvml_helper_reason}} {{instance}}")...).maybe("helpers go on"),
	}
}
