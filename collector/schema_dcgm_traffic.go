package collector

func dcgmLinks() []dcgmField {
	return []dcgmField{
		{
			classic: dcgmPlain("DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL"), renamed: dcgmPlain("DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_TOTAL"),
			help: "CRC errors of flow control on all NVLinks", counter: true, read: shared(DeviceNVLinkErrors, "crc_flit"),
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL"), renamed: dcgmPlain("DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_TOTAL"),
			help: "CRC errors of data on all NVLinks", counter: true, read: shared(DeviceNVLinkErrors, "crc_data"),
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL"), renamed: dcgmPlain("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_TOTAL"),
			help: "Packets sent again on all NVLinks", counter: true, read: shared(DeviceNVLinkErrors, "replay"),
		},
		{
			classic: dcgmPlain("DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL"), renamed: dcgmPlain("DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_TOTAL"),
			help: "Recoveries of all NVLinks", counter: true, read: shared(DeviceNVLinkErrors, "recovery"),
		},
		{
			classic: dcgmName{"DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "thousands of KiB per second", linkMegabytes},
			renamed: dcgmBytesPerSecond("DCGM_FI_DEV_NVLINK_THROUGHPUT_BYTES_PER_SECOND"),
			help:    "Traffic over all NVLinks in both directions between the last two readings", tier: Live, read: linkTraffic,
		},
	}
}

// linkTraffic is what NVLinks carry per second in both directions, as the GPU tells it or as its counters rise.
func linkTraffic(v *DCGMView) (float64, bool) {
	receive, ok := linkRate(v, "receive")
	transmit, too := linkRate(v, "transmit")
	return receive + transmit, ok && too
}

func linkRate(v *DCGMView, direction string) (float64, bool) {
	if x, ok := v.Value(DeviceNVLinkThroughput, direction); ok {
		return x, true
	}
	return v.rate(DeviceNVLinkIO, direction)
}

func dcgmProfile() []dcgmField {
	return append(dcgmTraffic(), []dcgmField{
		{
			classic: dcgmRatio("DCGM_FI_PROF_GR_ENGINE_ACTIVE"), renamed: dcgmRatio("DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO"),
			help: "Share of time in which the compute or graphics engine was active", tier: Live, read: own(DeviceGraphicsUtilization, ""),
		},
		{
			classic: dcgmRatio("DCGM_FI_PROF_SM_ACTIVE"), renamed: dcgmRatio("DCGM_FI_PROF_SM_UTIL_RATIO"),
			help: "Share of the SMs that had work, averaged over time", tier: Live, read: own(DeviceSMUtilization, ""),
		},
		{
			classic: dcgmRatio("DCGM_FI_PROF_SM_OCCUPANCY"), renamed: dcgmRatio("DCGM_FI_PROF_SM_OCCUPANCY_RATIO"),
			help: "Share of the warps that the SMs can hold which they held", tier: Live, read: own(DeviceSMOccupancy, ""),
		},
		{
			classic: dcgmRatio("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"), renamed: dcgmRatio("DCGM_FI_PROF_TENSOR_UTIL_RATIO"),
			help: "Share of time in which tensor cores were active", tier: Live, read: own(DeviceTensorUtilization, ""),
		},
		{
			classic: dcgmRatio("DCGM_FI_PROF_DRAM_ACTIVE"), renamed: dcgmRatio("DCGM_FI_PROF_DRAM_UTIL_RATIO"),
			help: "Share of the memory's peak bandwidth that was used", tier: Live, read: own(DeviceMemoryBandwidth, ""),
		},
	}...)
}

// dcgmTraffic are rates, although dcgm-exporter's older lists of counters call some of them totals: DCGM's field is a rate.
func dcgmTraffic() []dcgmField {
	pcie := func(direction string) func(*DCGMView) (float64, bool) {
		return func(v *DCGMView) (float64, bool) {
			if x, ok := v.Value(DevicePCIeThroughput, direction); ok {
				return x, true
			}
			return v.rate(DeviceIO, direction)
		}
	}
	nvlink := func(direction string) func(*DCGMView) (float64, bool) {
		return func(v *DCGMView) (float64, bool) { return linkRate(v, direction) }
	}
	return []dcgmField{
		{
			classic: dcgmBytesPerSecond("DCGM_FI_PROF_PCIE_TX_BYTES"),
			help:    "Data that the GPU sent over PCIe between the last two readings", tier: Live, read: pcie("transmit"),
		},
		{
			classic: dcgmBytesPerSecond("DCGM_FI_PROF_PCIE_RX_BYTES"),
			help:    "Data that the GPU received over PCIe between the last two readings", tier: Live, read: pcie("receive"),
		},
		{
			classic: dcgmBytesPerSecond("DCGM_FI_PROF_NVLINK_TX_BYTES"),
			help:    "Data that the GPU sent over all NVLinks between the last two readings", tier: Live, read: nvlink("transmit"),
		},
		{
			classic: dcgmBytesPerSecond("DCGM_FI_PROF_NVLINK_RX_BYTES"),
			help:    "Data that the GPU received over all NVLinks between the last two readings", tier: Live, read: nvlink("receive"),
		},
	}
}
