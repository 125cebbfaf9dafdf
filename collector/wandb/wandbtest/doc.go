// Package wandbtest is a simulator of the W&B Serverless Training HTTP API, for tests, for end-to-end checks and for the
// demo. It needs no key, no network and no accelerator.
//
// # The API
//
// A [Server] is an http.Handler. It answers the published routes (models, checkpoints, training jobs, their events,
// health, base models) in the published shapes: an event has an id, a type and data, and neither a time nor a step
// number; a page has object, data, has_more, first_id and last_id, oldest event first; a bad parameter is a 422
// with a list of details. There is no way to list jobs or models, as in the service. What is not documented
// but has been observed (the fields of a job, 500 answers with a string detail, proxy errors in HTML) is imitated and can be
// switched off or changed with [Faults].
//
//	s := wandbtest.New(wandbtest.Options{Key: "test-key"})
//	web := httptest.NewServer(s)          // base URL: web.URL + "/v1"
//	model := s.AddModel("acme", "voice", "agent-001", "Qwen/Qwen3-14B")
//	job := s.AddJob(wandbtest.Job{ModelID: model, Kind: wandbtest.RL})
//	s.Append(job, wandbtest.Started(3), wandbtest.Step(wandbtest.Value{Key: "loss/train", Number: 0.4}))
//
// Nothing happens by itself: a test appends events, inserts late ones ([Server.InsertLate]) and removes old ones
// ([Server.Prune]). [Server.Truth] says what really happened, to compare with what a client believes.
// [Server.Counters] and [Server.Requests] say how the client behaved.
//
// # Fleets
//
// A [Fleet] fills a server with jobs that train in virtual time: reinforcement learning runs made of many short jobs, long
// fine-tuning jobs, jobs that fail, stall or diverge. The same seed and scenario give the same ids, values and order at
// the same virtual times. Tests call [Fleet.Advance]; the demo calls [Fleet.Run]. Jobs that a trainer creates through
// HTTP train in the fleet's time too. [Trainer] is such a trainer, written after the reference client's loop.
//
// # Faults
//
// [Server.SetFaults] and [Server.SetJobFaults] make the server misbehave, at run time, in the ways services and
// the proxies before them do.
//
// Everything here is safe for concurrent use. The package imports only the standard library.
package wandbtest
