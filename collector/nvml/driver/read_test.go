//go:build linux && cgo

package driver

import (
	"slices"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"

	"github.com/trainbridge/trainbridge/collector"
)

// loaded makes a mocked GPU answer all of Load.
func loaded(m *server.Device) {
	m.GetUtilizationRatesFunc = gives(nvml.Utilization{Gpu: 97, Memory: 41})
	m.GetEncoderUtilizationFunc = func() (uint32, uint32, nvml.Return) { return 5, 1e5, nvml.SUCCESS }
	m.GetDecoderUtilizationFunc = func() (uint32, uint32, nvml.Return) { return 7, 1e5, nvml.SUCCESS }
	m.GetMemoryInfo_v2Func = gives(nvml.Memory_v2{Total: 80 << 30, Used: 60 << 30, Reserved: 1 << 29, Free: 19 << 30})
	m.GetPowerUsageFunc = gives(uint32(512345))
	m.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 61, nvml.SUCCESS }
	m.GetClockInfoFunc = func(c nvml.ClockType) (uint32, nvml.Return) { return 1000 + uint32(c), nvml.SUCCESS }
	m.GetSupportedClocksEventReasonsFunc = gives(uint64(nvml.ClocksEventReasonGpuIdle | nvml.ClocksEventReasonSwPowerCap | 0x400))
	m.GetCurrentClocksEventReasonsFunc = gives(uint64(nvml.ClocksEventReasonSwPowerCap | nvml.ClocksEventReasonSyncBoost | 0x400))
}

func TestLoad(t *testing.T) {
	s, m := host()
	loaded(m)
	wantValues(t, mustRead(t, open(t, s), Load),
		value(collector.DeviceUtilization, 0.97, "general"), value(collector.DeviceUtilization, 0.05, "encoder"),
		value(collector.DeviceUtilization, 0.07, "decoder"), value(collector.DeviceMemoryBusy, 0.41),
		value(collector.DeviceMemoryLimit, 80<<30), value(collector.DeviceMemoryUsage, 60<<30), value(collector.DeviceMemoryReserved, 1<<29),
		value(collector.DevicePower, 512.345), value(collector.DeviceTemperature, 61, "gpu"),
		value(collector.DeviceClock, 1000e6, "graphics"), value(collector.DeviceClock, 1001e6, "sm"),
		value(collector.DeviceClock, 1002e6, "memory"), value(collector.DeviceClock, 1003e6, "video"),
		value(collector.DeviceClockEvent, 0, "gpu_idle"), value(collector.DeviceClockEvent, 1, "sw_power_cap"),
	)
}

func TestLoadOfAnOldDriver(t *testing.T) {
	s, m := host()
	m.GetMemoryInfoFunc = gives(nvml.Memory{Total: 10, Used: 4})
	m.GetMemoryInfo_v2Func = fails[nvml.Memory_v2](nvml.ERROR_ARGUMENT_VERSION_MISMATCH)
	m.GetSupportedClocksThrottleReasonsFunc = gives(uint64(nvml.ClocksThrottleReasonHwSlowdown | nvml.ClocksThrottleReasonHwThermalSlowdown))
	m.GetCurrentClocksThrottleReasonsFunc = gives(uint64(nvml.ClocksThrottleReasonHwSlowdown))
	wantValues(t, mustRead(t, open(t, s), Load),
		value(collector.DeviceMemoryLimit, 10), value(collector.DeviceMemoryUsage, 4),
		value(collector.DeviceClockEvent, 1, "hw_slowdown"), value(collector.DeviceClockEvent, 0, "hw_thermal"))
}

func TestClosedSets(t *testing.T) {
	var reasons []string
	for i, r := range clockReasons {
		reasons = append(reasons, r.name)
		if r.bit != 1<<i {
			t.Errorf("%s is bit %#x", r.name, r.bit)
		}
	}
	if !slices.Equal(reasons, collector.ClockEvents()) {
		t.Errorf("%v, want %v", reasons, collector.ClockEvents())
	}
	if !slices.Equal(fabricStates[:], collector.FabricStates()) {
		t.Errorf("%v, want %v", fabricStates, collector.FabricStates())
	}
	for _, f := range fieldsOf("590.1") {
		switch f.metric {
		case collector.DeviceThrottleTime:
			if !slices.Contains(collector.ThrottleTimes(), f.label) {
				t.Errorf("throttle time %q", f.label)
			}
		case collector.DeviceNVLinkErrors:
			if !slices.Contains(collector.NVLinkErrors(), f.label) {
				t.Errorf("NVLink error %q", f.label)
			}
		}
	}
}

