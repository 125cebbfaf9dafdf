//go:build !linux || !cgo

package driver

import (
	"runtime"
	"strings"
	"testing"
)

func TestOpenIsNotBuiltIn(t *testing.T) {
	says := "CGO_ENABLED=1 go build ./cmd/trainbridge (needs gcc)"
	if runtime.GOOS != "linux" {
		says = "only be read on Linux"
	}
	d, err := Open("")
	if d != nil || err == nil || KindOf(err) != NotBuiltIn || Fault(err) != "not_built_in" || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, %v", d, err)
	}
}
