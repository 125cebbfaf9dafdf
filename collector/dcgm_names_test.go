package collector

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestDCGMRowsKeepTheRules(t *testing.T) {
	name := regexp.MustCompile(`^DCGM_FI_(DEV|PROF)_[A-Z0-9_]+$`)
	seen := map[string]bool{}
	for _, r := range DCGMRows() {
		if seen[r.Name] {
			t.Errorf("%s stands twice", r.Name)
		}
		seen[r.Name] = true
		if !name.MatchString(r.Name) || r.Prom != r.Name || promName(r.Name, r.Unit, r.Kind) != r.Name || r.Unit != "" || r.Kind != Gauge {
			t.Errorf("%s is %s in %q, kind %d", r.Name, r.Prom, r.Unit, r.Kind)
		}
		if !strings.HasSuffix(r.Help, ".") || strings.Contains(r.Help, "..") || r.read == nil {
			t.Errorf("%s: help %q", r.Name, r.Help)
		}
		for _, l := range r.Labels {
			if slices.Contains(DCGMIdentity(), l) || PromLabel(l) != l {
				t.Errorf("%s has label %s", r.Name, l)
			}
		}
	}
	for _, l := range DCGMIdentity() {
		if PromLabel(l) != l {
			t.Errorf("label %s becomes %s", l, PromLabel(l))
		}
	}
	if n := len(dcgmH100Views(false)[0].Identity(nil)); n != len(DCGMIdentity()) {
		t.Errorf("%d values for %d labels", n, len(DCGMIdentity()))
	}
}

// dcgmRenamings are the default and profiling fields that dcgm-exporter 4.9.0 renamed. Its release notes count 23 with the label
// of the driver's version, eleven of them with another unit.
func dcgmRenamings() map[string]string {
	return map[string]string{
		"DCGM_FI_DEV_SM_CLOCK":                    "DCGM_FI_DEV_SM_CLOCK_HERTZ",
		"DCGM_FI_DEV_MEM_CLOCK":                   "DCGM_FI_DEV_MEMORY_CLOCK_HERTZ",
		"DCGM_FI_DEV_MEMORY_TEMP":                 "DCGM_FI_DEV_MEMORY_TEMP_CELSIUS",
		"DCGM_FI_DEV_GPU_TEMP":                    "DCGM_FI_DEV_GPU_TEMP_CELSIUS",
		"DCGM_FI_DEV_POWER_USAGE":                 "DCGM_FI_DEV_BOARD_POWER_WATTS",
		"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION":    "DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL",
		"DCGM_FI_DEV_PCIE_REPLAY_COUNTER":         "DCGM_FI_DEV_PCIE_REPLAY_TOTAL",
		"DCGM_FI_DEV_GPU_UTIL":                    "DCGM_FI_DEV_GPU_UTIL_RATIO",
		"DCGM_FI_DEV_MEM_COPY_UTIL":               "DCGM_FI_DEV_MEMORY_UTIL_RATIO",
		"DCGM_FI_DEV_ENC_UTIL":                    "DCGM_FI_DEV_ENC_UTIL_RATIO",
		"DCGM_FI_DEV_DEC_UTIL":                    "DCGM_FI_DEV_DEC_UTIL_RATIO",
		"DCGM_FI_DEV_XID_ERRORS":                  "DCGM_FI_DEV_XID_ERROR",
		"DCGM_FI_DEV_FB_FREE":                     "DCGM_FI_DEV_FB_FREE_BYTES",
		"DCGM_FI_DEV_FB_USED":                     "DCGM_FI_DEV_FB_USED_BYTES",
		"DCGM_FI_DEV_FB_RESERVED":                 "DCGM_FI_DEV_FB_RESERVED_BYTES",
		"DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL":      "DCGM_FI_DEV_NVLINK_THROUGHPUT_BYTES_PER_SECOND",
		"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": "DCGM_FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL",
		"DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS":   "DCGM_FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL",
		"DCGM_FI_DEV_ROW_REMAP_FAILURE":           "DCGM_FI_DEV_ROW_REMAP_FAILED",
		"DCGM_FI_PROF_GR_ENGINE_ACTIVE":           "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO",
		"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE":         "DCGM_FI_PROF_TENSOR_UTIL_RATIO",
		"DCGM_FI_PROF_DRAM_ACTIVE":                "DCGM_FI_PROF_DRAM_UTIL_RATIO",
	}
}

// dcgmSeries are the values of a full H100 by name.
func dcgmSeries(renamed bool) map[string]float64 {
	series := map[string]float64{}
	var p Points
	for _, r := range DCGMRows() {
		for _, v := range dcgmH100Views(renamed) {
			p.Reset()
			if r.Read(v, &p); p.Len() > 0 {
				series[r.Prom] = p.Value(0)
			}
		}
	}
	return series
}

func TestDCGMGenerations(t *testing.T) {
	classic, renamed := dcgmSeries(false), dcgmSeries(true)
	if len(classic) != len(renamed) {
		t.Errorf("%d and %d series", len(classic), len(renamed))
	}
	otherUnit := 0
	for old, name := range dcgmRenamings() {
		before, ok := classic[old]
		after, too := renamed[name]
		_, wrong := renamed[old]
		_, early := classic[name]
		if !ok || !too || wrong || early {
			t.Errorf("%s, now %s: %v %v %v %v", old, name, ok, too, wrong, early)
		}
		if before != after || name == "DCGM_FI_DEV_ENC_UTIL_RATIO" { // the encoder of the example is idle, in percent too
			otherUnit++
		}
	}
	if n := len(dcgmRenamings()) + 1; n != 23 || otherUnit != 11 {
		t.Errorf("%d names changed, %d with their unit", n, otherUnit)
	}
	for _, same := range []string{"DCGM_FI_PROF_PCIE_TX_BYTES", "DCGM_FI_PROF_PCIE_RX_BYTES", "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"} {
		if v, ok := renamed[same]; !ok || v != classic[same] {
			t.Errorf("%s is not the same in both", same)
		}
	}
}

