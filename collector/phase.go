package collector

// Phase is where a job is in its life, the same nine words for every provider.
type Phase uint8

// The phases. The numbers are part of the durable record: append only.
const (
	Unknown Phase = iota
	Pending
	Initializing
	Running
	Paused
	Stopping
	Succeeded
	Failed
	Cancelled

	phaseCount = int(Cancelled) + 1
)

var phaseNames = [phaseCount]string{
	"unknown", "pending", "initializing", "running", "paused", "stopping", "succeeded", "failed", "cancelled",
}

// String is the label value of the phase.
func (p Phase) String() string {
	if int(p) >= phaseCount {
		return phaseNames[Unknown]
	}
	return phaseNames[p]
}

// Ended reports whether the job can make no more progress.
func (p Phase) Ended() bool { return p == Succeeded || p == Failed || p == Cancelled }

// Phases lists every phase in the order they are exposed.
func Phases() []Phase {
	return []Phase{Pending, Initializing, Running, Paused, Stopping, Succeeded, Failed, Cancelled, Unknown}
}

// Result is how a job ended.
type Result uint8

// The results. The numbers are part of the durable record: append only.
const (
	NoResult Result = iota
	Success
	Failure
	Errored
	TimedOut
	Cancellation

	resultCount = int(Cancellation) + 1
)

var resultNames = [resultCount]string{"", "success", "failure", "error", "timeout", "cancellation"}

// String is the label value of the result, empty while there is none.
func (r Result) String() string {
	if int(r) >= resultCount {
		return ""
	}
	return resultNames[r]
}

// Results lists every result a job can end with.
func Results() []Result { return []Result{Success, Failure, Errored, TimedOut, Cancellation} }

func resultOf(p Phase) Result {
	switch p {
	case Succeeded:
		return Success
	case Failed:
		return Failure
	case Cancelled:
		return Cancellation
	default:
		return NoResult
	}
}
