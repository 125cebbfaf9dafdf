//go:build unix

package prom

import (
	"syscall"
	"time"
)

// cpuTime is the time that the process has spent on processors, the collector of garbage included.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
