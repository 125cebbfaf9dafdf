// Package prom turns a snapshot into what Prometheus scrapes: text 0.0.4, OpenMetrics 1.0.0 and delimited protobuf with
// native histograms, plain or compressed with gzip.
//
// # What it costs
//
// A scrape pays for what changed since the scrape before. For each family and block of jobs the encoder keeps a column:
// the rendered values, and in gzip answers the compressed text. Blocks and jobs are immutable, so comparing pointers finds
// what changed; only those jobs are rendered again, and only columns whose bytes differ are compressed again. The labels
// that identify a job are rendered once per job and put before each value while writing.
//
// A refresh happens under a lock and ends before the first byte is sent; what is sent is immutable. So a slow reader
// delays neither other readers nor the writers of the store, and an answer is never half of one state and half of another.
//
// Text and OpenMetrics share one cache, protobuf has another, made when first asked for: with scrapers of both kinds
// memory is about twice that of one. bench/prom has the figures.
//
// # What is not sent
//
// Samples carry no timestamps. There are no _created lines: Prometheus would store each as a series of its own. The start
// of counters is in the protobuf format, which has a field for it. The families of the bridge itself, from a client_golang
// registry, follow those of the jobs.
package prom
