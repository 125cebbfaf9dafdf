package deps

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module    = "github.com/trainbridge/trainbridge"
	core      = module + "/collector"
	exporters = module + "/exporters"
	program   = module + "/cmd/internal/program"
)

// foreign are the modules whose types must not come into anything below collector.
var foreign = []string{"github.com/prometheus/client_golang", "go.opentelemetry.io"}

// A goPackage is what go list says about a package; imports of its tests are not among Imports.
type goPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// TestDependencies checks the tree as each operating system sees it, since a file may be for one of them only.
func TestDependencies(t *testing.T) {
	look(t)
	for _, system := range []string{"linux", "darwin", "windows"} {
		t.Run(system, func(t *testing.T) {
			graph := list(t, system)
			if _, ok := graph[core]; !ok {
				t.Fatalf("go list does not know %s", core)
			}
			for _, broken := range check(graph) {
				t.Error(broken)
			}
		})
	}
}

// look makes go test forget its cached answer whenever a source file has changed: it notices the files that a test looked at,
// but not those that go list reads for it.
func look(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		_, err = os.Stat(path)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // somebody is editing
		t.Fatalf("look at the source files: %v", err)
	}
}

// list returns the packages of the module and everything they need, by import path.
func list(t *testing.T, system string) map[string]goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports", "./...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOOS="+system)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	graph := map[string]goPackage{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return graph
		} else if err != nil {
			t.Fatalf("decode the answer of go list: %v", err)
		}
		graph[p.ImportPath] = p
	}
}

// check returns a line for every import that breaks a rule, in order.
func check(graph map[string]goPackage) []string {
	var broken []string
	for _, p := range graph {
		for _, imported := range p.Imports {
			if reason := forbidden(graph, p.ImportPath, imported); reason != "" {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", p.ImportPath, imported, reason))
			}
		}
	}
	slices.Sort(broken)
	return broken
}

// forbidden says why importer may not import imported, or returns an empty string if it may.
func forbidden(graph map[string]goPackage, importer, imported string) string {
	ours := below(imported, module)
	switch {
	case !below(importer, module) || graph[imported].Standard:
		return ""
	case importer == core:
		return "the core imports only the standard library"
	case ours && below(imported, module+"/cmd") && !below(importer, module+"/cmd"):
		return "nothing imports the program"
	case ours && below(imported, module+"/test"):
		return "nothing imports the tests"
	case below(importer, core):
		return forbiddenBelowCore(importer, imported)
	case below(importer, exporters):
		if ours && imported != core && unit(imported) != unit(importer) {
			return "an exporter imports only the core"
		}
	case importer != program && importsBothSides(graph[importer].Imports):
		return "only cmd/internal/program imports both sides"
	}
	return ""
}

// forbiddenBelowCore judges the imports of a source, of collector/api, of the ledger and of a simulator.
func forbiddenBelowCore(importer, imported string) string {
	for _, path := range foreign {
		if below(imported, path) {
			return "metrics and spans are made on the other side of the snapshot"
		}
	}
	if !below(imported, module) || imported == core || unit(imported) == unit(importer) {
		return ""
	}
	if unit(imported) == core+"/api" && unit(importer) != core+"/ledger" {
		return ""
	}
	return "what is below collector imports only the core and collector/api, never its neighbors"
}

func importsBothSides(imports []string) bool {
	source := func(path string) bool { return below(path, core) && path != core }
	exporter := func(path string) bool { return below(path, exporters) }
	return slices.ContainsFunc(imports, source) && slices.ContainsFunc(imports, exporter)
}

// below reports whether path is parent or in one of its folders.
func below(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

// unit is the folder that a package belongs to with everything below it: collector/wandb of collector/wandb/wandbtest.
func unit(path string) string {
	parts := strings.SplitAfterN(strings.TrimPrefix(path, module+"/"), "/", 3)
	return module + "/" + strings.TrimSuffix(strings.Join(parts[:min(2, len(parts))], ""), "/")
}

// TestCheckFindsEveryBreach breaks each rule once.
func TestCheckFindsEveryBreach(t *testing.T) {
	for _, c := range []struct {
		importer, imported string
		allowed            bool
	}{
		{core, "net/http", true},
		{core, "go.yaml.in/yaml/v3", false},
		{core, core + "/api", false},
		{core + "/wandb", core, true},
		{core + "/wandb", core + "/api", true},
		{core + "/wandb", core + "/wandb/wire", true},
		{core + "/wandb", "go.yaml.in/yaml/v3", true},
		{core + "/wandb", core + "/runai", false},
		{core + "/wandb", core + "/wandbplus", false},
		{core + "/wandb", core + "/ledger", false},
		{core + "/wandb", exporters + "/prom", false},
		{core + "/wandb", program, false},
		{core + "/wandb", "github.com/prometheus/client_golang/prometheus", false},
		{core + "/wandb/wandbtest", "go.opentelemetry.io/otel/trace", false},
		{core + "/ledger", "go.etcd.io/bbolt", true},
		{core + "/ledger", core + "/api", false},
		{core + "/api", core + "/wandb", false},
		{exporters + "/prom", core, true},
		{exporters + "/prom", "github.com/prometheus/client_golang/prometheus", true},
		{exporters + "/prom", core + "/wandb", false},
		{exporters + "/prom", exporters + "/otlp", false},
		{module + "/dashboards", module + "/test/deps", false},
		{program, exporters + "/prom", true},
	} {
		graph := map[string]goPackage{
			c.importer: {ImportPath: c.importer, Imports: []string{c.imported}},
			c.imported: {ImportPath: c.imported, Standard: c.imported == "net/http"},
		}
		if broken := check(graph); (len(broken) == 0) != c.allowed {
			t.Errorf("%s imports %s: got %q, want allowed: %t", c.importer, c.imported, broken, c.allowed)
		}
	}
}

// TestCheckFindsBothSides needs a package with two imports.
func TestCheckFindsBothSides(t *testing.T) {
	both := []string{core + "/wandb", exporters + "/prom"}
	for importer, want := range map[string]int{program: 0, module + "/dashboards": 2} {
		graph := map[string]goPackage{importer: {ImportPath: importer, Imports: both}}
		if broken := check(graph); len(broken) != want {
			t.Errorf("%s: got %q, want %d breaches", importer, broken, want)
		}
	}
}
