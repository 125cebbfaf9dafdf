//go:build linux && cgo

package driver

import (
	"cmp"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/trainbridge/trainbridge/collector"
)

// Read implements Device.
func (d *device) Read(g Group, to *Values) error {
	switch g {
	case Load:
		if d.gpu != nil {
			return d.readRows(instanceRows, to)
		}
		return d.readRows(loadRows, to)
	case Fields:
		if d.gpu != nil {
			return nil
		}
		return d.readFields(to)
	case Health:
		if d.gpu != nil {
			return nil
		}
		return d.readRows(healthRows, to)
	case Profile:
		return d.readProfile(to)
	case Processes:
		return d.readProcesses(to)
	default:
		return ErrNotSupported
	}
}

// readRows makes the calls of a table. One that fails does not keep the others from being made, unless the GPU is lost.
func (d *device) readRows(rows []row, to *Values) error {
	var first error
	refused := 0
	for i := range rows {
		method, ret := d.try(&rows[i], to)
		to.count(ret)
		if ret == nvml.ERROR_INVALID_ARGUMENT {
			refused++
		}
		if ret == nvml.SUCCESS || unsupported(ret) {
			continue
		}
		err := callError(method+" of "+d.String(), ret)
		if ends(ret) {
			return err
		}
		first = cmp.Or(first, err)
	}
	if refused == len(rows) { // it is the handle that the driver does not know any more
		return callError("read "+d.String(), nvml.ERROR_INVALID_ARGUMENT)
	}
	return first
}

// try makes the call of a row, or of its substitutes. It returns the last method tried, and what that said.
func (d *device) try(r *row, to *Values) (method string, ret nvml.Return) {
	for ; r != nil; r = r.or {
		method, ret = r.method, nvml.ERROR_FUNCTION_NOT_FOUND
		if d.lib.present[r.method] {
			to.beat()
			ret = r.read(d, to)
		}
		if !unsupported(ret) {
			break
		}
	}
	return method, ret
}

// beat tells whoever watches that a call begins.
func (v *Values) beat() {
	if v.Beat != nil {
		v.Beat()
	}
}

// count counts what came of a call.
func (v *Values) count(ret nvml.Return) {
	if unsupported(ret) {
		return
	}
	v.Calls++
	if ret != nvml.SUCCESS {
		v.Failed++
	}
}

var loadRows = []row{
	{method: "GetUtilizationRates", read: func(d *device, to *Values) nvml.Return {
		u, ret := d.handle.GetUtilizationRates()
		if ret == nvml.SUCCESS {
			to.Add(collector.DeviceUtilization, percent.of(float64(u.Gpu)), "general")
			to.Add(collector.DeviceMemoryBusy, percent.of(float64(u.Memory)))
		}
		return ret
	}},
	{method: "GetEncoderUtilization", read: func(d *device, to *Values) nvml.Return {
		u, _, ret := d.handle.GetEncoderUtilization()
		return addIf(ret, to, collector.DeviceUtilization, percent.of(float64(u)), "encoder")
	}},
	{method: "GetDecoderUtilization", read: func(d *device, to *Values) nvml.Return {
		u, _, ret := d.handle.GetDecoderUtilization()
		return addIf(ret, to, collector.DeviceUtilization, percent.of(float64(u)), "decoder")
	}},
	memoryRow(),
	number("GetPowerUsage", nvml.Device.GetPowerUsage, collector.DevicePower, milli, ""),
	{method: "GetTemperature", read: func(d *device, to *Values) nvml.Return {
		t, ret := d.handle.GetTemperature(nvml.TEMPERATURE_GPU)
		return addIf(ret, to, collector.DeviceTemperature, float64(t), "gpu")
	}, or: &row{method: "GetTemperatureV", read: func(d *device, to *Values) nvml.Return {
		t, ret := d.handle.GetTemperatureV().V1() // of sensor 0, which is the GPU
		return addIf(ret, to, collector.DeviceTemperature, float64(t.Temperature), "gpu")
	}}},
	clockRow(nvml.CLOCK_GRAPHICS, "graphics"),
	clockRow(nvml.CLOCK_SM, "sm"),
	clockRow(nvml.CLOCK_MEM, "memory"),
	clockRow(nvml.CLOCK_VIDEO, "video"),
	{method: "GetCurrentClocksEventReasons", read: func(d *device, to *Values) nvml.Return {
		now, ret := d.handle.GetCurrentClocksEventReasons()
		return d.addReasons(now, ret, to)
	}, or: &row{method: "GetCurrentClocksThrottleReasons", read: func(d *device, to *Values) nvml.Return {
		now, ret := d.handle.GetCurrentClocksThrottleReasons()
		return d.addReasons(now, ret, to)
	}}},
}

