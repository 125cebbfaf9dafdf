//go:build !linux || !cgo

package driver

import "runtime"

// Open fails: the driver's library can only be loaded on Linux, by a program that was built with cgo.
func Open(string) (Driver, error) {
	text := "this program was built without cgo and cannot load NVIDIA's library: build it on Linux with cgo: " +
		"CGO_ENABLED=1 go build ./cmd/trainbridge (needs gcc)"
	if runtime.GOOS != "linux" {
		text = "GPUs can only be read on Linux, and this is " + runtime.GOOS + ": run trainbridge on the machine with the GPUs"
	}
	return nil, &Error{Kind: NotBuiltIn, Op: "load NVIDIA's library", Text: text}
}
