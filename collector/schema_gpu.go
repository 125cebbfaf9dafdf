package collector

import "strings"

type gpuRow = Row[*GPU]

type hostRow = Row[*GPUHost]

// GPUIdentity is the attribute keys whose values a GPU's Identity gives.
func GPUIdentity() []string { return []string{"hw.id"} }

// GPURows is the table of metrics of a GPU. The slice is new; the caller may keep it.
func GPURows() []Row[*GPU] {
	rows := []gpuRow{gpuInfoRow()}
	for _, part := range [][]gpuRow{
		gpuStateRows(), gpuLoadRows(), gpuHealthRows(), gpuLinkRows(), gpuProfileRows(), gpuProcessRows(), gpuJobRows(),
	} {
		rows = append(rows, part...)
	}
	return rows
}

func gpuInfoRow() gpuRow {
	return gpuRow{
		Name: "nvml.gpu.info", Prom: "nvml_gpu_info", Kind: UpDown,
		Help: "Who the GPU is. It stays while the GPU does not answer.",
		Labels: []string{
			"nvml.gpu.name", "nvml.gpu.index", "nvml.gpu.serial", "nvml.gpu.vbios", "nvml.gpu.pci_bus_id", "nvml.mig.profile", "hw.parent",
		},
		read: func(g *GPU, to *Points) {
			i := &g.Info
			to.Add(1, i.Name, i.Index, i.Serial, i.VBIOS, i.PCIBusID, i.Profile, i.Parent)
		},
	}
}

func gpuStateRows() []gpuRow {
	return []gpuRow{
		{
			Name: "nvml.gpu.up", Prom: "nvml_gpu_up", Kind: Gauge,
			Help: "1 if the GPU answered when it was last read, 0 if it hangs, is lost or was there before and is not any more.",
			read: func(g *GPU, to *Points) { to.Add(flag(g.Up)) },
		},
		{
			Name: "nvml.gpu.last_read_timestamp", Prom: "nvml_gpu_last_read_timestamp_seconds", Unit: "s", Kind: Gauge,
			Help: "When the GPU was last read.",
			read: func(g *GPU, to *Points) { addTime(to, g.ReadAt) },
		},
		{
			Name: "hw.status", Prom: "hw_status", Unit: "1", Kind: UpDown, Labels: []string{"hw.state"},
			Help: "The state of the GPU: failed if it does not answer, degraded if it needs a repair (a row remap failed or waits for a reset, pages wait to be retired), else ok.",
			read: readStatus,
		},
		{
			Name: "nvml.gpu.accounting_resets", Prom: "nvml_gpu_accounting_resets_total", Unit: "{reset}", Kind: Counter,
			Help: "Times the driver's counters began anew, as after a reload of the driver. The counters here go on from where they were.",
			read: func(g *GPU, to *Points) { to.Add(float64(g.Resets)) }, start: observedSince,
		},
	}
}

