//go:build linux

package gpu

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest/stub"
)

// TestCodesOfAll lets every call fail with the codes of a driver in trouble, and expects all to be back soon after.
func TestCodesOfAll(t *testing.T) {
	together(t)
	codes := []string{"gpu * code * 1", "gpu * code * 15", "gpu * code * 18", "gpu * code * 999", "driver absent"}
	if *long {
		codes = append(codes, "gpu * code * 9", "gpu * code * 16", "gpu * code * 28", "gpu * code nvmlDeviceGetCount 1",
			"gpu * code nvmlDeviceGetCount 28", "init 15\ngeneration 2", "init 999\ngeneration 3", "gpus 0")
	}
	w := newWorld(t, nil)
	w.begin(t)
	for _, code := range codes {
		w.script(t, strings.Split(code, "\n")...)
		w.until(t, 4*interval+slack(), code+" shows", func(p page) bool { return p.up() == 0 })
		time.Sleep(interval)
		p, err := w.scrape()
		if err != nil {
			t.Fatal(err)
		}
		before, _ := p.of("hw_energy_joules_total", id(2))
		w.script(t)
		w.recovered(t, code)
		w.until(t, 2*interval+slack(), "energy goes on after "+code, func(p page) bool {
			v, _ := p.of("hw_energy_joules_total", id(2))
			return v > before
		})
	}
	w.noCrash(t)
	w.program.stop(t)
}

// TestCodesOfOne lets one GPU fail. The others go on.
func TestCodesOfOne(t *testing.T) {
	together(t)
	w := newWorld(t, nil)
	w.begin(t)
	for _, code := range []string{"15", "16", "999", "17"} {
		w.script(t, "gpu 5 code * "+code)
		w.until(t, 2*interval+slack(), "code "+code+" of GPU 5 shows", func(p page) bool { return p.has(0, "nvml_gpu_up", id(5)) })
		w.until(t, 4*interval+slack(), "the others are up after code "+code, func(p page) bool { return p.up() == 7 })
		forget := w.check(func(p page) string {
			if p.up() != 7 || !p.has(1, "hw_status", id(5), `"failed"`) || !p.has(1, "hw_status", id(4), `"ok"`) {
				return fmt.Sprintf("with code %s of GPU 5: up %v, status %v", code, p["nvml_gpu_up"], p["hw_status"])
			}
			return ""
		})
		time.Sleep(2 * interval)
		forget()
		w.script(t)
		w.recovered(t, "code "+code+" of one GPU")
	}
	w.noCrash(t)
	w.program.stop(t)
}

// noCrash expects that no helper crashed or fell silent.
func (w *world) noCrash(t *testing.T) {
	t.Helper()
	p, err := w.scrape()
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{`"crashed"`, `"silent"`} {
		if v, ok := p.of("nvml_helper_exits_total", why); ok && v > 0 {
			t.Errorf("%v helpers ended because they %s", v, why)
		}
	}
	if c := stub.ReadCalls(t, w.library); c.Overlaps != [16]uint64{} || c.Of("nvmlDeviceGetPcieThroughput", stub.Any) != 0 {
		t.Errorf("calls for a GPU while another was under way: %v; calls that take 20 ms: %d", c.Overlaps,
			c.Of("nvmlDeviceGetPcieThroughput", stub.Any))
	}
}

// numbers are lines that give each GPU its own power, and energy that does not grow.
func numbers() (lines []string) {
	for g := range 8 {
		lines = append(lines, fmt.Sprintf("set %d power %d", g, 1000*(100+g)), fmt.Sprintf("set %d field:83 %d", g, 1_000_000*(g+1)))
	}
	return lines
}

// own is a check that every GPU has its own numbers, whatever its index is.
func own(p page) string {
	for g := range 8 {
		if v, ok := p.of("hw_power_watts", id(g)); ok && v != float64(100+g) {
			return fmt.Sprintf("GPU %d draws %v W, which are another one's", g, v)
		}
		if v, ok := p.of("hw_energy_joules_total", id(g)); ok && v != float64(1000*(g+1)) {
			return fmt.Sprintf("GPU %d used %v J, which are another one's", g, v)
		}
	}
	return ""
}

