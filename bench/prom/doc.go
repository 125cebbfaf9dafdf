// Package prom measures the exposition of many jobs against client_golang's vectors and promhttp, in the same process.
//
//	go test -run '^$' -bench . -benchtime 5x ./bench/prom
//
// BENCH_SERIES is the number of series, 100,000 by default. The metric x-less-cpu is the ratio of the CPU times of the two
// for the same answer: higher is better, and it means more than the times themselves, which depend on the machine.
package prom