func gpuLoadRows() []gpuRow {
	return []gpuRow{
		deviceRow(DeviceUtilization, "hw.gpu.utilization", "1", "Share of time in which the GPU was busy: a kernel ran, or an engine for video. A kernel that waits is busy too: nvml_gpu_sm_utilization_ratio tells the two apart, on Hopper and later.", "hw.gpu.task"),
		deviceRow(DeviceMemoryBusy, "nvml.gpu.memory.busy", "1", "Share of time in which memory was read or written."),
		deviceSum(DeviceMemoryLimit, "hw.gpu.memory.limit", "By", "Memory of the GPU."),
		deviceSum(DeviceMemoryUsage, "hw.gpu.memory.usage", "By", "Memory that is allocated."),
		deviceSum(DeviceMemoryReserved, "nvml.gpu.memory.reserved", "By", "Memory that the driver keeps for itself. It is part of neither what is used nor what is free."),
		deviceRow(DevicePower, "hw.power", "W", "Power drawn."),
		deviceRow(DevicePowerLimit, "nvml.gpu.power.limit", "W", "Power limit in force."),
		deviceCounter(DeviceEnergy, "hw.energy", "J", "Energy used since the driver was loaded."),
		deviceRow(DeviceTemperature, "hw.temperature", "Cel", "Temperature.", "hw.sensor_location"),
		deviceRow(DeviceClock, "nvml.gpu.clock.frequency", "Hz", "Clock frequency.", "nvml.clock.domain"),
		deviceRow(DeviceClockMax, "nvml.gpu.clock.frequency_max", "Hz", "Highest clock frequency that the GPU may have.", "nvml.clock.domain"),
		deviceRow(DeviceClockEvent, "nvml.gpu.clock_event.active", "", "1 while clocks are held down for this reason: "+strings.Join(ClockEvents(), ", ")+". gpu_idle and applications_clocks are no trouble.", "nvml.clock_event.reason"),
		deviceCounter(DeviceThrottleTime, "nvml.gpu.throttle.time", "s", "Time in which clocks were held down for this reason.", "nvml.clock_event.reason"),
	}
}

func gpuHealthRows() []gpuRow {
	return []gpuRow{
		{
			Name: "hw.errors", Prom: "hw_errors_total", Unit: "{error}", Kind: Counter, Labels: []string{"error.type"},
			Help: "Memory errors over the life of the GPU, corrected and uncorrected.",
			read: readHardwareErrors,
		},
		deviceCounter(DeviceECCErrors, "nvml.gpu.ecc_errors", "{error}", "Memory errors that ECC found, since the driver was loaded (volatile) and over the life of the GPU (aggregate).", "error.type", "nvml.ecc.counter"),
		observed(deviceCounter(DeviceXIDErrors, "nvml.gpu.xid_errors", "{error}", "XID errors that the bridge observed, by code. What happened while it did not run is not in it.", "nvml.xid")),
		lasting(deviceRow(DeviceXIDLast, "nvml.gpu.xid.last_timestamp", "s", "When an XID error of this code was last observed.", "nvml.xid")),
		deviceSum(DeviceRemappedRows, "nvml.gpu.remapped_rows", "{row}", "Rows of memory that were remapped, by the kind of error that was the cause.", "error.type"),
		deviceRow(DeviceRowRemapPending, "nvml.gpu.row_remap.pending", "", "1 if a remapped row waits for a reset of the GPU."),
		deviceRow(DeviceRowRemapFailure, "nvml.gpu.row_remap.failure", "", "1 if a row could not be remapped: the GPU must be replaced."),
		deviceSum(DeviceRetiredPages, "nvml.gpu.retired_pages", "{page}", "Pages of memory that were retired, by cause.", "nvml.retired_pages.cause"),
		deviceRow(DeviceRetiredPending, "nvml.gpu.retired_pages.pending", "", "1 if a page waits for a reset to be retired."),
	}
}

func gpuLinkRows() []gpuRow {
	return []gpuRow{
		deviceCounter(DeviceIO, "hw.gpu.io", "By", "Bytes over PCIe, seen from the GPU. Absent where the driver counts in 32 bits, which a busy link fills many times a second: see nvml_gpu_pcie_throughput_bytes_per_second.", "network.io.direction"),
		deviceCounter(DevicePCIeReplays, "nvml.gpu.pcie.replays", "{replay}", "PCIe packets that had to be sent again."),
		deviceRow(DevicePCIeWidth, "nvml.gpu.pcie.link.width", "", "PCIe lanes in use."),
		deviceRow(DevicePCIeWidthMax, "nvml.gpu.pcie.link.width_max", "", "PCIe lanes that GPU and board could use together."),
		deviceRow(DevicePCIeGeneration, "nvml.gpu.pcie.link.generation", "", "PCIe generation in use. An idle GPU lowers it."),
		deviceRow(DevicePCIeGenerationMax, "nvml.gpu.pcie.link.generation_max", "", "PCIe generation that GPU and board could use together."),
		deviceSum(DeviceNVLinkLinks, "nvml.gpu.nvlink.links", "{link}", "NVLinks that are up."),
		deviceCounter(DeviceNVLinkIO, "nvml.gpu.nvlink.io", "By", "Bytes over all NVLinks, seen from the GPU.", "network.io.direction"),
		deviceCounter(DeviceNVLinkErrors, "nvml.gpu.nvlink.errors", "{error}", "Errors on all NVLinks, by kind. Blackwell tells only of recoveries.", "nvml.nvlink.error"),
		deviceRow(DeviceFabricState, "nvml.gpu.fabric.state", "", "State of the registration with the NVLink fabric: 1 for the state it is in.", "nvml.fabric.state"),
		deviceRow(DeviceFabricHealthy, "nvml.gpu.fabric.healthy", "", "1 if the fabric took the GPU without an error."),
	}
}

