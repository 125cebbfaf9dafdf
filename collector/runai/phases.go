package runai

import (
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

// phaseOf is our word for the service's. The service's own "Unknown" is known; any word that is not documented is not.
//
// Stopped is no end: a stopped workload can be resumed. Degraded runs with fewer pods than it should.
func phaseOf(word string) (p collector.Phase, known bool) {
	switch strings.ToLower(word) {
	case "creating", "pending":
		return collector.Pending, true
	case "initializing", "resuming":
		return collector.Initializing, true
	case "running", "updating", "degraded":
		return collector.Running, true
	case "stopped":
		return collector.Paused, true
	case "stopping", "deleting", "terminating":
		return collector.Stopping, true
	case "completed":
		return collector.Succeeded, true
	case "failed":
		return collector.Failed, true
	case "unknown":
		return collector.Unknown, true
	}
	return collector.Unknown, false
}

// phaseRank orders phases that began at the same moment as a workload goes through them.
func phaseRank(word string) byte {
	order := [...]string{
		"creating", "pending", "resuming", "initializing", "updating", "running", "degraded", "stopping", "terminating", "stopped", "completed",
		"failed", "deleting",
	}
	for i, w := range order {
		if strings.EqualFold(w, word) {
			return byte('a' + i)
		}
	}
	return 'z'
}

// deletedStatus is the status of a workload that was deleted before it ended.
const deletedStatus = "Deleted"
