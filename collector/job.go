package collector

import "strings"

// Key names a job: the operator's name of the source, and the provider's id in it. The source name, not the host, is
// part of it, so that a service that moves to another host does not recount everything.
type Key struct {
	Source string `cbor:"1,keyasint"`
	ID     string `cbor:"2,keyasint"`
}

// String is the key as messages show it.
func (k Key) String() string { return k.Source + "/" + k.ID }

// Info is who a job is: free text that stands once, on the info series, never on values. Empty is unknown.
type Info struct {
	Name      string `cbor:"1,keyasint,omitempty"`
	Provider  string `cbor:"2,keyasint,omitempty"` // the kind of source, such as "wandb"
	Project   string `cbor:"3,keyasint,omitempty"`
	Group     string `cbor:"4,keyasint,omitempty"` // the run that several jobs belong to
	Owner     string `cbor:"5,keyasint,omitempty"`
	Framework string `cbor:"6,keyasint,omitempty"`
	BaseModel string `cbor:"7,keyasint,omitempty"`
	Kind      string `cbor:"8,keyasint,omitempty"` // such as "rl" or "sft"
	GPUModel  string `cbor:"9,keyasint,omitempty"`
	URL       string `cbor:"10,keyasint,omitempty"` // where a person can look at the job
	Model     string `cbor:"11,keyasint,omitempty"` // the provider's id of the model that is trained; not exposed
	Budget    string `cbor:"12,keyasint,omitempty"` // what the job may cost, as [ParseBudget] reads it; exposed as a reading
}

// merge returns i with every field that o knows.
func (i Info) merge(o Info) Info {
	for _, f := range []struct{ to, from *string }{
		{&i.Name, &o.Name}, {&i.Provider, &o.Provider}, {&i.Project, &o.Project}, {&i.Group, &o.Group}, {&i.Owner, &o.Owner},
		{&i.Framework, &o.Framework}, {&i.BaseModel, &o.BaseModel}, {&i.Kind, &o.Kind}, {&i.GPUModel, &o.GPUModel}, {&i.URL, &o.URL},
		{&i.Model, &o.Model}, {&i.Budget, &o.Budget},
	} {
		if *f.from != "" {
			*f.to = Clean(*f.from)
		}
	}
	return i
}

// Origin says how the bridge came to know a job, which decides whether a listing that lacks it means anything.
type Origin uint8

// The origins. The numbers are part of the durable record: append only.
const (
	Listed     Origin = iota // found by Source.List; a clean listing without it means it is gone
	Registered               // told by someone through the bridge; stays until it ends
)

// Reading is the latest value of one number of a job. NaN and infinities are values. Null is how some services send NaN:
// the last value is withdrawn, and the reading stays only to remember when.
type Reading struct {
	Metric Metric  `cbor:"1,keyasint"`
	Null   bool    `cbor:"2,keyasint,omitempty"`
	Label  string  `cbor:"3,keyasint,omitempty"` // the value of the row's own label; several are joined by [JoinLabels]
	Value  float64 `cbor:"4,keyasint"`
	At     Time    `cbor:"5,keyasint"` // when it was true; set by Reduce where the source leaves it unknown
	// Gone withdraws the last value: the provider tells no more of it, as of a GPU that the job gave back. Nothing is wrong.
	Gone bool `cbor:"-"`
}

const labelSeparator = "\x1f"

// JoinLabels makes the Label of a reading whose row has several labels of its own.
func JoinLabels(values ...string) string { return strings.Join(values, labelSeparator) }

// Count is a named counter.
type Count struct {
	Name string `cbor:"1,keyasint"`
	N    uint64 `cbor:"2,keyasint"`
}

