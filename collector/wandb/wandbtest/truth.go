package wandbtest

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Kind is the kind of a job.
type Kind string

// The two kinds of job.
const (
	RL  Kind = "rl"
	SFT Kind = "sft"
)

// Result is where a job has come to.
type Result string

// The results. The first training_ended or training_failed decides.
const (
	Queued  Result = "queued"  // no training_started yet
	Running Result = "running" // started, or stepping
	Success Result = "ended"
	Failure Result = "failed"
)

// Truth is what really happened on a server, to hold against what a client made of it.
type Truth struct {
	Jobs   map[string]JobTruth   `json:"jobs"`   // by job id, removed jobs left out
	Models map[string]ModelTruth `json:"models"` // by model id, removed jobs included
	Steps  int                   `json:"steps"`  // distinct gradient steps of all jobs there ever were
}

// JobTruth is what really happened to one job. Times are the server's clock when the event was committed; the API does
// not show them.
type JobTruth struct {
	ID       string         `json:"id"`
	ModelID  string         `json:"model_id"`
	Kind     Kind           `json:"kind"`
	Created  time.Time      `json:"created,omitzero"`
	Started  time.Time      `json:"started,omitzero"`
	Ended    time.Time      `json:"ended,omitzero"`
	LastStep time.Time      `json:"last_step,omitzero"`
	Planned  int            `json:"planned"` // num_sequences of the last training_started
	Steps    int            `json:"steps"`   // distinct gradient steps ever committed, pruned ones included
	Events   map[string]int `json:"events"`  // distinct events ever committed, by type
	Listed   int            `json:"listed"`  // events the API shows now

	// Loss is the last finite loss, nil if there was none. The loss of a step is loss/train, else policy_loss, else loss.
	Loss *float64 `json:"loss,omitempty"`
	// LossRaw is the loss of the last step that had one, as JSON text, or NaN, Infinity or -Infinity.
	LossRaw   string `json:"loss_raw"`
	Nonfinite int    `json:"nonfinite"` // values at the top of the data that were null or no finite number

	Result     Result `json:"result"`
	Message    string `json:"message,omitempty"`
	HasMessage bool   `json:"has_message"`

	Polls     int       `json:"polls"`              // requests made for this job
	LastPoll  time.Time `json:"last_poll,omitzero"` // the last of them
	Delivered time.Time `json:"delivered,omitzero"` // when the end was first part of an answer
}

// ModelTruth sums up the jobs of a model.
type ModelTruth struct {
	ID             string `json:"id"`
	Entity         string `json:"entity"`
	Project        string `json:"project"`
	Name           string `json:"name"`
	BaseModel      string `json:"base_model"`
	Jobs           int    `json:"jobs"` // ever created
	Steps          int    `json:"steps"`
	Ended          int    `json:"ended"`
	Failed         int    `json:"failed"`
	Checkpoints    int    `json:"checkpoints"`
	LastCheckpoint int    `json:"last_checkpoint"` // the highest step; -1 without a checkpoint
}

// tally is the running form of JobTruth.
type tally struct {
	created, started, ended, lastStep, delivered time.Time

	events     [4]int // in the order of eventTypes
	others     map[string]int
	planned    int
	loss       float64 // NaN: none
	lossRaw    string
	nonfinite  int
	result     Result
	message    string
	hasMessage bool
}

var eventTypes = [4]string{TypeStarted, TypeStep, TypeEnded, TypeFailed}

func (t *tally) count(typ string) {
	for i, known := range eventTypes {
		if typ == known {
			t.events[i]++
			return
		}
	}
	if t.others == nil {
		t.others = make(map[string]int)
	}
	t.others[typ]++
}

// steps is the number of distinct gradient steps.
func (t *tally) steps() int { return t.events[1] }

// fold notes an event that was committed at now. A late one counts, but is not the last of anything.
func (t *tally) fold(e Event, now time.Time, late bool) {
	t.count(e.Type)
	switch e.Type {
	case TypeStarted:
		t.planned = int(e.number("num_sequences"))
		t.run(now)
	case TypeStep:
		t.run(now)
		t.lastStep = now
		t.foldStep(e, late)
	case TypeEnded:
		t.end(Success, now)
	case TypeFailed:
		if t.end(Failure, now) {
			t.message, t.hasMessage = e.message()
		}
	}
}

func (t *tally) run(now time.Time) {
	if t.started.IsZero() {
		t.started = now
	}
	if t.result == Queued {
		t.result = Running
	}
}

func (t *tally) end(r Result, now time.Time) bool {
	if !t.ended.IsZero() {
		return false
	}
	t.ended, t.result = now, r
	return true
}

func (t *tally) foldStep(e Event, late bool) {
	raws := e.raws()
	loss := ""
	for key, raw := range raws {
		if !finite(raw) {
			t.nonfinite++
		}
		if rank(key) > rank(loss) {
			loss = key
		}
	}
	if loss == "" || late {
		return
	}
	t.lossRaw = raws[loss]
	if f, err := strconv.ParseFloat(t.lossRaw, 64); err == nil && finite(t.lossRaw) {
		t.loss = f
	}
}

// rank orders the keys that may carry the loss.
func rank(key string) int {
	switch key {
	case "loss/train":
		return 3
	case "policy_loss":
		return 2
	case "loss":
		return 1
	}
	return 0
}

// finite is false for null, for the spellings of NaN and infinity, and for numbers beyond a float64.
func finite(raw string) bool {
	text := strings.Trim(raw, `"`)
	if text == "null" {
		return raw != "null"
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return !errors.Is(err, strconv.ErrRange)
	}
	return !math.IsNaN(f) && !math.IsInf(f, 0)
}

// raws is the top of the event's data as JSON text by key, with NaN and infinities by their names.
func (e Event) raws() map[string]string {
	out := make(map[string]string, len(e.Values))
	switch {
	case e.Raw != nil:
		var m map[string]json.RawMessage
		if json.Unmarshal(e.Raw, &m) != nil {
			return nil
		}
		for k, v := range m {
			out[k] = string(v)
		}
	case e.Data != nil:
		for k, v := range e.Data {
			b, _ := appendAny(nil, v)
			out[k] = string(expand(nil, string(b), NonfiniteBare))
		}
	default:
		for _, v := range e.Values {
			b, _ := appendNumber(nil, v.Number)
			out[v.Key] = string(expand(nil, string(b), NonfiniteBare))
		}
	}
	return out
}

func (e Event) number(key string) float64 {
	f, err := strconv.ParseFloat(e.raws()[key], 64)
	if err != nil {
		return 0
	}
	return f
}

func (e Event) message() (string, bool) {
	var text string
	raw, ok := e.raws()["error_message"]
	if !ok || json.Unmarshal([]byte(raw), &text) != nil {
		return "", false
	}
	return text, true
}
