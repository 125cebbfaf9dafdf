package collector

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const dcgmEpoch = Time(1_760_000_000_000_000_000)

// dcgmLabels is the order in which dcgm-exporter writes labels: fixed ones first, then fields of type label, then the others sorted.
func dcgmLabels() []string {
	return []string{
		"gpu", "UUID", "pci_bus_id", "device", "modelName", "GPU_I_PROFILE", "GPU_I_ID", "Hostname", "hostname",
		"DCGM_FI_DRIVER_VERSION", "DCGM_FI_SYSTEM_DRIVER_VERSION", "container", "err_code", "err_msg", "hpc_job", "namespace", "pod",
	}
}

// dcgmLines writes views as dcgm-exporter would, without the comments.
func dcgmLines(t *testing.T, views []*DCGMView) []string {
	t.Helper()
	var lines []string
	var p Points
	for _, r := range DCGMRows() {
		for _, v := range views {
			p.Reset()
			r.Read(v, &p)
			for i := range p.Len() {
				lines = append(lines, fmt.Sprintf("%s{%s} %s", r.Prom, dcgmLabelText(t, v, &r, p.Labels(i)), strconv.FormatFloat(p.Value(i), 'f', -1, 64)))
			}
		}
	}
	return lines
}

func dcgmLabelText(t *testing.T, v *DCGMView, r *dcgmRow, own []string) string {
	t.Helper()
	set := map[string]string{}
	keys, values := slices.Concat(DCGMIdentity(), r.Labels), append(v.Identity(nil), own...)
	if len(keys) != len(values) {
		t.Fatalf("%s: %d labels with %d values", r.Prom, len(keys), len(values))
	}
	for i, k := range keys {
		if _, twice := set[PromLabel(k)]; twice {
			t.Fatalf("%s has label %s twice", r.Prom, k)
		}
		set[PromLabel(k)] = values[i]
	}
	var pairs []string
	for _, k := range dcgmLabels() {
		if set[k] != "" {
			pairs = append(pairs, fmt.Sprintf("%s=%q", k, set[k]))
		}
		delete(set, k)
	}
	if len(set) > 0 {
		t.Fatalf("dcgm-exporter has no labels %v", set)
	}
	return strings.Join(pairs, ",")
}

func dcgmValues(pairs ...any) []GPUValue {
	var vs []GPUValue
	for i := 0; i < len(pairs); i += 3 {
		vs = append(vs, GPUValue{Metric: pairs[i].(GPUMetric), Label: pairs[i+1].(string), Value: pairs[i+2].(float64)})
	}
	SortGPUValues(vs)
	return vs
}

func dcgmHost() *GPUHost {
	return &GPUHost{Name: "gpu-node-07", Up: true, Versions: DriverVersions{Driver: "570.124.06", NVML: "12.570.124.06", CUDA: "12.8"}}
}

