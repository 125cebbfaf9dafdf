// Package wandb watches training jobs of W&B Serverless Training (also offered as CoreWeave Forge): reinforcement learning
// and supervised fine-tuning jobs that trainers start through the API.
//
// # Finding jobs
//
// The API has no request that lists jobs, so their ids come from outside: from the configuration, from files and HTTP
// endpoints in the formats that Prometheus calls file_sd and http_sd (with job ids as targets), from whoever registers a job with the bridge, or
// from the recording pass-through ([Source.Proxy]) that a trainer uses as its base URL. Discovery gives ids and labels and
// nothing else: never an address, a header or a credential.
//
// # Reading events
//
// Events have an id, a type and data; no time, no number, and no order that can be computed. They are listed oldest
// first, in pages after a given id. The source keeps a trailing bookmark: it asks after the event 20 places before the
// newest, so that an event that was listed late is still seen, and the core counts each id once. If the service refuses
// the bookmark, or the page does not begin with an event that is known, the list is searched from its start for the last
// known event and reading goes on from there. If none is listed any more, events were dropped unread: that is reported as a gap
// and everything listed is new.
//
// After a job has ended, every poll also counts all events that are listed, to hold against what was counted.
//
// A page never sticks: an element that cannot be read, because it breaks a limit or is no JSON, is set aside and counted, and
// the list goes on behind it; only that the job ended is taken from such an element. What the source does not understand (a type of event, a
// shape of data) is counted by name.
//
// # Numbers
//
// The keys of an event's data have had two generations of names; both become today's. Training and validation loss,
// gradient norm, learning rate and tokens per second are metrics of their own, all other numbers are free-form. Each value is
// judged alone: null withdraws the last value, NaN and infinities in any spelling are values, text and lists are not
// numbers.
package wandb
