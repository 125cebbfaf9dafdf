package collector

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// EventType says what happened. Its String is the label training_event_type.
type EventType uint8

// The types of event. OtherEvent is one the source does not know; it is counted and has no other effect.
const (
	OtherEvent EventType = iota
	CreatedEvent
	StartedEvent
	StepEvent
	CheckpointEvent
	PhaseEvent
	NoticeEvent
	EndedEvent

	eventTypeCount = int(EndedEvent) + 1
)

var eventTypeNames = [eventTypeCount]string{
	"_OTHER", "created", "training_started", "gradient_step", "checkpoint", "phase_changed", "notice", "training_ended",
}

// String is the label value of the type.
func (t EventType) String() string {
	if int(t) >= eventTypeCount {
		return eventTypeNames[OtherEvent]
	}
	return eventTypeNames[t]
}

// Event is something that happened once to a job.
type Event struct {
	ID       string        // unique in its job: the provider's, or a hash of the content where it gives none
	Type     EventType     //
	Failed   bool          // an EndedEvent that is a failure
	Canceled bool          // an EndedEvent that is a cancellation
	Phase    Phase         // of a PhaseEvent
	Status   string        // the provider's word for the phase
	At       Time          // provider's time; unknown where the provider gives none
	Duration time.Duration // of a step, where the source knows it
	Limit    float64       // of a StartedEvent: planned steps; 0 is unknown
	Reason   string        // a short reason from a bounded set, for training_source_events_total; empty is none
	Message  string        // the provider's words; untrusted
	Readings []Reading     // values that the event carries
	Warning  bool          // a NoticeEvent that may say why a job fails soon after
	Bad      bool          // could not be read: counted as set aside, no other effect
}

// hashID is what the dedupe window keeps of an event id: 64 bits of SHA-256, because ids come from outside.
func hashID(id string) uint64 {
	var buf [64]byte
	sum := sha256.Sum256(append(buf[:0], id...))
	return binary.BigEndian.Uint64(sum[:8])
}

// Update is what one poll of one job, or one line of a listing, says about it. Absent parts change nothing.
type Update struct {
	Key    Key
	At     Time   // when the bridge saw it
	Info   Info   // known fields replace, empty ones keep
	Origin Origin // of a job that is new

	// Events in the provider's order, oldest first, those already known included: their place tells which new ones
	// are late. Events with a provider's time are sorted by it.
	Events   []Event
	Readings []Reading

	Phase   Phase  // a state the provider reports outside events; used where HasPhase
	Status  string // the provider's word for it
	Message string // why, if the phase is Failed
	// HasPhase tells a reported Unknown from no report.
	HasPhase bool
	PhaseAt  Time // when Phase began, where the provider tells; else it is when it was seen
	// Observed says that the provider keeps no events: that a phase was seen to change is counted as one.
	Observed bool

	Created, Started, Ended Time

	// Budget is what the source's configuration lets a job cost that says nothing itself, and Currency that of a budget which
	// names none; used where HasBudget. The scheduler sets them.
	Budget    Money
	Currency  string
	HasBudget bool

	Cursor    string // the new bookmark; used where HasCursor
	HasCursor bool
	More      bool // the backlog was not read to its end: poll again at once
	Soon      bool // of a listing: there is news that only a poll of the job tells, poll it before others
	Window    int  // how many of the newest event ids later polls may show again, if more than 64; at most 4,096
	Polled    bool // the job itself was asked, not only listed
	Began     Time // when the question was asked that this answers
	IfKnown   bool // a line of a listing that says nothing of a job that is new: it ended too long ago to be taken up
	Asked     Time // when it was asked before this, as far as is known: untimed events happened since then
	Fresh     bool // the job was created moments ago: there is no backlog
	NotFound  bool // the provider does not know the job
	Early     bool // the provider does not know the job yet: nothing was learned
	Absent    bool // a clean listing lacks the job
	Gap       bool // the provider no longer shows events between the last known and the first shown
	Listed    int  // after a full count of an ended job: the events the provider shows; used where Counted
	Counted   bool

	Unknown []string // names of fields or values the source did not understand
}

// Registration is a job that someone told the bridge about.
type Registration struct {
	Key   Key
	Info  Info
	Fresh bool // it was created just now
}
