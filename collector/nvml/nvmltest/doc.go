// Package nvmltest is a virtual machine with eight GPUs, for the demo and for tests. No GPU, no driver and no C compiler is needed.
//
// It has two halves, for the process that reads GPUs is not the one that knows what happens to them. [Host] lives in the main
// process: it gives GPUs to jobs, plays a scenario, and writes what holds to a small file, [State]. [Open] lives in the helper
// process: a driver.Driver that reads the file again whenever it changed.
//
// Every value is a pure function of the file and of the time, so another helper goes on exactly where the one before it was.
// Counters are integrals: a [Spell] begins with the totals of the one before.
package nvmltest