// instanceRows are what the driver tells of a MIG instance.
var instanceRows = []row{memoryRow()}

// memoryRow prefers the call that tells what the driver keeps for itself; the older one counts that as used.
func memoryRow() row {
	old := row{method: "GetMemoryInfo", read: func(d *device, to *Values) nvml.Return {
		m, ret := d.handle.GetMemoryInfo()
		if ret == nvml.SUCCESS {
			to.Add(collector.DeviceMemoryLimit, float64(m.Total))
			to.Add(collector.DeviceMemoryUsage, float64(m.Used))
		}
		return ret
	}}
	return row{method: "GetMemoryInfo_v2", read: func(d *device, to *Values) nvml.Return {
		m, ret := d.handle.GetMemoryInfo_v2()
		if ret == nvml.SUCCESS {
			to.Add(collector.DeviceMemoryLimit, float64(m.Total))
			to.Add(collector.DeviceMemoryUsage, float64(m.Used))
			to.Add(collector.DeviceMemoryReserved, float64(m.Reserved))
		}
		return ret
	}, or: &old}
}

func clockRow(c nvml.ClockType, domain string) row {
	return row{method: "GetClockInfo", read: func(d *device, to *Values) nvml.Return {
		mhz, ret := d.handle.GetClockInfo(c)
		return addIf(ret, to, collector.DeviceClock, mega.of(float64(mhz)), domain)
	}}
}

// addIf appends a value that was read, and passes on what the call said.
func addIf(ret nvml.Return, to *Values, m collector.GPUMetric, v float64, label string) nvml.Return {
	if ret == nvml.SUCCESS {
		to.Add(m, v, label)
	}
	return ret
}

// clockReasons are the bits of collector.ClockEvents. Their old names have the same bits.
var clockReasons = []struct {
	bit  uint64
	name string
}{
	{nvml.ClocksEventReasonGpuIdle, "gpu_idle"},
	{nvml.ClocksEventReasonApplicationsClocksSetting, "applications_clocks"},
	{nvml.ClocksEventReasonSwPowerCap, "sw_power_cap"},
	{nvml.ClocksThrottleReasonHwSlowdown, "hw_slowdown"},
	{nvml.ClocksEventReasonSyncBoost, "sync_boost"},
	{nvml.ClocksEventReasonSwThermalSlowdown, "sw_thermal"},
	{nvml.ClocksThrottleReasonHwThermalSlowdown, "hw_thermal"},
	{nvml.ClocksThrottleReasonHwPowerBrakeSlowdown, "hw_power_brake"},
	{nvml.ClocksEventReasonDisplayClockSetting, "display_clocks"},
}

// addReasons appends 0 or 1 for every reason that the GPU supports.
func (d *device) addReasons(now uint64, ret nvml.Return, to *Values) nvml.Return {
	if ret != nvml.SUCCESS {
		return ret
	}
	if ret := d.learnReasons(to); ret != nvml.SUCCESS {
		return ret
	}
	for _, r := range clockReasons {
		if d.reasons&r.bit != 0 {
			to.Add(collector.DeviceClockEvent, flag(now&r.bit != 0), r.name)
		}
	}
	return nvml.SUCCESS
}

func (d *device) learnReasons(to *Values) nvml.Return {
	if d.reasonsRead {
		return nvml.SUCCESS
	}
	to.beat()
	mask, ret := call(d.lib, "GetSupportedClocksEventReasons", d.handle.GetSupportedClocksEventReasons)
	if unsupported(ret) {
		to.beat()
		mask, ret = call(d.lib, "GetSupportedClocksThrottleReasons", d.handle.GetSupportedClocksThrottleReasons)
	}
	d.reasons, d.reasonsRead = mask, ret == nvml.SUCCESS
	return ret
}
