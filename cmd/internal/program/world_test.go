package program

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// world is a simulated service and a folder with a configuration for it.
type world struct {
	t       *testing.T
	service *wandbtest.Server
	api     string // base URL of the service
	model   string
	dir     string
	file    string
}

const testKey = "key-of-the-test"

func newWorld(t *testing.T) *world {
	t.Setenv("WANDB_API_KEY", "")
	w := &world{t: t, service: wandbtest.New(wandbtest.Options{Key: testKey, Seed: 1}), dir: t.TempDir()}
	server := httptest.NewServer(w.service)
	t.Cleanup(server.Close)
	w.api = server.URL + "/v1"
	w.model = w.service.AddModel("team", "project", "agent", "base")
	w.file = filepath.Join(w.dir, "trainbridge.yml")
	w.write("key", testKey)
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// source is a source that polls often; more is further fields, one on each line.
func (w *world) source(name string, more ...string) string {
	fields := append([]string{
		"name: " + name, "kind: wandb", "base_url: " + w.api, "authorization: {credentials_file: key}",
		"discovery_interval: 100ms", "poll_intervals: {queued: 100ms, running: 100ms}", "rate_limit: 1000", "burst: 1000",
	}, more...)
	return "  - " + strings.Join(fields, "\n    ") + "\n"
}

// configure writes the configuration: the top of the file, then sources.
func (w *world) configure(top string, sources ...string) {
	w.t.Helper()
	w.write("trainbridge.yml", top+"\nsources:\n"+strings.Join(sources, ""))
}

// fromVariable makes a source one that passes every check and yet cannot be made.
func fromVariable(source string) string {
	return strings.Replace(source, "authorization: {credentials_file: key}", "credentials_env: NO_SUCH_VARIABLE_IS_SET", 1)
}

// train makes a job that has started and made some steps.
func (w *world) train(steps int) string {
	id := w.service.AddJob(wandbtest.Job{ModelID: w.model})
	w.service.Append(id, wandbtest.Started(100))
	w.step(id, steps)
	return id
}

func (w *world) step(id string, n int) {
	for range n {
		w.service.Append(id, wandbtest.Step(wandbtest.Value{Key: "loss/train", Number: 0.5}))
	}
}

// life is the program from start to stop.
type life struct {
	t    *testing.T
	out  buffer
	base string
	stop func() int // ends the program and returns its exit code
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var listening = regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:\d+)`)

// start runs the program and waits until it is ready.
func (w *world) start(args ...string) *life {
	w.t.Helper()
	return startProgram(w.t, append([]string{"run", "--config.file=" + w.file, "--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle"}, args...)...)
}

func startProgram(t *testing.T, args ...string) *life {
	t.Helper()
	l := startUnready(t, args...)
	l.eventually("the program is ready", func() bool {
		status, _ := l.get("/-/ready")
		return status == http.StatusOK
	})
	return l
}

// startUnready runs the program and waits until it listens.
func startUnready(t *testing.T, args ...string) *life {
	t.Helper()
	l := &life{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() {
		p := &program{stdout: &l.out, stderr: &l.out, getenv: noEnv}
		code <- p.run(ctx, args)
	}()
	l.stop = sync.OnceValue(func() int {
		cancel()
		select {
		case c := <-code:
			return c
		case <-time.After(15 * time.Second):
			t.Errorf("the program still runs 15 s after it was told to stop\n%s", l.out.String())
			return -1
		}
	})
	t.Cleanup(func() { l.stop() })
	l.eventually("the program listens", func() bool {
		if m := listening.FindStringSubmatch(l.out.String()); m != nil {
			l.base = "http://" + m[1]
		}
		return l.base != ""
	})
	return l
}

func (l *life) get(path string) (status int, body string) {
	l.t.Helper()
	return l.do(http.MethodGet, path, "", "")
}

func (l *life) do(method, path, contentType, body string) (status int, answer string) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.base+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (l *life) metrics() string {
	_, body := l.get("/metrics")
	return body
}

// shows waits until the metrics have a line.
func (l *life) shows(line string) {
	l.t.Helper()
	l.eventually(line, func() bool { return strings.Contains(l.metrics(), "\n"+line+"\n") })
}

func (l *life) eventually(what string, done func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			l.t.Fatalf("never: %s\n%s", what, l.out.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func steps(source, id string, n int) string {
	return fmt.Sprintf(`training_job_gradient_steps_total{training_source=%q,training_job_id=%q} %d`, source, id, n)
}

func phase(source, id, name string) string {
	return fmt.Sprintf(`training_job_phase{training_source=%q,training_job_id=%q,training_job_phase=%q} 1`, source, id, name)
}
