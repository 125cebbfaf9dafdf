//go:build linux && cgo

package driver

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"

	"github.com/trainbridge/trainbridge/collector"
)

// answer is what a mocked GPU says of a field.
type answer struct {
	kind nvml.ValueType
	bits uint64
	ret  nvml.Return
}

// fielded makes a mocked GPU know some fields and no others. It returns the numbers of the fields asked, query by query.
func fielded(m *server.Device, answers map[uint32]answer) *[][]uint32 {
	queries := new([][]uint32)
	m.GetFieldValuesFunc = func(values []nvml.FieldValue) nvml.Return {
		var ids []uint32
		for i := range values {
			v := &values[i]
			ids = append(ids, v.FieldId)
			a, known := answers[v.FieldId]
			if !known {
				a.ret = nvml.ERROR_INVALID_ARGUMENT
			}
			v.NvmlReturn, v.ValueType = uint32(a.ret), uint32(a.kind)
			binary.NativeEndian.PutUint64(v.Value[:], a.bits)
			if slices.Contains([]uint32{138, 139, 202, 204, 215}, v.FieldId) != (v.ScopeId == math.MaxUint32) {
				v.NvmlReturn = uint32(nvml.ERROR_UNKNOWN)
			}
		}
		*queries = append(*queries, ids)
		return nvml.SUCCESS
	}
	return queries
}

const (
	u32 = nvml.VALUE_TYPE_UNSIGNED_INT
	u64 = nvml.VALUE_TYPE_UNSIGNED_LONG_LONG
)

// allFields is every field, as a driver since 580.82 numbers them.
func allFields() map[uint32]answer {
	return map[uint32]answer{
		83: {u64, 123456789, 0}, 82: {u32, 88, 0}, 94: {u32, 12, 0}, 197: {u64, 1 << 40, 0}, 198: {u64, 1 << 41, 0},
		38: {u64, 1, 0}, 45: {u64, 2, 0}, 52: {u64, 3, 0}, 59: {u64, 4, 0}, 160: {u64, 5, 0}, 138: {u64, 1 << 30, 0}, 139: {u64, 3, 0},
		74: {u64, 1.5e9, 0}, 76: {u64, 2e9, 0}, 269: {u64, 3e9, 0}, 270: {u64, 4e9, 0}, 271: {u64, 5e9, 0}, 75: {u64, 99e9, 0},
	}
}

func TestFields(t *testing.T) {
	s, m := host()
	s.DriverVersion = "580.82.07"
	queries := fielded(m, allFields())
	d := open(t, s)
	for range 2 {
		wantValues(t, mustRead(t, d, Fields),
			value(collector.DeviceEnergy, 123456.789), value(collector.DeviceTemperature, 88, "memory"), value(collector.DevicePCIeReplays, 12),
			value(collector.DeviceIO, 1<<40, "transmit"), value(collector.DeviceIO, 1<<41, "receive"),
			value(collector.DeviceNVLinkErrors, 1, "crc_flit"), value(collector.DeviceNVLinkErrors, 2, "crc_data"),
			value(collector.DeviceNVLinkErrors, 3, "replay"), value(collector.DeviceNVLinkErrors, 4, "recovery"),
			value(collector.DeviceNVLinkErrors, 5, "ecc"),
			value(collector.DeviceNVLinkIO, 1<<40, "transmit"), value(collector.DeviceNVLinkIO, 3<<10, "receive"),
			value(collector.DeviceThrottleTime, 1.5, "sw_power_cap"), value(collector.DeviceThrottleTime, 2, "sync_boost"),
			value(collector.DeviceThrottleTime, 3, "sw_thermal"), value(collector.DeviceThrottleTime, 4, "hw_thermal"),
			value(collector.DeviceThrottleTime, 5, "hw_power_brake"))
	}
	if len(*queries) != 2 || len((*queries)[0]) != 21 || len((*queries)[1]) != 17 {
		t.Errorf("queries: %v, want one for each reading, the second without those that others stand in for", *queries)
	}
}

// NVIDIA gave the numbers of the throttle times to other fields once.
func TestThrottleTimesByDriver(t *testing.T) {
	for version, want := range map[string][3]uint32{
		"580.82.07": {269, 270, 271}, "590.10": {269, 270, 271}, "615.1.2": {269, 270, 271},
		"580.65.06": {251, 252, 253}, "575.57.08": {251, 252, 253}, "550.54.15": {251, 252, 253}, "": {}, "beta": {}, "580": {}, "x.82": {},
	} {
		ids := map[string]uint32{}
		for _, f := range fieldsOf(version) {
			if f.metric == collector.DeviceThrottleTime && f.id != nvml.FI_DEV_PERF_POLICY_THERMAL {
				ids[f.label] = f.id
			}
		}
		if got := [3]uint32{ids["sw_thermal"], ids["hw_thermal"], ids["hw_power_brake"]}; got != want {
			t.Errorf("driver %q: fields %v, want %v", version, got, want)
		}
	}
}

