//go:build linux && cgo

package driver

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// calls is how many calls mocks have had.
func calls(mocks ...any) (n int) {
	for _, mock := range mocks {
		v := reflect.ValueOf(mock)
		for i := range v.NumMethod() {
			if strings.HasSuffix(v.Type().Method(i).Name, "Calls") {
				n += v.Method(i).Call(nil)[0].Len()
			}
		}
	}
	return n
}

// TestEveryCallIsTold: without it a reading of many slow calls could not be told from one that hangs.
func TestEveryCallIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mig := part("MIG-7", "", 7)
		mig.GetComputeRunningProcessesFunc, mig.GetMPSComputeRunningProcessesFunc = gives([]nvml.ProcessInfo{}), gives([]nvml.ProcessInfo{})
		s, m, _ := divided(mig)
		s.DriverVersion = "580.82.07"
		loaded(m)
		healthy(m)
		fielded(m, nil)
		m.GetTotalEnergyConsumptionFunc, m.GetPcieReplayCounterFunc = gives(uint64(1)), gives(1)
		profiled(s, m)
		m.GetComputeRunningProcessesFunc = gives([]nvml.ProcessInfo{{Pid: 1}})
		m.GetMPSComputeRunningProcessesFunc = gives([]nvml.ProcessInfo{{Pid: 2}})
		m.GetProcessUtilizationFunc = func(uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) { return nil, nvml.ERROR_NOT_FOUND }
		supported := m.GetSupportedClocksEventReasonsFunc
		m.GetSupportedClocksEventReasonsFunc, m.GetSupportedClocksThrottleReasonsFunc = fails[uint64](nvml.ERROR_NOT_SUPPORTED), supported
		d := open(t, s)
		i := instances(t, d)[0]
		least := map[Group]int{Load: 13, Fields: 3, Health: 35, Profile: 3, Processes: 3}
		for _, one := range []*device{d, i} {
			for g := range Groups {
				total := func() int { return calls(&s.Interface, &m.Device, mig) }
				first := total()
				before, beats := first, 0
				to := &Values{Beat: func() {
					now := total()
					if now > before+1 || beats == 0 && now > before {
						t.Errorf("%s: %d calls since the call that was told last", g, now-before)
					}
					before = now
					beats++
				}}
				for range 2 { // of a profile there are two samples
					if err := one.Read(g, to); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Second)
				}
				made := total() - first
				if made > beats || one == d && made < 2*least[g]-2 {
					t.Errorf("%s of %s: %d calls, %d of them told", g, one, made, beats)
				}
			}
		}
	})
}
