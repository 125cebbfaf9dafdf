// Package collector is the core of trainbridge: what a training job is, how news about it is folded into one immutable
// value, who asks for that news and when, and which metrics are read from it.
//
// # The flow
//
// A [Source] (a folder below this one) talks to one training service and returns [Update] values. The [Scheduler]
// decides when a source is asked. The [Recorder] folds updates with [Reduce], a pure function, commits the result to the
// [Ledger] and only then publishes it through the [Store]. Exporters read an immutable [Snapshot] and never touch
// a source. What a snapshot says is therefore always something that survives a crash.
//
// # Metrics
//
// [JobRows], [GroupRows] and [SourceRows] are the one table of metrics: each [Row] names a metric, its unit, kind, labels
// and the function that reads it. Every encoder and the reference page are derived from it.
//
// The package imports only the standard library, and has no package state that changes.
package collector
