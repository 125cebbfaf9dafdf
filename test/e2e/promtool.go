package e2e

import (
	"io"
	"os/exec"
	"testing"
)

// Promtool runs promtool with args and input on its standard input, and returns what it printed. The test fails if
// promtool finds anything.
func Promtool(t testing.TB, input io.Reader, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Tool(t, "promtool"), args...)
	cmd.Stdin = input
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
	return string(out)
}
