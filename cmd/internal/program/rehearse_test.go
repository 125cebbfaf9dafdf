package program

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestRehearseIsAnotherProgram: it is found on the PATH, gets the arguments as they are, and its exit code is ours.
func TestRehearseIsAnotherProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the program that stands in is a shell script")
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if code, _, errs := runCommand(t, "rehearse", "--scenario=stalled"); code != exitFailed || !strings.Contains(errs, "go build -C cmd/trainbridge-rehearse") {
		t.Errorf("without it: code %d, %s", code, errs)
	}
	script := "#!/bin/sh\necho \"$@\"\nexit 3\n"
	if err := os.WriteFile(filepath.Join(dir, rehearseProgram), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCommand(t, "rehearse", "--help", "--scenario=stalled")
	if code != 3 || out != "--help --scenario=stalled\n" || errs != "" {
		t.Errorf("code %d, %q, %q", code, out, errs)
	}
	if _, out, _ := runCommand(t, "--help"); !strings.Contains(out, "rehearse") {
		t.Error("the help says nothing of it")
	}
}
