// Package web is what the bridge shows to people and takes from them over HTTP, besides metrics: the status page, the
// probes of a service manager, reload, and the jobs API.
//
// # Endpoints
//
//	GET  /                 status page: what needs attention, jobs, groups, GPUs, sources
//	GET  /jobs             page of one job, ?source=..&id=..
//	GET  /api/v1/events    updates of these pages, as server-sent events
//	GET  /-/healthy        200 as long as the process answers; nothing else is looked at
//	GET  /-/ready          200 once the state is loaded and served, else 503
//	POST /-/reload         reads the configuration again; off unless enabled (PUT works too)
//	POST /api/v1/jobs      makes jobs known; off unless enabled
//
// The program mounts the handlers; authentication and TLS are those of its listener.
//
// # The pages
//
// They are made here, whole, from the snapshot: without scripts only updates lack, and the page reloads itself. Their script
// and style stand in them and are allowed by their hashes; nothing else runs, and nothing is fetched from elsewhere.
// Texts of services are shown as text, without control and text-direction characters; a link leads to http and https only.
//
// The status page takes its question from its address, so that it can be sent to somebody:
//
//	q       words that all must stand in name, id, source, group, project, owner, model, failure or status; or a trace id
//	phase   one of the phases, active (not ended) or trouble (something below is wrong)
//	source, group
//	sort    phase, name, source, progress, loss, rate, step, cost, began or trouble; with a - the largest first
//	rows    jobs on one page, 100 or as many as asked for up to 1,000
//	page    which
//	all     attention or groups: that list is not shortened
//
// # What needs attention
//
// First what is wrong now and critical, then what failed or was lost within the last hour, then warnings; each worst and newest
// first, with what to do about it, and with the name of the shipped alert that says the same. Failures of one source with the
// same words are one entry, and so are jobs of one source with the same trouble. All shipped alerts are here, but for those on
// a bridge that nobody can look at; they are for whoever has no Prometheus yet, judged from the snapshot and [History] alone,
// by the bounds of the rules, though not by the rules:
//
//	critical  a loss is NaN, infinite or null, or another value came so within the last hour, in a job that has not ended
//	critical  the GPUs of a job that runs are busy and hardly draw power, and no step comes, for three minutes
//	critical  a job that runs made its last step more than ten times its median interval ago, and more than ten minutes, how
//	          late polls are not counted; before five intervals are known, more than an hour ago
//	critical  a job costs more than its budget in the same currency
//	warning   the GPUs of a job that runs are less than 5 % busy over a quarter of an hour, for another quarter; or one of them
//	          is, which no alert tells; the GPUs of a job that ended are busy
//	warning   no first step, stuck in the queue, checkpoint overdue, restarts, a loss that rises, throughput that falls, a job
//	          that is said to run and of which nothing is heard for a day
//	critical  a source refuses the credential, or has said nothing for a quarter of an hour of jobs that run; a credential has
//	          expired
//	warning   a source is down; the credential expires within seven days; the request budget does not suffice; polls are late
//	          or refused; jobs or values are held back by a limit; answers are not understood; clocks differ
//	critical  fewer GPUs answer than are expected, or one does not; an XID within the last hour that needs a reset, or one that
//	          several jobs had on this GPU alone; memory that failed within the last hour or cannot be remapped
//	warning   the GPUs cannot be read, or their reader is stuck; a repair of memory waits for a reset; clocks are held down by
//	          heat or power; a GPU is slower than the others of its job; a PCIe link is narrow
//	critical  the state cannot be written
//	warning   the configuration was not reloaded; the OTLP receiver does not take what is sent, or spans were lost
//	note      the state is in memory
//	critical  a job failed within the last hour, or was found failed then and did so within the day before
//	warning   a job disappeared within the last hour and nobody can say how it ended; another XID
//
// What was before is remembered since the start and lost with the process: of the course of jobs, of how busy GPUs are (our
// own, and what providers tell of theirs), and of sources. As in the rules, nothing is said of how old things are for ten
// minutes after the start, or after a source was not heard of, and of idle GPUs and the course of jobs for twenty; a note says
// so at the start.
//
// # What it costs
//
// Nothing while nobody looks, but for [History], which looks at the jobs that changed every ten seconds. A look passes over all
// jobs, and serves all viewers for most of a second; viewers look again every second, or less often, so that all of them
// together take a twentieth of one core. What is sent is what changed. A viewer that does not read is let go after ten
// seconds, and there are never more than 32 of them. Curves are kept in memory by History, within a bound that
// [HistoryOptions.MaxBytes] tells: about 40 MB at most, and much less where there are fewer jobs.
//
// # The jobs API
//
// The body is one job or a list of them, as JSON:
//
//	{"source": "rl-team", "id": "7d0f6e0a-4b1e-4a57-9b1c-6a2f0f0c2f11", "name": "voice-agent", "group": "agent-001", "fresh": true}
//
// source and id are required; name, group, project, owner, base_model, kind and url (where a person can look) are shown to
// people; budget is what the job may cost, such as "500 USD". fresh says that the job was created just now, so that all its
// steps are news and none are a backlog. Fields are case-sensitive, unknown or repeated ones are refused, and nothing is registered unless the whole body is right. The answer
// is 200 after every job is durable; registering a job again updates what is shown. Otherwise the answer is
// {"error": "..."}, with "failed" for jobs that could not be registered though the body was right.
//
// Requests from web pages of other origins are refused.
package web