// fullH100 has all values there are, in base units.
func fullH100() *GPU {
	return &GPU{
		ID: "GPU-58e8f5ea-13cc-013a-d88f-2bcf5ae8bc77", Up: true, ReadAt: dcgmEpoch,
		Info: GPUInfo{Index: "4", Name: "NVIDIA H100 80GB HBM3", Minor: "5", PCIBusID: "0000:9a:00.0"},
		Jobs: []Key{{Source: "slurm", ID: "4711"}},
		Pods: []Pod{{Namespace: "team-a", Name: "bert-0", Container: "pytorch"}},
		Values: dcgmValues(
			DeviceUtilization, "general", 0.57, DeviceUtilization, "encoder", 0.0, DeviceUtilization, "decoder", 0.29, DeviceMemoryBusy, "", 0.41,
			DeviceMemoryLimit, "", 85520809984.0, DeviceMemoryUsage, "", 63350771712.0, DeviceMemoryReserved, "", 547356672.0,
			DevicePower, "", 612.5, DevicePowerLimit, "", 700.0, DeviceEnergy, "", 98765432.125,
			DeviceTemperature, "gpu", 61.0, DeviceTemperature, "memory", 72.0,
			DeviceClock, "graphics", 1965e6, DeviceClock, "sm", 1980e6, DeviceClock, "memory", 2619e6, DeviceClock, "video", 1545e6,
			DeviceClockMax, "sm", 1995e6, DeviceClockMax, "memory", 2620e6,
			DeviceClockEvent, "sw_power_cap", 1.0, DeviceClockEvent, "hw_thermal", 1.0, DeviceClockEvent, "gpu_idle", 0.0,
			DeviceThrottleTime, "sw_power_cap", 1234.5, DeviceThrottleTime, "sw_thermal", 0.25, DeviceThrottleTime, "hw_thermal", 9.0,
			DeviceThrottleTime, "sync_boost", 0.0,
			DeviceIO, "receive", 5e12, DeviceIO, "transmit", 4e12, DevicePCIeReplays, "", 3.0,
			DeviceECCErrors, JoinLabels("corrected", "volatile"), 4.0, DeviceECCErrors, JoinLabels("uncorrected", "volatile"), 0.0,
			DeviceECCErrors, JoinLabels("corrected", "aggregate"), 17.0, DeviceECCErrors, JoinLabels("uncorrected", "aggregate"), 1.0,
			DeviceRemappedRows, "corrected", 0.0, DeviceRemappedRows, "uncorrected", 2.0, DeviceRowRemapPending, "", 1.0, DeviceRowRemapFailure, "", 0.0,
			DeviceRetiredPages, "single_bit", 6.0, DeviceRetiredPages, "double_bit", 7.0, DeviceRetiredPending, "", 0.0,
			DeviceXIDErrors, "13", 2.0, DeviceXIDErrors, "79", 1.0, DeviceXIDLast, "13", 1.75e9, DeviceXIDLast, "79", 1.74e9,
			DeviceNVLinkErrors, "crc_flit", 0.0, DeviceNVLinkErrors, "crc_data", 5.0, DeviceNVLinkErrors, "replay", 1.0, DeviceNVLinkErrors, "recovery", 8.0,
			DeviceNVLinkThroughput, "receive", 2.5e11, DeviceNVLinkThroughput, "transmit", 2.4e11,
			DeviceGraphicsUtilization, "", 0.97, DeviceSMUtilization, "", 0.71, DeviceSMOccupancy, "", 0.33, DeviceTensorUtilization, "", 0.46,
			DeviceMemoryBandwidth, "", 0.38,
		),
	}
}

// fullH100Before is the same GPU ten seconds earlier.
func fullH100Before() *GPU {
	g := fullH100()
	g.ReadAt = dcgmEpoch.Add(-10 * time.Second)
	g.Values = dcgmValues(DeviceIO, "receive", 5e12-1e10, DeviceIO, "transmit", 4e12-5e9)
	return g
}

func dcgmH100Views(renamed bool) []*DCGMView {
	before := DCGMViews(dcgmHost(), []*GPU{fullH100Before()}, renamed)
	return NextDCGMViews(before, dcgmHost(), []*GPU{fullH100()}, renamed)
}

// dcgmGolden puts the labels into hand-written lines "NAME value" or "NAME value|own labels".
func dcgmGolden(labels string, text string) []string {
	var want []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, _ := strings.Cut(line, " ")
		want = append(want, name+"{"+labels+"} "+value)
	}
	return want
}

func sameLines(t *testing.T, got, want []string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing %s", line)
		}
	}
	for i, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("too much: %s", line)
		}
		if slices.Contains(got[:i], line) {
			t.Errorf("twice: %s", line)
		}
	}
}

