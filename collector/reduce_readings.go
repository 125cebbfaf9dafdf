package collector

import (
	"cmp"
	"slices"
)

// readings takes values; those of an event that is older than what is known do not replace anything.
func (f *fold) readings(rs []Reading, at Time, late bool) {
	for _, r := range rs {
		dated := cmp.Or(r.At, at)
		r.At = f.orNow(dated)
		if r.Metric == FreeForm { // two names that are one when cleaned must not become two series
			r.Label = Clean(r.Label)
		}
		if r.Gone {
			f.withdraw(r)
			continue
		}
		if !r.finite() {
			f.job.NonFinite = bump(slices.Clone(f.job.NonFinite), Clean(r.key()), maxNonFinite)
			f.job.NonFiniteAt = max(f.job.NonFiniteAt, dated)
			f.changed = true
		}
		if _, found := findReading(f.job.Readings, r.Metric, r.Label); late && found {
			continue
		}
		f.set(r)
	}
}

// polled takes values that a poll found rather than an event carried: the same value found again is not news.
func (f *fold) polled() {
	for _, r := range f.u.Readings {
		i, found := findReading(f.job.Readings, r.Metric, r.Label)
		if found && !r.Gone && f.job.Readings[i].sameValue(r) || !found && r.Gone {
			continue
		}
		f.news = true
		f.readings([]Reading{r}, f.u.At, false)
	}
}

// withdraw forgets a reading, unless it is newer.
func (f *fold) withdraw(r Reading) {
	i, found := findReading(f.job.Readings, r.Metric, r.Label)
	if !found || f.job.Readings[i].At > r.At {
		return
	}
	f.job.Readings, f.owned, f.changed = slices.Delete(slices.Clone(f.job.Readings), i, i+1), true, true
}

// maxNonFinite bounds the names in training_job_nonfinite_values_total.
const maxNonFinite = 32

// set keeps the newer of two readings.
func (f *fold) set(r Reading) {
	j := f.job
	r.At = f.orNow(r.At)
	i, found := findReading(j.Readings, r.Metric, r.Label)
	if found && (j.Readings[i].At > r.At || j.Readings[i].At == r.At && j.Readings[i].sameValue(r)) {
		return
	}
	if !found && r.Metric == FreeForm && f.freeForm() >= f.freeFormLimit() {
		f.tally.Held++
		return
	}
	if !f.owned {
		j.Readings, f.owned = slices.Clone(j.Readings), true
	}
	f.changed = true
	if found {
		j.Readings[i] = r
		return
	}
	j.Readings = slices.Insert(j.Readings, i, r)
}

func (f *fold) freeForm() int {
	from, _ := findReading(f.job.Readings, FreeForm, "")
	to, _ := findReading(f.job.Readings, FreeForm+1, "")
	return to - from
}

func (f *fold) freeFormLimit() int { return cmp.Or(f.o.FreeForm, 64) }
