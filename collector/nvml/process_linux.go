package nvml

import "syscall"

// executable is this program even if its file was replaced: it is what runs.
func executable() (string, error) { return selfExe, nil }

// attributes give a helper a group of its own, so that a ^C for the bridge is not one for it, and end it with its parent.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
