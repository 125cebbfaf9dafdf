package web

import (
	"cmp"

	"github.com/trainbridge/trainbridge/collector"
)

// displayName is what people call a job.
func displayName(j *collector.Job) string { return cmp.Or(j.Info.Name, j.Key.ID) }

func nameOf(j *collector.Job) label {
	l := labelOf(displayName(j), 48)
	if l.Text == "" {
		l = label{"(no name)", "a job whose name cannot be shown"}
	}
	return l
}

// progressOf is the share that is done, by the service or from its steps.
func progressOf(j *collector.Job) (float64, bool) {
	if v, ok := j.Reading(collector.Progress, ""); ok && v >= 0 {
		return min(v, 1), true
	}
	at, ok := j.Reading(collector.Step, "")
	limit, planned := j.Reading(collector.StepLimit, "")
	if !ok && j.Steps > 0 {
		at, ok = float64(j.Steps), true
	}
	if ok && planned && limit > 0 && at >= 0 {
		return min(at/limit, 1), true
	}
	return 0, false
}

// lossOf is the loss of training, or of the first split there is.
func lossOf(j *collector.Job) (split string, v float64, ok bool) {
	if v, ok := j.Reading(collector.Loss, "train"); ok {
		return "train", v, true
	}
	for _, split := range j.Labels(collector.Loss) {
		v, ok := j.Reading(collector.Loss, split)
		return split, v, ok
	}
	return "", 0, false
}

// rateOf is how fast a job trains, in the best unit that is known.
func rateOf(j *collector.Job) (v float64, unit string, ok bool) {
	if j.Done() {
		return 0, "", false
	}
	if v, ok := j.Reading(collector.TokensPerSecond, ""); ok {
		return v, "tokens/s", true
	}
	if v, ok := j.Reading(collector.SamplesPerSecond, ""); ok {
		return v, "samples/s", true
	}
	v, ok = stepRate(j)
	return v, "steps/min", ok
}

// costOf is the largest cost of a job that is known.
func costOf(j *collector.Job) (v float64, currency string, ok bool) {
	for _, c := range j.Labels(collector.Cost) {
		if cost, known := j.Reading(collector.Cost, c); known && (!ok || cost > v) {
			v, currency, ok = cost, c, true
		}
	}
	return v, currency, ok
}
