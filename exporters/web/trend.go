package web

import (
	"math"
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Bounds of what is said of the course of a job: those of the alerts TrainingJobLossDiverging, TrainingJobThroughputRegressed and
// TrainingJobRestartLoop.
const (
	lossTimes    = 1.5 // its own best of six hours
	lossFor      = 20 * time.Minute
	lossOver     = 15 * time.Minute // averaged
	lossRising   = 30 * time.Minute
	slowTimes    = 0.7 // the median of six hours
	slowFor      = 15 * time.Minute
	slowOver     = 10 * time.Minute // averaged
	slowNot      = 20 * time.Minute // the latest, which do not count as usual
	slowFrom     = 7                // averages, to know what is usual
	restartsFrom = 3
	restartsIn   = time.Hour
)

// trendEvery is the time between two averages that are remembered, and trendMost how many there are: those of six hours.
const (
	trendEvery = 5 * time.Minute
	trendMost  = 72
)

// trend is how a number of a running job went: its average over the last minutes, and what that was every five minutes.
type trend struct {
	latest quarter
	past   [trendMost]float32 // by the slot of its time; NaN where it is not known
	slot   int64              // of the newest
	bad    collector.Time     // since when it looks wrong; 0 if it does not
}

// add takes the number that is told now, averages it over so long, and says what that is.
func (t *trend) add(now collector.Time, v float64, over time.Duration) float64 {
	t.latest.add(now, v)
	mean, _ := t.latest.mean(now, over)
	slot := int64(now) / int64(trendEvery)
	if t.slot == 0 || slot-t.slot > trendMost {
		t.slot = slot - trendMost
	}
	for t.slot < slot {
		t.slot++
		t.past[t.slot%trendMost] = float32(math.NaN())
	}
	if math.IsNaN(float64(t.past[slot%trendMost])) { // the first of the five minutes is what a rule would have seen
		t.past[slot%trendMost] = float32(mean)
	}
	return mean
}

// before are the averages that are known from so long ago to so much longer ago, newest first.
func (t *trend) before(from, to time.Duration) (known []float64) {
	for i := int64(from / trendEvery); i < min(int64(to/trendEvery), trendMost); i++ {
		if v := float64(t.past[(t.slot-i)%trendMost]); !math.IsNaN(v) {
			known = append(known, v)
		}
	}
	return known
}

// rises: a loss is half above its own best, and above what it was half an hour ago.
func (t *trend) rises(mean float64) bool {
	all, late := t.before(0, trendMost*trendEvery), t.before(0, lossRising)
	if len(all) == 0 || len(late) < 2 {
		return false
	}
	best := slices.Min(all)
	return best > 0 && mean > lossTimes*best && mean > late[len(late)-1]
}

// usual is the median of what is remembered, but for the latest.
func (t *trend) usual() (median float64, known bool) {
	all := t.before(slowNot, trendMost*trendEvery)
	if len(all) < slowFrom {
		return 0, false
	}
	slices.Sort(all)
	return all[len(all)/2], true
}

// course is what is remembered of the course of a job that runs.
type course struct {
	loss, rate *trend // nil where it is not told
	step       float64
	stepped    collector.Time // when the step that the provider tells last changed
}

// trainLoss is the loss that is compared; those of reinforcement learning go up and down by nature.
func trainLoss(j *collector.Job) (float64, bool) {
	if slices.Contains([]string{"rl", "grpo", "ppo", "dpo"}, j.Info.Kind) {
		return 0, false
	}
	v, ok := j.Reading(collector.Loss, "train")
	return v, ok && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// throughput is how fast a job says that it is.
func throughput(j *collector.Job) (float64, bool) {
	if v, ok := j.Reading(collector.TokensPerSecond, ""); ok {
		return v, true
	}
	return j.Reading(collector.SamplesPerSecond, "")
}

// look takes what is so now; muted says that it may be old.
func (c *course) look(j *collector.Job, muted bool, now collector.Time) {
	if v, ok := trainLoss(j); ok {
		if c.loss == nil {
			c.loss = &trend{}
		}
		mean := c.loss.add(now, v, lossOver)
		c.loss.bad = since(c.loss.bad, !muted && c.loss.rises(mean), now)
	} else if c.loss != nil {
		c.loss.bad = 0
	}
	if v, ok := throughput(j); ok {
		if c.rate == nil {
			c.rate = &trend{}
		}
		mean := c.rate.add(now, v, slowOver)
		usual, known := c.rate.usual()
		c.rate.bad = since(c.rate.bad, !muted && known && mean < slowTimes*usual, now)
	} else if c.rate != nil {
		c.rate.bad = 0
	}
	if v, ok := j.Reading(collector.Step, ""); ok && (v != c.step || !c.stepped.Known()) {
		c.step, c.stepped = v, now
	} else if !ok {
		c.stepped = 0
	}
}

// follow looks at a job that runs; one that waits keeps what is known of its course.
func (t *track) follow(muted bool, now collector.Time) {
	switch {
	case t.job.Done():
		t.course = nil
	case runs(t.job):
		if t.course == nil {
			t.course = &course{}
		}
		t.course.look(t.job, muted, now)
	case t.course != nil:
		t.course.pause()
	}
}

// pause ends what looks wrong only while it runs.
func (c *course) pause() {
	for _, t := range []*trend{c.loss, c.rate} {
		if t != nil {
			t.bad = 0
		}
	}
	c.stepped = 0
}

// restarts are the times at which a job was last seen to have started afresh.
type restarts [restartsFrom]collector.Time

// more notes that there were so many more.
func (r *restarts) more(n uint64, now collector.Time) {
	for range min(n, restartsFrom) {
		copy(r[1:], r[:])
		r[0] = now
	}
}

// loop: as many as that came within an hour.
func (r *restarts) loop(now collector.Time) bool {
	first := r[len(r)-1]
	return first.Known() && now.Sub(first) < restartsIn
}

// courseTrouble is what is wrong with the course of a job; zero is nothing.
type courseTrouble struct {
	rising, slow collector.Time // since when
	loss, best   float64        // averages
	rate, usual  float64
	again        collector.Time // the newest of several restarts within an hour
	stood        collector.Time // since when the step that the provider tells is the same, if that is long
}

func (t *track) trouble(now collector.Time) (found courseTrouble) {
	if !t.job.Done() && t.again.loop(now) {
		found.again = t.again[0]
	}
	if t.course == nil || !runs(t.job) {
		return found
	}
	found.stood = whenLasted(t.course.stepped, noStepAfter, now)
	if l := t.course.loss; l != nil && lasted(l.bad, lossFor, now) {
		found.rising, found.best = l.bad, slices.Min(l.before(0, trendMost*trendEvery))
		found.loss, _ = l.latest.mean(now, lossOver)
	}
	if r := t.course.rate; r != nil && lasted(r.bad, slowFor, now) {
		found.slow = r.bad
		found.rate, _ = r.latest.mean(now, slowOver)
		found.usual, _ = r.usual()
	}
	return found
}
