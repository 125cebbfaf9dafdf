package program

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	promconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/wandb"
)

var update = flag.Bool("update", false, "write the golden files anew")

func noEnv(string) string { return "" }

// TestMistakes has one file for each kind of mistake, and beside it the exact text that the operator reads.
func TestMistakes(t *testing.T) {
	t.Setenv("WANDB_API_KEY", "")
	files, err := filepath.Glob("testdata/config/*.yml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := "ok\n"
			if _, err := parseConfig("trainbridge.yml", data, noEnv); err != nil {
				got = err.Error() + "\n"
			}
			golden := strings.TrimSuffix(file, ".yml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("the text repeats a secret")
			}
		})
	}
}

func TestGoodConfig(t *testing.T) {
	s, err := loadConfig("testdata/config/good.yml", noEnv)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs(filepath.Join("testdata", "config"))
	if err != nil {
		t.Fatal(err)
	}
	want := frozen{
		StateDirectory: filepath.Join(dir, "state"), Retention: 2 * time.Hour, GroupRetention: 72 * time.Hour,
		Limits: collector.Limits{FreeForm: 10}, StepSpans: collector.Windows,
	}
	if s.frozen != want {
		t.Errorf("frozen %+v", s.frozen)
	}
	c := s.sources[0].config.(*wandb.Config)
	if c.Jobs[0].Group != "agent-001" || c.Directory != dir || c.HTTP.HTTP.Authorization.CredentialsFile != "secrets/wandb" {
		t.Errorf("first source %+v", c)
	}
	merged := s.sources[2].config.(*wandb.Config)
	if s.sources[2].Name != "more" || merged.HTTP.HTTP.BasicAuth.Username != "watcher" || !merged.Proxy.Enabled {
		t.Errorf("the merged source is %+v", merged)
	}
	if !slices.Equal(s.push.jobLabels, []string{"training.job.name", "training.group"}) {
		t.Errorf("labels %v", s.push.jobLabels)
	}
	if !s.jobsAPI || !s.push.otlp.Metrics.Enabled || s.push.otlp.Traces.Enabled {
		t.Errorf("settings %+v", s)
	}
	if s.sources[1].digest == s.sources[2].digest {
		t.Error("different sources have the same digest")
	}
}

// TestDigestIsOfTheContent: layout, comments and anchors are not changes, values are.
func TestDigestIsOfTheContent(t *testing.T) {
	digest := func(text string) [32]byte {
		s, err := parseConfig("f", []byte(text), noEnv)
		if err != nil {
			t.Fatal(err)
		}
		return s.sources[0].digest
	}
	one := digest("sources:\n- {name: a, kind: wandb, burst: 5, jobs: [{id: x}]}\n")
	if one != digest("# new\nsources:\n  - name: a\n    jobs:\n      - id: x # new\n    kind: \"wandb\"\n    burst: 5\n") {
		t.Error("layout changes the digest")
	}
	if one == digest("sources:\n- {name: a, kind: wandb, burst: 6, jobs: [{id: x}]}\n") {
		t.Error("a value does not change the digest")
	}
	anchored := func(id string) string {
		return "sources:\n- {name: a, kind: wandb, jobs: [&j {id: " + id + "}]}\n- {name: b, kind: wandb, jobs: [*j]}\n"
	}
	b := func(text string) [32]byte {
		s, err := parseConfig("f", []byte(text), noEnv)
		if err != nil {
			t.Fatal(err)
		}
		return s.sources[1].digest
	}
	if b(anchored("x")) == b(anchored("y")) {
		t.Error("a value behind an anchor does not change the digest")
	}
}

// secretWord finds names of fields that hold a secret themselves; names of files, variables and the like do not.
var (
	secretWord = regexp.MustCompile(`(^|_)(secrets?|token|key|keys|password|passwords|credentials|headers)($|_)`)
	harmless   = regexp.MustCompile(`(_file|_ref|_env|_id|_url|_directory|_expire)$|^step_duration_key$|^access_key$|^bare_key$`)
)

