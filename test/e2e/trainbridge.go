package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// buildTrainbridge builds the program once for all tests of a run.
var buildTrainbridge = sync.OnceValues(func() (string, error) {
	path, err := filepath.Abs(filepath.Join(toolFolder, "trainbridge-e2e"))
	if err != nil {
		return "", fmt.Errorf("build trainbridge: %w", err)
	}
	cmd := exec.Command("go", "build", "-o", path, "./cmd/trainbridge")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build trainbridge: %w\n%s", err, out)
	}
	return path, nil
})

// Trainbridge returns the path of the program, built from this tree once for all tests, or of the one that the environment
// variable TRAINBRIDGE names.
func Trainbridge(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("TRAINBRIDGE"); path != "" {
		return path
	}
	path, err := buildTrainbridge()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// StartTrainbridge starts the program with args in folder dir.
func StartTrainbridge(t testing.TB, dir string, args ...string) *Process {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), Trainbridge(t), args...)
	cmd.Dir = dir
	return Start(t, "trainbridge", cmd)
}
