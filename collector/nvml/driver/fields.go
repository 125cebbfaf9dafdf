//go:build linux && cgo

package driver

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/trainbridge/trainbridge/collector"
)

// field is one value of the batched query. Of several with the same metric and label the first that gives a value is taken.
type field struct {
	id     uint32
	scope  uint32
	metric collector.GPUMetric
	label  string
	unit   unit
	wide   bool // narrower than 64 bits it wraps around within seconds, and is no counter
}

// allLinks as scope asks for the sum over all NVLinks.
const allLinks = math.MaxUint32

var commonFields = []field{
	{id: nvml.FI_DEV_TOTAL_ENERGY_CONSUMPTION, metric: collector.DeviceEnergy, unit: milli},
	{id: nvml.FI_DEV_MEMORY_TEMP, metric: collector.DeviceTemperature, label: "memory", unit: one},
	{id: nvml.FI_DEV_PCIE_COUNT_TX_BYTES, metric: collector.DeviceIO, label: "transmit", unit: one, wide: true},
	{id: nvml.FI_DEV_PCIE_COUNT_RX_BYTES, metric: collector.DeviceIO, label: "receive", unit: one, wide: true},
	{id: nvml.FI_DEV_PCIE_REPLAY_COUNTER, metric: collector.DevicePCIeReplays, unit: one},
	{id: nvml.FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL, metric: collector.DeviceNVLinkErrors, label: "crc_flit", unit: one},
	{id: nvml.FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL, metric: collector.DeviceNVLinkErrors, label: "crc_data", unit: one},
	{id: nvml.FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_TOTAL, metric: collector.DeviceNVLinkErrors, label: "ecc", unit: one},
	{id: nvml.FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL, metric: collector.DeviceNVLinkErrors, label: "replay", unit: one},
	{id: nvml.FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL, metric: collector.DeviceNVLinkErrors, label: "recovery", unit: one},
	{id: nvml.FI_DEV_NVLINK_THROUGHPUT_DATA_TX, scope: allLinks, metric: collector.DeviceNVLinkIO, label: "transmit", unit: kibi},
	{id: nvml.FI_DEV_NVLINK_THROUGHPUT_DATA_RX, scope: allLinks, metric: collector.DeviceNVLinkIO, label: "receive", unit: kibi},
	{id: nvml.FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP, metric: collector.DeviceThrottleTime, label: "sw_power_cap", unit: nano},
	{id: nvml.FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST, metric: collector.DeviceThrottleTime, label: "sync_boost", unit: nano},
}

// throttleFields are the younger throttle times, whose numbers are not the same in all drivers: see fieldsOf.
func throttleFields(software, hardware, brake uint32) []field {
	return []field{
		{id: software, metric: collector.DeviceThrottleTime, label: "sw_thermal", unit: nano},
		{id: hardware, metric: collector.DeviceThrottleTime, label: "hw_thermal", unit: nano},
		{id: brake, metric: collector.DeviceThrottleTime, label: "hw_power_brake", unit: nano},
	}
}

// nvlink5Fields are what GPUs since Blackwell have instead of the fields of older NVLinks, as the header says. Nothing there means
// the same as crc_flit, crc_data and replay: a GPU that does not support the fields of these has no such errors in its metrics.
// No driver before 570 knows such a GPU, and some gave these numbers to others.
var nvlink5Fields = []field{
	{id: nvml.FI_DEV_NVLINK_COUNT_XMIT_BYTES, scope: allLinks, metric: collector.DeviceNVLinkIO, label: "transmit", unit: one, wide: true},
	{id: nvml.FI_DEV_NVLINK_COUNT_RCV_BYTES, scope: allLinks, metric: collector.DeviceNVLinkIO, label: "receive", unit: one, wide: true},
	{id: nvml.FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS, scope: allLinks, metric: collector.DeviceNVLinkErrors, label: "recovery", unit: one},
}

// fieldsOf are the fields that a driver may know. Release 580.82 gave the numbers 251 to 273 to others: what is a throttle
// time since then was a setting of power smoothing before, and the other way round. The header of go-nvml has the new ones.
func fieldsOf(driver string) []field {
	fields := slices.Clone(commonFields)
	major, minor, ok := release(driver)
	switch {
	case !ok: // better none than wrong ones
	case major > 580 || major == 580 && minor >= 82:
		fields = append(fields, throttleFields(nvml.FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN,
			nvml.FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN, nvml.FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN)...)
	default:
		fields = append(fields, throttleFields(251, 252, 253)...)
	}
	if ok && major >= 570 {
		fields = append(fields, nvlink5Fields...)
	}
	return append(fields, field{
		id: nvml.FI_DEV_PERF_POLICY_THERMAL, metric: collector.DeviceThrottleTime, label: "sw_thermal", unit: nano,
	})
}

// release splits a driver's version, such as 550.54.15.
func release(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(parts[1])
	return major, minor, err == nil
}

// relearn is after how long all fields are asked again: what is supported can change, as with the MIG mode.
const relearn = 5 * time.Minute