func TestOneFailureDoesNotLoseTheRest(t *testing.T) {
	s, m := host()
	loaded(m)
	d := open(t, s)
	whole := len(mustRead(t, d, Load).Values)
	m.GetPowerUsageFunc = fails[uint32](nvml.ERROR_UNKNOWN)
	v := new(Values)
	if err := d.Read(Load, v); err == nil || KindOf(err) != Failed || codeOf(err) != 999 || len(v.Values) != whole-1 {
		t.Errorf("%v with %d values, want code 999 and %d", err, len(v.Values), whole-1)
	}
	for _, ret := range []nvml.Return{nvml.ERROR_NOT_SUPPORTED, nvml.ERROR_NO_DATA, nvml.ERROR_NO_PERMISSION, nvml.ERROR_INVALID_ARGUMENT} {
		m.GetPowerUsageFunc = fails[uint32](ret)
		if n := len(mustRead(t, d, Load).Values); n != whole-1 {
			t.Errorf("code %d: %d values, want %d", int(ret), n, whole-1)
		}
	}
}

func TestCallsAreCounted(t *testing.T) {
	s, m := host()
	loaded(m)
	m.GetPowerUsageFunc = fails[uint32](nvml.ERROR_UNKNOWN)
	m.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 0, nvml.ERROR_TIMEOUT }
	m.GetEncoderUtilizationFunc = func() (uint32, uint32, nvml.Return) { return 0, 0, nvml.ERROR_NOT_SUPPORTED }
	d := open(t, s)
	v := new(Values)
	for range 2 {
		v.Reset()
		if err := d.Read(Load, v); err == nil || v.Calls != 10 || v.Failed != 2 {
			t.Errorf("%d calls, %d of which failed, want 10 and 2: %v", v.Calls, v.Failed, err)
		}
	}
}

func TestALostGPUEndsTheGroup(t *testing.T) {
	for ret, kind := range map[nvml.Return]Kind{
		nvml.ERROR_GPU_IS_LOST: Lost, nvml.ERROR_RESET_REQUIRED: Lost, nvml.ERROR_UNINITIALIZED: Stale,
		nvml.ERROR_DRIVER_NOT_LOADED: Stale, nvml.ERROR_LIB_RM_VERSION_MISMATCH: Stale,
	} {
		s, m := host()
		loaded(m)
		d := open(t, s)
		m.GetPowerUsageFunc = fails[uint32](ret)
		m.GetTemperatureFunc = nil // the mock panics if it goes on
		v := new(Values)
		if err := d.Read(Load, v); err == nil || KindOf(err) != kind || len(v.Values) != 7 {
			t.Errorf("code %d: %v of kind %d with %d values, want kind %d", int(ret), err, KindOf(err), len(v.Values), kind)
		}
	}
}

// A handle that the driver forgot gives "invalid argument" to everything, which must not pass for a GPU that supports nothing.
func TestAForgottenHandleIsAnError(t *testing.T) {
	s, m := host()
	m.GetPowerUsageFunc = fails[uint32](nvml.ERROR_INVALID_ARGUMENT)
	m.GetMemoryInfo_v2Func = fails[nvml.Memory_v2](nvml.ERROR_INVALID_ARGUMENT)
	m.GetMemoryInfoFunc = fails[nvml.Memory](nvml.ERROR_INVALID_ARGUMENT)
	d := open(t, s)
	if v := mustRead(t, d, Load); len(v.Values) != 0 { // the rest is not there at all
		t.Errorf("%v", v.Values)
	}
	i := &device{lib: d.lib, handle: d.handle, gpu: d}
	if err := i.Read(Load, new(Values)); err == nil || KindOf(err) != Failed {
		t.Errorf("nothing but invalid arguments: %v", err)
	}
}