func TestDCGMClassicH100(t *testing.T) {
	labels := `gpu="4",UUID="GPU-58e8f5ea-13cc-013a-d88f-2bcf5ae8bc77",pci_bus_id="00000000:9A:00.0",device="nvidia4",modelName="NVIDIA H100 80GB HBM3",` +
		`Hostname="gpu-node-07",DCGM_FI_DRIVER_VERSION="570.124.06",container="pytorch",%shpc_job="4711",namespace="team-a",pod="bert-0"`
	want := dcgmGolden(fmt.Sprintf(labels, ""), `
		DCGM_FI_DEV_SM_CLOCK 1980
		DCGM_FI_DEV_MEM_CLOCK 2619
		DCGM_FI_DEV_VIDEO_CLOCK 1545
		DCGM_FI_DEV_MAX_SM_CLOCK 1995
		DCGM_FI_DEV_MAX_MEM_CLOCK 2620
		DCGM_FI_DEV_CLOCK_THROTTLE_REASONS 68
		DCGM_FI_DEV_GPU_TEMP 61
		DCGM_FI_DEV_MEMORY_TEMP 72
		DCGM_FI_DEV_POWER_USAGE 612.5
		DCGM_FI_DEV_ENFORCED_POWER_LIMIT 700
		DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION 98765432125
		DCGM_FI_DEV_GPU_UTIL 57
		DCGM_FI_DEV_MEM_COPY_UTIL 41
		DCGM_FI_DEV_ENC_UTIL 0
		DCGM_FI_DEV_DEC_UTIL 29
		DCGM_FI_DEV_FB_TOTAL 81559
		DCGM_FI_DEV_FB_FREE 20620
		DCGM_FI_DEV_FB_USED 60416
		DCGM_FI_DEV_FB_RESERVED 522
		DCGM_FI_DEV_POWER_VIOLATION 1234500000000
		DCGM_FI_DEV_THERMAL_VIOLATION 250000000
		DCGM_FI_DEV_SYNC_BOOST_VIOLATION 0
		DCGM_FI_DEV_ECC_SBE_VOL_TOTAL 4
		DCGM_FI_DEV_ECC_DBE_VOL_TOTAL 0
		DCGM_FI_DEV_ECC_SBE_AGG_TOTAL 17
		DCGM_FI_DEV_ECC_DBE_AGG_TOTAL 1
		DCGM_FI_DEV_PCIE_REPLAY_COUNTER 3
		DCGM_FI_DEV_RETIRED_SBE 6
		DCGM_FI_DEV_RETIRED_DBE 7
		DCGM_FI_DEV_RETIRED_PENDING 0
		DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS 2
		DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS 0
		DCGM_FI_DEV_ROW_REMAP_FAILURE 0
		DCGM_FI_DEV_ROW_REMAP_PENDING 1
		DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL 0
		DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL 5
		DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL 1
		DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL 8
		DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL 478515
		DCGM_FI_PROF_PCIE_TX_BYTES 500000000
		DCGM_FI_PROF_PCIE_RX_BYTES 1000000000
		DCGM_FI_PROF_NVLINK_TX_BYTES 240000000000
		DCGM_FI_PROF_NVLINK_RX_BYTES 250000000000
		DCGM_FI_PROF_GR_ENGINE_ACTIVE 0.97
		DCGM_FI_PROF_SM_ACTIVE 0.71
		DCGM_FI_PROF_SM_OCCUPANCY 0.33
		DCGM_FI_PROF_PIPE_TENSOR_ACTIVE 0.46
		DCGM_FI_PROF_DRAM_ACTIVE 0.38`)
	want = append(want, dcgmGolden(fmt.Sprintf(labels, `err_code="13",err_msg="Graphics engine exception",`), `DCGM_FI_DEV_XID_ERRORS 13`)...)
	sameLines(t, dcgmLines(t, dcgmH100Views(false)), want)
}

