package wandb

import (
	"testing"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

func TestLife(t *testing.T) {
	b := newBench(t, nil)
	id := b.server.AddJob(wandbtest.Job{})
	job, _ := b.poll(known(id))
	if job.Phase != collector.Pending {
		t.Fatalf("phase %v before any event", job.Phase)
	}
	b.server.Append(id, wandbtest.Started(130))
	b.server.Append(id, steps(0, 130)...)
	job = b.drain(job)
	if job.Phase != collector.Running || job.Cursor == "" {
		t.Fatalf("phase %v, cursor %q", job.Phase, job.Cursor)
	}
	b.server.Append(id, wandbtest.Ended())
	job = b.drain(job)
	b.same(job)
	if job.Phase != collector.Succeeded {
		t.Fatalf("phase %v after the end", job.Phase)
	}
	job, u := b.poll(job)
	if !u.Counted || u.Listed != 132 || job.Reconciled != 1 || job.Late != 0 {
		t.Fatalf("full count: %v %d, reconciled %d, late %d", u.Counted, u.Listed, job.Reconciled, job.Late)
	}
}
