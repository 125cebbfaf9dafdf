//go:build unix && !linux

package nvml

import (
	"os"
	"syscall"
)

func executable() (string, error) { return os.Executable() }

// attributes give a helper a group of its own, so that a ^C for the bridge is not one for it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
