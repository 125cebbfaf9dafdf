package runaitest_test

import (
	"testing"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

// service is how a Server becomes the simulator of the conformance suite. It is an adapter because a simulator may not import
// the suite.
type service struct{ *runaitest.Server }

var _ collectortest.TokenService = service{}

func (s service) Truth() map[string]collectortest.Truth {
	phases := map[string]collector.Phase{
		"Creating": collector.Pending, "Pending": collector.Pending, "Initializing": collector.Initializing, "Resuming": collector.Initializing,
		"Running": collector.Running, "Degraded": collector.Running, "Updating": collector.Running, "Stopped": collector.Paused,
		"Stopping": collector.Stopping, "Terminating": collector.Stopping, "Deleting": collector.Stopping,
		"Completed": collector.Succeeded, "Failed": collector.Failed,
	}
	out := make(map[string]collectortest.Truth)
	for id, t := range s.Server.Truth() {
		if t.Result != "" {
			t.Phase = t.Result
		}
		out[id] = collectortest.Truth{Phase: phases[t.Phase], Events: t.Distinct() + len(t.Phases)}
	}
	return out
}

func TestService(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	id := w.AddWorkload(runaitest.Workload{})
	w.SetPhase(id, "Running", "")
	w.AddEvent(id, runaitest.Event{})
	if got := (service{w.Server}).Truth()[id]; got != (collectortest.Truth{Phase: collector.Running, Events: 3}) {
		t.Errorf("truth %+v", got)
	}
}
