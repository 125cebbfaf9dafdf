package collector

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// TraceID and SpanID are the identifiers of OpenTelemetry.
type (
	TraceID [16]byte
	SpanID  [8]byte
)

// String is the id in lower-case hexadecimal.
func (t TraceID) String() string { return hex.EncodeToString(t[:]) }

// String is the id in lower-case hexadecimal.
func (s SpanID) String() string { return hex.EncodeToString(s[:]) }

// Span is one closed span of a job's trace. A span with the same id always has the same content.
type Span struct {
	TraceID TraceID
	ID      SpanID
	Parent  SpanID // zero for the root
	Name    string
	Start   Time
	End     Time
	Failed  bool   // status Error; otherwise Unset
	Message string // of the status
	Attrs   []Attr
	Events  []SpanEvent
	Dropped uint64 // events that did not fit
}

// SpanEvent is something that happened during a span.
type SpanEvent struct {
	At    Time
	Name  string
	Attrs []Attr
}

// Attr is an attribute of a span: a text, or a number where Text is empty and IsNumber is set.
type Attr struct {
	Key      string
	Text     string
	Number   float64
	IsNumber bool
	IsInt    bool // Number is an integer
}

func text(k, v string) Attr           { return Attr{Key: k, Text: v} }
func number(k string, v float64) Attr { return Attr{Key: k, Number: v, IsNumber: true} }
func integer(k string, v uint64) Attr {
	return Attr{Key: k, Number: float64(v), IsNumber: true, IsInt: true}
}
func boolean(k string) Attr { return Attr{Key: k, Text: "true"} }

// TraceState is what a job remembers about the spans it has sent. It is part of the durable record.
type TraceState struct {
	Marker  bool   `cbor:"1,keyasint,omitempty"` // training_started was sent
	Root    bool   `cbor:"2,keyasint,omitempty"` // the root was sent: nothing of this attempt may follow but late children
	Steps   uint64 `cbor:"3,keyasint,omitempty"` // gradient steps seen in this attempt
	From    Time   `cbor:"4,keyasint,omitempty"` // where the next step span starts
	Pending uint64 `cbor:"5,keyasint,omitempty"` // steps of the open window

	// Phase is the phase whose span is open, and Since its start. They run behind the job's own while only a listing has told
	// of a change: the poll that follows may know what happened in between, and a span cannot be taken back.
	Phase   Phase  `cbor:"6,keyasint,omitempty"`
	Since   Time   `cbor:"7,keyasint,omitempty"`
	Open    bool   `cbor:"8,keyasint,omitempty"`  // the job ended, and its end is not counted yet for the same reason
	Notes   []Note `cbor:"9,keyasint,omitempty"`  // of the open phase, oldest first
	Lost    uint64 `cbor:"10,keyasint,omitempty"` // notes that did not fit
	EndSeen Time   `cbor:"13,keyasint,omitempty"` // when the end was first heard of
	CauseAt Time   `cbor:"14,keyasint,omitempty"`
	Status  string `cbor:"12,keyasint,omitempty"` // the provider's word for Phase
	Cause   string `cbor:"11,keyasint,omitempty"` // class of the failure that the newest telling warning announces
}

// Note is a notice that becomes an event of its phase's span.
type Note struct {
	At      Time   `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint,omitempty"`
	Message string `cbor:"3,keyasint,omitempty"`
}

// TraceIDOf is the trace of one attempt of a job. Attempts count from 1. The id is a hash of length-prefixed parts, so that
// a replay, a restart and another replica agree on it and no two jobs share it.
func TraceIDOf(key Key, attempt uint32) (id TraceID) {
	copy(id[:], hashParts("trainbridge/trace/1", key.Source, key.ID, strconv.FormatUint(uint64(attempt), 10)))
	return id
}

// spanIDOf is the id of a span by what it stands for. The root has kind "root" and no key.
func spanIDOf(trace TraceID, kind, key string) (id SpanID) {
	copy(id[:], hashParts("trainbridge/span/1", string(trace[:]), kind, key))
	if id == (SpanID{}) {
		id[7] = 1
	}
	return id
}

func hashParts(parts ...string) []byte {
	var buf []byte
	for _, p := range parts {
		buf = binary.AppendUvarint(buf, uint64(len(p)))
		buf = append(buf, p...)
	}
	sum := sha256.Sum256(buf)
	return sum[:]
}
