// Package tensoronetest is a simulator of the training API of TensorOne, for tests, for end-to-end checks and for the
// demo. It
// needs no key, no network and no accelerator.
//
// # The API
//
// A [Server] is an http.Handler. It answers GET /training/jobs/{jobId} and GET /training/jobs/{jobId}/checkpoints below
// /v2 in the
// documented shapes, errors and rate limits included: X-RateLimit headers and Retry-After: 60 come with every success,
// as the
// documentation shows them, and a fixed window of an hour lets Options.ReadsPerHour requests through. GET /training/jobs is
// not documented; the server answers it as its sibling listings do if Options.List is set, and refuses it otherwise.
//
//	s := tensoronetest.New(tensoronetest.Options{Key: "tpo_test_key"})
//	web := httptest.NewServer(s) // base URL: web.URL + "/v2"
//	id := s.AddJob(tensoronetest.Job{Name: "llama ft", Status: "running"})
//	s.AddCheckpoint(id, tensoronetest.Checkpoint{ID: "ckpt_epoch_1", Epoch: 1, Step: 600, Size: "2.3GB"})
//
// Nothing happens by itself: a test changes jobs. [Server.Truth] says how they really are, [Server.Violations] what a
// client did that it should
// not, and [Server.SetFaults] makes the server misbehave.
//
// # Fleets
//
// A [Fleet] fills a server with jobs that train in virtual time: that queue, run, save checkpoints, cost money, are
// paused, cancelled, diverge or run
// out of memory, and are followed by others. The same seed gives the same jobs.
//
// Everything here is safe for concurrent use.
package tensoronetest
