// Package otlp holds the benchmarks that compare the bridge's OTLP exporter with the OpenTelemetry SDK for Go.
//
// Both send the same snapshot, or the same spans, to a server on loopback that reads and discards, one after the other in
// the same process, and each benchmark reports the processor time of both and their ratio. The server's share is in
// both. Run it with
//
//	TRAINBRIDGE_BENCH_POINTS=200000 TRAINBRIDGE_BENCH_SPANS=100000 go test -bench . -benchtime 3x ./bench/otlp
//
// Without the variables the sizes are small, so that the benchmarks can run with the tests.
package otlp
