package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// RequireEnv is the environment variable that, set to 1, makes a missing server a failure instead of a skip.
const RequireEnv = "TRAINBRIDGE_E2E"

// toolFolder is where .ci/tools builds, seen from this package, which is where go test runs its tests.
const toolFolder = "../../.cache/bin"

// Tool returns the path of the server or tool called name. Without it the test is skipped, or fails if [RequireEnv] is 1.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := findTool(name)
	if err == nil {
		return path
	}
	if os.Getenv(RequireEnv) == "1" {
		t.Fatalf("%v (%s=1 allows no skip)", err, RequireEnv)
	}
	t.Skip(err)
	return ""
}

func findTool(name string) (string, error) {
	variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if path := os.Getenv(variable); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("find %s: the environment variable %s: %w", name, variable, err)
		}
		return path, nil
	}
	built, err := filepath.Abs(filepath.Join(toolFolder, name))
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	for _, candidate := range []string{built, name} {
		path, err := exec.LookPath(candidate)
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("find %s: %w", name, err)
		}
	}
	return "", fmt.Errorf("find %s: it is neither in %s nor in PATH: run .ci/tools %s, or set %s to its path", name, toolFolder, name, variable)
}
