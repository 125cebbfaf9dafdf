package web

import (
	"cmp"
	"fmt"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Bounds of what is said of jobs that wait: those of the alerts TrainingJobStalled, TrainingJobNoFirstStep, TrainingJobStuckQueued,
// TrainingJobCheckpointStale and TrainingJobZombieRunning, and of the rule training_job:next_step_within:seconds.
const (
	stalledTimes  = 10 // median intervals between steps
	stalledAfter  = 10 * time.Minute
	stalledMean   = 3 // mean intervals, before the median is known
	stalledFirst  = time.Hour
	stalledMost   = 6 * time.Hour
	stoodQuick    = time.Hour     // without a change of the step, where a step takes less than stepQuick
	stoodLong     = 6 * time.Hour // where nobody knows
	stepQuick     = 6 * time.Minute
	noStepAfter   = 30 * time.Minute
	queuedAfter   = time.Hour
	staleTimes    = 3 // intervals between checkpoints
	staleAfter    = 30 * time.Minute
	silentJobFor  = 24 * time.Hour
	silentJobKind = "aitems" // the only provider that tells of a job that runs nothing but news of it
)

// pace appends what is late or slow with a job that has not ended, where its source would have told; steps says whether to say that none
// comes.
func (c *checks) pace(to []finding, j *collector.Job, steps bool) []finding {
	course := c.troubles.courses[j.Key]
	if course.again.Known() {
		to = append(to, finding{jobRestarts, warning, course.again, j})
	}
	late, up := c.up(j.Key.Source)
	if !up {
		return to
	}
	since := c.now.Sub(j.Since)
	if (j.Phase == collector.Pending || j.Phase == collector.Initializing) && j.Status != "ready" && since > queuedAfter {
		to = append(to, finding{jobQueued, warning, j.Since, j})
	}
	if !runs(j) {
		return to
	}
	if at, kind := c.stands(j, late, course); kind != 0 && steps {
		l := critical
		if kind == jobNoStep {
			l = warning
		}
		to = append(to, finding{kind, l, at, j})
	}
	if j.Info.Provider == silentJobKind && j.Updated.Known() && c.now.Sub(j.Updated) > silentJobFor {
		to = append(to, finding{jobSilent, warning, j.Updated, j})
	}
	if at, every, known := checkpoint(j); known {
		if late := max(staleTimes*every, staleAfter); c.now.Sub(at) > late && since > late {
			to = append(to, finding{jobCheckpoint, warning, at, j})
		}
	}
	if course.rising.Known() {
		to = append(to, finding{jobRising, warning, course.rising, j})
	}
	if course.slow.Known() {
		to = append(to, finding{jobSlow, warning, course.slow, j})
	}
	return to
}

// stands says that a job that runs makes no steps, and since when; no kind if it does, or nobody knows.
func (c *checks) stands(j *collector.Job, late time.Duration, course courseTrouble) (since collector.Time, k kind) {
	ran := c.now.Sub(j.Since)
	if j.LastStep.Known() {
		if c.now.Sub(max(j.LastStep, j.Since))-late > nextStep(j) {
			return j.LastStep, jobStalled
		}
		return 0, 0
	}
	if course.stood.Known() {
		took, known := j.Reading(collector.LastStepDuration, "")
		long := stoodLong
		if known && took < stepQuick.Seconds() {
			long = stoodQuick
		}
		if c.now.Sub(course.stood) > long && ran > long {
			return course.stood, jobStalled
		}
	}
	if ran > noStepAfter && noStep(j, course) {
		return j.Since, jobNoStep
	}
	return 0, 0
}

// noStep: a job tells of steps, or for long that it is at step 0, and made none.
func noStep(j *collector.Job, course courseTrouble) bool {
	if j.TellsSteps() {
		return j.Live && j.Steps == 0
	}
	step, told := j.Reading(collector.Step, "")
	epoch, _ := j.Reading(collector.Epoch, "")
	return told && step == 0 && epoch == 0 && course.stood.Known()
}

// nextStep is how long a job may take for its next step.
func nextStep(j *collector.Job) time.Duration {
	if m, known := median(j.Intervals); known {
		return max(stalledAfter, time.Duration(stalledTimes*m*float64(time.Second)))
	}
	if j.Steps > 0 && j.Started.Known() {
		return min(max(stalledMean*j.LastStep.Sub(j.Started)/time.Duration(j.Steps), stalledFirst), stalledMost)
	}
	return stalledFirst
}

// checkpoint is when the newest one was made, and the usual time between two.
func checkpoint(j *collector.Job) (at collector.Time, every time.Duration, known bool) {
	created, made := j.Reading(collector.CheckpointLastCreated, "")
	interval, several := j.Reading(collector.CheckpointInterval, "")
	return collector.Time(created * 1e9), time.Duration(interval * 1e9), made && several
}

// whyWaits says in words what is late or slow.
func (c *checks) whyWaits(f finding) string {
	j, course := f.job, c.troubles.courses[f.job.Key]
	at := f.at.Std().Format("2 Jan 15:04 UTC")
	switch f.kind {
	case jobStalled:
		if m, known := median(j.Intervals); known {
			return fmt.Sprintf("No step since %s; usually one every %s.", at, seconds(m))
		}
		return fmt.Sprintf("No step since %s.", at)
	case jobNoStep:
		return fmt.Sprintf("It has run since %s and has not made one step.", at)
	case jobQueued:
		return fmt.Sprintf("It has been %s since %s.", cmp.Or(clean(j.Status), j.Phase.String()), at)
	case jobSilent:
		return fmt.Sprintf("The service says that it runs, and has told nothing new of it since %s.", at)
	case jobCheckpoint:
		_, every, _ := checkpoint(j)
		return fmt.Sprintf("The newest checkpoint is of %s; usually there is one every %s.", at, span(every))
	case jobRestarts:
		return fmt.Sprintf("It started afresh at least %d times within an hour, the last time at %s, and %d times in all.", restartsFrom, at, j.Restarts)
	case jobRising:
		return fmt.Sprintf("Its loss is %s on average over a quarter of an hour, was %s at best within six hours, and rises.", number(course.loss), number(course.best))
	case jobSlow:
		unit := "samples"
		if _, ok := j.Reading(collector.TokensPerSecond, ""); ok {
			unit = "tokens"
		}
		return fmt.Sprintf("It makes %s %s a second on average over ten minutes, and %s are usual.", number(course.rate), unit, number(course.usual))
	}
	return ""
}
