package nvml

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// meter is a GPU whose driver counts, begins anew, and now and then gives one wrong number.
type meter struct {
	r            *rand.Rand
	a            *account
	now          time.Time
	life         uint64
	energy, ecc  float64 // as the driver has it
	used, errors float64 // since ever
	slow         float64 // ecc as it was last read, right or wrong
	slowAt       time.Time
	isCounter    map[collector.GPUMetric]bool
}

// read is a reading. Wrong is what a glitch makes of a right number.
func (w *meter) read(wrong func(float64) float64) {
	w.now = w.now.Add(5 * time.Second)
	energy := w.energy
	if w.now.Sub(w.slowAt) >= 30*time.Second {
		w.slow, w.slowAt = w.ecc, w.now
		if wrong != nil && w.r.IntN(2) == 0 {
			w.slow = wrong(w.slow)
		}
	}
	if wrong != nil {
		energy = wrong(energy)
	}
	g := &helper.GPU{ID: "GPU-a", State: helper.OK, ReadAt: collector.TimeOf(w.now), Values: []collector.GPUValue{
		{Metric: collector.DeviceEnergy, Value: energy}, {Metric: collector.DeviceECCErrors, Label: "corrected", Value: w.slow},
	}}
	for range 1 + w.r.IntN(2) { // a frame for an XID repeats what was read
		w.a.take(g, sight{w.now, w.life, 35 * time.Second, time.Minute, w.isCounter})
	}
}

func (w *meter) use() {
	e, n := float64(w.r.IntN(50)), float64(w.r.IntN(2))
	w.energy, w.used = w.energy+e, w.used+e
	w.ecc, w.errors = w.ecc+n, w.errors+n
}

func (w *meter) shown() (energy, ecc float64) {
	g := collector.GPU{Values: w.a.values(true, false)}
	energy, _ = g.Value(collector.DeviceEnergy, "")
	ecc, _ = g.Value(collector.DeviceECCErrors, "corrected")
	return energy, ecc
}

// TestGlitches lets a driver give wrong numbers for one reading, less than before, of one counter or of both, and begin anew at times,
// with a new helper or without. Counters never fall, never show more than was counted, and in the end show all of it.
func TestGlitches(t *testing.T) {
	isCounter := collector.GPUCounters()
	resets, glitches := uint64(0), 0
	for i := range 2 * *schedules {
		s := *seed + uint64(i)
		now := time.Unix(2e9, 0)
		w := &meter{r: rand.New(rand.NewPCG(s, 6)), a: newAccount("GPU-a", now), now: now, isCounter: isCounter}
		energy, ecc := 0.0, 0.0
		check := func() {
			e, n := w.shown()
			if e < energy || n < ecc || e > w.used || n > w.errors {
				t.Fatalf("seed %d: energy went from %g to %g of %g, errors from %g to %g of %g", s, energy, e, w.used, ecc, n, w.errors)
			}
			energy, ecc = e, n
		}
		for range 2 + w.r.IntN(6) {
			for range 100 {
				w.use()
				var wrong func(float64) float64
				if share := w.r.Float64(); w.r.IntN(20) == 0 {
					glitches++
					wrong = func(v float64) float64 { return float64(int(v * share * float64(w.r.IntN(2)))) }
				}
				w.read(wrong)
				check()
				if wrong != nil {
					for range 7 { // until all was read anew
						w.use()
						w.read(nil)
						check()
					}
				}
			}
			for range 7 {
				w.read(nil)
			}
			check()
			if energy != w.used || ecc != w.errors {
				t.Fatalf("seed %d: energy %g of %g, errors %g of %g", s, energy, w.used, ecc, w.errors)
			}
			if w.energy, w.ecc = 0, 0; w.r.IntN(2) == 0 {
				w.life++
			}
		}
		resets += w.a.resets
	}
	t.Logf("%d resets, %d wrong readings", resets, glitches)
	if resets == 0 {
		t.Error("no counter began anew: this shows nothing")
	}
}

// TestOneWrongReadingForLong: a GPU that is not read again for minutes shows the same in each frame, and the next reading is right.
func TestOneWrongReadingForLong(t *testing.T) {
	now := time.Unix(2e9, 0)
	w := &meter{r: rand.New(rand.NewPCG(1, 6)), a: newAccount("GPU-a", now), now: now, isCounter: collector.GPUCounters(), energy: 1000}
	w.read(nil)
	wrong := &helper.GPU{State: helper.Slow, ReadAt: collector.TimeOf(w.now.Add(time.Second)), Values: []collector.GPUValue{
		{Metric: collector.DeviceEnergy, Value: 3},
	}}
	for range 60 {
		w.now = w.now.Add(5 * time.Second)
		w.a.take(wrong, sight{w.now, 0, 35 * time.Second, time.Minute, w.isCounter})
	}
	w.read(nil)
	if energy, _ := w.shown(); energy != 1000 || w.a.resets != 0 {
		t.Errorf("energy %g after %d resets", energy, w.a.resets)
	}
}
