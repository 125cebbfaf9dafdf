package collectortest

import (
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// job is the part all jobs of the fixture share.
func job(source, id string, phase collector.Phase, status string) *collector.Job {
	return &collector.Job{
		Key: collector.Key{Source: source, ID: id}, Info: &collector.Info{Provider: "wandb"}, Attempt: 1,
		Phase: phase, Status: status, Live: true,
		FirstSeen: ago(time.Hour), Birth: ago(time.Hour), Created: ago(time.Hour), Started: ago(50 * time.Minute),
		Since: ago(50 * time.Minute), Updated: ago(1500 * time.Millisecond), LastStep: ago(1500 * time.Millisecond),
	}
}

// ended is a job that is done, with its final values.
func ended(id string, phase collector.Phase, result collector.Result, status string) *collector.Job {
	j := job(RLSource, id, phase, status)
	j.Result = result
	j.Ended = ago(10 * time.Minute)
	j.Since, j.Updated, j.LastStep = j.Ended, j.Ended, ago(11*time.Minute)
	j.Steps = 50
	j.Events = []collector.Count{{Name: "gradient_step", N: 50}, {Name: "training_ended", N: 1}}
	j.Readings = []collector.Reading{
		{Metric: collector.Progress, Value: 1, At: j.Updated},
		{Metric: collector.Loss, Label: "train", Value: 0.5, At: j.Updated},
		{Metric: collector.LearningRate, Value: 1e-4, At: j.Updated}, // Live: must not be exposed any more
	}
	return j
}

func failedJob() *collector.Job {
	j := ended("failed", collector.Failed, collector.Failure, "failed")
	j.ErrorType, j.Message = "out_of_memory", "CUDA out of memory.\nTried to allocate \"2 GiB\""
	return j
}

func succeededJob() *collector.Job {
	j := ended("succeeded", collector.Succeeded, collector.Success, "completed")
	j.Info = &collector.Info{Name: "finished", Provider: "wandb", Group: GroupName, Kind: "rl"}
	j.StepTimes = histogram(0.5, 0.5, 0.5)
	return j
}

// pendingJob has not started: most values are unknown.
func pendingJob() *collector.Job {
	return &collector.Job{
		Key: collector.Key{Source: RLSource, ID: "pending"}, Info: &collector.Info{Provider: "wandb"}, Attempt: 1,
		Phase: collector.Pending, Live: true,
		FirstSeen: ago(time.Minute), Birth: ago(time.Minute), Since: ago(time.Minute),
	}
}

// goneJob is no longer known to its provider; nobody can say how it ended.
func goneJob() *collector.Job {
	j := job(RLSource, "gone", collector.Unknown, "")
	j.Gone, j.Missing = true, 3
	j.Readings = []collector.Reading{{Metric: collector.GradientNorm, Value: 1, At: j.Updated}}
	return j
}

func cancelledJob() *collector.Job {
	return ended("cancelled", collector.Cancelled, collector.Cancellation, "CANCELLED by user")
}

// restartedJob is paused in its third attempt.
func restartedJob() *collector.Job {
	j := job(CloudSource, "restarted", collector.Paused, "Stopped")
	j.Attempt, j.Restarts = 3, 2
	return j
}

// backlogJob had events before the bridge looked: the start of its counters, of training and of steps are unknown.
func backlogJob() *collector.Job {
	j := job(RLSource, "backlog", collector.Running, "running")
	j.Birth, j.Started, j.LastStep = 0, 0, 0
	j.Steps = 1000
	j.Events = []collector.Count{{Name: "gradient_step", N: 1000}}
	j.StepTimes = histogram(3)
	return j
}

// attackJob has strings that break a careless encoder. Info is cleaned, as Reduce does; keys and names of numbers are
// as hostile as a provider can make them.
func attackJob() *collector.Job {
	j := job(RLSource, "a\\b\"c\nd{e=\"f\"} 1 # EOF", collector.Running, "run\u202ening\x00")
	j.Info = &collector.Info{
		Name:    collector.Clean("quote\" back\\slash\nnewline} 2\n# HELP x y"),
		Project: collector.Clean("\xff\xfebroken\xc3"),
		Group:   collector.Clean("日本語 ☃ \U0001F600"),
		Owner:   "{}{}{},,==",
		URL:     "https://example.com/?q=\"><script>alert(1)</script>",
	}
	j.Readings = []collector.Reading{
		{Metric: collector.FreeForm, Label: "", Value: 1, At: j.Updated},
		{Metric: collector.FreeForm, Label: "bad\xffutf8", Value: 2, At: j.Updated},
		{Metric: collector.FreeForm, Label: "line\nbreak\r\ttab\\n\"quoted\"", Value: 3, At: j.Updated},
		{Metric: collector.FreeForm, Label: "le", Value: 4, At: j.Updated},
		{Metric: collector.FreeForm, Label: "日本語", Value: 5, At: j.Updated},
	}
	return j
}
