package nvmltest

import "math"

// signal is a value that moves: it is high while the job works and low while it writes a checkpoint, and swings around both.
type signal struct{ low, high, swing float64 }

func steady(v float64) signal { return signal{low: v, high: v} }

func (s signal) scaled(by float64) signal { return signal{s.low * by, s.high * by, s.swing * by} }

// rhythm is how the signals of a GPU move: the same for all of them, so that they fit each other.
type rhythm struct {
	period, pause, offset float64 // seconds: a pause at the end of every period
	waves                 [3]wave
}

type wave struct{ height, omega, phase float64 }

// newRhythm gives GPUs of the same job their checkpoints at the same times.
func newRhythm(seed, gpu, job string, period float64) rhythm {
	r := rhythm{period: period, pause: between(0.05, 0.09, seed, job, "pause") * period, offset: period * share(seed, job, "offset")}
	for i, w := range []struct{ height, seconds float64 }{{0.5, 71}, {0.3, 17}, {0.2, 3.7}} {
		at := string(rune('a' + i))
		r.waves[i] = wave{w.height, 2 * math.Pi / (w.seconds * between(0.9, 1.1, seed, gpu, at)), 2 * math.Pi * share(seed, gpu, at, "phase")}
	}
	return r
}

// works is 1 or, in a pause, 0, at x seconds after the epoch.
func (r *rhythm) works(x float64) float64 {
	if y := x + r.offset; y-math.Floor(y/r.period)*r.period < r.period-r.pause {
		return 1
	}
	return 0
}

// worked is the integral of works from 0 to x.
func (r *rhythm) worked(x float64) float64 {
	until := func(y float64) float64 {
		whole := math.Floor(y / r.period)
		return whole*(r.period-r.pause) + math.Min(y-whole*r.period, r.period-r.pause)
	}
	return until(x+r.offset) - until(r.offset)
}

// sway moves between -1 and 1.
func (r *rhythm) sway(x float64) float64 {
	sum := 0.0
	for _, w := range r.waves {
		sum += w.height * math.Sin(w.omega*x+w.phase)
	}
	return sum
}

// swayed is the integral of sway from 0 to x.
func (r *rhythm) swayed(x float64) float64 {
	sum := 0.0
	for _, w := range r.waves {
		sum += w.height / w.omega * (math.Cos(w.phase) - math.Cos(w.omega*x+w.phase))
	}
	return sum
}

// at is the signal's value at x seconds after the epoch.
func (r *rhythm) at(s signal, x float64) float64 {
	return s.low + (s.high-s.low)*r.works(x) + s.swing*r.sway(x)
}

// sum is the signal's integral between two times. It never falls with the later one where the signal is never negative.
func (r *rhythm) sum(s signal, from, to float64) float64 {
	return s.low*(to-from) + (s.high-s.low)*(r.worked(to)-r.worked(from)) + s.swing*(r.swayed(to)-r.swayed(from))
}