func TestDCGMRenamedH100(t *testing.T) {
	labels := `gpu="4",UUID="GPU-58e8f5ea-13cc-013a-d88f-2bcf5ae8bc77",pci_bus_id="00000000:9A:00.0",device="nvidia4",modelName="NVIDIA H100 80GB HBM3",` +
		`hostname="gpu-node-07",DCGM_FI_SYSTEM_DRIVER_VERSION="570.124.06",container="pytorch",%shpc_job="4711",namespace="team-a",pod="bert-0"`
	want := dcgmGolden(fmt.Sprintf(labels, ""), `
		DCGM_FI_DEV_SM_CLOCK_HERTZ 1980000000
		DCGM_FI_DEV_MEMORY_CLOCK_HERTZ 2619000000
		DCGM_FI_DEV_VIDEO_CLOCK_HERTZ 1545000000
		DCGM_FI_DEV_SM_MAX_CLOCK_HERTZ 1995000000
		DCGM_FI_DEV_MEMORY_MAX_CLOCK_HERTZ 2620000000
		DCGM_FI_DEV_CLOCKS_EVENT_REASONS 68
		DCGM_FI_DEV_GPU_TEMP_CELSIUS 61
		DCGM_FI_DEV_MEMORY_TEMP_CELSIUS 72
		DCGM_FI_DEV_BOARD_POWER_WATTS 612.5
		DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS 700
		DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL 98765432
		DCGM_FI_DEV_GPU_UTIL_RATIO 0.57
		DCGM_FI_DEV_MEMORY_UTIL_RATIO 0.41
		DCGM_FI_DEV_ENC_UTIL_RATIO 0
		DCGM_FI_DEV_DEC_UTIL_RATIO 0.29
		DCGM_FI_DEV_FB_CAPACITY_BYTES 85520809984
		DCGM_FI_DEV_FB_FREE_BYTES 21622681600
		DCGM_FI_DEV_FB_USED_BYTES 63350771712
		DCGM_FI_DEV_FB_RESERVED_BYTES 547356672
		DCGM_FI_DEV_GPU_POWER_THROTTLE_SECONDS_TOTAL 1234.5
		DCGM_FI_DEV_GPU_THERMAL_THROTTLE_SECONDS_TOTAL 0.25
		DCGM_FI_DEV_GPU_SYNC_BOOST_THROTTLE_SECONDS_TOTAL 0
		DCGM_FI_DEV_ECC_SBE_VOL_TOTAL 4
		DCGM_FI_DEV_ECC_DBE_VOL_TOTAL 0
		DCGM_FI_DEV_ECC_SBE_AGG_TOTAL 17
		DCGM_FI_DEV_ECC_DBE_AGG_TOTAL 1
		DCGM_FI_DEV_PCIE_REPLAY_TOTAL 3
		DCGM_FI_DEV_PAGE_RETIRED_SBE_TOTAL 6
		DCGM_FI_DEV_PAGE_RETIRED_DBE_TOTAL 7
		DCGM_FI_DEV_PAGE_RETIRED_PENDING 0
		DCGM_FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL 2
		DCGM_FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL 0
		DCGM_FI_DEV_ROW_REMAP_FAILED 0
		DCGM_FI_DEV_ROW_REMAP_PENDING 1
		DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_TOTAL 0
		DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_TOTAL 5
		DCGM_FI_DEV_NVLINK_REPLAY_ERROR_TOTAL 1
		DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_TOTAL 8
		DCGM_FI_DEV_NVLINK_THROUGHPUT_BYTES_PER_SECOND 490000000000
		DCGM_FI_PROF_PCIE_TX_BYTES 500000000
		DCGM_FI_PROF_PCIE_RX_BYTES 1000000000
		DCGM_FI_PROF_NVLINK_TX_BYTES 240000000000
		DCGM_FI_PROF_NVLINK_RX_BYTES 250000000000
		DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO 0.97
		DCGM_FI_PROF_SM_UTIL_RATIO 0.71
		DCGM_FI_PROF_SM_OCCUPANCY_RATIO 0.33
		DCGM_FI_PROF_TENSOR_UTIL_RATIO 0.46
		DCGM_FI_PROF_DRAM_UTIL_RATIO 0.38`)
	want = append(want, dcgmGolden(fmt.Sprintf(labels, `err_code="13",err_msg="Graphics engine exception",`), `DCGM_FI_DEV_XID_ERROR 13`)...)
	sameLines(t, dcgmLines(t, dcgmH100Views(true)), want)
}
