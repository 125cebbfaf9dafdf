package collectortest

import (
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Ids of the fixture's GPUs.
const (
	BusyGPU  = "GPU-0b5d3c1e-7f2a-4c55-9a0e-1d2c3b4a5f60"
	LostGPU  = "GPU-5e1f9a7c-3b2d-4e68-8c11-aa0b1c2d3e4f"
	Instance = "MIG-9c8b7a65-4d3e-5f21-b0a9-8f7e6d5c4b3a"
)

// fixtureGPUs is a machine with a GPU that has all values there are, one that is lost, and a MIG instance.
func fixtureGPUs() *collector.GPUView {
	eight := 8
	host := &collector.GPUHost{
		Name: "gpu-node-07", Up: true, Expected: &eight, Seen: 1, Listed: 2, Helpers: 1, Starts: 3, Began: ago(time.Hour),
		Versions: collector.DriverVersions{Driver: "570.124.06", NVML: "12.570.124.06", CUDA: "12.8"},
		Exits:    []collector.Count{{Name: "again", N: 1}, {Name: "crashed", N: 1}},
		Calls: []collector.CallCost{
			{Group: "load", N: 720, Seconds: 1.25, Max: 0.011, Errors: []collector.Count{{Name: "GPU_IS_LOST", N: 2}}},
			{Group: "fields", N: 720, Seconds: 0.75, Max: 0.004},
		},
		Assigned: []collector.AssignmentSource{{Name: "files", Up: true, Bad: 1}, {Name: "kubelet"}},
	}
	gpus := []*collector.GPU{busyGPU(), lostGPU(), migInstance()}
	return &collector.GPUView{Host: host, GPUs: gpus, DCGM: collector.DCGMViews(host, gpus, false)}
}

func busyGPU() *collector.GPU {
	g := &collector.GPU{
		ID: BusyGPU, Up: true, ReadAt: ago(2 * time.Second), Since: ago(time.Hour), Resets: 1,
		Info: collector.GPUInfo{
			Index: "0", Name: "NVIDIA H100 80GB HBM3", Serial: "1650123456789", VBIOS: "96.00.99.00.01", PCIBusID: "00000000:18:00.0", Minor: "0",
		},
		Jobs: []collector.Key{{Source: CloudSource, ID: "job_train_abc123"}},
		Pods: []collector.Pod{{Namespace: "runai-vision", Name: "bert-ddp-worker-0", Container: "pytorch"}},
	}
	values(g, map[collector.GPUMetric]float64{
		collector.DeviceMemoryBusy: 0.41, collector.DeviceMemoryLimit: 85520809984, collector.DeviceMemoryUsage: 63350767616,
		collector.DeviceMemoryReserved: 547356672, collector.DevicePower: 612.5, collector.DevicePowerLimit: 700, collector.DeviceEnergy: 98765432.125,
		collector.DevicePCIeReplays: 3, collector.DevicePCIeWidth: 16, collector.DevicePCIeWidthMax: 16, collector.DevicePCIeGeneration: 5,
		collector.DevicePCIeGenerationMax: 5, collector.DeviceRowRemapPending: 0, collector.DeviceRowRemapFailure: 0, collector.DeviceRetiredPending: 0,
		collector.DeviceNVLinkLinks: 18, collector.DeviceGraphicsUtilization: 0.97, collector.DeviceSMUtilization: 0.71, collector.DeviceSMOccupancy: 0.33,
		collector.DeviceTensorUtilization: 0.46, collector.DeviceMemoryBandwidth: 0.38, collector.DeviceFabricHealthy: 1,
	}, "")
	perLabel(g, collector.DeviceUtilization, "general", 0.97, "encoder", 0, "decoder", 0)
	perLabel(g, collector.DeviceTemperature, "gpu", 61, "memory", 72)
	perLabel(g, collector.DeviceClock, "graphics", 1980e6, "sm", 1980e6, "memory", 2619e6, "video", 1545e6)
	perLabel(g, collector.DeviceClockMax, "graphics", 1980e6, "sm", 1980e6, "memory", 2619e6)
	perLabel(g, collector.DeviceClockEvent, "sw_power_cap", 1, "hw_thermal", 0, "gpu_idle", 0)
	perLabel(g, collector.DeviceThrottleTime, "sw_power_cap", 1234.5, "hw_thermal", 0)
	perLabel(g, collector.DeviceIO, "receive", 5e12, "transmit", 4e12)
	perLabel(g, collector.DeviceECCErrors, collector.JoinLabels("corrected", "volatile"), 4, collector.JoinLabels("uncorrected", "volatile"), 0,
		collector.JoinLabels("corrected", "aggregate"), 17, collector.JoinLabels("uncorrected", "aggregate"), 1)
	perLabel(g, collector.DeviceRemappedRows, "corrected", 0, "uncorrected", 1)
	perLabel(g, collector.DeviceRetiredPages, "single_bit", 0, "double_bit", 0)
	perLabel(g, collector.DeviceXIDErrors, "13", 2, "79", 1)
	perLabel(g, collector.DeviceXIDLast, "13", ago(time.Minute).Seconds(), "79", ago(30*time.Minute).Seconds())
	perLabel(g, collector.DeviceNVLinkIO, "receive", 7e15, "transmit", 7e15)
	perLabel(g, collector.DeviceNVLinkErrors, "crc_flit", 0, "replay", 1)
	perLabel(g, collector.DeviceNVLinkThroughput, "receive", 2.5e11, "transmit", 2.4e11)
	perLabel(g, collector.DevicePCIeThroughput, "receive", 2.9e9, "transmit", 2.1e9)
	perLabel(g, collector.DeviceFabricState, "not_supported", 0, "not_started", 0, "in_progress", 0, "completed", 1)
	perLabel(g, collector.ProcessMemoryUsage, "4242", 62e9)
	perLabel(g, collector.ProcessUtilization, "4242", 0.97)
	collector.SortGPUValues(g.Values)
	return g
}

// lostGPU has fallen off the bus: what was counted and who had it stays.
func lostGPU() *collector.GPU {
	g := &collector.GPU{
		ID: LostGPU, ReadAt: ago(9 * time.Minute), Since: ago(time.Hour),
		Info: collector.GPUInfo{Index: "3", Name: "NVIDIA H100 80GB HBM3", PCIBusID: "00000000:5D:00.0"},
		Jobs: []collector.Key{{Source: CloudSource, ID: "job_train_abc123"}},
	}
	values(g, map[collector.GPUMetric]float64{collector.DeviceEnergy: 1e6, collector.DevicePower: 600}, "")
	perLabel(g, collector.DeviceXIDErrors, "79", 1)
	collector.SortGPUValues(g.Values)
	return g
}

func migInstance() *collector.GPU {
	g := &collector.GPU{
		ID: Instance, Up: true, ReadAt: ago(2 * time.Second), Since: ago(time.Hour),
		Info: collector.GPUInfo{Index: "0", Name: "NVIDIA H100 80GB HBM3", Parent: BusyGPU, Profile: "1g.10gb", Instance: "7"},
	}
	values(g, map[collector.GPUMetric]float64{collector.DeviceMemoryLimit: 10200547328, collector.DeviceMemoryUsage: 1048576}, "")
	collector.SortGPUValues(g.Values)
	return g
}

func values(g *collector.GPU, of map[collector.GPUMetric]float64, label string) {
	for m, v := range of {
		g.Values = append(g.Values, collector.GPUValue{Metric: m, Label: label, Value: v})
	}
}

// perLabel adds pairs of a label and a value.
func perLabel(g *collector.GPU, m collector.GPUMetric, pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		v := 0.0
		switch n := pairs[i+1].(type) {
		case int:
			v = float64(n)
		case float64:
			v = n
		}
		g.Values = append(g.Values, collector.GPUValue{Metric: m, Label: pairs[i].(string), Value: v})
	}
}
