//go:build !mutant_cursor

package program

import "github.com/trainbridge/trainbridge/collector/ledger"

// planted is where a build for the crash test plants a bug; see ledger_mutant.go.
func planted(e ledger.Engine) ledger.Engine { return e }
