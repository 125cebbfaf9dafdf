// Package tensorone watches training jobs of TensorOne through GET /training/jobs/{jobId} of its API v2.
//
// # What is documented, and what is not
//
// The job, its checkpoints, the errors and the rate limits are documented; a list of jobs is not, nor are any units, and no
// public client was found to read them from. Everything that had to be guessed is a setting ([Units], Config.List) or is
// read with tolerance: every part of a job may be missing, null or of another shape, numbers may be texts, and what
// cannot be
// understood is counted by the name of its field, once an hour and job, and leaves no value. A value that is missing is
// absent, never 0.
//
// # Finding jobs
//
// Job ids come from the configuration, from files in the format that Prometheus calls file_sd (with job ids as
// targets), and from
// GET /training/jobs where the server answers it. What such a listing lacks proves nothing: a job counts as gone only
// when three polls
// in a row do not find it. Jobs that the listing shows as ended long ago are left out (Config.ListEnded): each would
// cost reads.
//
// # The budget
//
// All reads below /training share one documented limit of 500 an hour, which is one job each 7 seconds, or 8 jobs each
// minute. The rate and
// the burst of the client follow from Config.ReadsPerHour so that rate*3600 + burst is never above it: no window of an
// hour, wherever it begins, holds more reads, retries and listings included. One poll is one read (two with checkpoints:
// endpoint). Where the jobs ask for more, the scheduler lengthens all intervals together. A service that tells of a
// smaller limit in its headers is believed.
//
// The documentation shows Retry-After on answers that succeeded; it is obeyed only on refusals.
//
// # What a job says
//
// Status becomes the phase: queued pending, initializing, running, paused, cancelling stopping, completed succeeded,
// failed, cancelled;
// anything else is unknown and counted. The service keeps no history: every change of phase that a poll or a listing
// saw counts as one phase_changed
// event, and a phase that came and went between two looks is never seen.
//
// The current step seems to be counted within an epoch and may fall; it is a gauge, and no step events are made of it.
// Nothing is derived from
// another number: not progress from steps, not speed from batches.
//
// Checkpoints are events with the provider's id and time, counted once each in whatever order they are listed and
// however many are deleted. This is
// exact for the first 4,096 checkpoints of a job; from then on one that is listed late is left out, so that none counts
// twice.
//
// A null loss of a job that runs is how some services send NaN: the value is withdrawn and counted as not finite. GPU
// numbers, throughput and
// the estimated end are withdrawn when the answer no longer has them, such as those of a GPU that left, or of a paused job.
//
// Logs are never asked for, and download addresses are never read.
package tensorone
