package ledger

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/trainbridge/trainbridge/collector"
)

// kind is a bucket of the file. The numbers are part of every checksum: append only.
type kind uint8

const (
	metaKind kind = iota
	jobKind
	groupKind
	totalsKind
	tombstoneKind
	outboxKind
	quarantineKind

	kindCount = int(quarantineKind) + 1
)

var kindNames = [kindCount]string{"meta", "jobs", "groups", "totals", "tombstones", "outbox", "quarantine"}

// String is the name of the bucket.
func (k kind) String() string { return kindNames[k] }

func kindOf(bucket []byte) (kind, bool) {
	for k, name := range kindNames {
		if name == string(bucket) {
			return kind(k), true
		}
	}
	return 0, false
}

// The keys of the bucket "meta".
const (
	schemaKey = "schema"
	tallyKey  = "tally"
)

// schema is written once. Its version byte is the version of the file.
type schema struct {
	Created  collector.Time `cbor:"1,keyasint"`
	Instance []byte         `cbor:"2,keyasint"` // random: tells one life of the state from another
}

// tally is rewritten by every commit. It makes the file as a whole verifiable.
type tally struct {
	Commits     uint64           `cbor:"1,keyasint"`
	Written     collector.Time   `cbor:"2,keyasint"`
	Kinds       [kindCount]count `cbor:"3,keyasint"` // by kind; that of meta stays zero
	NextSeq     uint64           `cbor:"4,keyasint"` // of the outbox
	Produced    uint64           `cbor:"5,keyasint"`
	Sent        uint64           `cbor:"6,keyasint"`
	Dropped     uint64           `cbor:"7,keyasint"`
	Quarantined uint64           `cbor:"8,keyasint"`
}

// count is how many records there are and the sum of their checksums.
type count struct {
	N   uint64 `cbor:"1,keyasint"`
	Sum uint64 `cbor:"2,keyasint"`
}

func (c *count) add(rec []byte) { c.N++; c.Sum += storedSum(rec) }
func (c *count) sub(rec []byte) { c.N--; c.Sum -= storedSum(rec) }

// tombstone is what is left of a retired job: enough to say that its events were counted, and which they were.
type tombstone struct {
	Attempt uint32           `cbor:"1,keyasint"`
	Result  collector.Result `cbor:"2,keyasint,omitempty"`
	Ended   collector.Time   `cbor:"3,keyasint,omitempty"`
	Events  uint64           `cbor:"4,keyasint"`
	Newest  uint64           `cbor:"5,keyasint,omitempty"` // hash of the newest event id
}

func tombstoneOf(j *collector.Job) tombstone {
	t := tombstone{Attempt: j.Attempt, Result: j.Result, Ended: j.Ended, Events: j.EventCount()}
	if n := len(j.Window); n > 0 {
		t.Newest = j.Window[n-1]
	}
	return t
}

// maxKeyPart is how much of a name stands in a key; a longer one is represented by its hash. The record has all of it.
const maxKeyPart = 512

func appendPart(key []byte, part string) []byte {
	if len(part) > maxKeyPart {
		sum := sha256.Sum256([]byte(part))
		key = binary.AppendUvarint(key, uint64(len(part)))
		return append(key, sum[:]...)
	}
	key = binary.AppendUvarint(key, uint64(len(part)))
	return append(key, part...)
}

func keyOfJob(k collector.Key) []byte {
	return appendPart(appendPart([]byte{byte(collector.ShardOf(k))}, k.Source), k.ID)
}

func keyOfGroup(k collector.GroupKey) []byte { return appendPart(appendPart(nil, k.Source), k.Name) }

func keyOfTotals(source string) []byte { return appendPart(nil, source) }

func keyOfSeq(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func seqOf(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}
