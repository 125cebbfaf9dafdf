package wandbtest

import (
	"math"
	"strconv"
)

// backlog is a run of events that are computed when they are read: training_started and then gradient steps. The zero
// value is empty.
type backlog struct {
	seed     uint64
	from, to int // those still listed: [from, to)
	planned  int
}

func (g *backlog) len() int { return g.to - g.from }

func (g *backlog) id(i int) string { return string(g.appendID(nil, g.from+i)) }

func (g *backlog) append(b []byte, i int) []byte {
	i += g.from
	b = append(b, `{"id":"`...)
	b = g.appendID(b, i)
	if i == 0 {
		b = append(b, `","type":"training_started","data":{"num_sequences":`...)
		b = strconv.AppendInt(b, int64(g.planned), 10)
		return append(b, "}}"...)
	}
	b = append(b, `","type":"gradient_step","data":{"loss/train":`...)
	b = strconv.AppendFloat(b, g.loss(i), 'f', -1, 64)
	b = append(b, `,"loss/grad_norm":`...)
	b = strconv.AppendFloat(b, g.loss(i+1)/2, 'f', -1, 64)
	return append(b, `,"loss/learning_rate":5e-06}}`...)
}

// loss is a curve with noise, a function of the place alone.
func (g *backlog) loss(i int) float64 {
	noise := float64(mix(g.seed+uint64(i))%2000)/1e4 - 0.1
	return math.Round((0.5+1.5/(1+float64(i)/200)+noise)*1e4) / 1e4
}

// The last 48 bits of a generated id hold the place, scrambled by a bijection, so that a cursor is found without an index.
const (
	mask48   = 1<<48 - 1
	scramble = 0x5851f42d4c95
)

func (g *backlog) appendID(b []byte, i int) []byte {
	hi := mix(g.seed ^ uint64(i)<<1)
	node := (uint64(i)*scramble + g.seed) & mask48
	lo := mix(hi)&^uint64(mask48) | node
	return appendUUID(b, hi, lo)
}

// find returns the place of an id among those still listed, or -1.
func (g *backlog) find(id string) int {
	if g.len() == 0 || len(id) != 36 {
		return -1
	}
	node, err := strconv.ParseUint(id[24:], 16, 48)
	if err != nil {
		return -1
	}
	i := int((node - g.seed) * inverse(scramble) & mask48)
	if i < g.from || i >= g.to || g.id(i-g.from) != id {
		return -1
	}
	return i - g.from
}

// inverse is the multiplicative inverse of an odd number modulo 2^64 (Newton's iteration, five rounds give 64 bits).
func inverse(odd uint64) uint64 {
	x := odd
	for range 5 {
		x *= 2 - odd*x
	}
	return x
}
