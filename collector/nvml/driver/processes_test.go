//go:build linux && cgo

package driver

import (
	"math"
	"slices"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/trainbridge/trainbridge/collector"
)

func TestProcesses(t *testing.T) {
	s, m := host()
	m.GetComputeRunningProcessesFunc = gives([]nvml.ProcessInfo{
		{Pid: 11, UsedGpuMemory: 100}, {Pid: 12, UsedGpuMemory: math.MaxUint64}, {Pid: 11, UsedGpuMemory: 50}, {Pid: 0, UsedGpuMemory: 1},
	})
	m.GetMPSComputeRunningProcessesFunc = gives([]nvml.ProcessInfo{{Pid: 13, UsedGpuMemory: 7}})
	var since []uint64
	samples := []nvml.ProcessUtilizationSample{
		{Pid: 11, TimeStamp: 5, SmUtil: 30}, {Pid: 11, TimeStamp: 9, SmUtil: 20}, {Pid: 13, TimeStamp: 7, SmUtil: 4000}, {Pid: 99, SmUtil: 1},
	}
	m.GetProcessUtilizationFunc = func(last uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) {
		since = append(since, last)
		if samples == nil {
			return nil, nvml.ERROR_NOT_FOUND
		}
		return samples, nvml.SUCCESS
	}
	d := open(t, s)
	memory := []collector.GPUValue{value(collector.ProcessMemoryUsage, 150, "11"), value(collector.ProcessMemoryUsage, 7, "13")}
	v := mustRead(t, d, Processes)
	if !slices.Equal(v.PIDs, []int{11, 12, 13}) {
		t.Errorf("%v", v.PIDs)
	}
	wantValues(t, v, append(slices.Clone(memory), value(collector.ProcessUtilization, 0.3, "11"),
		value(collector.ProcessUtilization, 0, "12"), value(collector.ProcessUtilization, 0, "13"))...)

	samples = nil
	wantValues(t, mustRead(t, d, Processes), append(slices.Clone(memory), value(collector.ProcessUtilization, 0, "11"),
		value(collector.ProcessUtilization, 0, "12"), value(collector.ProcessUtilization, 0, "13"))...)
	if !slices.Equal(since, []uint64{0, 9}) {
		t.Errorf("samples since %v", since)
	}

	m.GetProcessUtilizationFunc = func(uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) { return nil, nvml.ERROR_NOT_SUPPORTED }
	wantValues(t, mustRead(t, d, Processes), memory...)

	m.GetMPSComputeRunningProcessesFunc = fails[[]nvml.ProcessInfo](nvml.ERROR_GPU_IS_LOST)
	m.GetProcessUtilizationFunc = nil // the mock panics if it goes on
	if err := d.Read(Processes, new(Values)); KindOf(err) != Lost {
		t.Errorf("a lost GPU: %v", err)
	}
}

// go-nvml panics if there are more samples when it asks for them than when it asked how many.
func TestSamplesThatGrow(t *testing.T) {
	s, m := host()
	m.GetComputeRunningProcessesFunc = gives([]nvml.ProcessInfo{{Pid: 11, UsedGpuMemory: 100}})
	n := 2
	m.GetProcessUtilizationFunc = func(last uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) {
		if last != 0 {
			t.Errorf("samples since %d", last)
		}
		return make([]nvml.ProcessUtilizationSample, 1)[:n], nvml.SUCCESS
	}
	d := open(t, s)
	v := mustRead(t, d, Processes)
	wantValues(t, v, value(collector.ProcessMemoryUsage, 100, "11"))
	if !slices.Equal(v.PIDs, []int{11}) {
		t.Errorf("%v", v.PIDs)
	}
	n = 1
	wantValues(t, mustRead(t, d, Processes), value(collector.ProcessMemoryUsage, 100, "11"), value(collector.ProcessUtilization, 0, "11"))
	m.GetProcessUtilizationFunc = func(uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) { panic("another") }
	defer func() {
		if recover() != "another" {
			t.Error("a panic that is no index out of range was hidden")
		}
	}()
	_ = d.Read(Processes, new(Values))
}

func TestManyProcesses(t *testing.T) {
	s, m := host()
	var many []nvml.ProcessInfo
	for i := range 3 * maxProcesses {
		many = append(many, nvml.ProcessInfo{Pid: uint32(i + 1)})
	}
	m.GetComputeRunningProcessesFunc = gives(many)
	if v := mustRead(t, open(t, s), Processes); len(v.PIDs) != maxProcesses || len(v.Values) != maxProcesses {
		t.Errorf("%d processes with %d values, want %d", len(v.PIDs), len(v.Values), maxProcesses)
	}
}
