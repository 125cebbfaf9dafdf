package web

import (
	"math"
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// point is one value of a curve: 8 bytes. NaN is a value that was not finite or withdrawn.
type point struct {
	at uint32 // seconds since the epoch
	v  float32
}

func pointOf(at collector.Time, v float64) point {
	f := float32(v)
	if math.IsInf(float64(f), 0) && !math.IsInf(v, 0) {
		f = float32(math.Copysign(math.MaxFloat32, v))
	}
	return point{at: uint32(max(0, min(int64(at)/1e9, math.MaxUint32))), v: f}
}

// curve is one number of a job over time in bounded memory: the newest half of its points are all there is, the older half
// thins out evenly as it grows, so that a curve shows all of a long job and the last minutes in full.
type curve struct {
	metric collector.Metric
	label  string
	last   collector.Time // of the newest reading, to know it again
	old    []point
	recent []point
	stride int // one in so many points is kept as it grows old
	skip   int
}

// add appends a point; limit bounds both halves together.
func (c *curve) add(p point, limit int) {
	half := max(limit/2, 2)
	if len(c.recent) >= half {
		c.retire(c.recent[0], half)
		c.recent = append(c.recent[:0], c.recent[1:]...)
	}
	c.recent = grown(c.recent, p, half)
}

func (c *curve) retire(p point, half int) {
	if c.stride == 0 {
		c.stride = 1
	}
	if c.skip > 0 {
		c.skip--
		return
	}
	if len(c.old) >= half {
		kept := c.old[:0]
		for i := 0; i < len(c.old); i += 2 {
			kept = append(kept, c.old[i])
		}
		c.old = kept
		c.stride *= 2
	}
	c.skip = c.stride - 1
	c.old = grown(c.old, p, half)
}

// grown appends without ever having room for more than limit points.
func grown(points []point, p point, limit int) []point {
	if len(points) == cap(points) {
		larger := make([]point, len(points), min(max(8, 2*len(points)), limit))
		copy(larger, points)
		points = larger
	}
	return append(points, p)
}

// points are all points, oldest first.
func (c *curve) points() []point { return slices.Concat(c.old, c.recent) }
