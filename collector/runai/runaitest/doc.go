// Package runaitest is a simulator of the NVIDIA Run:ai control-plane REST API (version 2.24), for tests, for end-to-end
// checks and for the demo. It needs no key, no network, no cluster and no accelerator.
//
// # The API
//
// A [Server] is an http.Handler for the root of a host. It gives out tokens (POST /api/v1/token and /api/v2/token), and
// answers the documented GET requests under /api/v1: workloads, their count, telemetry, pods, metrics, events and history, the
// endpoints for one type of workload, revisions of inference workloads, and clusters. As the service does, it pages by offset,
// answers errors with a code and a message, and answers a path that it does not know with status 200 and a web page. What
// is not documented (the words of a type, the answer to a bad filter, what is left of a deleted workload) is a guess, and can
// mostly be changed with [Faults].
//
//	s := runaitest.New(runaitest.Options{ClientID: "bridge", ClientSecret: "secret"})
//	web := httptest.NewServer(s)          // base URL: web.URL
//	id := s.AddWorkload(runaitest.Workload{Name: "bert-ddp", Type: runaitest.Distributed, GPUs: 8, Pods: 4})
//	s.SetPhase(id, "Running", "")
//	s.AddEvent(id, runaitest.Event{Reason: "Started", Message: "Started container pytorch"})
//
// Nothing happens by itself: a test sets phases, adds events, prunes and deletes. [Server.Truth] says what really happened,
// to compare with what a client believes. [Server.Violations] counts what a client did that it should not do, and
// [Server.Counters] and [Server.Requests] say how it behaved.
//
// # Fleets
//
// A [Fleet] fills a server with workloads that live in virtual time: training that queues, runs, completes, runs out of
// memory, is preempted and resumes, a notebook, an inference service with revisions. The same seed gives the same ids, phases
// and events at the same virtual times. Tests call [Fleet.Advance] or [Server.Advance]; the demo calls [Fleet.Run].
//
// # Faults
//
// [Server.SetFaults] and [Server.SetWorkloadFaults] make the server misbehave, at run time, in the ways services and
// the proxies before them do.
//
// Everything here is safe for concurrent use. The package imports only the standard library.
package runaitest
