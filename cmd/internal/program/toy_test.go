package program

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAddASource follows CONTRIBUTING.md: one folder and one line make a source.
func TestAddASource(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	dir := t.TempDir()
	program := buildWithToy(t, dir)
	run := func(config string) (string, error) {
		file := filepath.Join(dir, "trainbridge.yml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), program, "dump", "--config.file="+file).CombinedOutput()
		return string(out), err
	}
	out, err := run("sources:\n  - {name: playroom, kind: toy, jobs: [train, truck]}\n")
	if err != nil {
		t.Fatalf("dump: %v\n%s", err, out)
	}
	for _, want := range []string{phase("playroom", "train", "running"), phase("playroom", "truck", "running"), `training_job_status="busy"`,
		`training_source_up{training_source="playroom"} 1`} {
		if !strings.Contains(out, want) {
			t.Errorf("the metrics lack %s\n%s", want, out)
		}
	}
	for config, want := range map[string]string{
		"sources:\n  - name: playroom\n    kind: toy\n    jobs: []\n":              "trainbridge.yml:4: sources[0].jobs: at least one job id is required",
		"sources:\n  - name: playroom\n    kind: toy\n    toys: []\n":              "trainbridge.yml:4: sources[0].toys: unknown field",
		"sources:\n  - name: playroom\n    kind: toy\n    jobs:\n      - {a: b}\n": "trainbridge.yml:5: sources[0].jobs[0]: must be text",
	} {
		if out, err := run(config); err == nil || !strings.Contains(out, want) {
			t.Errorf("the error is %v, %s, not %s", err, out, want)
		}
	}
}

// buildWithToy builds the program with the folder collector/toy and a line more in sources.go, without touching either.
func buildWithToy(t *testing.T, dir string) string {
	t.Helper()
	table, err := os.ReadFile("sources.go")
	if err != nil {
		t.Fatal(err)
	}
	const start = "var kinds = map[string]kind{\n"
	more := strings.Replace(string(table), start, start+"\t\"toy\": kindOf(toy.New),\n", 1)
	more = strings.Replace(more, "\t\"github.com/trainbridge/trainbridge/collector/wandb\"\n",
		"\t\"github.com/trainbridge/trainbridge/collector/toy\"\n\t\"github.com/trainbridge/trainbridge/collector/wandb\"\n", 1)
	changed := filepath.Join(dir, "sources.go")
	if err := os.WriteFile(changed, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		abs(t, "sources.go"): changed, abs(t, "../../../collector/toy/toy.go"): abs(t, "testdata/toy/toy.go"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	file, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "trainbridge-with-toy")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay="+file, "-o", program, "../../trainbridge").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

func abs(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestContributingSaysSo: every line of code that CONTRIBUTING.md shows for a new source is in the source that the test adds.
func TestContributingSaysSo(t *testing.T) {
	guide, err := os.ReadFile("../../../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	toy, err := os.ReadFile("testdata/toy/toy.go")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(guide), "```go\n")
	shown, _, found := strings.Cut(after, "```")
	if !found || !strings.Contains(shown, "func New(") {
		t.Fatal("CONTRIBUTING.md shows no source")
	}
	for line := range strings.Lines(shown) {
		if !strings.Contains(string(toy), strings.TrimSpace(line)) {
			t.Errorf("testdata/toy/toy.go lacks the line %q of CONTRIBUTING.md", line)
		}
	}
}
