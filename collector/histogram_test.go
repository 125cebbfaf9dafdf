package collector

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestBucketsHoldWhatTheirBoundsSay compares the index with the definition: (2^((i-1)/8), 2^(i/8)].
func TestBucketsHoldWhatTheirBoundsSay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		v := math.Exp2(r.Float64()*60 - 30)
		i := float64(bucketIndex(v))
		if low, high := math.Exp2((i-1)/8), math.Exp2(i/8); v <= low*(1-1e-12) || v > high*(1+1e-12) {
			t.Fatalf("%v is in bucket %v, which holds (%v, %v]", v, i, low, high)
		}
	}
	for e := -20; e <= 20; e++ {
		if got := bucketIndex(math.Exp2(float64(e))); int(got) != e*8 {
			t.Errorf("2^%d is in bucket %d, want %d: an upper bound belongs to its bucket", e, got, e*8)
		}
	}
}

func TestClassicBucketsAreExactSums(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	var h *Histogram
	var values []float64
	for range 2000 {
		v := math.Exp2(r.Float64()*20 - 8)
		if r.IntN(10) == 0 {
			v = math.Exp2(float64(r.IntN(12) - 6))
		}
		if r.IntN(100) == 0 {
			v = 0
		}
		values = append(values, v)
		h = h.With(v)
	}
	for e := -6; e <= 12; e++ {
		want := uint64(0)
		for _, v := range values {
			if v <= math.Exp2(float64(e)) {
				want++
			}
		}
		if got := h.Below(e); got != want {
			t.Errorf("%d values up to 2^%d, want %d", got, e, want)
		}
	}
	if h.Count != uint64(len(values)) {
		t.Errorf("count %d", h.Count)
	}
}

func TestPublishedHistogramsDoNotChange(t *testing.T) {
	var none *Histogram
	one := none.With(1)
	two := one.With(1).With(3)
	if one.Count != 1 || one.N[0] != 1 || len(one.Index) != 1 || two.Count != 3 {
		t.Errorf("one %+v, two %+v", one, two)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), -1} {
		if two.With(bad) != two {
			t.Errorf("%v was counted", bad)
		}
	}
}