// TestSecretsHaveTheirType: every text whose name sounds like a secret is of the type that does not print itself.
func TestSecretsHaveTheirType(t *testing.T) {
	types := map[string]reflect.Type{"": reflect.TypeFor[fileConfig](), "sources[]": reflect.TypeFor[sourceHeader]()}
	for name, k := range kinds {
		types["sources[]."+name] = k.config
	}
	seen := 0
	for path, typ := range types {
		seen += inspect(t, path, typ)
	}
	if seen < 10 {
		t.Errorf("only %d secrets were found: the test looks at the wrong fields", seen)
	}
}

func inspect(t *testing.T, path string, typ reflect.Type) (secrets int) {
	typ = indirect(typ)
	switch typ.Kind() {
	case reflect.Slice, reflect.Map:
		return inspect(t, path+"[]", typ.Elem())
	case reflect.Struct:
	default:
		return 0
	}
	if strings.HasPrefix(typ.PkgPath(), "go.yaml.in") || typ.PkgPath() == "net/url" {
		return 0
	}
	f := fieldsOf(typ)
	if f.rest != nil {
		secrets += inspect(t, path+"[]", f.rest)
	}
	for name, field := range f.named {
		at := join(path, name)
		if secretWord.MatchString(name) && !harmless.MatchString(name) {
			secrets++
			if text := textOf(field); text != nil && text != reflect.TypeFor[promconfig.Secret]() {
				t.Errorf("%s is of type %s, not Secret", at, text)
			}
		}
		secrets += inspect(t, at, field)
	}
	return secrets
}

// textOf is the type of text that a field holds, nil if it holds none.
func textOf(t reflect.Type) reflect.Type {
	t = indirect(t)
	switch t.Kind() {
	case reflect.String:
		return t
	case reflect.Slice, reflect.Map:
		return textOf(t.Elem())
	}
	return nil
}

func FuzzConfig(f *testing.F) {
	files, _ := filepath.Glob("testdata/config/*.yml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("a: &a [*a]\nsources: *a\n"))
	f.Add([]byte("sources: [{<<: [1, {name: x}], kind: wandb}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseConfig("trainbridge.yml", data, noEnv)
		if (s == nil) == (err == nil) {
			t.Errorf("settings %v, error %v", s, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "trainbridge.yml:") {
			t.Errorf("an error that does not name the file: %v", err)
		}
	})
}

// TestTheExamplesAreRight: the configurations that the documentation shows are such, and name every field of the program's own.
func TestTheExamplesAreRight(t *testing.T) {
	roots := map[string]*yaml.Node{}
	for _, file := range []string{"trainbridge.yml", "gpu-node.yml"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(data), uncommented(string(data))} {
			if _, err := parseConfig(file, []byte(text), noEnv); err != nil {
				t.Error(err)
			}
		}
		roots[file] = (&configError{}).parse(data)
	}
	for section, typ := range fieldsOf(reflect.TypeFor[fileConfig]()).named {
		root := roots["trainbridge.yml"]
		if section == "gpus" {
			root = roots["gpu-node.yml"]
		}
		node, _ := child(root, section)
		if node == nil {
			t.Errorf("the example lacks %s", section)
			continue
		}
		if section == "otlp" || indirect(typ).Kind() != reflect.Struct {
			continue
		}
		for name := range fieldsOf(typ).named {
			if n, _ := child(node, name); n == nil {
				t.Errorf("the example lacks %s.%s", section, name)
			}
		}
	}
}

// uncommented is an example with what it only shows as a comment.
func uncommented(text string) string {
	var all strings.Builder
	for line := range strings.Lines(text) {
		before, example, _ := strings.Cut(line, "# ")
		if strings.TrimSpace(before) == "" && (strings.HasPrefix(example, "kubelet: ") || strings.HasPrefix(example, "environment: ")) {
			line = before + example
		}
		all.WriteString(line)
	}
	return all.String()
}
