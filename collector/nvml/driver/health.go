//go:build linux && cgo

package driver

import (
	"math"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/trainbridge/trainbridge/collector"
)

var healthRows = []row{
	eccRow(nvml.MEMORY_ERROR_TYPE_CORRECTED, nvml.VOLATILE_ECC, collector.JoinLabels("corrected", "volatile")),
	eccRow(nvml.MEMORY_ERROR_TYPE_CORRECTED, nvml.AGGREGATE_ECC, collector.JoinLabels("corrected", "aggregate")),
	eccRow(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC, collector.JoinLabels("uncorrected", "volatile")),
	eccRow(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.AGGREGATE_ECC, collector.JoinLabels("uncorrected", "aggregate")),
	{method: "GetRemappedRows", read: func(d *device, to *Values) nvml.Return {
		corrected, uncorrected, pending, failed, ret := d.handle.GetRemappedRows()
		if ret == nvml.SUCCESS {
			to.Add(collector.DeviceRemappedRows, float64(corrected), "corrected")
			to.Add(collector.DeviceRemappedRows, float64(uncorrected), "uncorrected")
			to.Add(collector.DeviceRowRemapPending, flag(pending))
			to.Add(collector.DeviceRowRemapFailure, flag(failed))
		}
		return ret
	}},
	retiredRow(nvml.PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS, "single_bit"),
	retiredRow(nvml.PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR, "double_bit"),
	{method: "GetRetiredPagesPendingStatus", read: func(d *device, to *Values) nvml.Return {
		pending, ret := d.handle.GetRetiredPagesPendingStatus()
		return addIf(ret, to, collector.DeviceRetiredPending, flag(pending == nvml.FEATURE_ENABLED), "")
	}},
	number("GetCurrPcieLinkWidth", nvml.Device.GetCurrPcieLinkWidth, collector.DevicePCIeWidth, one, ""),
	number("GetMaxPcieLinkWidth", nvml.Device.GetMaxPcieLinkWidth, collector.DevicePCIeWidthMax, one, ""),
	number("GetCurrPcieLinkGeneration", nvml.Device.GetCurrPcieLinkGeneration, collector.DevicePCIeGeneration, one, ""),
	number("GetMaxPcieLinkGeneration", nvml.Device.GetMaxPcieLinkGeneration, collector.DevicePCIeGenerationMax, one, ""),
	number("GetEnforcedPowerLimit", nvml.Device.GetEnforcedPowerLimit, collector.DevicePowerLimit, milli, ""),
	maxClockRow(nvml.CLOCK_GRAPHICS, "graphics"),
	maxClockRow(nvml.CLOCK_SM, "sm"),
	maxClockRow(nvml.CLOCK_MEM, "memory"),
	maxClockRow(nvml.CLOCK_VIDEO, "video"),
	fabricRow(),
	{method: "GetNvLinkState", read: readLinks},
}

func eccRow(kind nvml.MemoryErrorType, counter nvml.EccCounterType, label string) row {
	return row{method: "GetTotalEccErrors", read: func(d *device, to *Values) nvml.Return {
		n, ret := d.handle.GetTotalEccErrors(kind, counter)
		return addIf(ret, to, collector.DeviceECCErrors, float64(n), label)
	}}
}

func retiredRow(cause nvml.PageRetirementCause, label string) row {
	return row{method: "GetRetiredPages", read: func(d *device, to *Values) nvml.Return {
		pages, ret := d.handle.GetRetiredPages(cause)
		return addIf(ret, to, collector.DeviceRetiredPages, float64(len(pages)), label)
	}}
}

func maxClockRow(c nvml.ClockType, domain string) row {
	return row{method: "GetMaxClockInfo", read: func(d *device, to *Values) nvml.Return {
		mhz, ret := d.handle.GetMaxClockInfo(c)
		return addIf(ret, to, collector.DeviceClockMax, mega.of(float64(mhz)), domain)
	}}
}

// readLinks counts the NVLinks that are up. The first number that the driver refuses is one more than there are.
func readLinks(d *device, to *Values) nvml.Return {
	up := 0
	for link := range nvml.NVLINK_MAX_LINKS {
		to.beat()
		state, ret := call(d.lib, "GetNvLinkState", func() (nvml.EnableState, nvml.Return) { return d.handle.GetNvLinkState(link) })
		if link > 0 && unsupported(ret) {
			break
		}
		if ret != nvml.SUCCESS {
			return ret
		}
		if state == nvml.FEATURE_ENABLED {
			up++
		}
	}
	to.Add(collector.DeviceNVLinkLinks, float64(up))
	return nvml.SUCCESS
}

