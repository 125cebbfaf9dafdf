package e2e

import "syscall"

// dieWithParent lets the kernel end a server whose test died without cleaning up, for example of its time limit.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
