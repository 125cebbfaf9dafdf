package runaitest

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Operation names a route of the API.
type Operation string

// The operations.
const (
	OpTokenV1         Operation = "token_v1"
	OpTokenV2         Operation = "token_v2"
	OpList            Operation = "list_workloads"
	OpCount           Operation = "count_workloads"
	OpTelemetry       Operation = "telemetry"
	OpGet             Operation = "get_workload"
	OpGetTyped        Operation = "get_typed_workload"
	OpPods            Operation = "list_pods"
	OpAllPods         Operation = "list_all_pods"
	OpMetrics         Operation = "workload_metrics"
	OpPodMetrics      Operation = "pod_metrics"
	OpEvents          Operation = "list_events"
	OpHistory         Operation = "list_history"
	OpRevisions       Operation = "list_revisions"
	OpRevisionEvents  Operation = "list_revision_events"
	OpRevisionHistory Operation = "list_revision_history"
	OpClusters        Operation = "list_clusters"
	OpUnknown         Operation = "unknown"
)

// route finds the operation of a path, and the ids in it.
func (c *call) route(path string) {
	switch path {
	case "/api/v1/token":
		c.op = OpTokenV1
		return
	case "/api/v2/token":
		c.op = OpTokenV2
		return
	case "/api/v1/clusters":
		c.op = OpClusters
		return
	case "/api/v1/workloads":
		c.op = OpList
		return
	}
	c.op = OpUnknown
	if rest, ok := strings.CutPrefix(path, "/api/v1/workloads/"); ok {
		c.routeWorkload(strings.Split(rest, "/"))
	}
}

func (c *call) routeWorkload(parts []string) {
	switch parts[0] {
	case "":
		return
	case "count", "telemetry", "pods":
		if len(parts) == 1 {
			c.op = map[string]Operation{"count": OpCount, "telemetry": OpTelemetry, "pods": OpAllPods}[parts[0]]
		}
		return
	case "trainings", "distributed", "workspaces", "inferences", "distributed-inferences":
		c.family = parts[0]
		c.routeTyped(parts[1:])
		return
	}
	c.id = parts[0]
	switch {
	case len(parts) == 1:
		c.op = OpGet
	case len(parts) == 2:
		c.op = last(parts[1], map[string]Operation{"pods": OpPods, "metrics": OpMetrics, "events": OpEvents, "history": OpHistory})
	case len(parts) == 4 && parts[1] == "pods" && parts[3] == "metrics":
		c.op, c.pod = OpPodMetrics, parts[2]
	}
}

func (c *call) routeTyped(parts []string) {
	switch {
	case len(parts) == 1:
		c.op, c.id = OpGetTyped, parts[0]
	case c.family != "inferences":
	case len(parts) == 2 && parts[1] == "revisions":
		c.op, c.id = OpRevisions, parts[0]
	case len(parts) == 3 && parts[0] == "revisions":
		c.op = last(parts[2], map[string]Operation{"events": OpRevisionEvents, "history": OpRevisionHistory})
		c.revision = parts[1]
	}
}

func last(part string, ops map[string]Operation) Operation {
	if op, ok := ops[part]; ok {
		return op
	}
	return OpUnknown
}

// call is one request on its way.
type call struct {
	s        *Server
	r        *http.Request
	now      time.Time
	op       Operation
	family   string // of the endpoint for one type
	id       string // of the workload
	pod      string
	revision string
	q        url.Values
	f        *faultState
	enc      enc // for the body of the answer
	wrong    []string
	expired  bool // the token was
	refused  bool // the credentials were
	items    int  // that were sent
}

// violate notes what a good client does not do.
func (c *call) violate(kind string) { c.wrong = append(c.wrong, kind) }

// reply is an answer before it is sent.
type reply struct {
	status int
	body   []byte
	header http.Header // beyond Content-Type application/json
}

func (c *call) ok() reply { return reply{status: http.StatusOK, body: c.enc.b} }

// problem is an answer with the Error body.
func (c *call) problem(status int, message string) reply {
	return reply{status: status, body: appendProblem(c.enc.b, status, message)}
}

func (c *call) bad(kind, message string) reply {
	c.violate(kind)
	return c.problem(http.StatusBadRequest, message)
}

func (c *call) notFound() reply { return c.problem(http.StatusNotFound, "Resource id not found.") }

func appendProblem(b []byte, status int, message string) []byte {
	e := enc{b: b}
	e.open()
	e.int("code", status)
	e.text("message", message)
	e.close()
	return e.b
}
