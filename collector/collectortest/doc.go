// Package collectortest has what tests of encoders, exporters and sources share.
//
// [Fixture] is one snapshot that holds every row of the schema and every oddity that a job can have: the golden files of
// all encoders come from it, so that they are held to each other. [Many] makes a large one for benchmarks, and
// [Change] the next version of it. All of them are deterministic: same arguments, same values.
package collectortest
