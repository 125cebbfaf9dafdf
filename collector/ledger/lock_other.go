//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package ledger

import "os"

// tryLock leaves it to the lock that bbolt takes on its own file.
func tryLock(*os.File) (bool, error) { return true, nil }
