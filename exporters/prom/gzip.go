package prom

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/flate"
)

// An answer in gzip is one member whose deflate stream is put together from segments that were compressed one by one: each
// ends on a byte boundary, is not the last block, and refers to nothing before itself. A file of several members would
// do for Prometheus, but curl and browsers read only the first one. The checksum of the whole is computed from those of
// the segments, as zlib's crc32_combine does.

// segment is a compressed piece.
type segment struct {
	data  []byte
	sum   uint32 // CRC-32 of the plain bytes
	shift uint32 // what appending the segment does to the checksum of what is before it
	size  int    // of the plain bytes
}

// gzipHeader is that of RFC 1952, without a name and a time. gzipEnd is an empty last block.
const (
	gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
	gzipEnd    = "\x03\x00"
)

// checksum is that of a growing stream.
type checksum struct {
	sum, size uint32
}

func (c *checksum) add(s *segment) {
	c.sum = polyMul(s.shift, c.sum) ^ s.sum
	c.size += uint32(s.size)
}

// appendTrailer ends the stream.
func (c *checksum) appendTrailer(dst []byte) []byte {
	dst = append(dst, gzipEnd...)
	dst = binary.LittleEndian.AppendUint32(dst, c.sum)
	return binary.LittleEndian.AppendUint32(dst, c.size)
}

// packer compresses segments. It is not safe for concurrent use.
type packer struct {
	deflate *flate.Writer
	data    []byte
	sum     uint32
	size    int
}

// level is the fastest: a level more costs twice the time for a few percent.
const level = flate.BestSpeed

func newPacker() (*packer, error) {
	p := &packer{}
	w, err := flate.NewWriter(packed{p}, level)
	if err != nil {
		return nil, fmt.Errorf("prepare compression: %w", err)
	}
	p.deflate = w
	return p, nil
}

// packed receives what the packer's compressor makes.
type packed struct{ *packer }

func (p packed) Write(b []byte) (int, error) {
	p.data = append(p.data, b...)
	return len(b), nil
}

// reset begins a segment.
func (p *packer) reset() {
	p.data, p.sum, p.size = p.data[:0], 0, 0
	p.deflate.Reset(packed{p})
}

// Write adds plain bytes to the segment.
func (p *packer) Write(b []byte) (int, error) {
	p.sum = crc32.Update(p.sum, crc32.IEEETable, b)
	p.size += len(b)
	return p.deflate.Write(b)
}

// segment ends the segment.
func (p *packer) segment() (*segment, error) {
	if err := p.deflate.Flush(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return &segment{data: append([]byte(nil), p.data...), sum: p.sum, shift: polyShift(p.size), size: p.size}, nil
}

// maxStored is the most that a stored block can hold.
const maxStored = 1<<16 - 1

// appendStored writes a few bytes as they are, as a block of the deflate stream, and describes them.
func appendStored(dst, plain []byte) ([]byte, segment) {
	s := segment{sum: crc32.ChecksumIEEE(plain), shift: polyShift(len(plain)), size: len(plain)}
	for len(plain) > 0 {
		n := min(len(plain), maxStored)
		dst = append(dst, 0)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
		dst = binary.LittleEndian.AppendUint16(dst, ^uint16(n))
		dst = append(dst, plain[:n]...)
		plain = plain[n:]
	}
	return dst, s
}

// one is the polynomial 1 in the bit order of CRC-32, where the highest bit is the lowest power.
const one = 1 << 31

// polyMul multiplies two polynomials modulo the one of CRC-32.
func polyMul(a, b uint32) uint32 {
	product := uint32(0)
	for ; a != 0; a <<= 1 {
		if a&one != 0 {
			product ^= b
		}
		low := b & 1
		b >>= 1
		if low != 0 {
			b ^= crc32.IEEE
		}
	}
	return product
}

// polyShift is x to the power of 8n: multiplying a checksum by it is what n further bytes do to it.
func polyShift(n int) uint32 {
	result, square := uint32(one), uint32(one>>8)
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = polyMul(result, square)
		}
		square = polyMul(square, square)
	}
	return result
}