// healthy makes a mocked GPU answer all of Health.
func healthy(m *server.Device) {
	m.GetTotalEccErrorsFunc = func(e nvml.MemoryErrorType, c nvml.EccCounterType) (uint64, nvml.Return) {
		return uint64(10*e) + uint64(c) + 1, nvml.SUCCESS
	}
	m.GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 3, 2, true, false, nvml.SUCCESS }
	m.GetRetiredPagesFunc = func(c nvml.PageRetirementCause) ([]uint64, nvml.Return) { return make([]uint64, 4+c), nvml.SUCCESS }
	m.GetRetiredPagesPendingStatusFunc = gives(nvml.FEATURE_ENABLED)
	m.GetCurrPcieLinkWidthFunc, m.GetMaxPcieLinkWidthFunc = gives(8), gives(16)
	m.GetCurrPcieLinkGenerationFunc, m.GetMaxPcieLinkGenerationFunc = gives(4), gives(5)
	m.GetEnforcedPowerLimitFunc = gives(uint32(700000))
	m.GetMaxClockInfoFunc = func(c nvml.ClockType) (uint32, nvml.Return) {
		if c == nvml.CLOCK_VIDEO {
			return 0, nvml.ERROR_NOT_SUPPORTED
		}
		return 1980 + uint32(c), nvml.SUCCESS
	}
	m.GetGpuFabricInfoFunc = gives(nvml.GpuFabricInfo{State: nvml.GPU_FABRIC_STATE_COMPLETED})
	m.GetNvLinkStateFunc = func(link int) (nvml.EnableState, nvml.Return) {
		switch link {
		case 18:
			return 0, nvml.ERROR_INVALID_ARGUMENT
		case 4:
			return nvml.FEATURE_DISABLED, nvml.SUCCESS
		}
		return nvml.FEATURE_ENABLED, nvml.SUCCESS
	}
}

func TestHealth(t *testing.T) {
	s, m := host()
	healthy(m)
	wantValues(t, mustRead(t, open(t, s), Health),
		value(collector.DeviceECCErrors, 1, "corrected", "volatile"), value(collector.DeviceECCErrors, 2, "corrected", "aggregate"),
		value(collector.DeviceECCErrors, 11, "uncorrected", "volatile"), value(collector.DeviceECCErrors, 12, "uncorrected", "aggregate"),
		value(collector.DeviceRemappedRows, 3, "corrected"), value(collector.DeviceRemappedRows, 2, "uncorrected"),
		value(collector.DeviceRowRemapPending, 1), value(collector.DeviceRowRemapFailure, 0),
		value(collector.DeviceRetiredPages, 4, "single_bit"), value(collector.DeviceRetiredPages, 5, "double_bit"),
		value(collector.DeviceRetiredPending, 1),
		value(collector.DevicePCIeWidth, 8), value(collector.DevicePCIeWidthMax, 16),
		value(collector.DevicePCIeGeneration, 4), value(collector.DevicePCIeGenerationMax, 5), value(collector.DevicePowerLimit, 700),
		value(collector.DeviceClockMax, 1980e6, "graphics"), value(collector.DeviceClockMax, 1981e6, "sm"),
		value(collector.DeviceClockMax, 1982e6, "memory"),
		value(collector.DeviceFabricState, 0, "not_supported"), value(collector.DeviceFabricState, 0, "not_started"),
		value(collector.DeviceFabricState, 0, "in_progress"), value(collector.DeviceFabricState, 1, "completed"),
		value(collector.DeviceFabricHealthy, 1), value(collector.DeviceNVLinkLinks, 17))

	m.GetNvLinkStateFunc = func(int) (nvml.EnableState, nvml.Return) { return 0, nvml.ERROR_NOT_SUPPORTED }
	for _, v := range mustRead(t, open(t, s), Health).Values {
		if v.Metric == collector.DeviceNVLinkLinks {
			t.Errorf("a GPU without NVLink has %v links, want none told", v.Value)
		}
	}
}

func TestFabricHealth(t *testing.T) {
	for _, c := range []struct {
		name string
		fabric
		healthy float64
		told    bool
	}{
		{"completed", fabric{state: 3}, 1, true},
		{"failed", fabric{state: 3, status: 999}, 0, true},
		{"in progress", fabric{state: 2, status: 999}, 0, false},
		{"all parts well", fabric{state: 3, mask: 2 | 2<<2 | 2<<4 | 2<<6 | 1<<8 | 1<<12 | 1<<14}, 1, true},
		{"bandwidth degraded", fabric{state: 3, mask: 1}, 0, true},
		{"route unhealthy", fabric{state: 3, mask: 1 << 4}, 0, true},
		{"configured wrongly", fabric{state: 3, mask: 5 << 8}, 0, true},
		{"summary over parts", fabric{state: 3, mask: 1, summary: nvml.GPU_FABRIC_HEALTH_SUMMARY_HEALTHY}, 1, true},
		{"limited", fabric{state: 3, summary: nvml.GPU_FABRIC_HEALTH_SUMMARY_LIMITED_CAPACITY}, 0, true},
	} {
		v := new(Values)
		_ = addFabric(nvml.SUCCESS, v, c.fabric)
		at := slices.IndexFunc(v.Values, func(v collector.GPUValue) bool { return v.Metric == collector.DeviceFabricHealthy })
		if at >= 0 != c.told || c.told && v.Values[at].Value != c.healthy {
			t.Errorf("%s: %v", c.name, v.Values)
		}
	}
}
