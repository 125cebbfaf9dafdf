//go:build !linux

package program

import "os"

// ownOutput is standard output: no library that could print is loaded here.
func ownOutput() (*os.File, error) { return os.Stdout, nil }
