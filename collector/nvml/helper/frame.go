package helper

import (
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Bounds of what a helper tells.
const (
	MaxGPUs      = 64   // GPUs
	MaxInstances = 8    // MIG instances of a GPU
	MaxValues    = 4096 // values of a GPU or instance
	MaxPIDs      = 1024 // processes of a GPU or instance
	MaxXIDs      = 2048 // pairs of GPU and code
)

// Options are what the parent wants of a helper.
type Options struct {
	Library   string        `cbor:"1,keyasint,omitempty"`
	Interval  time.Duration `cbor:"2,keyasint"`           // between ticks
	Slow      time.Duration `cbor:"3,keyasint"`           // between readings of driver.Health
	Profiling bool          `cbor:"4,keyasint,omitempty"` // read driver.Profile
	Processes bool          `cbor:"5,keyasint,omitempty"` // read driver.Processes
	HungAfter time.Duration `cbor:"6,keyasint,omitempty"` // how long a call may take; default 5 s
}

// Frame is what a helper knows at one moment.
type Frame struct {
	Sequence uint64                   `cbor:"1,keyasint"`
	At       collector.Time           `cbor:"2,keyasint"`
	Versions collector.DriverVersions `cbor:"3,keyasint"`
	Fault    string                   `cbor:"4,keyasint,omitempty"` // one of collector.GPUFaults; Starting until the driver answers
	Detail   string                   `cbor:"5,keyasint,omitempty"` // the same in words
	Again    string                   `cbor:"6,keyasint,omitempty"` // why this is the last frame
	Init     time.Duration            `cbor:"7,keyasint,omitempty"` // what the driver's initialisation took
	GPUs     []GPU                    `cbor:"8,keyasint,omitempty"`
	XIDs     []XID                    `cbor:"9,keyasint,omitempty"`
	Calls    []collector.CallCost     `cbor:"10,keyasint,omitempty"`
}

// Starting is the fault of a helper whose driver has not answered yet.
const Starting = "starting"

// GPU is a GPU, or a MIG instance of one: its Info.Parent tells which.
type GPU struct {
	Index  int                  `cbor:"1,keyasint"`
	ID     string               `cbor:"2,keyasint,omitempty"` // empty until it was opened
	Info   collector.GPUInfo    `cbor:"3,keyasint"`
	State  State                `cbor:"4,keyasint"`
	Since  collector.Time       `cbor:"5,keyasint"`           // of the state
	ReadAt collector.Time       `cbor:"6,keyasint,omitempty"` // when the values were read
	Age    time.Duration        `cbor:"7,keyasint,omitempty"` // how long ago that was, by a clock that nobody sets
	Rounds uint64               `cbor:"8,keyasint,omitempty"` // how often it was read
	Values []collector.GPUValue `cbor:"9,keyasint,omitempty"` // none unless it is OK or Slow
	PIDs   []int                `cbor:"10,keyasint,omitempty"`
}

// XID is how often an XID was seen since the helper started.
type XID struct {
	ID   string         `cbor:"1,keyasint"` // of the GPU
	Code string         `cbor:"2,keyasint"` // a number, or collector.OtherClass
	N    uint64         `cbor:"3,keyasint"`
	Last collector.Time `cbor:"4,keyasint"`
}

// State is how a GPU does.
type State uint8

// The states of a GPU.
const (
	Slow   State = iota // it was not opened yet, or has been read for longer than an interval
	OK                  // its last read came back
	Hung                // a call has not come back for long; no other is made
	Lost                // the driver says that it is lost or must be reset
	Failed              // it answers with errors
	states
)

// String is the state in words.
func (s State) String() string {
	if s >= states {
		return collector.OtherClass
	}
	return [...]string{"slow", "ok", "hung", "lost", "failed"}[s]
}
