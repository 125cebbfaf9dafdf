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
// It exits with 0 if the alerts of the scenario fired and nothing else did, with 1 if another one fired, one was missing, or a rule could
// not be evaluated, and with 2 if it was called in the wrong way.
//
// Virtual time is that of testing/synctest, which belongs to tests: the rehearsal runs as the only test of a test binary.
package main

import (
	"os"
	"runtime/debug"

	"github.com/trainbridge/trainbridge/cmd/internal/program"
	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/rehearse"
)

// gcPercent trades memory, of which a rehearsal needs little, for a quarter of the time.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	c := command{stdout: os.Stdout, stderr: os.Stderr, scenarios: program.Scenarios(), play: rehearse.Play}
	c.main(os.Args[1:])
}
