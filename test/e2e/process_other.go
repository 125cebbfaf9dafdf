//go:build !linux

package e2e

import "syscall"

// dieWithParent has no counterpart here: a server outlives a test that died without cleaning up.
func dieWithParent() *syscall.SysProcAttr { return nil }
