package runai

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

func TestALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, nil)
		id := b.server.AddWorkload(runaitest.Workload{Name: "bert-ddp-3", Type: runaitest.Distributed, GPUs: 8, Pods: 4, Framework: "PyTorch", SubmittedBy: "ada"})
		for _, p := range []string{"Pending", "Initializing", "Running"} {
			time.Sleep(time.Minute)
			b.server.SetPhase(id, p, "")
			b.server.AddEvent(id, runaitest.Event{Reason: "Scheduled", Message: p})
			b.round()
		}
		b.server.SetMetric(id, "GPU_UTILIZATION", "85")
		time.Sleep(2 * time.Minute)
		b.round()
		j := b.job(id)
		if v, ok := j.Reading(collector.GPUUtilization, ""); !ok || v != 0.85 {
			t.Errorf("utilisation %v %v", v, ok)
		}
		if v, _ := j.Reading(collector.GPUAllocated, ""); v != 8 {
			t.Errorf("allocated %v", v)
		}
		b.server.AddEvent(id, runaitest.Event{Reason: "OOMKilling", Type: "Warning", Message: "Memory cgroup out of memory"})
		b.server.SetPhase(id, "Failed", "exit code 137")
		time.Sleep(10 * time.Second)
		b.round()
		j = b.job(id)
		if j.Phase != collector.Failed || j.ErrorType != "out_of_memory" || j.Info.Framework != "PyTorch" || j.Info.Owner != "ada" {
			t.Errorf("job %+v %+v", j, j.Info)
		}
		b.same(id)
		time.Sleep(time.Minute)
		b.round()
		if j := b.job(id); j.Reconciled != 1 || j.Late != 0 {
			t.Errorf("reconciled %d late %d", j.Reconciled, j.Late)
		}
		b.lawful()
	})
}
