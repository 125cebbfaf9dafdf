package collector

func dcgmClocks() []dcgmField {
	return []dcgmField{
		{
			classic: dcgmMHz("DCGM_FI_DEV_SM_CLOCK"), renamed: dcgmHertz("DCGM_FI_DEV_SM_CLOCK_HERTZ"),
			help: "Clock of the SMs", tier: Live, read: shared(DeviceClock, "sm"),
		},
		{
			classic: dcgmMHz("DCGM_FI_DEV_MEM_CLOCK"), renamed: dcgmHertz("DCGM_FI_DEV_MEMORY_CLOCK_HERTZ"),
			help: "Clock of the memory", tier: Live, read: shared(DeviceClock, "memory"),
		},
		{
			classic: dcgmMHz("DCGM_FI_DEV_VIDEO_CLOCK"), renamed: dcgmHertz("DCGM_FI_DEV_VIDEO_CLOCK_HERTZ"),
			help: "Clock of the video engines", tier: Live, read: shared(DeviceClock, "video"),
		},
		{
			classic: dcgmMHz("DCGM_FI_DEV_MAX_SM_CLOCK"), renamed: dcgmHertz("DCGM_FI_DEV_SM_MAX_CLOCK_HERTZ"),
			help: "Highest clock of the SMs", tier: Live, read: shared(DeviceClockMax, "sm"),
		},
		{
			classic: dcgmMHz("DCGM_FI_DEV_MAX_MEM_CLOCK"), renamed: dcgmHertz("DCGM_FI_DEV_MEMORY_MAX_CLOCK_HERTZ"),
			help: "Highest clock of the memory", tier: Live, read: shared(DeviceClockMax, "memory"),
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"), renamed: dcgmPlain("DCGM_FI_DEV_CLOCKS_EVENT_REASONS"),
			help: "Why clocks are held down: the sum of the driver's bits", tier: Live, read: clockEventBits,
		},
	}
}

// clockEventBits are the reasons as the driver numbers them, which is the order of ClockEvents.
func clockEventBits(v *DCGMView) (float64, bool) {
	bits, known := 0.0, false
	for i, reason := range ClockEvents() {
		if x, ok := v.board(DeviceClockEvent, reason); ok {
			known = true
			bits += x * float64(uint(1)<<i)
		}
	}
	return bits, known
}

