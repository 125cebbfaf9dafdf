// Trainbridge watches training jobs where they run and turns what it sees into Prometheus metrics, OTLP metrics and traces.
//
//	trainbridge demo                             show it at work, without a key or a network
//	trainbridge check --config.file=FILE         check a configuration; --probe tries the credentials too
//	trainbridge run --config.file=FILE           watch; also the default
//	trainbridge dump --config.file=FILE          ask every source once and print the metrics
//	trainbridge trace-id SOURCE JOB              the id of a job's trace
//	trainbridge metrics-reference                the page that documents every metric
//
// # Running
//
// The configuration is one YAML file; see package program for its fields, and the Config type of each source for those of the
// source. SIGHUP reads it again: sources that did not change are not touched, and a file with mistakes changes nothing. State
// that must survive is in state.directory; the last committed totals are served as soon as it is open, before
// any source has answered. SIGTERM and SIGINT end the program with code 0 within ten seconds: polls stop, what was read is
// committed, spans that wait are sent for three seconds and otherwise kept. A second signal ends it at once, which loses
// nothing either.
//
// # Listening
//
// The default address is on loopback. --web.config.file turns on TLS and authentication for everything that is served.
// A trainer that uses the pass-through needs its Authorization header for its own key: with basic_auth_users in
// that file it is refused, so use client certificates there.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/prometheus/common/version"

	"github.com/trainbridge/trainbridge/cmd/internal/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	if version.Version == "" { // not set by a release build
		version.Version = moduleVersion()
	}
	os.Exit(program.Main(ctx, os.Args[1:], hangup))
}

// moduleVersion is the version that go install was asked for, or devel.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return strings.TrimPrefix(info.Main.Version, "v")
}
