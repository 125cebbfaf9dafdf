//go:build !unix

package otlp

import (
	"testing"
	"time"
)

// cpu is wall time where the system does not tell processor time in a portable way.
func cpu(*testing.B) time.Duration { return time.Duration(time.Now().UnixNano()) }
