// Package collectortest has what tests of encoders, exporters and sources share.
//
// # Values
//
// [Fixture] is one snapshot that holds every row of the schema and every oddity that a job can have: the golden files of
// all encoders come from it, so that they are held to each other. [Many] makes a large one for benchmarks, and
// [Change] the next version of it. All of them are deterministic: same arguments, same values.
//
// # A new source
//
// [Run] is the suite that every source passes. A new source calls it from its own tests, with a simulator of its provider:
//
//	func TestConformance(t *testing.T) {
//		collectortest.Run(t, collectortest.Subject{
//			Open: func(t testing.TB, o collectortest.SubjectOptions) collector.Source {
//				c := Config{BaseURL: o.Base}
//				c.HTTP.Dial = o.Dial // everything happens in memory
//				c.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", Credentials: key(o.BadKey)}
//				s, err := New(c, o.Env)
//				if err != nil {
//					t.Fatal(err)
//				}
//				return s
//			},
//			Service: func(testing.TB) collectortest.Service { return newService() },
//			Pages:   true,
//		})
//	}
//
// The simulator answers as the provider does, checks its client (credential, signature, page size, filters, rate) and counts in
// Violations what a good client never does. It knows the truth: the phase of every job and how many events it had. A few
// jobs are enough, if one of them needs several pages, one ends, one fails and one comes later.
//
// Every subtest runs in a bubble of [testing/synctest] over a [Network] in memory: time-outs of 20 seconds and pauses of an
// hour take no time, and goroutines that are left behind are seen. Between source and simulator stands something that
// spoils answers. For each way to spoil them the suite asks that
//
//   - calls come back in time, with an error of the right class that names the operation and shows no credential, query or body;
//   - no more is asked than is polite, and nothing before a pause is over that the service asked for;
//   - little memory is used, however large the answer;
//   - no job ends, leaves or counts anything because of it;
//   - once it is over, every job is what it truly is: no event lost, none counted twice;
//   - the simulator has nothing to complain about, and nothing went to another host.
//
// Further subtests cancel contexts, restart the program, have pages come twice or not at all, and let tokens end while pages are
// read. [Drive] does what the scheduler does, one call at a time; it is of use to other tests of a source, too.
package collectortest