func gpuProfileRows() []gpuRow {
	return []gpuRow{
		deviceRow(DeviceGraphicsUtilization, "nvml.gpu.graphics.utilization", "1", "Share of time in which the compute or graphics engine was active (GPM, Hopper and later)."),
		deviceRow(DeviceSMUtilization, "nvml.gpu.sm.utilization", "1", "Share of the SMs that had work, averaged over time (GPM)."),
		deviceRow(DeviceSMOccupancy, "nvml.gpu.sm.occupancy", "1", "Share of the warps that an SM can hold which it held, averaged over SMs and time (GPM)."),
		deviceRow(DeviceTensorUtilization, "nvml.gpu.tensor.utilization", "1", "Share of time in which tensor cores were active (GPM)."),
		deviceRow(DeviceMemoryBandwidth, "nvml.gpu.memory.bandwidth.utilization", "1", "Share of the memory's peak bandwidth that was used (GPM)."),
		deviceRow(DevicePCIeThroughput, "nvml.gpu.pcie.throughput", "By/s", "Bytes per second over PCIe between the last two samples (GPM).", "network.io.direction"),
		deviceRow(DeviceNVLinkThroughput, "nvml.gpu.nvlink.throughput", "By/s", "Bytes per second over all NVLinks between the last two samples (GPM).", "network.io.direction"),
	}
}

func gpuProcessRows() []gpuRow {
	return []gpuRow{
		deviceSum(ProcessMemoryUsage, "nvml.process.gpu.memory.usage", "By", "Memory of the GPU that a process has allocated.", "process.pid"),
		deviceRow(ProcessUtilization, "nvml.process.gpu.utilization", "1", "Share of time in which a kernel of the process ran.", "process.pid"),
	}
}

func gpuJobRows() []gpuRow {
	return []gpuRow{
		{
			Name: "training.gpu.assignment.info", Prom: "training_gpu_assignment_info", Kind: UpDown,
			Help:   "The GPU was given to the job. Values of GPUs and of jobs are joined over it.",
			Labels: []string{"training.source", "training.job.id"},
			read: func(g *GPU, to *Points) {
				for _, k := range g.Jobs {
					to.Add(1, k.Source, k.ID)
				}
			},
		},
		{
			Name: "nvml.gpu.pod.info", Prom: "nvml_gpu_pod_info", Kind: UpDown,
			Help:   "The kubelet gave the GPU to a container of this pod.",
			Labels: []string{"k8s.namespace.name", "k8s.pod.name", "k8s.container.name"},
			read: func(g *GPU, to *Points) {
				for _, p := range g.Pods {
					to.Add(1, p.Namespace, p.Name, p.Container)
				}
			},
		},
	}
}

func deviceRow(m GPUMetric, name, unit, help string, labels ...string) gpuRow {
	return gpuRow{
		Name: name, Prom: promName(name, unit, Gauge), Unit: unit, Kind: Gauge, Tier: Live, Help: help, Labels: labels, gpu: m,
		read: func(g *GPU, to *Points) {
			for _, v := range g.of(m) {
				to.addJoined(v.Value, v.Label)
			}
		},
	}
}

