//go:build linux && cgo

package driver

import (
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
)

// quiet is a GPU that answers at once and, unlike the mocks, keeps no record of it.
type quiet struct {
	mock.Device
	fields func([]nvml.FieldValue) nvml.Return
}

func (q *quiet) GetUUID() (string, nvml.Return) { return "GPU-1", nvml.SUCCESS }
func (q *quiet) GetUtilizationRates() (nvml.Utilization, nvml.Return) {
	return nvml.Utilization{}, nvml.SUCCESS
}
func (q *quiet) GetEncoderUtilization() (uint32, uint32, nvml.Return) { return 0, 0, nvml.SUCCESS }
func (q *quiet) GetDecoderUtilization() (uint32, uint32, nvml.Return) { return 0, 0, nvml.SUCCESS }
func (q *quiet) GetMemoryInfo_v2() (nvml.Memory_v2, nvml.Return) {
	return nvml.Memory_v2{}, nvml.SUCCESS
}
func (q *quiet) GetPowerUsage() (uint32, nvml.Return)                         { return 1, nvml.SUCCESS }
func (q *quiet) GetClockInfo(nvml.ClockType) (uint32, nvml.Return)            { return 1, nvml.SUCCESS }
func (q *quiet) GetSupportedClocksEventReasons() (uint64, nvml.Return)        { return 0x1ff, nvml.SUCCESS }
func (q *quiet) GetCurrentClocksEventReasons() (uint64, nvml.Return)          { return 1, nvml.SUCCESS }
func (q *quiet) GetFieldValues(v []nvml.FieldValue) nvml.Return               { return q.fields(v) }
func (q *quiet) GetTemperature(nvml.TemperatureSensors) (uint32, nvml.Return) { return 1, nvml.SUCCESS }

// BenchmarkTick is one tick of one GPU without the library's own time: identity, Load and Fields.
func BenchmarkTick(b *testing.B) {
	s, m := host()
	loaded(m)
	fielded(m, allFields())
	m.UUID = "GPU-1"
	d := open(b, s)
	d.handle = &quiet{fields: func(v []nvml.FieldValue) nvml.Return {
		for i := range v {
			v[i].ValueType, v[i].NvmlReturn = uint32(u64), 0
		}
		return nvml.SUCCESS
	}}
	v := new(Values)
	tick := func() {
		v.Reset()
		if _, err := d.Identity(); err != nil {
			b.Fatal(err)
		}
		for _, g := range []Group{Load, Fields} {
			if err := d.Read(g, v); err != nil {
				b.Fatal(err)
			}
		}
	}
	tick()
	b.ReportAllocs()
	b.ReportMetric(float64(len(v.Values)), "values/op")
	for b.Loop() {
		tick()
	}
}

// BenchmarkProfile is one tick of the group Profile over the mock, which keeps a record of its calls.
func BenchmarkProfile(b *testing.B) {
	s, m := host()
	profiled(s, m)
	d := open(b, s)
	v := new(Values)
	b.ReportAllocs()
	for b.Loop() {
		v.Reset()
		d.gpm.taken = d.gpm.taken.Add(-minSampleGap)
		if err := d.Read(Profile, v); err != nil {
			b.Fatal(err)
		}
	}
}
