// Package e2e runs trainbridge against the programs that the world runs: a real Prometheus scrapes it and takes its
// OTLP metrics, the OpenTelemetry Collector's receiver takes its metrics and spans, and a real Jaeger gives its traces back.
//
// It is a module of its own, so that none of this is a dependency of the product. Every helper takes the test, starts its
// server on a loopback port that the kernel chose, and stops it when the test ends; a test that fails prints the end of
// every server's log.
//
// The servers are found by [Tool]: in the environment (PROMETHEUS, PROMTOOL and JAEGER hold a path each), in .cache/bin, where
// .ci/tools builds them, and in PATH. A test whose server is missing is skipped, unless TRAINBRIDGE_E2E is set to 1, as CI does:
// then it fails.
package e2e