func TestFieldsOfAnOldDriver(t *testing.T) {
	s, m := host()
	queries := fielded(m, map[uint32]answer{
		75: {u64, 7e9, 0}, 82: {u32, 0, nvml.ERROR_NOT_SUPPORTED}, 197: {u32, 3020371496, 0}, 198: {u32, 1, 0},
		74: {u64, 1e9, nvml.ERROR_TIMEOUT},
	})
	m.GetTotalEnergyConsumptionFunc = gives(uint64(5000))
	m.GetPcieReplayCounterFunc = gives(9)
	d := open(t, s)
	for range 2 {
		v := new(Values)
		if err := d.Read(Fields, v); codeOf(err) != int(nvml.ERROR_TIMEOUT) {
			t.Errorf("a field that failed: %v", err)
		}
		// The PCIe counters of 32 bits wrap around within seconds, and are left out.
		wantValues(t, v, value(collector.DeviceEnergy, 5), value(collector.DevicePCIeReplays, 9), value(collector.DeviceThrottleTime, 7, "sw_thermal"))
	}
	if len((*queries)[1]) != 2 {
		t.Errorf("asked again: %v, want what failed and what is supported", (*queries)[1])
	}
}

func TestFieldsAreLearnedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := host()
		answers := map[uint32]answer{83: {u64, 1000, 0}, 94: {u32, 1, 0}}
		queries := fielded(m, answers)
		d := open(t, s)
		mustRead(t, d, Fields)
		answers[82] = answer{u32, 50, 0}
		for wait, want := range []int{2, 2, 3} { // after 0, 4 and 12 minutes
			time.Sleep(time.Duration(4*wait) * time.Minute)
			if _, err := d.Identity(); err != nil {
				t.Fatal(err)
			}
			if v := mustRead(t, d, Fields); len(v.Values) != want {
				t.Errorf("the same GPU, reading %d: %v, want %d", wait, v.Values, want)
			}
		}
		m.UUID = "GPU-2"
		if _, err := d.Identity(); err != nil {
			t.Fatal(err)
		}
		answers[76] = answer{u64, 1, 0}
		if v := mustRead(t, d, Fields); len(v.Values) != 4 {
			t.Errorf("another GPU: %v", v.Values)
		}
		*queries = nil
		for range 60 * 12 { // an hour
			time.Sleep(5 * time.Second)
			mustRead(t, d, Fields)
		}
		long := 0
		for _, q := range *queries {
			if len(q) > 4 {
				long++
			}
		}
		if long != 12 {
			t.Errorf("%d queries for all fields in an hour, want 12", long)
		}
	})
}

// What the GPU says for a moment must not hide a counter, nor put another one in its place.
func TestAFieldIsRefusedForAMoment(t *testing.T) {
	for _, ret := range []nvml.Return{nvml.ERROR_NOT_SUPPORTED, nvml.ERROR_NO_DATA, nvml.ERROR_NOT_FOUND, nvml.ERROR_INVALID_ARGUMENT, nvml.ERROR_TIMEOUT} {
		s, m := host()
		s.DriverVersion = "580.82.07"
		answers := map[uint32]answer{269: {u64, 3e9, 0}, 75: {u64, 99e9, 0}, 138: {u64, 1, 0}, 202: {u64, 5, 0}}
		fielded(m, answers)
		d := open(t, s)
		all := []collector.GPUValue{value(collector.DeviceThrottleTime, 3, "sw_thermal"), value(collector.DeviceNVLinkIO, 1024, "transmit")}
		wantValues(t, mustRead(t, d, Fields), slices.Clone(all)...)
		answers[269], answers[138] = answer{ret: ret}, answer{ret: ret}
		for range 2 {
			d.fields.all = time.Time{} // all are asked, those that could stand in as well
			v := new(Values)
			if err := d.Read(Fields, v); (err != nil) != (ret == nvml.ERROR_TIMEOUT) || len(v.Values) != 0 {
				t.Errorf("code %d: %v %v, want nothing", int(ret), v.Values, err)
			}
		}
		answers[269], answers[138] = answer{u64, 3e9, 0}, answer{u64, 1, 0}
		wantValues(t, mustRead(t, d, Fields), slices.Clone(all)...)
	}
}

// A field that fails is not one that is not supported: nothing stands in for it, and no other answer hides that it failed.
func TestAFieldFails(t *testing.T) {
	s, m := host()
	answers := map[uint32]answer{251: {ret: nvml.ERROR_TIMEOUT}, 75: {u64, 99e9, 0}, 82: {u32, 50, 0}, 76: {u64, 2e9, 0}}
	fielded(m, answers)
	d := open(t, s)
	for _, want := range []int{2, 1} {
		v := new(Values)
		if err := d.Read(Fields, v); codeOf(err) != int(nvml.ERROR_TIMEOUT) || len(v.Values) != want {
			t.Errorf("%v %v, want %d values and that one failed", v.Values, err, want)
		}
		answers[82], answers[76] = answer{ret: nvml.ERROR_TIMEOUT}, answer{ret: nvml.ERROR_NOT_SUPPORTED}
		answers[251] = answer{u64, 3e9, 0}
	}
	answers[82] = answer{u32, 50, 0}
	wantValues(t, mustRead(t, d, Fields), value(collector.DeviceTemperature, 50, "memory"), value(collector.DeviceThrottleTime, 3, "sw_thermal"))
}