// fabricRow takes the newest form that the driver knows: each tells more of the fabric's health.
func fabricRow() row {
	v1 := row{method: "GetGpuFabricInfo", read: func(d *device, to *Values) nvml.Return {
		i, ret := d.handle.GetGpuFabricInfo()
		return addFabric(ret, to, fabric{state: i.State, status: i.Status})
	}}
	v2 := row{method: "GetGpuFabricInfoV", read: func(d *device, to *Values) nvml.Return {
		i, ret := d.handle.GetGpuFabricInfoV().V2()
		return addFabric(ret, to, fabric{state: i.State, status: i.Status, mask: i.HealthMask})
	}, or: &v1}
	return row{method: "GetGpuFabricInfoV", read: func(d *device, to *Values) nvml.Return {
		i, ret := d.handle.GetGpuFabricInfoV().V3()
		return addFabric(ret, to, fabric{state: i.State, status: i.Status, mask: i.HealthMask, summary: i.HealthSummary})
	}, or: &v2}
}

// fabric is what the driver says of the registration with the fabric. Zero in mask and summary means that it says nothing.
type fabric struct {
	state   uint8
	status  uint32
	mask    uint32
	summary uint8
}

// fabricStates are collector.FabricStates by the driver's number.
var fabricStates = [...]string{
	nvml.GPU_FABRIC_STATE_NOT_SUPPORTED: "not_supported", nvml.GPU_FABRIC_STATE_NOT_STARTED: "not_started",
	nvml.GPU_FABRIC_STATE_IN_PROGRESS: "in_progress", nvml.GPU_FABRIC_STATE_COMPLETED: "completed",
}

func addFabric(ret nvml.Return, to *Values, f fabric) nvml.Return {
	if ret != nvml.SUCCESS {
		return ret
	}
	for i, name := range fabricStates {
		to.Add(collector.DeviceFabricState, flag(int(f.state) == i), name)
	}
	if f.state == nvml.GPU_FABRIC_STATE_COMPLETED { // the rest is only true then
		to.Add(collector.DeviceFabricHealthy, flag(f.healthy()))
	}
	return nvml.SUCCESS
}

// healthy trusts the driver's own summary over the parts.
func (f fabric) healthy() bool {
	if f.status != uint32(nvml.SUCCESS) {
		return false
	}
	if f.summary != nvml.GPU_FABRIC_HEALTH_SUMMARY_NOT_SUPPORTED {
		return f.summary == nvml.GPU_FABRIC_HEALTH_SUMMARY_HEALTHY
	}
	for _, part := range fabricFaults {
		if v := f.mask >> part.shift & part.width; v >= part.from && v <= part.to {
			return false
		}
	}
	return true
}

// fabricFaults are the parts of a health mask, and from which value to which each means trouble.
var fabricFaults = []struct{ shift, width, from, to uint32 }{
	{nvml.GPU_FABRIC_HEALTH_MASK_SHIFT_DEGRADED_BW, nvml.GPU_FABRIC_HEALTH_MASK_WIDTH_DEGRADED_BW, 1, 1},
	{nvml.GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_RECOVERY, nvml.GPU_FABRIC_HEALTH_MASK_WIDTH_ROUTE_RECOVERY, 1, 1},
	{nvml.GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_UNHEALTHY, nvml.GPU_FABRIC_HEALTH_MASK_WIDTH_ROUTE_UNHEALTHY, 1, 1},
	{nvml.GPU_FABRIC_HEALTH_MASK_SHIFT_ACCESS_TIMEOUT_RECOVERY, nvml.GPU_FABRIC_HEALTH_MASK_WIDTH_ACCESS_TIMEOUT_RECOVERY, 1, 1},
	{nvml.GPU_FABRIC_HEALTH_MASK_SHIFT_INCORRECT_CONFIGURATION, nvml.GPU_FABRIC_HEALTH_MASK_WIDTH_INCORRECT_CONFIGURATION, 2, math.MaxUint32},
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
