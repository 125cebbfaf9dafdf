package collector

// GPUMetric names a number of a GPU: the row of the schema that exposes it.
type GPUMetric uint16

// The metrics of GPUs. Both ends of the pipe to the helper are the same program, so the numbers are not kept anywhere.
const (
	NoGPUMetric               GPUMetric = iota
	DeviceUtilization                   // ratio of time; label: task (general, encoder, decoder)
	DeviceMemoryBusy                    // ratio of time in which memory was read or written
	DeviceMemoryLimit                   // bytes
	DeviceMemoryUsage                   // bytes
	DeviceMemoryReserved                // bytes that the driver keeps for itself
	DevicePower                         // watts
	DevicePowerLimit                    // watts, the limit that is enforced
	DeviceEnergy                        // counter, joules
	DeviceTemperature                   // Celsius; label: sensor location (gpu, memory)
	DeviceClock                         // hertz; label: domain (graphics, sm, memory, video)
	DeviceClockMax                      // hertz; label: domain
	DeviceClockEvent                    // 0 or 1; label: reason, all that the driver knows (see ClockEvents)
	DeviceThrottleTime                  // counter, seconds; label: reason
	DeviceIO                            // counter, bytes over PCIe; label: direction (receive, transmit)
	DevicePCIeReplays                   // counter
	DevicePCIeWidth                     // lanes
	DevicePCIeWidthMax                  // lanes
	DevicePCIeGeneration                //
	DevicePCIeGenerationMax             // of the GPU and the board together
	DeviceECCErrors                     // counter; labels: error type (corrected, uncorrected), counter (volatile, aggregate)
	DeviceRemappedRows                  // rows; label: error type that caused it
	DeviceRowRemapPending               // 0 or 1
	DeviceRowRemapFailure               // 0 or 1
	DeviceRetiredPages                  // pages; label: cause (single_bit, double_bit)
	DeviceRetiredPending                // 0 or 1
	DeviceXIDErrors                     // counter of what was observed; label: code
	DeviceXIDLast                       // seconds since the epoch; label: code
	DeviceNVLinkLinks                   // links that are up
	DeviceNVLinkIO                      // counter, bytes; label: direction
	DeviceNVLinkErrors                  // counter; label: kind (see NVLinkErrors)
	DeviceNVLinkThroughput              // bytes per second; label: direction
	DevicePCIeThroughput                // bytes per second; label: direction
	DeviceGraphicsUtilization           // ratio of time in which the graphics or compute engine was active
	DeviceSMUtilization                 // ratio of SMs with at least one warp, averaged over time
	DeviceSMOccupancy                   // ratio of warps
	DeviceTensorUtilization             // ratio of cycles in which a tensor pipe was active
	DeviceMemoryBandwidth               // ratio of the peak bandwidth of the memory
	DeviceFabricState                   // 0 or 1; label: state (see FabricStates)
	DeviceFabricHealthy                 // 0 or 1
	ProcessMemoryUsage                  // bytes; label: pid
	ProcessUtilization                  // ratio; label: pid
	lastGPUMetric
)

// ClockEvents are the reasons why clocks are held down, as the driver names them. The closed set of nvml_clock_event_reason.
func ClockEvents() []string {
	return []string{
		"gpu_idle", "applications_clocks", "sw_power_cap", "hw_slowdown", "sync_boost", "sw_thermal", "hw_thermal", "hw_power_brake", "display_clocks",
	}
}

// ThrottleTimes are the reasons whose time the driver counts.
func ThrottleTimes() []string {
	return []string{"sw_power_cap", "sync_boost", "sw_thermal", "hw_thermal", "hw_power_brake"}
}

// NVLinkErrors is the closed set of nvml_nvlink_error.
func NVLinkErrors() []string { return []string{"crc_flit", "crc_data", "ecc", "replay", "recovery"} }

// FabricStates is the closed set of nvml_fabric_state.
func FabricStates() []string {
	return []string{"not_supported", "not_started", "in_progress", "completed"}
}
