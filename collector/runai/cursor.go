package runai

import (
	"encoding/json"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// cursor is how far a job was read. It is the job's bookmark, as JSON.
type cursor struct {
	V int `json:"v"`
	// Cut is the time up to which events are read for good: only later ones are looked at.
	Cut collector.Time `json:"c,omitempty"`
	// Seen is when the list of events was last read. What only the history shows of the time before is no news.
	Seen collector.Time `json:"e,omitempty"`
	// Sticky are events after Cut that the core may have forgotten that it counted: dated in the future, or repeated all the time.
	Sticky []sticky `json:"s,omitempty"`
	// Offset is how many events of a long backlog were read, oldest first; -1 says that such an order is not to be had.
	Offset int `json:"o,omitempty"`
	// Last is the newest event of that backlog that was read.
	Last collector.Time `json:"l,omitempty"`

	// PhaseCut and Phases are the same for changes of phase: those after PhaseCut that were counted.
	PhaseCut collector.Time `json:"p,omitempty"`
	Phases   []string       `json:"k,omitempty"`
	// Mark is the phase, and when it began, that the history was read for; empty if it never was.
	Mark string `json:"m,omitempty"`
	// Next is when to read the history again, and Until when to do that for the last time.
	Next  collector.Time `json:"n,omitempty"`
	Until collector.Time `json:"u,omitempty"`
}

type sticky struct {
	Key string         `json:"k"`
	At  collector.Time `json:"t"`
}

const (
	cursorVersion = 1
	maxSticky     = 32
	maxPhases     = 64
)

// cursorOf is the bookmark of a job. One that cannot be understood is replaced by what the job's record says: everything up to its
// last news was read.
func cursorOf(job *collector.Job, window time.Duration) cursor {
	var c cursor
	if job.Cursor != "" && json.Unmarshal([]byte(job.Cursor), &c) == nil && c.V == cursorVersion && c.sane() {
		return c
	}
	c = cursor{V: cursorVersion}
	if job.EventCount() > 0 {
		c.Cut = job.Updated.Add(-window)
		c.PhaseCut, c.Seen = c.Cut, job.Updated
	}
	return c
}

func (c *cursor) sane() bool {
	return c.Cut >= 0 && c.PhaseCut >= 0 && c.Offset >= -1 && len(c.Sticky) <= maxSticky && len(c.Phases) <= maxPhases
}

// text is the cursor as the job keeps it.
func (c *cursor) text() (string, error) {
	b, err := json.Marshal(c)
	return string(b), err
}

// stuck reports whether an event was counted that the core may have forgotten.
func (c *cursor) stuck(id string) bool {
	for _, s := range c.Sticky {
		if s.Key == id {
			return true
		}
	}
	return false
}

// follow notes where the events are now that are kept: those that repeat move.
func (c *cursor) follow(events []collector.Event) {
	for i := range c.Sticky {
		for _, e := range events {
			if e.ID == c.Sticky[i].Key {
				c.Sticky[i].At = max(c.Sticky[i].At, e.At)
			}
		}
	}
}

// advance moves the cut on, and drops what is before it.
func (c *cursor) advance(to collector.Time) {
	if to <= c.Cut {
		return
	}
	c.Cut = to
	kept := c.Sticky[:0:0]
	for _, s := range c.Sticky {
		if s.At > to {
			kept = append(kept, s)
		}
	}
	c.Sticky = kept
}
