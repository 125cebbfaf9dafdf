package web

import (
	"cmp"

	"github.com/trainbridge/trainbridge/collector"
)

// words are how a kind of finding is said.
type words struct {
	what  string
	do    string // what somebody can do about it now
	alert string // the shipped alerts of it; empty if there is none
	when  string // what happened at the time that is shown
}

var kindWords = map[kind]words{
	jobNotFinite: {"Loss not finite", "Stop it, and restart it from an earlier checkpoint with a lower learning rate or with clipped gradients.",
		"TrainingJobLossNonFinite", "last bad value"},
	jobSpins: {"Job hangs, GPUs spin", "It does not recover by itself: take stack traces of all ranks, look for an XID on its GPUs, then restart it from the newest checkpoint.",
		"TrainingJobSpinHang", "began"},
	jobStalled: {"Job stalled", "See its log for the last thing it did, then restart it from the newest checkpoint.",
		"TrainingJobStalled", "last step"},
	jobOverBudget: {"Over budget", "It goes on and costs more: raise the budget, or stop it at the next checkpoint.", "TrainingJobOverBudget", ""},
	jobDead: {"GPUs idle for hours", "See its log: has it finished? Ask its owner, then stop it at the service: others wait for its GPUs.",
		"TrainingJobZombieRunning TrainingJobGpuIdle", "began"},
	jobIdle: {"GPUs idle", "See whether it waits for data or a worker that died, or is over and does not exit. Stop it if nobody needs it: others wait for its GPUs.",
		"TrainingJobGpuIdle", "began"},
	jobPartIdle: {"Some GPUs idle", "See whether the job was meant to use them, and whether a worker died. No alert tells this: the others hide it in the average.", "", "began"},
	jobEndsBusy: {"Ended, GPUs busy", "See who uses them: processes of the job that were left over have to be killed, else the next job finds them taken.",
		"TrainingJobFalseTerminal", "ended"},
	jobSilent: {"Runs, says nothing", "Look at it at the service: it is probably over or stuck. Stop it there if nobody needs it: others wait for its GPUs.",
		"TrainingJobZombieRunning", "last news"},
	jobNoStep: {"No first step", "See in its log what it loads or waits for: data, a model, other workers, or the store that they meet at.",
		"TrainingJobNoFirstStep", "began to run"},
	jobQueued: {"Stuck in the queue", "See what it waits for: quota, nodes that fit, an image or a volume. Free some, or ask for less.",
		"TrainingJobStuckQueued", "came"},
	jobRestarts: {"Restarts again and again", "Read the end of the log of the attempt before: each start costs its GPUs, and none will help before the cause is mended.",
		"TrainingJobRestartLoop", "last restart"},
	jobCheckpoint: {"Checkpoint overdue", "See its log for errors of writing, and whether the storage is full or slow. Until then a crash costs all since the last one.",
		"TrainingJobCheckpointStale", "newest checkpoint"},
	jobRising: {"Loss rises", "Look at its curves; if the gradient norm rises too, stop it and go back to a checkpoint before that, with a lower learning rate.",
		"TrainingJobLossDiverging", "began"},
	jobSlow: {"Slower than usual", "Compare its GPUs: one that is slow, hot or narrow holds up all. Else look at how it reads its data, and at the network.",
		"TrainingJobThroughputRegressed", "began"},
	jobFailed: {"Job failed", "", "TrainingJobFailed", "failed"},
	jobLost: {"Job lost", "Look for it at the service: it was deleted there, or the key no longer sees it. Its GPUs may still be held.",
		"", "last heard of"},
}

// failureAdvice is what to do about a failed job, by the class of the failure.
var failureAdvice = map[string]string{
	"out_of_memory": "Restart it with a smaller batch or shorter sequences, with sharding, or with more memory.",
	"diverged":      "Restart it from an earlier checkpoint, with a lower learning rate or with clipped gradients.",
	"timeout":       "See in its log what it waited for; a hung collective shows in all ranks.",
	"preempted":     "Restart it from the newest checkpoint; nothing is wrong with it.",
	"hardware":      "Look for XIDs on its GPUs and keep new jobs away from the node, then restart it elsewhere.",
	"quota":         "Raise the quota, or free some of it, then restart the job.",
	"data":          "Mend the data set where the message says, then restart the job.",
	"storage":       "Free room or mend the access to the storage, then restart it from the newest checkpoint.",
	"network":       "See whether the network or the other end is well again, then restart it from the newest checkpoint.",
	"image":         "Mend the name of the image, or the access to its registry.",
	"scheduling":    "Free or add nodes that fit it, or ask for less.",
	"crashed":       "Read the end of its log for the error, then restart it from the newest checkpoint.",
}

func (k kind) doFor(j *collector.Job) string {
	if k == jobFailed {
		return cmp.Or(failureAdvice[j.ErrorType], "Read its log at the service, then restart it from the newest checkpoint.")
	}
	return kindWords[k].do
}

// faults are what classes of errors of a source mean, what to do, and the alert where it is one of its own.
var faults = map[string]struct{ why, do, alert string }{
	"auth": {"the service refuses the credential; check that the key is still valid",
		"Put a valid key where the configuration says; it is read again by itself.", "TrainingSourceAuthRejected"},
	"dns":     {"the name of the service cannot be resolved", "Check the address in the configuration and the name server of this machine.", ""},
	"connect": {"no connection to the service", "Check the network and the proxy between this machine and the service.", ""},
	"tls":     {"the service's certificate is not accepted", "Check the certificate and the CA that the configuration names.", ""},
	"timeout": {"the service does not answer in time", "See the service's own status page; the bridge goes on trying.", ""},
	"rate_limited": {"the service says that there are too many requests",
		"Lower the request budget of this source, or find who else uses the key.", "TrainingSourceRateLimited"},
	"quota":     {"the quota at the service is used up", "Raise the quota at the service.", "TrainingSourceRateLimited"},
	"decode":    {"the service's answers cannot be understood", "Something between here and the service answers in its place, or its API has changed: see the log.", ""},
	"too_large": {"the service's answers are too large", "See the log for which answer it was.", ""},
	"not_found": {"the address of the service is wrong, or what was asked for is gone", "Check the address and the names in the configuration.", ""},
	"http_4xx":  {"the service refuses the requests", "See the log for the service's words; check what the key may do.", ""},
	"http_5xx":  {"the service reports an error of its own", "See the service's own status page; the bridge goes on trying.", ""},
}

func faultWord(class string) string {
	return cmp.Or(faults[class].why, "polls fail; the log says why")
}
