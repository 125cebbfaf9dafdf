package program

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ownOutput is a copy of standard output for nobody else, and makes standard output what standard error is: a library that prints
// must not do so into the frames.
func ownOutput() (*os.File, error) {
	fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.Dup3(2, 1, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("set standard output aside for the helper that reads GPUs: %w", err)
	}
	return os.NewFile(uintptr(fd), "frames"), nil
}
