package runaitest

import (
	"strconv"
	"strings"
)

// pods answers the pods of a workload. They follow from how many it has and how many run.
func (c *call) pods(w *workload) reply {
	p, bad, ok := c.paging()
	if !ok {
		return bad
	}
	search, _ := c.param("search")
	var found []int
	for i := range w.Pods {
		if strings.Contains(w.podName(i), search) {
			found = append(found, i)
		}
	}
	if deleted, _ := c.param("deleted"); (deleted == "true") == w.deleted.IsZero() {
		found = nil
	}
	return c.listing("pods", p, len(found), func(i int) { c.podItem(w, found[i]) })
}

func (w *workload) podName(i int) string { return w.Name + "-worker-" + strconv.Itoa(i) }

func (w *workload) podID(i int) string { return uuid(w.seed+1, uint64(i)) }

func (c *call) podItem(w *workload, i int) {
	phase := k8sPhase(w.phase)
	if phase == "Running" && i >= w.running {
		phase = "Pending"
	}
	e := &c.enc
	e.open()
	e.text("id", w.podID(i))
	e.text("workloadId", w.ID)
	e.text("clusterId", c.s.cluster.ID)
	e.text("name", w.podName(i))
	if phase == "Pending" {
		e.raw("nodeName", "null")
	} else {
		e.text("nodeName", "node-"+strconv.Itoa(i%8))
	}
	e.time("createdAt", w.CreatedAt)
	e.time("completedAt", w.completed)
	e.raw("containers", `[{"name":"main","image":"made/up:1"}]`)
	e.text("k8sPhase", phase)
	e.time("k8sPhaseUpdatedAt", w.phaseAt)
	e.time("updatedAt", w.updated)
	e.time("deletedAt", w.deleted)
	e.close()
}
