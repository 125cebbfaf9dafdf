//go:build linux && cgo

package driver

import (
	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/trainbridge/trainbridge/collector"
)

// symbols are the C functions behind the methods of go-nvml that are called here; one of several is enough, as go-nvml
// takes the newest that is there. A call of a function that the library lacks ends the process, so every call goes through
// call or do, or is a row, which look here first. A test reads the source, ours and go-nvml's, and holds both to this table.
var symbols = map[string][]string{
	"Init":                       {"nvmlInit_v2", "nvmlInit"},
	"SystemGetDriverVersion":     {"nvmlSystemGetDriverVersion"},
	"SystemGetNVMLVersion":       {"nvmlSystemGetNVMLVersion"},
	"SystemGetCudaDriverVersion": {"nvmlSystemGetCudaDriverVersion"},
	"DeviceGetCount":             {"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"},
	"DeviceGetHandleByIndex":     {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"},

	"GetUUID":         {"nvmlDeviceGetUUID"},
	"GetName":         {"nvmlDeviceGetName"},
	"GetSerial":       {"nvmlDeviceGetSerial"},
	"GetVbiosVersion": {"nvmlDeviceGetVbiosVersion"},
	"GetPciInfo":      {"nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetPciInfo_v2", "nvmlDeviceGetPciInfo"},
	"GetMinorNumber":  {"nvmlDeviceGetMinorNumber"},
	"GetIndex":        {"nvmlDeviceGetIndex"},

	"GetMigMode":                {"nvmlDeviceGetMigMode"},
	"GetMaxMigDeviceCount":      {"nvmlDeviceGetMaxMigDeviceCount"},
	"GetMigDeviceHandleByIndex": {"nvmlDeviceGetMigDeviceHandleByIndex"},
	"GetGpuInstanceId":          {"nvmlDeviceGetGpuInstanceId"},
	"GetAttributes":             {"nvmlDeviceGetAttributes_v2", "nvmlDeviceGetAttributes"},

	"GetUtilizationRates":               {"nvmlDeviceGetUtilizationRates"},
	"GetEncoderUtilization":             {"nvmlDeviceGetEncoderUtilization"},
	"GetDecoderUtilization":             {"nvmlDeviceGetDecoderUtilization"},
	"GetMemoryInfo_v2":                  {"nvmlDeviceGetMemoryInfo_v2"},
	"GetMemoryInfo":                     {"nvmlDeviceGetMemoryInfo"},
	"GetPowerUsage":                     {"nvmlDeviceGetPowerUsage"},
	"GetTemperature":                    {"nvmlDeviceGetTemperature"},
	"GetTemperatureV":                   {"nvmlDeviceGetTemperatureV"},
	"GetClockInfo":                      {"nvmlDeviceGetClockInfo"},
	"GetSupportedClocksEventReasons":    {"nvmlDeviceGetSupportedClocksEventReasons"},
	"GetSupportedClocksThrottleReasons": {"nvmlDeviceGetSupportedClocksThrottleReasons"},
	"GetCurrentClocksEventReasons":      {"nvmlDeviceGetCurrentClocksEventReasons"},
	"GetCurrentClocksThrottleReasons":   {"nvmlDeviceGetCurrentClocksThrottleReasons"},

	"GetFieldValues":            {"nvmlDeviceGetFieldValues"},
	"GetTotalEnergyConsumption": {"nvmlDeviceGetTotalEnergyConsumption"},
	"GetPcieReplayCounter":      {"nvmlDeviceGetPcieReplayCounter"},

	"GetTotalEccErrors":            {"nvmlDeviceGetTotalEccErrors"},
	"GetRemappedRows":              {"nvmlDeviceGetRemappedRows"},
	"GetRetiredPages":              {"nvmlDeviceGetRetiredPages"},
	"GetRetiredPagesPendingStatus": {"nvmlDeviceGetRetiredPagesPendingStatus"},
	"GetCurrPcieLinkWidth":         {"nvmlDeviceGetCurrPcieLinkWidth"},
	"GetMaxPcieLinkWidth":          {"nvmlDeviceGetMaxPcieLinkWidth"},
	"GetCurrPcieLinkGeneration":    {"nvmlDeviceGetCurrPcieLinkGeneration"},
	"GetMaxPcieLinkGeneration":     {"nvmlDeviceGetMaxPcieLinkGeneration"},
	"GetEnforcedPowerLimit":        {"nvmlDeviceGetEnforcedPowerLimit"},
	"GetMaxClockInfo":              {"nvmlDeviceGetMaxClockInfo"},
	"GetGpuFabricInfoV":            {"nvmlDeviceGetGpuFabricInfoV"},
	"GetGpuFabricInfo":             {"nvmlDeviceGetGpuFabricInfo"},
	"GetNvLinkState":               {"nvmlDeviceGetNvLinkState"},

	"GpmQueryDeviceSupport": {"nvmlGpmQueryDeviceSupport"},
	"GpmSampleAlloc":        {"nvmlGpmSampleAlloc"},
	"GpmSampleFree":         {"nvmlGpmSampleFree"},
	"GpmSampleGet":          {"nvmlGpmSampleGet"},
	"GpmMigSampleGet":       {"nvmlGpmMigSampleGet"},
	"GpmMetricsGet":         {"nvmlGpmMetricsGet"},

	"GetComputeRunningProcesses": {
		"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2", "nvmlDeviceGetComputeRunningProcesses",
	},
	"GetMPSComputeRunningProcesses": {
		"nvmlDeviceGetMPSComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v2", "nvmlDeviceGetMPSComputeRunningProcesses",
	},
	"GetProcessUtilization": {"nvmlDeviceGetProcessUtilization"},

	"EventSetCreate":         {"nvmlEventSetCreate"},
	"EventSetFree":           {"nvmlEventSetFree"},
	"EventSetWait":           {"nvmlEventSetWait_v2", "nvmlEventSetWait"},
	"GetSupportedEventTypes": {"nvmlDeviceGetSupportedEventTypes"},
	"RegisterEvents":         {"nvmlDeviceRegisterEvents"},
}

// lookUp finds which of the methods the loaded library has.
func lookUp(lib nvml.Interface) map[string]bool {
	ext := lib.Extensions()
	present := make(map[string]bool, len(symbols))
	for method, names := range symbols {
		for _, name := range names {
			present[method] = present[method] || ext.LookupSymbol(name) == nil
		}
	}
	return present
}

// call makes a call if the library has the function, and else answers as a driver that does not support it.
func call[T any](l *library, method string, f func() (T, nvml.Return)) (T, nvml.Return) {
	if !l.present[method] {
		var none T
		return none, nvml.ERROR_FUNCTION_NOT_FOUND
	}
	return f()
}

// do is call for what gives nothing but its outcome.
func do(l *library, method string, f func() nvml.Return) nvml.Return {
	if !l.present[method] {
		return nvml.ERROR_FUNCTION_NOT_FOUND
	}
	return f()
}

// row is one call of a group and what it gives.
type row struct {
	method string                                  // of go-nvml, in symbols
	read   func(d *device, to *Values) nvml.Return // made only if the library has the method
	or     *row                                    // instead, where this one is not supported
}

// number is a row whose call gives one number of one metric.
func number[T int | uint32 | uint64](method string, get func(nvml.Device) (T, nvml.Return), m collector.GPUMetric, u unit, label string) row {
	return row{method: method, read: func(d *device, to *Values) nvml.Return {
		v, ret := get(d.handle)
		if ret == nvml.SUCCESS {
			to.Add(m, u.of(float64(v)), label)
		}
		return ret
	}}
}

// unit is what the library counts in.
type unit uint8

const (
	one unit = iota
	percent
	milli
	nano
	kibi
	mebi
	mega
)

// scales turn units into base units. Multiplying and dividing by whole numbers keeps exact what can be.
var scales = [...]struct{ times, by float64 }{
	one: {1, 1}, percent: {1, 100}, milli: {1, 1e3}, nano: {1, 1e9}, kibi: {1 << 10, 1}, mebi: {1 << 20, 1}, mega: {1e6, 1},
}

func (u unit) of(v float64) float64 { return v * scales[u].times / scales[u].by }
