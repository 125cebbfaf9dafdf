// Package runai watches workloads of NVIDIA Run:ai through the REST API of its control plane, version 2.24 and the older ones that
// are in use (2.18 and later). It only reads.
//
// # Credentials
//
// A service account or access key is exchanged for a token that ends ([TokenConfig]); a ready token in authorization works too. The
// end is taken from the token itself (the claim exp of a JWT), else from the answer, else a few minutes are assumed. A token is renewed
// before it ends and once after a 401, by one request however many wait for it.
//
// # Finding jobs
//
// Workloads are listed oldest first, so that new ones come at the end of the list, in pages by offset. The rows around the end of each
// page are read twice: if none of them comes again, rows vanished in between, and the listing is begun again; a listing
// that cannot be read whole removes no job. Workloads that were deleted lately are listed apart, because a workload that is deleted
// while it runs ends by it: it is cancelled, with the status "Deleted".
//
// Phases, pods and GPUs come with the listing. The phase is shown at once; how the job came to it is read when the job is asked
// next, which is soon.
//
// # Events and history
//
// Events of a workload (those of its pods in Kubernetes, and of the scheduler) are listed newest first by a time that is not
// unique, may come late, and may lack an id. They are read back to a window (event_window, 10 minutes) before the newest that is
// known, and each is counted once: by its id, else by its content and how many have the same. An event that is
// listed later than the window allows is found by the full count after the end of the job. An event that Kubernetes repeats keeps
// its id and is counted once, unless it repeats after more than the window.
//
// The history of a workload has its phases, and the same events once more, in no documented order. It is read whole, but only
// when the listing shows another phase, once more when the window has passed, and after the end.
//
// # Metrics
//
// Utilisation and memory are asked for apart and less often (metrics_interval). What a tenant or an older version does not have,
// or does not allow, is left out and asked for again every hour.
//
// # Pods
//
// With pods set, all pods that have not ended are listed as often as metrics are asked for: one list for all workloads, in pages
// that overlap as those of workloads do. A pod runs if it says so and has neither ended nor been deleted; its namespace is that of its
// workload. One that is missing from a list that was read whole is withdrawn, and so are all when none could be read for more than five
// minutes, or when the workload does not run any more. A pod of a revision belongs to the workload.
//
// # Revisions
//
// With revisions set, every revision of an inference workload is a job of its own, called "<workload>/<revision>": a revision has
// phases of its own, and a service that is updated must not look as if it had failed.
package runai