func deviceSum(m GPUMetric, name, unit, help string, labels ...string) gpuRow {
	r := deviceRow(m, name, unit, help, labels...)
	r.Kind, r.Prom = UpDown, promName(name, unit, UpDown)
	return r
}

// deviceCounter is a row that stays while the GPU does not answer: what was counted remains true.
func deviceCounter(m GPUMetric, name, unit, help string, labels ...string) gpuRow {
	r := lasting(deviceRow(m, name, unit, help, labels...))
	r.Kind, r.Prom = Counter, promName(name, unit, Counter)
	return r
}

func lasting(r gpuRow) gpuRow {
	r.Tier = Lasting
	return r
}

func observed(r gpuRow) gpuRow {
	r.start = observedSince
	return r
}

func observedSince(g *GPU) Time { return g.Since }

// GPUCounters are the metrics of GPUs that are counters, which must not fall.
func GPUCounters() map[GPUMetric]bool {
	counters := map[GPUMetric]bool{}
	for _, r := range GPURows() {
		if r.Kind == Counter && r.gpu != NoGPUMetric {
			counters[r.gpu] = true
		}
	}
	return counters
}

func readStatus(g *GPU, to *Points) {
	state := "ok"
	needsRepair := func(m GPUMetric) bool {
		v, ok := g.Value(m, "")
		return ok && v > 0
	}
	switch {
	case !g.Up:
		state = "failed"
	case needsRepair(DeviceRowRemapFailure), needsRepair(DeviceRowRemapPending), needsRepair(DeviceRetiredPending):
		state = "degraded"
	}
	for _, s := range []string{"ok", "degraded", "failed"} {
		to.Add(flag(s == state), s)
	}
}

func readHardwareErrors(g *GPU, to *Points) {
	for _, kind := range []string{"corrected", "uncorrected"} {
		if v, ok := g.Value(DeviceECCErrors, JoinLabels(kind, "aggregate")); ok {
			to.Add(v, kind)
		}
	}
}

// GPUHostRows is the table of metrics of the machine that has the GPUs. They have no label but their own: the machine is the
// instance that Prometheus scrapes.
func GPUHostRows() []Row[*GPUHost] {
	return append(append(hostStateRows(), helperRows()...), callRows()...)
}

func hostStateRows() []hostRow {
	return []hostRow{
		hostGauge("nvml.up", "", "1 if the driver's library answers.", func(h *GPUHost) (float64, bool) { return flag(h.Up), true }),
		{
			Name: "nvml.fault.info", Prom: "nvml_fault_info", Kind: UpDown, Labels: []string{"nvml.fault"},
			Help: "Why GPUs cannot be read: " + strings.Join(GPUFaults(), ", ") + ". Absent while they can.",
			read: func(h *GPUHost, to *Points) {
				if !h.Up && h.Fault != "" {
					to.Add(1, h.Fault)
				}
			},
		},
		{
			Name: "nvml.driver.info", Prom: "nvml_driver_info", Kind: UpDown, Labels: []string{"nvml.driver.version", "nvml.version", "nvml.cuda.version"},
			Help: "Versions of the driver, of its library NVML, and of CUDA that the driver supports.",
			read: func(h *GPUHost, to *Points) {
				if v := h.Versions; v != (DriverVersions{}) {
					to.Add(1, v.Driver, v.NVML, v.CUDA)
				}
			},
		},
		hostGauge("nvml.gpus.expected", "{gpu}", "GPUs that the machine should have, where that is configured.", func(h *GPUHost) (float64, bool) {
			if h.Expected == nil {
				return 0, false
			}
			return float64(*h.Expected), true
		}),
		hostGauge("nvml.gpus", "{gpu}", "GPUs that answer. Fewer than expected means that one has vanished.", func(h *GPUHost) (float64, bool) {
			return float64(h.Seen), true
		}),
		hostGauge("nvml.gpus.listed", "{gpu}", "GPUs that the driver lists. More than answer means that one hangs, is lost or cannot be opened.", func(h *GPUHost) (float64, bool) {
			return float64(h.Listed), h.Up
		}),
		{
			Name: "training.gpu.assignment.up", Prom: "training_gpu_assignment_up", Kind: Gauge, Labels: []string{"training.assignment.source"},
			Help: "1 if what tells which job a GPU belongs to could be read: files, static, kubelet or environment.",
			read: func(h *GPUHost, to *Points) {
				for _, a := range h.Assigned {
					to.Add(flag(a.Up), a.Name)
				}
			},
		},
		{
			Name: "training.gpu.assignment.bad_entries", Prom: "training_gpu_assignment_bad_entries_total", Unit: "{entry}", Kind: Counter,
			Labels: []string{"training.assignment.source"},
			Help:   "Entries that tell which job a GPU belongs to and could not be understood.",
			read: func(h *GPUHost, to *Points) {
				for _, a := range h.Assigned {
					to.Add(float64(a.Bad), a.Name)
				}
			},
		},
	}
}

