package program

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/trainbridge/trainbridge/collector"
)

// command runs the program to its end.
func runCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs buffer
	p := &program{stdout: &out, stderr: &errs, getenv: noEnv}
	code = p.run(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestCheck(t *testing.T) {
	w := newWorld(t)
	w.configure("state: {directory: state}", w.source("rl-team"))
	if code, out, errs := runCommand(t, "check", "--config.file="+w.file); code != 0 || !strings.Contains(out, "ok, 1 source, state in ") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	code, out, errs := runCommand(t, "check", "--config.file="+w.file, "--probe")
	if code != 0 || !strings.Contains(out, "rl-team: answers, and does not refuse the credentials") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	w.write("key", "wrong")
	if code, out, errs = runCommand(t, "check", "--config.file="+w.file, "--probe"); code != 1 || !strings.Contains(out, "rl-team: ") || !strings.Contains(out, "401") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	w.configure("", w.source("rl-team", "jobbs: []"))
	if code, _, errs = runCommand(t, "check", "--config.file="+w.file); code != 1 || errs != w.file+":11: sources[0].jobbs: unknown field\n" {
		t.Errorf("%d %s", code, errs)
	}
	w.configure("", fromVariable(w.source("rl-team")))
	if code, _, errs = runCommand(t, "check", "--config.file="+w.file); code != 1 || !strings.Contains(errs, w.file+":6: sources[0].credentials_env") || !strings.Contains(errs, "NO_SUCH_VARIABLE") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestDump(t *testing.T) {
	w := newWorld(t)
	id := w.train(7)
	w.configure("state: {directory: state}", w.source("rl-team", "jobs: [{id: "+id+"}]"),
		strings.Replace(w.source("dead", "jobs: [{id: x}]"), w.api, "http://127.0.0.1:1/v1", 1))
	code, out, errs := runCommand(t, "dump", "--config.file="+w.file)
	if code != 1 || !strings.Contains(errs, "source dead: ") {
		t.Errorf("%d %s", code, errs)
	}
	if !strings.Contains(out, steps("rl-team", id, 7)) {
		t.Errorf("the metrics are\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "state")); err == nil {
		t.Error("dump made a state directory")
	}
}

func TestTraceID(t *testing.T) {
	key := collector.Key{Source: "rl-team", ID: "job-1"}
	for attempt, args := range map[uint32][]string{1: {}, 3: {"--attempt=3"}} {
		code, out, _ := runCommand(t, append([]string{"trace-id", "rl-team", "job-1"}, args...)...)
		if want := collector.TraceIDOf(key, attempt).String() + "\n"; code != 0 || out != want {
			t.Errorf("%d %s, want %s", code, out, want)
		}
	}
}

func TestReference(t *testing.T) {
	code, page, errs := runCommand(t, "metrics-reference")
	if code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	for _, name := range []string{"training_job_loss", "trainbridge_state_durable", "trainbridge_otlp_exports_total", "trainbridge_build_info"} {
		if !strings.Contains(page, "| `"+name+"` |") {
			t.Errorf("the page lacks %s", name)
		}
	}
	file := filepath.Join(t.TempDir(), "METRICS.md")
	if code, _, errs := runCommand(t, "metrics-reference", "--write", file); code != 0 {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := runCommand(t, "metrics-reference", "--check", file); code != 0 {
		t.Errorf("%d %s", code, errs)
	}
	if err := os.WriteFile(file, []byte(page+"x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := runCommand(t, "metrics-reference", "--check", file); code != 1 || !strings.Contains(errs, "--write") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"--help"}, 0, "metrics-reference"},
		{[]string{"trace-id", "--help"}, 0, "--attempt"},
		{[]string{"--version"}, 0, "trainbridge, version"},
		{[]string{"version"}, 0, "trainbridge, version"},
		{[]string{"nonsense"}, 2, "try --help"},
		{[]string{"run", "--nonsense"}, 2, "try --help"},
		{[]string{"trace-id", "a"}, 2, "try --help"},
		{[]string{"--log.level=loud", "version"}, 2, "loud"},
		{[]string{"--config.file=no-such-file"}, 1, "no-such-file"},
		{[]string{"demo", "--scenario=list"}, 0, "healthy"},
		{[]string{"demo", "--scenario=nonsense"}, 1, "--scenario=list"},
		{[]string{"demo", "--speed=0"}, 1, "above 0"},
		{[]string{"demo", "--state.directory=."}, 1, "not empty"},
	} {
		code, out, errs := runCommand(t, c.args...)
		if code != c.code || !strings.Contains(out+errs, c.text) {
			t.Errorf("%v: %d\n%s%s", c.args, code, out, errs)
		}
	}
}

func TestDemo(t *testing.T) {
	t.Setenv("WANDB_API_KEY", "")
	l := startProgram(t, "demo", "--speed=600", "--web.listen-address=127.0.0.1:0")
	if !strings.Contains(l.out.String(), l.base+"/metrics\n") {
		t.Errorf("the demo does not say where to look\n%s", l.out.String())
	}
	for _, pattern := range []string{
		`(?m)^training_group_gradient_steps_total\{.*\} [1-9]`, `(?m)^training_job_progress_ratio\{.*\} 0\.[0-9]*[1-9]`,
		`(?m)^training_job_phase\{.*"failed"\} 1$`, `(?m)^training_job_nonfinite_values_total\{.*\} [1-9]`,
		`(?m)^training_source_jobs_ended_total\{.*"success".*\} [1-9]`, `(?m)^training_job_step_duration_seconds_count\{.*\} [1-9]`,
	} {
		expression := regexp.MustCompile(pattern)
		l.eventually(pattern, func() bool { return expression.MatchString(l.metrics()) })
	}
	problems, err := promlint.New(strings.NewReader(l.metrics())).Lint()
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "train") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	if err != nil {
		t.Error(err)
	}
	if code := l.stop(); code != 0 || strings.Contains(l.out.String(), "level=ERROR") {
		t.Errorf("exit code %d\n%s", code, l.out.String())
	}
}

// TestTheDemoFindsAPort: the default address may be taken, as by another demo.
func TestTheDemoFindsAPort(t *testing.T) {
	taken, err := net.Listen("tcp", defaultAddress)
	if err == nil {
		defer taken.Close()
	} // else somebody else has it, which is as good
	l := startProgram(t, "demo")
	if !strings.Contains(l.out.String(), "using a free port instead") || strings.HasSuffix(l.base, ":9877") {
		t.Errorf("%s\n%s", l.base, l.out.String())
	}
}

func TestTheDemoSendsToTheEnvironment(t *testing.T) {
	t.Setenv("WANDB_API_KEY", "")
	paths := make(chan string, 1000)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-protobuf")
		select {
		case paths <- r.URL.Path:
		default:
		}
	}))
	defer receiver.Close()
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.URL, "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
	var out buffer
	p := &program{stdout: &out, stderr: &out, getenv: func(name string) string { return env[name] }}
	ctx := t.Context()
	done := start(func(own context.Context) error {
		if code := p.run(own, []string{"demo", "--speed=600", "--web.listen-address=127.0.0.1:0"}); code != 0 {
			return fmt.Errorf("exit code %d", code)
		}
		return nil
	})
	seen := map[string]bool{}
	deadline := time.After(20 * time.Second)
	for !seen["/v1/metrics"] || !seen["/v1/traces"] {
		select {
		case path := <-paths:
			seen[path] = true
		case <-deadline:
			t.Fatalf("saw %v\n%s", seen, out.String())
		}
	}
	if err := done.stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestRepeatedWarningsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		log := limited(slog.New(slog.NewTextHandler(&out, nil)).With("source", "a"))
		for range 5 {
			log.Warn("no answer")
			log.Info("news")
		}
		log.With("job", "b").Warn("no answer")
		log.Warn("another text")
		time.Sleep(time.Minute)
		log.Warn("no answer")
		text := out.String()
		if strings.Count(text, "no answer") != 2 || strings.Count(text, "news") != 5 || strings.Count(text, "another") != 1 ||
			!strings.Contains(text, `msg="no answer" source=a suppressed=5`) {
			t.Errorf("the log is\n%s", text)
		}
	})
}