func dcgmPower() []dcgmField {
	return []dcgmField{
		{
			classic: dcgmCelsius("DCGM_FI_DEV_GPU_TEMP"), renamed: dcgmCelsius("DCGM_FI_DEV_GPU_TEMP_CELSIUS"),
			help: "Temperature of the GPU", tier: Live, read: shared(DeviceTemperature, "gpu"),
		},
		{
			classic: dcgmCelsius("DCGM_FI_DEV_MEMORY_TEMP"), renamed: dcgmCelsius("DCGM_FI_DEV_MEMORY_TEMP_CELSIUS"),
			help: "Temperature of the memory", tier: Live, read: shared(DeviceTemperature, "memory"),
		},
		{
			classic: dcgmWatts("DCGM_FI_DEV_POWER_USAGE"), renamed: dcgmWatts("DCGM_FI_DEV_BOARD_POWER_WATTS"),
			help: "Power drawn", tier: Live, read: shared(DevicePower, ""),
		},
		{
			classic: dcgmWatts("DCGM_FI_DEV_ENFORCED_POWER_LIMIT"), renamed: dcgmWatts("DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS"),
			help: "Power limit in force", tier: Live, read: shared(DevicePowerLimit, ""),
		},
		{
			classic: dcgmName{"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "millijoules", millijoules},
			renamed: dcgmName{"DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL", "joules", wholeNumber},
			help:    "Energy used since the driver was loaded", counter: true, read: shared(DeviceEnergy, ""),
		},
	}
}

func dcgmLoad() []dcgmField {
	return []dcgmField{
		{
			classic: dcgmPercent("DCGM_FI_DEV_GPU_UTIL"), renamed: dcgmRatio("DCGM_FI_DEV_GPU_UTIL_RATIO"),
			help: "Share of time in which a kernel ran", tier: Live, read: own(DeviceUtilization, "general"),
		},
		{
			classic: dcgmPercent("DCGM_FI_DEV_MEM_COPY_UTIL"), renamed: dcgmRatio("DCGM_FI_DEV_MEMORY_UTIL_RATIO"),
			help: "Share of time in which memory was read or written", tier: Live, read: own(DeviceMemoryBusy, ""),
		},
		{
			classic: dcgmPercent("DCGM_FI_DEV_ENC_UTIL"), renamed: dcgmRatio("DCGM_FI_DEV_ENC_UTIL_RATIO"),
			help: "Share of time in which the video encoder was busy", tier: Live, read: own(DeviceUtilization, "encoder"),
		},
		{
			classic: dcgmPercent("DCGM_FI_DEV_DEC_UTIL"), renamed: dcgmRatio("DCGM_FI_DEV_DEC_UTIL_RATIO"),
			help: "Share of time in which the video decoder was busy", tier: Live, read: own(DeviceUtilization, "decoder"),
		},
	}
}

func dcgmMemory() []dcgmField {
	return []dcgmField{
		{
			classic: dcgmMiB("DCGM_FI_DEV_FB_TOTAL"), renamed: dcgmBytes("DCGM_FI_DEV_FB_CAPACITY_BYTES"),
			help: "Memory of the GPU", tier: Live, read: own(DeviceMemoryLimit, ""),
		},
		{
			classic: dcgmMiB("DCGM_FI_DEV_FB_FREE"), renamed: dcgmBytes("DCGM_FI_DEV_FB_FREE_BYTES"),
			help: "Memory that is free", tier: Live, read: freeMemory,
		},
		{
			classic: dcgmMiB("DCGM_FI_DEV_FB_USED"), renamed: dcgmBytes("DCGM_FI_DEV_FB_USED_BYTES"),
			help: "Memory that is allocated", tier: Live, read: own(DeviceMemoryUsage, ""),
		},
		{
			classic: dcgmMiB("DCGM_FI_DEV_FB_RESERVED"), renamed: dcgmBytes("DCGM_FI_DEV_FB_RESERVED_BYTES"),
			help: "Memory that the driver keeps for itself", tier: Live, read: own(DeviceMemoryReserved, ""),
		},
	}
}

// freeMemory is what is neither used nor reserved. Drivers that do not tell what is reserved count it as used.
func freeMemory(v *DCGMView) (float64, bool) {
	limit, known := v.Value(DeviceMemoryLimit, "")
	used, ok := v.Value(DeviceMemoryUsage, "")
	reserved, _ := v.Value(DeviceMemoryReserved, "")
	free := limit - used - reserved
	return free, known && ok && free >= 0
}

// dcgmThrottling are the times that the driver counts under other names too: see the NVML field of each reason.
func dcgmThrottling() []dcgmField {
	return []dcgmField{
		{
			classic: dcgmNanoseconds("DCGM_FI_DEV_POWER_VIOLATION"), renamed: dcgmSeconds("DCGM_FI_DEV_GPU_POWER_THROTTLE_SECONDS_TOTAL"),
			help: "Time in which the power limit held clocks down", counter: true, read: shared(DeviceThrottleTime, "sw_power_cap"),
		},
		{
			classic: dcgmNanoseconds("DCGM_FI_DEV_THERMAL_VIOLATION"), renamed: dcgmSeconds("DCGM_FI_DEV_GPU_THERMAL_THROTTLE_SECONDS_TOTAL"),
			help: "Time in which the temperature held clocks down", counter: true, read: shared(DeviceThrottleTime, "sw_thermal"),
		},
		{
			classic: dcgmNanoseconds("DCGM_FI_DEV_SYNC_BOOST_VIOLATION"), renamed: dcgmSeconds("DCGM_FI_DEV_GPU_SYNC_BOOST_THROTTLE_SECONDS_TOTAL"),
			help: "Time in which another GPU of the same boost group held clocks down", counter: true, read: shared(DeviceThrottleTime, "sync_boost"),
		},
	}
}

func dcgmErrors() []dcgmField {
	ecc := func(kind, counter string) func(*DCGMView) (float64, bool) {
		return shared(DeviceECCErrors, JoinLabels(kind, counter))
	}
	return []dcgmField{
		{
			classic: dcgmPlain("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL"), counter: true, read: ecc("corrected", "volatile"),
			help: "Memory errors that were corrected, since the driver was loaded",
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"), counter: true, read: ecc("uncorrected", "volatile"),
			help: "Memory errors that could not be corrected, since the driver was loaded",
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_ECC_SBE_AGG_TOTAL"), counter: true, read: ecc("corrected", "aggregate"),
			help: "Memory errors that were corrected, over the life of the GPU",
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_ECC_DBE_AGG_TOTAL"), counter: true, read: ecc("uncorrected", "aggregate"),
			help: "Memory errors that could not be corrected, over the life of the GPU",
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_PCIE_REPLAY_COUNTER"), renamed: dcgmPlain("DCGM_FI_DEV_PCIE_REPLAY_TOTAL"),
			help: "PCIe packets that had to be sent again", counter: true, read: shared(DevicePCIeReplays, ""),
		},
	}
}

func dcgmRepairs() []dcgmField {
	return []dcgmField{
		{
			classic: dcgmPlain("DCGM_FI_DEV_RETIRED_SBE"), renamed: dcgmPlain("DCGM_FI_DEV_PAGE_RETIRED_SBE_TOTAL"),
			help: "Pages of memory retired for corrected errors", tier: Live, counter: true, read: shared(DeviceRetiredPages, "single_bit"),
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_RETIRED_DBE"), renamed: dcgmPlain("DCGM_FI_DEV_PAGE_RETIRED_DBE_TOTAL"),
			help: "Pages of memory retired for an uncorrected error", tier: Live, counter: true, read: shared(DeviceRetiredPages, "double_bit"),
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_RETIRED_PENDING"), renamed: dcgmPlain("DCGM_FI_DEV_PAGE_RETIRED_PENDING"),
			help: "1 if a page waits for a reset to be retired", tier: Live, read: shared(DeviceRetiredPending, ""),
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS"), renamed: dcgmPlain("DCGM_FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL"),
			help: "Rows of memory remapped for uncorrected errors", tier: Live, counter: true, read: shared(DeviceRemappedRows, "uncorrected"),
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS"), renamed: dcgmPlain("DCGM_FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL"),
			help: "Rows of memory remapped for corrected errors", tier: Live, counter: true, read: shared(DeviceRemappedRows, "corrected"),
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_ROW_REMAP_FAILURE"), renamed: dcgmPlain("DCGM_FI_DEV_ROW_REMAP_FAILED"),
			help: "1 if a row could not be remapped", tier: Live, read: shared(DeviceRowRemapFailure, ""),
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_ROW_REMAP_PENDING"),
			help:    "1 if a remapped row waits for a reset", tier: Live, read: shared(DeviceRowRemapPending, ""),
		},
	}
}
