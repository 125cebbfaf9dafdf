//go:build linux && cgo

package driver

import (
	"math"
	"runtime"
	"slices"
	"strconv"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/trainbridge/trainbridge/collector"
)

// maxProcesses bounds what is exposed of one GPU.
const maxProcesses = 256

// process is what is known of a process on a GPU.
type process struct {
	pid    uint32
	memory uint64
	known  bool // how much memory it has
	busy   uint32
}

// readProcesses reads which processes compute on the GPU, with and without MPS.
func (d *device) readProcesses(to *Values) error {
	var list []process
	to.beat()
	running, ret := call(d.lib, "GetComputeRunningProcesses", d.handle.GetComputeRunningProcesses)
	list = join(list, running)
	worst := ret
	if !ends(ret) {
		to.beat()
		running, ret = call(d.lib, "GetMPSComputeRunningProcesses", d.handle.GetMPSComputeRunningProcesses)
		list = join(list, running)
		worst = worse(worst, ret)
	}
	measured := false
	if !ends(ret) && d.gpu == nil && len(list) > 0 {
		to.beat()
		measured, ret = d.measure(list)
		worst = worse(worst, ret)
	}
	for i := range list {
		list[i].add(measured, to)
	}
	if worst == nvml.SUCCESS || unsupported(worst) {
		return nil
	}
	return callError("list the processes of "+d.String(), worst)
}

// worse is what of two answers is to be told.
func worse(a, b nvml.Return) nvml.Return {
	if ends(b) || a == nvml.SUCCESS || unsupported(a) {
		return b
	}
	return a
}

// join adds processes to a list. One that stands there already has several parts of the GPU.
func join(list []process, running []nvml.ProcessInfo) []process {
	for i := range running {
		r := &running[i]
		at := slices.IndexFunc(list, func(p process) bool { return p.pid == r.Pid })
		if at < 0 {
			if r.Pid == 0 || len(list) == maxProcesses {
				continue // of another PID namespace, or too many
			}
			at = len(list)
			list = append(list, process{pid: r.Pid})
		}
		if r.UsedGpuMemory != math.MaxUint64 { // VALUE_NOT_AVAILABLE
			list[at].memory += r.UsedGpuMemory
			list[at].known = true
		}
	}
	return list
}

// measure finds how busy the processes kept the GPU since the last time. One without a sample did nothing.
func (d *device) measure(list []process) (bool, nvml.Return) {
	samples, ret := call(d.lib, "GetProcessUtilization", func() (_ []nvml.ProcessUtilizationSample, ret nvml.Return) {
		defer outgrown(&ret)
		return d.handle.GetProcessUtilization(d.sampleTime)
	})
	if ret == nvml.ERROR_NOT_FOUND {
		return true, nvml.SUCCESS
	}
	if ret != nvml.SUCCESS {
		return false, ret
	}
	for i := range samples {
		s := &samples[i]
		d.sampleTime = max(d.sampleTime, s.TimeStamp)
		at := slices.IndexFunc(list, func(p process) bool { return p.pid == s.Pid })
		if at >= 0 && s.SmUtil <= 100 { // some drivers give nonsense for processes that have ended
			list[at].busy = max(list[at].busy, s.SmUtil)
		}
	}
	return true, nvml.SUCCESS
}

// outgrown turns a panic of go-nvml into an answer without data: it asks how many samples there are and then for them, and cuts
// a slice too long if there are more by then.
func outgrown(ret *nvml.Return) {
	switch p := recover().(type) {
	case nil:
	case runtime.Error:
		*ret = nvml.ERROR_NO_DATA
	default:
		panic(p)
	}
}

func (p *process) add(measured bool, to *Values) {
	to.PIDs = append(to.PIDs, int(p.pid))
	pid := strconv.FormatUint(uint64(p.pid), 10)
	if p.known {
		to.Add(collector.ProcessMemoryUsage, float64(p.memory), pid)
	}
	if measured {
		to.Add(collector.ProcessUtilization, percent.of(float64(p.busy)), pid)
	}
}