// dcgmQueries are what dashboards and alerts made for dcgm-exporter ask for: metrics, and the labels that they select or group by.
func dcgmQueries() []struct {
	from, metrics, labels string
} {
	return []struct{ from, metrics, labels string }{
		{"Grafana 12239, variables", "DCGM_FI_DEV_FB_FREE DCGM_FI_DEV_GPU_TEMP", "Hostname gpu"},
		{"Grafana 12239, temperature", "DCGM_FI_DEV_GPU_TEMP", "Hostname gpu UUID"},
		{"Grafana 12239, power", "DCGM_FI_DEV_POWER_USAGE", "Hostname gpu UUID"},
		{"Grafana 12239, clocks", "DCGM_FI_DEV_SM_CLOCK", "Hostname gpu UUID"},
		{"Grafana 12239, utilisation before MIG", "DCGM_FI_DEV_GPU_UTIL", "Hostname gpu"},
		{"Grafana 12239, utilisation", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "Hostname gpu GPU_I_ID GPU_I_PROFILE"},
		{"Grafana 12239, tensor cores", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "Hostname gpu GPU_I_ID GPU_I_PROFILE"},
		{"Grafana 12239, memory", "DCGM_FI_DEV_FB_USED", "Hostname gpu GPU_I_ID GPU_I_PROFILE"},
		{"alert: GPU overheats", "DCGM_FI_DEV_GPU_TEMP DCGM_FI_DEV_MEMORY_TEMP", "gpu modelName Hostname"},
		{"alert: memory is full", "DCGM_FI_DEV_FB_USED DCGM_FI_DEV_FB_TOTAL DCGM_FI_DEV_FB_FREE", "gpu UUID"},
		{"alert: XID", "DCGM_FI_DEV_XID_ERRORS", "gpu UUID err_code err_msg Hostname"},
		{"alert: uncorrected errors", "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL DCGM_FI_DEV_ECC_DBE_AGG_TOTAL", "gpu Hostname"},
		{"alert: row remapping", "DCGM_FI_DEV_ROW_REMAP_FAILURE DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "gpu pci_bus_id"},
		{"alert: throttling", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS DCGM_FI_DEV_POWER_VIOLATION DCGM_FI_DEV_THERMAL_VIOLATION", "gpu device"},
		{"alert: replays", "DCGM_FI_DEV_PCIE_REPLAY_COUNTER DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", "gpu"},
		{"idle GPUs of a pod", "DCGM_FI_DEV_GPU_UTIL DCGM_FI_PROF_SM_ACTIVE DCGM_FI_PROF_DRAM_ACTIVE", "namespace pod container"},
		{"energy of a job", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "hpc_job Hostname DCGM_FI_DRIVER_VERSION"},
	}
}

func TestDCGMAnswersDashboards(t *testing.T) {
	lines := append(dcgmLines(t, dcgmH100Views(false)), dcgmLines(t, DCGMViews(dcgmHost(), dividedA100(), false))...)
	for _, q := range dcgmQueries() {
		for metric := range strings.FieldsSeq(q.metrics) {
			for label := range strings.FieldsSeq(q.labels) {
				answered := slices.ContainsFunc(lines, func(l string) bool {
					return strings.HasPrefix(l, metric+"{") && (strings.Contains(l, "{"+label+`="`) || strings.Contains(l, ","+label+`="`))
				})
				if !answered {
					t.Errorf("%s: %s has no label %s", q.from, metric, label)
				}
			}
		}
	}
}

func TestDCGMBusID(t *testing.T) {
	for in, want := range map[string]string{
		"00000000:1a:00.0": "00000000:1A:00.0", "0000:1A:00.0": "00000000:1A:00.0", "": "", "00010000:1A:00.0": "00010000:1A:00.0",
	} {
		if got := longBusID(in); got != want {
			t.Errorf("%q becomes %q", in, got)
		}
	}
}

// TestDCGMDocument: the page lists every name that is written, and its table no other.
func TestDCGMDocument(t *testing.T) {
	page, err := os.ReadFile("../docs/DCGM.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| DCGM_") {
			for _, name := range regexp.MustCompile(`DCGM_FI_[A-Z0-9_]+`).FindAllString(line, -1) {
				listed[name] = true
			}
		}
	}
	for _, r := range DCGMRows() {
		if !listed[r.Name] {
			t.Errorf("%s is not in the table", r.Name)
		}
		delete(listed, r.Name)
	}
	for name := range listed {
		t.Errorf("%s is in the table and not written", name)
	}
	for _, ours := range regexp.MustCompile(`\b(nvml|hw)_[a-z_]+`).FindAllString(string(page), -1) {
		if !slices.ContainsFunc(GPURows(), func(r gpuRow) bool { return r.Prom == ours }) {
			t.Errorf("there is no metric %s", ours)
		}
	}
}
