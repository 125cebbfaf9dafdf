package enginetest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	// startTimeout is how long Alertmanager may take to listen on a busy machine, and stopTimeout how long to end.
	startTimeout = time.Minute
	stopTimeout  = 10 * time.Second
	pollEvery    = 50 * time.Millisecond
)

// An Alertmanager is a real one with the routes of a configuration. All of its receivers are a webhook of the test.
type Alertmanager struct {
	URL string

	mu    sync.Mutex
	seen  map[string]bool // by Received.key
	order []Received
}

// Received is an alert that a receiver got.
type Received struct {
	Receiver            string
	Status              string // firing or resolved
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
	GeneratorURL        string
}

// StartAlertmanager starts the Alertmanager that the environment variable ALERTMANAGER names, or the one in PATH; without one, the test is
// skipped, or fails where TRAINBRIDGE_E2E is 1. It routes as the file says, but waits
// for seconds where that waits for minutes, and inhibits nothing: what is sent is all that there is.
func StartAlertmanager(t testing.TB, configuration string) *Alertmanager {
	t.Helper()
	binary := findAlertmanager(t)
	a := &Alertmanager{seen: make(map[string]bool)}
	webhook := httptest.NewServer(a)
	t.Cleanup(webhook.Close)
	folder := t.TempDir()
	file := filepath.Join(folder, "alertmanager.yml")
	if err := os.WriteFile(file, rehearsed(t, configuration, webhook.URL), 0o600); err != nil {
		t.Fatalf("write the configuration of Alertmanager: %v", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, "--config.file="+file, "--storage.path="+filepath.Join(folder, "data"),
		"--web.listen-address=127.0.0.1:0", "--cluster.listen-address=", "--log.format=json")
	a.URL = "http://" + run(t, cmd, regexp.MustCompile(`"Listening on".*"address":"([^"]+)"`))
	return a
}

func findAlertmanager(t testing.TB) string {
	t.Helper()
	name := "alertmanager"
	if named := os.Getenv("ALERTMANAGER"); named != "" {
		name = named
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("TRAINBRIDGE_E2E") == "1" {
		t.Fatalf("find Alertmanager: %v (TRAINBRIDGE_E2E=1 allows no skip)", err)
	}
	t.Skipf("find Alertmanager: %v: run .ci/tools alertmanager and put .cache/bin into PATH, or set ALERTMANAGER to its path", err)
	return ""
}

// rehearsed is a configuration whose receivers are the webhook, each with its name as the path, and which does not wait.
func rehearsed(t testing.TB, configuration, webhook string) []byte {
	t.Helper()
	text, err := os.ReadFile(configuration)
	var config struct {
		Route     map[string]any   `yaml:"route"`
		Receivers []map[string]any `yaml:"receivers"`
	}
	if err == nil {
		err = yaml.Unmarshal(text, &config)
	}
	if err != nil {
		t.Fatalf("read the configuration of Alertmanager: %v", err)
	}
	hurry(config.Route)
	for i, r := range config.Receivers {
		url := fmt.Sprintf("%s/%s", webhook, r["name"])
		config.Receivers[i] = map[string]any{"name": r["name"], "webhook_configs": []any{map[string]any{"url": url, "send_resolved": true}}}
	}
	text, err = yaml.Marshal(config)
	if err != nil {
		t.Fatalf("write the configuration of Alertmanager: %v", err)
	}
	return text
}

// hurry shortens the waits of a route and of those below it.
func hurry(route map[string]any) {
	route["group_wait"], route["group_interval"] = "100ms", "1s"
	below, _ := route["routes"].([]any)
	for _, r := range below {
		if r, ok := r.(map[string]any); ok {
			hurry(r)
		}
	}
}

// run starts a program, waits for a line and returns what it says. The program ends with the test.
func run(t testing.TB, cmd *exec.Cmd, line *regexp.Regexp) string {
	t.Helper()
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	found, read := make(chan string, 1), make(chan string, 1)
	go func() { read <- scan(out, line, found) }()
	t.Cleanup(func() {
		kill := time.AfterFunc(stopTimeout, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		log := <-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", cmd.Path, err, log)
		}
	})
	select {
	case address := <-found:
		return address
	case <-time.After(startTimeout):
		t.Fatalf("%s wrote no line like %s within %v", cmd.Path, line, startTimeout)
		return ""
	}
}

// scan reads a log to its end, and returns the last lines.
func scan(r io.Reader, line *regexp.Regexp, found chan<- string) string {
	var tail []string
	for lines := bufio.NewScanner(r); lines.Scan(); {
		tail = append(tail[max(0, len(tail)-20):], lines.Text())
		if match := line.FindStringSubmatch(lines.Text()); match != nil {
			select {
			case found <- match[1]:
			default:
			}
		}
	}
	return strings.Join(tail, "\n")
}

// ServeHTTP takes what Alertmanager sends.
func (a *Alertmanager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var message struct{ Alerts []Received }
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, alert := range message.Alerts {
		alert.Receiver = strings.TrimPrefix(r.URL.Path, "/")
		if key := alert.key(); !a.seen[key] {
			a.seen[key] = true
			a.order = append(a.order, alert)
		}
	}
}

func (r Received) key() string {
	return r.Receiver + " " + r.Status + " " + Key(r.Labels) + " " + r.StartsAt.UTC().Format(time.RFC3339Nano)
}

// Key tells alerts apart by their labels.
func Key(labels map[string]string) string { return fmt.Sprint(labels) }

// Received are the alerts that came, each status once, oldest first.
func (a *Alertmanager) Received() []Received {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Received(nil), a.order...)
}

// Await waits until alerts with all of these labels, by [Key], have come with a status, and started at a time or later.
func (a *Alertmanager) Await(ctx context.Context, status string, since time.Time, keys []string) error {
	for {
		missing := make(map[string]bool)
		for _, key := range keys {
			missing[key] = true
		}
		for _, r := range a.Received() {
			if r.Status == status && !r.StartsAt.Before(since.Truncate(time.Millisecond)) {
				delete(missing, Key(r.Labels))
			}
		}
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			for key := range missing {
				return errors.Join(ctx.Err(), fmt.Errorf("%d of %d alerts did not come as %s, such as %s", len(missing), len(keys), status, key))
			}
		case <-time.After(pollEvery):
		}
	}
}
