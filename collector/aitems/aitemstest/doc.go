// Package aitemstest is a simulator of the NAVER Cloud AiTEMS API, for tests, for end-to-end checks and for the demo. It needs no
// account, no network and no accelerator.
//
// # The API
//
// A [Server] is an http.Handler. It answers the four lists that a watcher needs (services, trainings, one training, refresh runs)
// in the documented shapes: no totals, dates without a zone, absent optional fields left out. Before them stands the
// gateway, which checks signature v2 over the request target as it came, the access key, and that the timestamp is less than five minutes
// off. What is not documented (whether trainings heed offset, the shape of an error) can be switched with [Faults].
//
//	s := aitemstest.New(aitemstest.Options{AccessKey: "AK_TEST", SecretKey: "SK_TEST"})
//	web := httptest.NewServer(s)          // base URL: web.URL + "/api/v1"
//	shop := s.AddService(aitemstest.Service{Name: "shop"})
//	job := s.AddTraining(shop, aitemstest.Training{Type: "pop"})
//	s.SetStatus(job, "learning")
//
// Nothing happens by itself. [Server.Truth] says how the trainings stand, to compare with what a client believes, and
// [Server.Violations] what the client did that it should not have done.
//
// # Fleets
//
// A [Fleet] fills a server with four services whose trainings queue, learn, complete, fail in each of the three ways, or are
// stopped, in virtual time. The same seed gives the same ids, statuses and order. What follows stopping is not documented; here the training
// leaves the list.
//
// Everything here is safe for concurrent use.
package aitemstest
