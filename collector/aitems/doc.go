// Package aitems watches the trainings of NAVER Cloud AiTEMS, a recommendation service: each of its services is trained, once
// or on a schedule, as up to three types of model (personalRecommend, relatedItem, pop).
//
// # Jobs
//
// A job is one training request. The API gives it no id of its own: it is named by its service, its type and its version, and
// so is the job: "serviceId/type/version". The version alone would not do, because one request may train several types. No part may
// hold a slash; an item whose parts cannot be told is counted and left out.
//
// A listing asks for the services and for the trainings of each, which costs one request and one more per service. The
// parameter isRecent is never sent: true and false are both filters, and only leaving it out gives everything.
//
// # What is known, and what is not
//
// The API tells a training's type, version, status and date of creation, and nothing else: no start, no end, no progress, no
// cost, no loss and no evaluation. The source makes none up. That a training began or ended is seen as a status that is another
// one than in the listing before, and its time is that of the listing: durations are right to about list_interval. A status that
// came and went between two listings is never seen. Every change that was seen counts as one phase_changed event.
//
// Documented statuses become phases like this:
//
//	ready, requesting, waiting                        pending
//	learning                                          running
//	stopping                                          stopping
//	completed                                         succeeded
//	requestFailed, refinedFailed, learningFailed      failed
//
// Any other becomes unknown, is counted by name of its field, and is shown as it is in the job's status. It is not documented
// what follows stopping: a training that leaves the list while it stops counts as cancelled.
//
// Dates have no zone; they are read in the one that time_zone names, Korea's by default. hpConfig.epochs, where it is a number,
// is the number of planned epochs. Other options of hpConfig, nextUpdateDate and inference are not exposed.
//
// With the setting updates, the refresh runs of the newest completed training of each type are read too, at one request each.
// They are the only things with an end time; it is theirs, not the training's. Each becomes a notice "refresh" when it was
// asked for and a notice "refresh_finished" when it had finished, and the numbers of the newest result become free-form numbers
// under the provider's names.
//
// # Listings that cannot be trusted
//
// Lists have no total and no mark of their end, and the service may ignore offset. Pages are therefore read with an overlap, which
// shows a list that moved; a page that only repeats what is known ends the list; the number of pages is bounded; and a
// list counts as complete only if what it holds fits the places that were asked for. A training or service that was there before
// must be missing twice in a row before anybody hears that it is gone. Whatever is in doubt makes the listing partial: what
// was read is used, and nothing is taken to be gone.
//
// A service that may not be seen (401/210, 403, 404) is left out, and said so once an hour. Where a request fails in another
// way, what was read is kept, and the next listing begins with the services that were asked longest ago.
//
// # Signatures
//
// Every attempt is signed afresh (signature v2 of the gateway) over the request target as it is sent, with its own time. The
// gateway refuses times that differ from its own by five minutes. Its clock is read from the Date header of its answers, exposed, and,
// where TLS proves who answers, used to sign, by at most fifteen minutes: so a clock that is off is heard of and does not stop the source.
package aitems