// fieldState is what is known of the fields of one GPU.
type fieldState struct {
	asked []*field // those it may support
	given []*field // those that gave a value once: they are always asked, and no other stands in for them
	batch []nvml.FieldValue
	all   time.Time // when all fields were asked last; zero to ask them again
}

func (d *device) readFields(to *Values) error {
	from := len(to.Values)
	worst := d.query(to)
	for i := range substitutes {
		if ends(worst) {
			break
		}
		if s := &substitutes[i]; !has(to.Values[from:], s.metric) {
			_, ret := d.try(&s.row, to)
			worst = worse(worst, ret)
		}
	}
	if worst == nvml.SUCCESS || unsupported(worst) {
		return nil
	}
	return callError("read the fields of "+d.String(), worst)
}

func has(values []collector.GPUValue, m collector.GPUMetric) bool {
	return slices.ContainsFunc(values, func(v collector.GPUValue) bool { return v.Metric == m })
}

// substitutes are calls of their own for what the query did not give.
var substitutes = []struct {
	metric collector.GPUMetric
	row    row
}{
	{collector.DeviceEnergy, number("GetTotalEnergyConsumption", nvml.Device.GetTotalEnergyConsumption, collector.DeviceEnergy, milli, "")},
	{collector.DevicePCIeReplays, number("GetPcieReplayCounter", nvml.Device.GetPcieReplayCounter, collector.DevicePCIeReplays, one, "")},
}

// query asks for all fields at once. It returns what the query said, or a field that says that the GPU is in trouble.
func (d *device) query(to *Values) nvml.Return {
	s := &d.learned.fields
	if now := time.Now(); s.all.IsZero() || now.Sub(s.all) >= relearn {
		s.all, s.asked = now, s.asked[:0]
		for i := range d.lib.fields {
			s.asked = append(s.asked, &d.lib.fields[i])
		}
	}
	if len(s.asked) == 0 {
		return nvml.ERROR_NOT_SUPPORTED
	}
	s.batch = s.batch[:0]
	for _, f := range s.asked {
		s.batch = append(s.batch, nvml.FieldValue{FieldId: f.id, ScopeId: f.scope})
	}
	to.beat()
	ret := do(d.lib, "GetFieldValues", func() nvml.Return { return d.handle.GetFieldValues(s.batch) })
	if ret != nvml.SUCCESS {
		return ret
	}
	return s.take(to)
}

// take appends the values of an answered batch, and strikes out what the GPU does not support.
func (s *fieldState) take(to *Values) nvml.Return {
	kept, worst := s.asked[:0], nvml.SUCCESS
	for i, f := range s.asked {
		v := &s.batch[i]
		ret := nvml.Return(v.NvmlReturn)
		if ends(ret) {
			s.all = time.Time{} // what is struck out so far is asked again
			return ret
		}
		known := slices.Contains(s.given, f)
		if unsupported(ret) && !known || hasOther(kept, f) || hasOther(s.given, f) || f.wide && ret == nvml.SUCCESS && !isWide(v) {
			continue
		}
		kept = append(kept, f)
		if ret != nvml.SUCCESS {
			worst = worse(worst, ret)
			continue
		}
		if n, ok := decode(v); ok {
			to.Add(f.metric, f.unit.of(n), f.label)
			if !known {
				s.given = append(s.given, f)
			}
		}
	}
	s.asked = kept
	return worst
}

// hasOther reports whether fields hold another one for what f gives. Their raw counts are not the same.
func hasOther(fields []*field, f *field) bool {
	return slices.ContainsFunc(fields, func(o *field) bool { return o != f && o.metric == f.metric && o.label == f.label })
}

func isWide(v *nvml.FieldValue) bool {
	switch nvml.ValueType(v.ValueType) {
	case nvml.VALUE_TYPE_UNSIGNED_LONG, nvml.VALUE_TYPE_UNSIGNED_LONG_LONG, nvml.VALUE_TYPE_SIGNED_LONG_LONG:
		return true
	default:
		return false
	}
}

// decode reads a value by the type that the driver gave it.
func decode(v *nvml.FieldValue) (float64, bool) {
	bits := binary.NativeEndian.Uint64(v.Value[:])
	half := binary.NativeEndian.Uint32(v.Value[:])
	switch nvml.ValueType(v.ValueType) {
	case nvml.VALUE_TYPE_DOUBLE:
		f := math.Float64frombits(bits)
		return f, isNumber(f)
	case nvml.VALUE_TYPE_UNSIGNED_INT:
		return float64(half), true
	case nvml.VALUE_TYPE_UNSIGNED_LONG, nvml.VALUE_TYPE_UNSIGNED_LONG_LONG:
		return float64(bits), true
	case nvml.VALUE_TYPE_SIGNED_LONG_LONG:
		return float64(int64(bits)), true
	case nvml.VALUE_TYPE_SIGNED_INT:
		return float64(int32(half)), true
	case nvml.VALUE_TYPE_UNSIGNED_SHORT:
		return float64(binary.NativeEndian.Uint16(v.Value[:])), true
	default:
		return 0, false
	}
}

func isNumber(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
