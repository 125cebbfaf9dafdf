package runaitest

import "hash/fnv"

const hexDigits = "0123456789abcdef"

// appendUUID writes 128 bits as a version 4 UUID; six bits give way to version and variant.
func appendUUID(b []byte, hi, lo uint64) []byte {
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(0xc0<<56) | 0x80<<56
	for i, word := range [2]uint64{hi, lo} {
		for shift := 60; shift >= 0; shift -= 4 {
			b = append(b, hexDigits[word>>shift&0xf])
			if i == 0 && (shift == 32 || shift == 16 || shift == 0) || i == 1 && shift == 48 {
				b = append(b, '-')
			}
		}
	}
	return b
}

// mix is the SplitMix64 finaliser: a bijection that spreads every bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// hashName is a seed made from a name.
func hashName(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// uuid is the n-th UUID of a stream.
func uuid(stream, n uint64) string {
	hi := mix(stream ^ mix(n))
	return string(appendUUID(make([]byte, 0, 36), hi, mix(hi+n)))
}
