package runaitest

import (
	"slices"
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
	return c.listing("pods", p, len(found), func(i int) { c.podItem(w, found[i], false) })
}

// podRef is a pod of a workload.
type podRef struct {
	of *workload
	i  int
}

// podFields are those that lists of pods sort and filter by.
var podFields = map[string]func(p podRef, cluster string) string{
	"clusterId":       func(_ podRef, cluster string) string { return cluster },
	"workloadId":      func(p podRef, _ string) string { return p.of.ID },
	"revisionId":      func(podRef, string) string { return "" },
	"nodeName":        func(p podRef, _ string) string { return p.of.podNode(p.i) },
	"currentNodepool": func(p podRef, _ string) string { return p.of.Nodepool },
	"createdAt":       func(p podRef, _ string) string { return string(appendTime(nil, p.of.CreatedAt, false)) },
	"completedAt":     func(p podRef, _ string) string { return string(appendTime(nil, p.of.completed, false)) },
	"deletedAt":       func(p podRef, _ string) string { return string(appendTime(nil, p.of.deleted, false)) },
}

// allPods answers GET /workloads/pods.
func (s *Server) allPods(c *call) reply {
	p, bad, ok := c.paging()
	if !ok {
		return bad
	}
	sortBy, given := c.param("sortBy")
	if !given {
		sortBy = "createdAt"
	}
	key, known := podFields[sortBy]
	if !known {
		return c.bad("bad_sort", "sortBy is not one of the allowed values")
	}
	ascending, bad, ok := c.ascending(true)
	if !ok {
		return bad
	}
	verbosity, given := c.param("verbosity")
	if given && verbosity != "brief" && verbosity != "full" {
		return c.bad("bad_pods", "verbosity must be brief or full")
	}
	found, bad, ok := s.selectPods(c)
	if !ok {
		return bad
	}
	if sortBy != "createdAt" { // they are sorted so
		slices.SortStableFunc(found, func(a, b podRef) int { return strings.Compare(key(a, s.cluster.ID), key(b, s.cluster.ID)) })
	}
	return c.listing("pods", p, len(found), func(i int) {
		if !ascending {
			i = len(found) - 1 - i
		}
		c.podItem(found[i].of, found[i].i, verbosity == "full")
	})
}

// selectPods are the pods that a list is asked for, oldest first.
func (s *Server) selectPods(c *call) ([]podRef, reply, bool) {
	deleted := false
	if text, given := c.param("deleted"); given {
		var err error
		if deleted, err = strconv.ParseBool(text); err != nil {
			return nil, c.bad("bad_filter", "deleted must be true or false"), false
		}
	}
	completed, _ := c.param("completed")
	if !slices.Contains([]string{"", "all", "true", "false"}, completed) {
		return nil, c.bad("bad_pods", "completed must be true, false or all"), false
	}
	conditions, bad, ok := c.podFilter()
	if !ok {
		return nil, bad, false
	}
	search, _ := c.param("search")
	var found []podRef
	for _, w := range s.find(query{deleted: deleted, sortBy: "createdAt"}, c.now) {
		if !c.f.OldVersion && (completed == "true" && w.completed.IsZero() || completed == "false" && !w.completed.IsZero()) {
			continue
		}
		for i := range w.Pods {
			if p := (podRef{w, i}); strings.Contains(w.podName(i), search) && holdAll(conditions, p, s.cluster.ID) {
				found = append(found, p)
			}
		}
	}
	return found, reply{}, true
}

// podFilter reads filterBy of a list of pods.
func (c *call) podFilter() ([]condition, reply, bool) {
	filter, given := c.param("filterBy")
	if !given {
		return nil, reply{}, true
	}
	if len(c.q["filterBy"]) > 1 {
		c.violate("repeated_filter")
	}
	var out []condition
	for text := range strings.SplitSeq(filter, ",") {
		at := strings.IndexAny(text, "=!<>")
		if at < 0 || len(text) < at+3 || podFields[text[:at]] == nil || !slices.Contains(operators, text[at:at+2]) {
			return nil, c.bad("bad_filter", "filterBy does not match the pattern: "+text), false
		}
		out = append(out, condition{name: text[:at], op: text[at : at+2], value: text[at+2:]})
	}
	return out, reply{}, true
}

func holdAll(conditions []condition, p podRef, cluster string) bool {
	for _, c := range conditions {
		c.field.text = func(*workload) string { return strings.Trim(podFields[c.name](p, cluster), `"`) }
		if !c.holds(p.of, p.of.CreatedAt) {
			return false
		}
	}
	return true
}

func (w *workload) podName(i int) string { return w.Name + "-worker-" + strconv.Itoa(i) }

func (w *workload) podID(i int) string { return uuid(w.seed+1, uint64(i)) }

func (w *workload) podPhase(i int) string {
	phase := k8sPhase(w.phase)
	if phase == "Running" && i >= w.running {
		return "Pending"
	}
	return phase
}

// podNode is the node of a pod; none if it waits.
func (w *workload) podNode(i int) string {
	if w.podPhase(i) == "Pending" {
		return ""
	}
	return "node-" + strconv.Itoa(i%8)
}

// RunningPods are the names of the pods of a workload that run now.
func (s *Server) RunningPods(id string) (names []string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	w := s.workloads[id]
	if w == nil || !w.deleted.IsZero() || !w.completed.IsZero() {
		return nil
	}
	for i := range w.Pods {
		if w.podPhase(i) == "Running" {
			names = append(names, w.podName(i))
		}
	}
	return names
}

func (c *call) podItem(w *workload, i int, full bool) {
	e := &c.enc
	e.open()
	e.text("id", w.podID(i))
	e.text("workloadId", w.ID)
	e.int("tenantId", 1001)
	e.text("clusterId", c.s.cluster.ID)
	e.digits("projectId", w.ProjectID)
	e.text("name", w.podName(i))
	e.text("priorityClassName", priorityClass)
	if node := w.podNode(i); node == "" {
		e.raw("nodeName", "null")
	} else {
		e.text("nodeName", node)
	}
	e.time("createdAt", w.CreatedAt)
	e.time("completedAt", w.completed)
	e.raw("containers", `[{"name":"main","image":"made/up:1"}]`)
	e.text("k8sPhase", w.podPhase(i))
	e.time("k8sPhaseUpdatedAt", w.phaseAt)
	e.time("updatedAt", w.updated)
	e.time("deletedAt", w.deleted)
	if full {
		e.text("workloadName", w.Name)
		e.text("projectName", w.Project)
	}
	e.close()
}
