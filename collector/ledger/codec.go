package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/fxamacker/cbor/v2"
)

// Version is the version of every record. It goes up whenever a field is added, removed or changes its meaning, so that an
// older binary refuses what it would misread.
const Version = 2

const (
	headerSize    = 5       // version and checksum
	maxRecordSize = 8 << 20 // of one record; far above any job
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// codec turns records into bytes and back. It is safe for concurrent use.
type codec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

func newCodec() (*codec, error) {
	enc, err := cbor.EncOptions{
		Sort:          cbor.SortCoreDeterministic,
		ShortestFloat: cbor.ShortestFloat16,
		NaNConvert:    cbor.NaNConvertPreserveSignal,
		InfConvert:    cbor.InfConvertFloat16,
		IndefLength:   cbor.IndefLengthForbidden,
		TagsMd:        cbor.TagsForbidden,
	}.UserBufferEncMode()
	if err != nil {
		return nil, fmt.Errorf("set up the encoder of records: %w", err)
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   16,
		MaxArrayElements:  1 << 17,
		MaxMapPairs:       256,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8DecodeInvalid, // providers' words are kept as they came
	}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("set up the decoder of records: %w", err)
	}
	return &codec{enc, dec}, nil
}

// seal encodes v as the record of a kind and key.
func (c *codec) seal(k kind, key []byte, v any) ([]byte, error) {
	var buf bytes.Buffer
	buf.Write(make([]byte, headerSize))
	if err := c.enc.MarshalToBuffer(v, &buf); err != nil {
		return nil, fmt.Errorf("encode %s: %w", k, err)
	}
	return sealBytes(k, key, buf.Bytes())
}

// sealBytes fills in the header of a record whose body stands behind room for it.
func sealBytes(k kind, key, rec []byte) ([]byte, error) {
	if len(rec) > maxRecordSize {
		return nil, fmt.Errorf("encode %s: %d bytes are above the limit of %d", k, len(rec), maxRecordSize)
	}
	rec[0] = Version
	binary.LittleEndian.PutUint32(rec[1:], checksum(k, key, rec))
	return rec, nil
}

// checksum covers all of a record but itself, and what the record is.
func checksum(k kind, key, rec []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte{byte(k), rec[0]})
	sum = crc32.Update(sum, castagnoli, binary.AppendUvarint(nil, uint64(len(key))))
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, rec[headerSize:])
}

// storedSum is the checksum that a record carries.
func storedSum(rec []byte) uint64 {
	if len(rec) < headerSize {
		return 0
	}
	return uint64(binary.LittleEndian.Uint32(rec[1:]))
}

// body verifies a record and returns what is behind the header.
func body(k kind, key, rec []byte) ([]byte, error) {
	switch {
	case len(rec) < headerSize:
		return nil, fmt.Errorf("%w: a record of %s has only %d bytes", ErrDamaged, k, len(rec))
	case uint64(checksum(k, key, rec)) != storedSum(rec):
		return nil, fmt.Errorf("%w: the checksum of a record of %s is wrong", ErrDamaged, k)
	case rec[0] > Version:
		return nil, fmt.Errorf("%w: a record of %s has version %d, this program reads up to %d", ErrNewer, k, rec[0], Version)
	case rec[0] == 0:
		return nil, fmt.Errorf("%w: a record of %s has version 0", ErrDamaged, k)
	}
	return rec[headerSize:], nil
}

// open verifies a record and decodes it into v.
func (c *codec) open(k kind, key, rec []byte, v any) error {
	b, err := body(k, key, rec)
	if err != nil {
		return err
	}
	return c.decode(k, b, v)
}

func (c *codec) decode(k kind, body []byte, v any) error {
	if err := c.dec.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode a record of %s: %w", k, err)
	}
	return nil
}
