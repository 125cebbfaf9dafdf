// Trainbridge-rehearse shows which alerts a fault fires, when and for how long, without waiting for it.
//
//	trainbridge-rehearse --scenario=list                                                 what can be rehearsed
//	trainbridge-rehearse --scenario=auth_rejected --rules='alerts/*.yml' --rules='rules/*.yml'
//
// It plays a scenario of trainbridge demo in virtual time: the bridge and the services and GPUs that it watches, with Prometheus' own
// scraping, storage and rules, all in this process. The fault comes, stays for as long as the scenario says, and is put right;
// then the rehearsal goes on until the alerts have resolved. The table goes to the standard output, everything else to the
// standard error.
//
// It exits with 0 if the alerts of the scenario fired, nothing else did, and all cleared themselves afterwards, or if the rules have none of
// these alerts and nobody said what to expect; with 1 if another one fired, one was missing or did not clear itself, or a rule could not be
// evaluated; and with 2 if it was called in the wrong way.
//
// Virtual time is that of testing/synctest, which belongs to tests: the rehearsal runs as the only test of a test binary.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/trainbridge/trainbridge/cmd/internal/program"
	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/rehearse"
)

// gcPercent trades memory, of which a rehearsal needs little, for a quarter of the time.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	c, err := newCommand()
	if err != nil {
		fmt.Fprintln(os.Stderr, "trainbridge-rehearse:", err)
		os.Exit(exitUnexpected) //nolint:forbidigo // this is a main
	}
	c.main(os.Args[1:])
}

// newCommand is the command in a folder of its own, which goes with the process.
func newCommand() (command, error) {
	folder, err := os.MkdirTemp("", "trainbridge-rehearsal-")
	if err != nil {
		return command{}, fmt.Errorf("make a folder for the files of the rehearsal: %w", err)
	}
	for _, name := range []string{"TMPDIR", "TMP"} { // where all that is played makes its folders
		if err := os.Setenv(name, folder); err != nil {
			return command{}, fmt.Errorf("set the folder for the files of the rehearsal: %w", err)
		}
	}
	exit := func(code int) {
		for range 100 { // what is played may still write
			if os.RemoveAll(folder) == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		os.Exit(code) //nolint:forbidigo // this is a main
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() { // outside of the bubble: nothing in there may wait for what is not in it
		<-interrupted
		exit(exitInterrupted)
	}()
	return command{exit: exit, stdout: os.Stdout, stderr: os.Stderr, scenarios: program.Scenarios(), play: rehearse.Play}, nil
}
