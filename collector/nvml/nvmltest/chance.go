package nvmltest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// digest is the same for the same parts.
func digest(parts ...string) [32]byte { return sha256.Sum256([]byte(strings.Join(parts, "\x00"))) }

// share is a number from 0 up to 1 that belongs to the parts.
func share(parts ...string) float64 {
	d := digest(parts...)
	return float64(binary.BigEndian.Uint64(d[:])>>11) / (1 << 53)
}

// between spreads share over a range.
func between(low, high float64, parts ...string) float64 { return low + (high-low)*share(parts...) }

func uuid(parts ...string) string {
	d := digest(append(parts, "uuid")...)
	d[6], d[8] = d[6]&0x0f|0x40, d[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", d[:4], d[4:6], d[6:8], d[8:10], d[10:16])
}