func helperRows() []hostRow {
	return []hostRow{
		hostGauge("nvml.helpers", "{process}", "Helper processes that are alive: 1, or 2 while another takes over, or while one that hangs cannot be ended.",
			func(h *GPUHost) (float64, bool) { return float64(h.Helpers), true }),
		hostCounter("nvml.helper.starts", "{start}", "Helper processes started.", nil,
			func(h *GPUHost, to *Points) { to.Add(float64(h.Starts)) }),
		hostCounter("nvml.helper.exits", "{exit}", "Helper processes that ended, by reason: again to begin anew with the driver, crashed, silent, or stopped.", []string{"nvml.helper.reason"},
			func(h *GPUHost, to *Points) { addCounts(to, h.Exits) }),
	}
}

func callRows() []hostRow {
	return []hostRow{
		hostCounter("nvml.calls", "{call}", "Times a group of calls was made to the driver: load and fields (every interval), health (every slow interval), profile (GPM), processes, identify, events, count and open.", []string{"nvml.call.group"}, func(h *GPUHost, to *Points) {
			for _, c := range h.Calls {
				to.Add(float64(c.N), c.Group)
			}
		}),
		hostCounter("nvml.call.time", "s", "Time that calls to the driver took.", []string{"nvml.call.group"}, func(h *GPUHost, to *Points) {
			for _, c := range h.Calls {
				to.Add(c.Seconds, c.Group)
			}
		}),
		{
			Name: "nvml.call.time_max", Prom: "nvml_call_time_max_seconds", Unit: "s", Kind: Gauge, Labels: []string{"nvml.call.group"},
			Help: "The longest that a group of calls took in this helper.",
			read: func(h *GPUHost, to *Points) {
				for _, c := range h.Calls {
					to.Add(c.Max, c.Group)
				}
			},
		},
		hostCounter("nvml.call_errors", "{error}", "Calls to the driver that failed, by the driver's code. What a GPU does not support is no error.", []string{"nvml.call.group", "error.type"},
			func(h *GPUHost, to *Points) {
				for _, c := range h.Calls {
					for _, e := range c.Errors {
						to.Add(float64(e.N), c.Group, e.Name)
					}
				}
			}),
	}
}

func hostGauge(name, unit, help string, get func(*GPUHost) (float64, bool)) hostRow {
	return hostRow{
		Name: name, Prom: promName(name, unit, Gauge), Unit: unit, Kind: Gauge, Help: help,
		read: func(h *GPUHost, to *Points) {
			if v, ok := get(h); ok {
				to.Add(v)
			}
		},
	}
}

func hostCounter(name, unit, help string, labels []string, read func(*GPUHost, *Points)) hostRow {
	return hostRow{Name: name, Prom: promName(name, unit, Counter), Unit: unit, Kind: Counter, Help: help, Labels: labels, read: read}
}
