package wandbtest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func status(c *call, code int, detail string) reply {
	return reply{status: code, body: appendDetail(c.buf, detail)}
}

// appendDetail is the body of an application error.
func appendDetail(b []byte, detail string) []byte {
	b = append(b, `{"detail":`...)
	return append(appendString(b, detail), '}')
}

// appendInvalid is the body of a validation error: where is "query" or "body", field the parameter.
func appendInvalid(b []byte, where, field, message, kind string) []byte {
	b = append(b, `{"detail":[{"type":`...)
	b = appendString(b, kind)
	b = append(b, `,"loc":[`...)
	b = appendString(b, where)
	if field != "" {
		b = appendString(append(b, ','), field)
	}
	b = append(b, `],"msg":`...)
	b = appendString(b, message)
	return append(b, "}]}"...)
}

func invalid(c *call, where, field, message, kind string) reply {
	return reply{status: http.StatusUnprocessableEntity, body: appendInvalid(c.buf, where, field, message, kind)}
}

// answer makes the answer of a well-behaved service, but for faults in the shape of what it says.
func (s *Server) answer(c *call) reply {
	if c.op == OpUnknown {
		text := "Not Found"
		if c.status == http.StatusMethodNotAllowed {
			text = "Method Not Allowed"
		}
		return status(c, c.status, text)
	}
	if bad, ok := s.authorize(c); !ok {
		return bad
	}
	switch c.op {
	case OpEvents:
		return s.events(c)
	case OpGetJob:
		return s.getJob(c)
	case OpCheckpoints:
		return s.listCheckpoints(c)
	case OpHealth:
		return reply{status: http.StatusOK, body: append(c.buf, `{"status":"ok"}`...)}
	case OpSystemCheck:
		return systemCheck(c)
	case OpBaseModels:
		return baseModels(c)
	}
	return s.answerBody(c)
}

// answerBody is answer for the operations that have a body to read, and for deletion.
func (s *Server) answerBody(c *call) reply {
	switch c.op {
	case OpCreateJob, OpCreateSFTJob:
		return s.createJob(c)
	case OpCreateModel:
		return s.createModel(c)
	case OpDeleteModel:
		return s.deleteModel(c)
	case OpDeleteCheckpoints:
		return s.deleteCheckpoints(c)
	}
	return s.log(c)
}

func (s *Server) authorize(c *call) (reply, bool) {
	if c.op.open() {
		return reply{}, true
	}
	key := bearer(c.r)
	if key == "" {
		c.seen.NoAuth++
		r := status(c, http.StatusUnauthorized, "Not authenticated")
		r.header = http.Header{"Www-Authenticate": {"Bearer"}}
		return r, false
	}
	keys := *s.keys.Load()
	refused := c.f.Unauthorized && c.f.keyGen == s.keyGen.Load()
	if refused || len(keys) > 0 && !slices.Contains(keys, key) {
		c.seen.BadAuth++
		return status(c, http.StatusUnauthorized, "Invalid authentication credentials"), false
	}
	return reply{}, true
}

// limit reads the limit parameter.
func (c *call) limit() (int, reply, bool) {
	if !c.q.hasLimit {
		return 20, reply{}, true
	}
	n, err := strconv.Atoi(c.q.limit)
	var bad reply
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		bad = invalid(c, "query", "limit", "Input should be a valid integer, unable to parse string as an integer", "int_parsing")
	case n < 1:
		bad = invalid(c, "query", "limit", "Input should be greater than or equal to 1", "greater_than_equal")
	case n > 100:
		bad = invalid(c, "query", "limit", "Input should be less than or equal to 100", "less_than_equal")
	default:
		return n, reply{}, true
	}
	c.seen.BadLimit++
	return 0, bad, false
}

// maxBody is the largest request body that is read.
const maxBody = 256 << 20

// decode reads the request body into v; on failure the answer says why.
func decode(c *call, v any) (reply, bool) {
	err := json.NewDecoder(io.LimitReader(c.r.Body, maxBody)).Decode(v)
	if err == nil {
		return reply{}, true
	}
	c.seen.BadBody++
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) {
		return invalid(c, "body", typed.Field, "Input should be a valid "+typed.Type.String(), "type_error"), false
	}
	return invalid(c, "body", "", "JSON decode error", "json_invalid"), false
}

// missing is the answer to a body without a required field.
func missing(c *call, field string) reply {
	c.seen.BadBody++
	return invalid(c, "body", field, "Field required", "missing")
}

// graced counts a request about a job and is true while Faults.Grace hides it.
func (c *call) graced() bool {
	c.job.mu.Lock()
	defer c.job.mu.Unlock()
	c.job.polls++
	c.job.lastPoll = c.now
	return c.job.polls <= c.f.Grace
}

func (s *Server) getJob(c *call) reply {
	if c.job == nil {
		c.seen.UnknownID++
		return status(c, http.StatusNotFound, "Training job not found")
	}
	if c.graced() || c.f.NoGetJob {
		return status(c, http.StatusNotFound, "Training job not found")
	}
	c.job.mu.Lock()
	defer c.job.mu.Unlock()
	return reply{status: http.StatusOK, body: c.job.describe(c.buf, c.f)}
}

// describe writes a job: the documented id, and the fields that clients have been seen to read. The words of status are
// a guess.
func (j *job) describe(b []byte, f *faultState) []byte {
	b = appendString(append(b, `{"id":`...), j.id)
	if f.BareJob {
		return append(b, '}')
	}
	t := &j.truth
	word := map[Result]string{Queued: "PENDING", Running: "RUNNING", Success: "COMPLETED", Failure: "FAILED"}[t.result]
	b = appendString(append(b, `,"status":`...), word)
	b = appendTime(append(b, `,"training_start":`...), t.started)
	b = appendTime(append(b, `,"training_end":`...), t.ended)
	b = append(b, `,"error_message":`...)
	if t.hasMessage {
		b = appendString(b, t.message)
	} else {
		b = append(b, "null"...)
	}
	if f.ExtraFields {
		b = appendString(append(b, `,"object":"training_job","model_id":`...), j.modelID)
		b = appendTime(append(b, `,"created_at":`...), t.created)
	}
	return append(b, '}')
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	return t.UTC().AppendFormat(b, `"2006-01-02T15:04:05.000Z"`)
}

func systemCheck(c *call) reply {
	code, word := http.StatusOK, "ok"
	if c.f.Unhealthy {
		code, word = http.StatusServiceUnavailable, "error"
	}
	body := strings.ReplaceAll(`{"status":"?","checks":{"api":"ok","database":"ok","cpu_queue":"ok","gpu_queue":"?"}}`, "?", word)
	return reply{status: code, body: append(c.buf, body...)}
}

func baseModels(c *call) reply {
	const body = `{"object":"list","data":[{"id":"OpenPipe/Qwen3-14B-Instruct"},{"id":"Qwen/Qwen3-30B-A3B-Instruct-2507"}]}`
	return reply{status: http.StatusOK, body: append(c.buf, body...)}
}
