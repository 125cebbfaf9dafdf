package wandbtest

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
	OpCreateModel       Operation = "create_model"
	OpDeleteModel       Operation = "delete_model"
	OpLog               Operation = "log"
	OpCheckpoints       Operation = "list_checkpoints"
	OpDeleteCheckpoints Operation = "delete_checkpoints"
	OpCreateJob         Operation = "create_job"
	OpCreateSFTJob      Operation = "create_sft_job"
	OpGetJob            Operation = "get_job"
	OpEvents            Operation = "list_events"
	OpBaseModels        Operation = "base_models"
	OpHealth            Operation = "health"
	OpSystemCheck       Operation = "system_check"
	OpUnknown           Operation = "unknown"
)

// open operations need no key.
func (op Operation) open() bool {
	return op == OpHealth || op == OpSystemCheck || op == OpBaseModels || op == OpUnknown
}

// route finds the operation of a request and the id in its path. A known path with a wrong method is OpUnknown with
// status 405.
func (s *Server) route(r *http.Request) (op Operation, id string, status int) {
	path, ok := strings.CutPrefix(r.URL.Path, s.o.Prefix+"/")
	if !ok {
		return OpUnknown, "", http.StatusNotFound
	}
	if rest, ok := strings.CutPrefix(path, "preview/training-jobs/"); ok {
		id, tail, _ := strings.Cut(rest, "/")
		switch tail {
		case "":
			return only(r, http.MethodGet, OpGetJob, id)
		case "events":
			return only(r, http.MethodGet, OpEvents, id)
		}
		return OpUnknown, "", http.StatusNotFound
	}
	if rest, ok := strings.CutPrefix(path, "preview/models/"); ok {
		return routeModel(r, rest)
	}
	switch path {
	case "preview/training-jobs":
		return only(r, http.MethodPost, OpCreateJob, "")
	case "preview/sft-training-jobs":
		return only(r, http.MethodPost, OpCreateSFTJob, "")
	case "preview/models":
		return only(r, http.MethodPost, OpCreateModel, "")
	case "preview/base-models":
		return only(r, http.MethodGet, OpBaseModels, "")
	case "health":
		return only(r, http.MethodGet, OpHealth, "")
	case "system-check":
		return only(r, http.MethodGet, OpSystemCheck, "")
	}
	return OpUnknown, "", http.StatusNotFound
}

func routeModel(r *http.Request, rest string) (Operation, string, int) {
	id, tail, _ := strings.Cut(rest, "/")
	switch tail {
	case "":
		return only(r, http.MethodDelete, OpDeleteModel, id)
	case "log":
		return only(r, http.MethodPost, OpLog, id)
	case "checkpoints":
		if r.Method == http.MethodDelete {
			return OpDeleteCheckpoints, id, 0
		}
		return only(r, http.MethodGet, OpCheckpoints, id)
	}
	return OpUnknown, "", http.StatusNotFound
}

func only(r *http.Request, method string, op Operation, id string) (Operation, string, int) {
	if r.Method != method {
		return OpUnknown, id, http.StatusMethodNotAllowed
	}
	return op, id, 0
}

// query holds the parameters of a list. A parameter that is given twice counts once, the last time.
type query struct {
	after, limit, order string
	hasLimit, hasOrder  bool
	unknown             []string
}

func parseQuery(raw string, op Operation) query {
	var q query
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		q.set(unescape(key), unescape(value), op)
	}
	return q
}

func (q *query) set(key, value string, op Operation) {
	list := op == OpEvents || op == OpCheckpoints
	switch {
	case list && key == "after":
		q.after = value
	case list && key == "limit":
		q.limit, q.hasLimit = value, true
	case op == OpCheckpoints && key == "order":
		q.order, q.hasOrder = value, true
	default:
		q.unknown = append(q.unknown, key)
	}
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// call is one request on its way.
type call struct {
	r      *http.Request
	now    time.Time
	op     Operation
	status int // why the operation is unknown
	id     string
	job    *job
	q      query
	f      *faultState
	buf    []byte   // for the body of the answer
	seen   Counters // what this request adds
}

// reply is an answer before it is sent.
type reply struct {
	status int
	body   []byte
	header http.Header // beyond Content-Type application/json
}
