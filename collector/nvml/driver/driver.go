// Package driver is how the helper of package nvml sees the driver of the GPUs. Open gives the real one, through NVIDIA's library;
// tests and the demo have others.
//
// Calls may never return: a GPU that hangs takes the thread that asks it. Whoever calls must be able to live without an answer.
// Methods of different devices may be called at the same time; those of one device one after the other.
package driver

import (
	"errors"
	"fmt"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Group is a set of calls that are made together, whose cost is counted together.
type Group uint8

// The groups. Identify and Open are counted like groups, but are not read.
const (
	Load      Group = iota // utilisation, memory, power, temperatures, clocks and why they are held down: every tick
	Fields                 // all that one batched field query gives: energy, throttle times, traffic and link errors: every tick
	Health                 // ECC, remapped rows, retired pages, PCIe link, limits, fabric: every slow tick
	Profile                // GPM, Hopper and later: every tick
	Processes              // which processes use the GPU: every tick if it is asked for
	Groups                 // how many there are
)

// String is the group as label nvml_call_group.
func (g Group) String() string {
	return [...]string{"load", "fields", "health", "profile", "processes"}[g]
}

// A Driver is a library that was initialised.
type Driver interface {
	Versions() collector.DriverVersions
	// Count is how many GPUs there are now.
	Count() (int, error)
	// Open finds the GPU with a number from 0 to Count()-1, and who it is.
	Open(index int) (Device, error)
	// Events starts to listen for XIDs of the given devices. It may be nil, with ErrNotSupported.
	Events(devices []Device) (Events, error)
}

// A Device is a GPU.
type Device interface {
	// Identity is who the GPU is now; a changed ID means that it is another one. It costs little.
	Identity() (Identity, error)
	// Instances are the MIG instances that the GPU is divided into, in no order; none if it is not.
	Instances() ([]Device, error)
	// Read appends the values of a group. What the GPU or the driver does not support is left out without an error; an
	// error means that the GPU is in trouble, and what was appended before is still true.
	Read(g Group, to *Values) error
}

// Identity is who a device is.
type Identity struct {
	ID   string // UUID
	Info collector.GPUInfo
}

// Process is one process that uses a GPU.
type Process struct{ PID int }

// Values receives what is read of one device. Reset keeps its memory.
type Values struct {
	Values []collector.GPUValue
	PIDs   []int // of group Processes
	// Calls is how many calls of Load or Health gave something or failed, and Failed how many of them failed. What is not
	// supported says nothing and is neither. A driver that does not count leaves both 0.
	Calls, Failed int
	// Beat, if there is one, is called before each call of the library that a reading makes: whoever watches it knows from that
	// which call has not come back, and since when.
	Beat func()
}

// Add appends a value. labels are those of the metric's row, in order.
func (v *Values) Add(m collector.GPUMetric, value float64, labels ...string) {
	v.Values = append(v.Values, collector.GPUValue{Metric: m, Label: collector.JoinLabels(labels...), Value: value})
}

// Reset empties v.
func (v *Values) Reset() { v.Values, v.PIDs, v.Calls, v.Failed = v.Values[:0], v.PIDs[:0], 0, 0 }

// Events tells of XIDs.
type Events interface {
	// Wait returns the next XID, or false after about d without one.
	Wait(d time.Duration) (XID, bool, error)
}

// XID is an error that the driver reported for a GPU.
type XID struct {
	ID   string // of the GPU; a MIG instance's stands for its GPU
	Code uint64
}

// Error is a failure of the driver. Only its kind matters to who handles it; the words are for people.
type Error struct {
	Kind Kind
	Op   string // what was called
	Code int    // the library's own code
	Text string // the library's own words
}

// Kind says what to do about an error.
type Kind uint8

// The kinds of errors.
const (
	Failed          Kind = iota // this call failed, the next may not
	Lost                        // the GPU is lost or must be reset
	Stale                       // the library must be initialised again: the driver was reloaded or is of another version
	NoLibrary                   // there is no library to load
	NoDriver                    // there is a library, but the driver is not loaded
	NoPermission                // the process may not use the driver
	VersionMismatch             // library and driver do not belong together
	NoGPU                       // there is a driver, but no GPU that it could drive
	NotBuiltIn                  // the program was built without cgo, or for a system without NVML
)

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Text == "":
		return fmt.Sprintf("%s: code %d", e.Op, e.Code)
	case e.Code == 0:
		return e.Op + ": " + e.Text
	}
	return fmt.Sprintf("%s: %s (code %d)", e.Op, e.Text, e.Code)
}

// ErrNotSupported is returned where a driver has nothing to offer.
var ErrNotSupported = errors.New("the driver or the GPU does not support it")

// KindOf is the kind of an error; Failed for errors that are not of a driver.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Failed
}

// Fault is the reason of collector.GPUFaults for an error of the whole driver.
func Fault(err error) string {
	switch KindOf(err) {
	case NoLibrary:
		return "no_library"
	case NoDriver:
		return "no_driver"
	case NoPermission:
		return "no_permission"
	case VersionMismatch:
		return "version_mismatch"
	case NoGPU:
		return "no_gpu"
	case NotBuiltIn:
		return "not_built_in"
	default:
		return collector.OtherClass
	}
}
