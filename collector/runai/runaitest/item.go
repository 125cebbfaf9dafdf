package runaitest

import (
	"strconv"
	"strings"
	"time"
)

// Canary is the value of a secret among the environment variables and in the signed URLs that every workload shows. No client may
// ever show it.
const Canary = "canary-secret-that-must-not-leave"

// phaseOf is the phase of a workload as the faults in force show it.
func (c *call) phaseOf(phase string) string {
	if c.f.ExtraPhase != "" {
		return c.f.ExtraPhase
	}
	return phase
}

// item writes a workload as listings and GET /workloads/{id} show it.
func (c *call) item(w *workload) {
	e := &c.enc
	e.open()
	e.text("id", w.ID)
	e.int("tenantId", 1001)
	e.text("name", w.Name)
	e.text("type", w.Type)
	if !c.f.OldVersion {
		e.text("category", w.Category)
	}
	e.raw("source", `"Control-plane","sourceApi":null`)
	if c.f.NullValues {
		e.raw("priority", "null")
	} else {
		e.int("priority", priority)
		e.raw("preemptible", "true")
	}
	e.text("priorityClassName", priorityClass)
	e.text("clusterId", c.s.cluster.ID)
	e.digits("projectId", w.ProjectID)
	e.text("projectName", w.Project)
	e.digits("departmentId", departmentID)
	e.text("departmentName", departmentName)
	e.text("namespace", w.namespace())
	if w.SubmittedBy != "" {
		e.text("submittedBy", w.SubmittedBy)
	}
	c.itemState(w)
	c.itemResources(w)
	e.raw("environmentVariables", `{"API_TOKEN":"`+Canary+`"},"urls":["https://files.test/o?X-Signature=`+Canary+`"],"images":["made/up:1"]`)
	if c.f.ExtraFields {
		e.raw("additionalFields", `{"nested":{"list":[1,"two",null]}},"actionsSupport":{"stop":true},"madeUp":0.5`)
	}
	e.close()
}

func (c *call) itemState(w *workload) {
	e := &c.enc
	e.time("createdAt", w.CreatedAt)
	e.text("phase", c.phaseOf(w.phase))
	e.text("phaseMessage", w.message)
	e.raw("phaseReason", "null")
	e.time("phaseUpdatedAt", w.phaseAt)
	e.text("k8sPhase", k8sPhase(w.phase))
	e.time("k8sPhaseUpdatedAt", w.phaseAt)
	e.time("updatedAt", w.updated)
	e.time("completedAt", w.completed)
	e.time("deletedAt", w.deleted)
	e.raw("guaranteedRuntimeEndsAt", "null")
	e.raw("conditions", "[]")
	e.int("runningPods", w.running)
	if c.f.NullValues {
		e.raw("requestedPods", `{"number":null,"min":null,"max":null,"parallelism":null,"completions":null}`)
		e.raw("totalPendingTimeSeconds", `null,"totalRunningTimeSeconds":null`)
		return
	}
	e.key("requestedPods")
	e.b = append(e.b, `{"number":`...)
	e.b = strconv.AppendInt(e.b, int64(w.Pods), 10)
	e.b = append(e.b, `,"min":null,"max":null,"parallelism":null,"completions":null}`...)
	if !c.f.OldVersion {
		waited, ran := w.totals(c.now)
		e.int("totalPendingTimeSeconds", int(waited/time.Second))
		e.int("totalRunningTimeSeconds", int(ran/time.Second))
	}
}

func (c *call) itemResources(w *workload) {
	e := &c.enc
	if c.f.NullValues {
		e.raw("allocatedResources", `null,"workloadRequestedResources":null,"podsRequestedResources":null,"idleAllocatedGpus":null`)
		return
	}
	e.key("allocatedResources")
	e.open()
	e.float("gpu", w.allocated())
	e.raw("gpuMemory", "null")
	e.float("cpu", 4*float64(w.running))
	e.raw("cpuMemory", `"`+strconv.Itoa(16*w.running)+`Gi"`)
	e.close()
	e.key("workloadRequestedResources")
	e.b = append(e.b, `{"gpuRequestType":"portion","gpu":{"limit":null,"request":`...)
	e.b = strconv.AppendFloat(e.b, w.GPUs, 'f', -1, 64)
	e.b = append(e.b, `},"extendedResources":[]}`...)
	e.int("idleGpus", int(w.idle))
	e.float("idleAllocatedGpus", w.idle)
	if w.Framework != "" {
		e.text("distributedFramework", w.Framework)
	}
	e.key("currentNodePools")
	e.b = append(appendString(append(e.b, '['), w.Nodepool), ']')
}

func (w *workload) namespace() string { return "runai-" + strings.ToLower(w.Project) }

// k8sPhase is a word of Kubernetes for a phase.
func k8sPhase(phase string) string {
	switch phase {
	case "Running", "Degraded", "Updating":
		return "Running"
	case "Completed":
		return "Succeeded"
	case "Failed":
		return "Failed"
	}
	return "Pending"
}

// typed answers the endpoints for one type, whose shape is another.
func (c *call) typed(w *workload) reply {
	if family(w.Type) != c.family {
		return c.notFound()
	}
	e := &c.enc
	e.open()
	e.text("name", w.Name)
	e.text("requestedName", w.Name)
	e.text("workloadId", w.ID)
	e.digits("projectId", w.ProjectID)
	e.digits("departmentId", departmentID)
	e.text("clusterId", c.s.cluster.ID)
	e.text("createdBy", w.SubmittedBy)
	e.time("createdAt", w.CreatedAt)
	e.time("deletedAt", w.deleted)
	e.text("desiredPhase", desired(w))
	e.text("actualPhase", c.phaseOf(w.phase))
	e.raw("spec", `{"image":"made/up:1","environmentVariables":[{"name":"API_TOKEN","value":"`+Canary+`"}]}`)
	e.close()
	return c.ok()
}

func desired(w *workload) string {
	switch {
	case !w.deleted.IsZero() || w.phase == "Deleting":
		return "Deleted"
	case w.phase == "Stopped" || w.phase == "Stopping":
		return "Stopped"
	}
	return "Running"
}

// clusters answers GET /clusters with an array.
func (s *Server) clusters(c *call) reply {
	e := &c.enc
	e.b = append(e.b, '[')
	e.open()
	e.text("uuid", s.cluster.ID)
	e.text("name", s.cluster.Name)
	e.text("version", s.cluster.Version)
	e.key("status")
	e.open()
	e.text("state", s.cluster.State)
	e.close()
	if s.cluster.State == "Connected" {
		e.time("lastLiveness", c.now)
	} else {
		e.raw("lastLiveness", "null")
	}
	e.close()
	c.badItem(true)
	e.b = append(e.b, ']')
	return c.ok()
}