// A field that stands in for another goes on when that one answers later.
func TestAFieldStandsInForGood(t *testing.T) {
	s, m := host()
	answers := map[uint32]answer{75: {u64, 7e9, 0}}
	fielded(m, answers)
	d := open(t, s)
	for _, a := range []answer{{ret: nvml.ERROR_NOT_SUPPORTED}, {u64, 3e9, 0}, {ret: nvml.ERROR_TIMEOUT}} {
		answers[251] = a
		d.fields.all = time.Time{}
		wantValues(t, mustRead(t, d, Fields), value(collector.DeviceThrottleTime, 7, "sw_thermal"))
	}
}

// NVLink 5 counts in other fields, which older drivers do not have.
func TestFieldsOfNVLink5(t *testing.T) {
	answers := map[uint32]answer{202: {u64, 1 << 50, 0}, 204: {u64, 1<<50 + 1, 0}, 215: {u32, 6, 0}, 160: {u64, 2, 0}}
	for version, want := range map[string][]collector.GPUValue{
		"570.86.10": {
			value(collector.DeviceNVLinkIO, 1<<50, "transmit"), value(collector.DeviceNVLinkIO, 1<<50+1, "receive"),
			value(collector.DeviceNVLinkErrors, 6, "recovery"), value(collector.DeviceNVLinkErrors, 2, "ecc"),
		},
		"560.35.03": {value(collector.DeviceNVLinkErrors, 2, "ecc")},
		"beta":      {value(collector.DeviceNVLinkErrors, 2, "ecc")},
	} {
		s, m := host()
		s.DriverVersion = version
		fielded(m, answers)
		wantValues(t, mustRead(t, open(t, s), Fields), want...)
	}
}

func TestFieldsWithoutAnything(t *testing.T) {
	s, m := host()
	queries := fielded(m, nil)
	d := open(t, s)
	for range 3 {
		wantValues(t, mustRead(t, d, Fields))
	}
	if len(*queries) != 1 {
		t.Errorf("%d queries of a GPU that supports no field, want 1", len(*queries))
	}
	s, m = host()
	m.GetTotalEnergyConsumptionFunc = gives(uint64(2500))
	wantValues(t, mustRead(t, open(t, s), Fields), value(collector.DeviceEnergy, 2.5))
}

// Whether the GPU was lost while it was learned what it supports must not be seen once it is back.
func TestALostGPUInAField(t *testing.T) {
	s, m := host()
	answers := allFields()
	delete(answers, 82)
	fielded(m, answers)
	whole := len(mustRead(t, open(t, s), Fields).Values)
	d := open(t, s)
	for range 2 {
		answers[94] = answer{ret: nvml.ERROR_GPU_IS_LOST}
		if err := d.Read(Fields, new(Values)); KindOf(err) != Lost {
			t.Errorf("a field of a lost GPU: %v", err)
		}
		answers[94] = answer{u32, 12, 0}
		if n := len(mustRead(t, d, Fields).Values); n != whole {
			t.Errorf("%d values after it came back, want %d", n, whole)
		}
	}
	m.GetFieldValuesFunc = func([]nvml.FieldValue) nvml.Return { return nvml.ERROR_UNINITIALIZED }
	if err := d.Read(Fields, new(Values)); KindOf(err) != Stale {
		t.Errorf("a query after a reload: %v", err)
	}
}

func TestDecode(t *testing.T) {
	minus := int64(-5)
	for _, c := range []struct {
		kind nvml.ValueType
		bits uint64
		want float64
		ok   bool
	}{
		{nvml.VALUE_TYPE_DOUBLE, math.Float64bits(1.5), 1.5, true}, {nvml.VALUE_TYPE_DOUBLE, math.Float64bits(math.NaN()), 0, false},
		{u32, 7, 7, true}, {nvml.VALUE_TYPE_UNSIGNED_LONG, 1 << 40, 1 << 40, true}, {u64, 1 << 41, 1 << 41, true},
		{nvml.VALUE_TYPE_SIGNED_LONG_LONG, uint64(minus), -5, true}, {nvml.VALUE_TYPE_SIGNED_INT, uint64(uint32(0xfffffffb)), -5, true},
		{nvml.VALUE_TYPE_UNSIGNED_SHORT, 9, 9, true}, {nvml.ValueType(42), 9, 0, false},
	} {
		v := nvml.FieldValue{ValueType: uint32(c.kind)}
		binary.NativeEndian.PutUint64(v.Value[:], c.bits)
		if got, ok := decode(&v); ok != c.ok || ok && got != c.want {
			t.Errorf("type %d: %v %v, want %v %v", c.kind, got, ok, c.want, c.ok)
		}
	}
}