// TestGPUsMove takes a GPU away and gives it back, and changes the order of all: each keeps its own values and counters.
func TestGPUsMove(t *testing.T) {
	together(t)
	w := newWorld(t, numbers())
	w.check(own)
	w.begin(t)
	steps := []struct {
		name   string
		script []string
		up     int
		index  string // of GPU 7
	}{
		{"GPU 3 is gone", []string{"gpus 7", "order 0 1 2 4 5 6 7"}, 7, "6"},
		{"GPU 3 is back", nil, 8, "7"},
		{"another order", []string{"order 7 6 5 4 3 2 1 0"}, 8, ""},
		{"the driver was loaded anew in another order", []string{"order 0 7 1 2 3 4 5 6", "generation 2"}, 8, "1"},
		{"GPU 0 is gone", []string{"gpus 7", "order 7 1 2 3 4 5 6", "generation 2"}, 7, "0"},
		{"GPU 0 is back at the end", []string{"order 7 1 2 3 4 5 6 0", "generation 2"}, 8, "0"},
	}
	for _, s := range steps {
		w.script(t, append(numbers(), s.script...)...)
		took := w.until(t, 4*interval+slack(), s.name, func(p page) bool {
			_, at := p.of("nvml_gpu_info", id(7), `nvml_gpu_index="`+s.index+`"`)
			return p.up() == s.up && len(p["nvml_gpu_up"]) == 8 && (at || s.index == "") && p.has(1, "nvml_up")
		})
		t.Logf("%s: shown after %v", s.name, took.Round(10*time.Millisecond))
		time.Sleep(3 * interval)
	}
	w.noCrash(t)
	w.audit(t)
	w.program.stop(t)
}

// TestReload loads the driver anew: its counters begin at 0, and ours go on.
func TestReload(t *testing.T) {
	together(t)
	w := newWorld(t, nil)
	w.begin(t)
	for n := 1; n <= 2; n++ {
		p, err := w.scrape()
		if err != nil {
			t.Fatal(err)
		}
		before, _ := p.of("hw_energy_joules_total", id(1))
		time.Sleep(time.Duration(n-1) * 4 * time.Second) // so that what was counted since the last reload is not passed at once
		w.script(t, "driver absent")
		w.until(t, 4*interval+slack(), "the driver is gone", func(p page) bool {
			return p.up() == 0 && p.has(0, "nvml_up") && p.has(1, "nvml_fault_info", `"no_driver"`)
		})
		began := time.Now()
		w.script(t, "generation "+strconv.Itoa(n+1)+" "+strconv.FormatInt(began.Unix(), 10))
		w.recovered(t, "a reload of the driver")
		w.until(t, 4*interval+slack(), "the counters are known to have begun anew", func(p page) bool { // a fall is believed at its second reading
			for g := range 8 {
				if !p.has(float64(n), "nvml_gpu_accounting_resets_total", id(g)) {
					return false
				}
			}
			return true
		})
		if p, err = w.scrape(); err != nil {
			t.Fatal(err)
		}
		after, _ := p.of("hw_energy_joules_total", id(1))
		since := time.Since(began.Truncate(time.Second)).Seconds()
		if used := after - before; used <= 0 || used > 602*(since+10) {
			t.Errorf("energy went from %v to %v J, a difference of %v: want what was used since the reload %.1f s ago", before, after, used, since)
		}
		if v, _ := p.of("nvml_gpu_throttle_time_seconds_total", id(1), `"sw_power_cap"`); math.IsNaN(v) || v < 36 {
			t.Errorf("the time with a power cap is %v s, was 36 before the reload", v)
		}
	}
	w.noCrash(t)
	w.program.stop(t)
}

// TestMissingSymbols takes functions away that older or newer drivers lack.
func TestMissingSymbols(t *testing.T) {
	together(t)
	for name, without := range map[string][]string{
		"old driver": {
			"nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetMemoryInfo_v2", "nvmlEventSetWait_v2",
			"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetGpuFabricInfoV", "nvmlDeviceGetGpuFabricInfo", "nvmlGpmQueryDeviceSupport",
			"nvmlGpmSampleGet", "nvmlGpmMetricsGet", "nvmlDeviceGetMigMode", "nvmlDeviceGetRemappedRows", "nvmlDeviceGetAttributes_v2",
		},
		"odd driver": {
			"nvmlDeviceGetTemperature", "nvmlDeviceGetFieldValues", "nvmlDeviceGetUtilizationRates", "nvmlEventSetCreate", "nvmlDeviceGetSerial",
			"nvmlDeviceGetMinorNumber", "nvmlSystemGetCudaDriverVersion", "nvmlSystemGetCudaDriverVersion_v2", "nvmlDeviceGetTotalEccErrors",
		},
	} {
		t.Run(name, func(t *testing.T) {
			together(t)
			w := newWorld(t, nil, without...)
			w.begin(t)
			time.Sleep(2 * interval)
			p, err := w.scrape()
			if err != nil || !healthy(p) || p["hw_power_watts"] == nil || p["hw_temperature_celsius"] == nil {
				t.Errorf("with missing functions: %d are up, %v", p.up(), err)
			}
			if has := p["nvml_gpu_sm_utilization_ratio"] != nil; has != (name == "odd driver") {
				t.Errorf("there is GPM: %v", has)
			}
			w.noCrash(t)
			w.program.stop(t)
		})
	}
	t.Run("no UUID", func(t *testing.T) {
		together(t)
		w := newWorld(t, nil, "nvmlDeviceGetUUID")
		time.Sleep(2 * interval)
		w.until(t, slack(), "/metrics answers", func(p page) bool { return len(p["nvml_up"]) == 1 && len(p["nvml_gpu_up"]) == 0 })
		w.noCrash(t)
		w.alive(t)
		w.program.stop(t)
	})
}
