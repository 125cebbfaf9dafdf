package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExamples: what is shown to operators must be taken as it is.
func TestExamples(t *testing.T) {
	for _, file := range []string{"trainbridge.yml", "gpu-node.yml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseConfig(file, text, noEnv); err != nil {
			t.Error(err)
		}
		// What is commented out must be right too.
		var all []string
		for line := range strings.Lines(string(text)) {
			before, example, found := strings.Cut(line, "# ")
			if found && strings.TrimSpace(before) == "" && (strings.HasPrefix(example, "kubelet: ") || strings.HasPrefix(example, "environment: ")) {
				line = before + example
			}
			all = append(all, line)
		}
		if _, err := parseConfig(file, []byte(strings.Join(all, "")), noEnv); err != nil {
			t.Error(err)
		}
	}
}
