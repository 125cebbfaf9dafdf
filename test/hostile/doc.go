// Package hostile holds the test of answers that no service should give: thousands of them, made of the simulators' real ones
// by chance, go through every source and the core. Nothing may crash, stay behind or take memory without bound, and nothing that was
// readable may be passed over.
//
// A plain go test gives 150 answers to each source, CI 1,000. All of 10,000, or others:
//
//	go test ./test/hostile -args -hostile.answers=2500 -hostile.seed=2
//
// Every second source meets gentle answers only: they add what nobody asked for and break on the way, but do not lie about which
// jobs and events there are. Afterwards each event must have been counted or set aside.
package hostile
