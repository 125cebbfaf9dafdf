//go:build linux && cgo

package driver

import (
	"encoding/binary"
	"math"
	"testing"

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
			linked := v.FieldId == nvml.FI_DEV_NVLINK_THROUGHPUT_DATA_TX || v.FieldId == nvml.FI_DEV_NVLINK_THROUGHPUT_DATA_RX
			if linked != (v.ScopeId == math.MaxUint32) {
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
	if len(*queries) != 2 || len((*queries)[0]) != 18 || len((*queries)[1]) != 17 {
		t.Errorf("queries: %v, want one for each reading, the second without the backup", *queries)
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
			if f.metric == collector.DeviceThrottleTime && !f.backup {
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
	s, m := host()
	answers := map[uint32]answer{83: {u64, 1000, 0}, 94: {u32, 1, 0}}
	queries := fielded(m, answers)
	d := open(t, s)
	mustRead(t, d, Fields)
	mustRead(t, d, Fields)
	answers[82] = answer{u32, 50, 0}
	if _, err := d.Identity(); err != nil {
		t.Fatal(err)
	}
	if v := mustRead(t, d, Fields); len(v.Values) != 2 {
		t.Errorf("the same GPU: %v", v.Values)
	}
	m.UUID = "GPU-2"
	if _, err := d.Identity(); err != nil {
		t.Fatal(err)
	}
	if v := mustRead(t, d, Fields); len(v.Values) != 3 {
		t.Errorf("another GPU: %v", v.Values)
	}
	answers[76] = answer{u64, 1, 0}
	*queries = nil
	for range relearn {
		mustRead(t, d, Fields)
	}
	if v := mustRead(t, d, Fields); len(v.Values) != 4 {
		t.Errorf("after %d queries: %v", relearn, v.Values)
	}
	long := 0
	for _, q := range *queries {
		if len(q) > 4 {
			long++
		}
	}
	if long != 1 {
		t.Errorf("%d queries for all fields, want 1", long)
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