// Job is everything the bridge knows about one job. A published job is immutable: Reduce makes a new one. The struct is
// also the durable record; its cbor numbers are never reused.
type Job struct {
	Key       Key    `cbor:"1,keyasint"`
	Info      *Info  `cbor:"2,keyasint"` // shared between versions; never nil, never written after publishing
	Origin    Origin `cbor:"3,keyasint,omitempty"`
	Attempt   uint32 `cbor:"4,keyasint"`           // 1 at first; a job that starts afresh is a new attempt with a new trace
	Phase     Phase  `cbor:"5,keyasint"`           //
	Status    string `cbor:"6,keyasint,omitempty"` // the provider's own word
	Result    Result `cbor:"7,keyasint,omitempty"`
	ErrorType string `cbor:"8,keyasint,omitempty"` // the class of a failure, from a closed set
	Message   string `cbor:"9,keyasint,omitempty"` // the provider's words about the failure

	FirstSeen Time   `cbor:"10,keyasint"`           // when the bridge first knew the job
	Birth     Time   `cbor:"11,keyasint,omitempty"` // start of the job's counters; unknown if events had happened before FirstSeen
	Created   Time   `cbor:"12,keyasint,omitempty"`
	Started   Time   `cbor:"13,keyasint,omitempty"`
	Ended     Time   `cbor:"14,keyasint,omitempty"`
	Updated   Time   `cbor:"15,keyasint,omitempty"` // last news
	LastStep  Time   `cbor:"16,keyasint,omitempty"`
	Since     Time   `cbor:"17,keyasint"` // when the phase began
	PhaseSeq  uint32 `cbor:"18,keyasint"` // phases begun in this attempt; part of span ids

	Cursor     string   `cbor:"20,keyasint,omitempty"` // the source's own bookmark
	Window     []uint64 `cbor:"21,keyasint,omitempty"` // hashes of the newest event ids, oldest first
	Live       bool     `cbor:"22,keyasint,omitempty"` // the backlog has been read: what comes now is fresh
	Missing    uint8    `cbor:"23,keyasint,omitempty"` // polls in a row that did not find the job
	Gone       bool     `cbor:"24,keyasint,omitempty"` // no longer listed, or not found: nobody can say how it ended
	Reconciled uint8    `cbor:"25,keyasint,omitempty"` // full counts made after the end
	Hidden     bool     `cbor:"26,keyasint,omitempty"` // gone for so long that its series left

	Steps     uint64     `cbor:"30,keyasint,omitempty"` // distinct gradient steps
	Events    []Count    `cbor:"31,keyasint,omitempty"` // distinct events by type
	NonFinite []Count    `cbor:"32,keyasint,omitempty"` // null, NaN and infinite values by name
	Restarts  uint64     `cbor:"33,keyasint,omitempty"`
	Readings  []Reading  `cbor:"34,keyasint,omitempty"` // sorted by metric and label
	StepTimes *Histogram `cbor:"35,keyasint,omitempty"` // durations of steps where the source knows them
	Intervals []float32  `cbor:"36,keyasint,omitempty"` // seconds between the latest steps, newest last
	Bad       uint64     `cbor:"38,keyasint,omitempty"` // items that could not be read and were set aside
	Late      uint64     `cbor:"39,keyasint,omitempty"` // events that only a full count found

	Trace TraceState `cbor:"40,keyasint"`

	NonFiniteAt Time `cbor:"41,keyasint,omitempty"` // when such a value last came; unknown for those of a backlog without times

	trace TraceID `cbor:"-"` // of the attempt, once it was computed
}

// TraceID is the trace of the job's attempt.
func (j *Job) TraceID() TraceID {
	if j.trace == (TraceID{}) {
		return TraceIDOf(j.Key, j.Attempt)
	}
	return j.trace
}

// EventCount is the number of distinct events counted, with those set aside.
func (j *Job) EventCount() uint64 {
	n := j.Bad
	for _, c := range j.Events {
		n += c.N
	}
	return n
}

// Done reports whether the job will change no more: it ended, or nobody can say what became of it.
func (j *Job) Done() bool { return j.Phase.Ended() || j.Gone }

// caughtUp reports whether the job's counts are complete. Those of a backlog that is still being read would look like progress.
func (j *Job) caughtUp() bool { return j.Live || j.Done() }

// counted reports whether the job's end stands in the totals.
func (j *Job) counted() bool { return j.Result != NoResult && !j.Trace.Open && j.Ended.Known() }

// TellsSteps reports whether the provider tells of gradient steps: one that states phases may know of none.
func (j *Job) TellsSteps() bool {
	return j.Steps > 0 || j.Status == "" || countOf(j.Events, StartedEvent.String()) > 0
}

// Reading returns the latest value of a metric; false if there is none.
func (j *Job) Reading(m Metric, label string) (float64, bool) {
	i, ok := findReading(j.Readings, m, label)
	if !ok || j.Readings[i].Null {
		return 0, false
	}
	return j.Readings[i].Value, true
}

// Knows reports whether an event id is among the newest the job has counted.
func (j *Job) Knows(eventID string) bool {
	h := hashID(eventID)
	for i := len(j.Window) - 1; i >= 0; i-- {
		if j.Window[i] == h {
			return true
		}
	}
	return false
}
