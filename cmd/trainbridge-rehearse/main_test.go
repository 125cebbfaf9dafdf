package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/trainbridge/trainbridge/cmd/internal/program"
	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/engine"
	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/rehearse"
)

// playToy plays a single gauge that breaks after ten minutes, and is mended when the fault is over.
func playToy(ctx context.Context, o rehearse.Options) (result rehearse.Result, err error) {
	begun := time.Now()
	mended := begun.Add(cmp.Or(o.Faulty, 30*time.Minute))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		broken := 0
		if now := time.Now(); now.Sub(begun) >= 10*time.Minute && now.Before(mended) {
			broken = 1
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "toy_broken %d\n", broken)
	})}
	listener := bufconn.Listen(1 << 10)
	go func() { _ = server.Serve(listener) }()
	defer func() { err = errors.Join(err, server.Close()) }()
	e, err := engine.Start(ctx, engine.Options{
		Dial:   func(ctx context.Context, _, _ string) (net.Conn, error) { return listener.DialContext(ctx) },
		Target: "toy:1", Rules: o.Rules, ScrapeInterval: o.Scrape, EvaluationInterval: o.Evaluate, Log: o.Log,
	})
	if err != nil {
		return result, err
	}
	time.Sleep(40 * time.Minute)
	result.Want = toyScenarios[o.Scenario]
	result.Timeline, err = e.Stop()
	result.Foreign = o.Scenario == "foreign"
	return result, err
}

// toyScenarios are the same but for the alerts that they want.
var toyScenarios = map[string][]string{"good": {"ToyBroken"}, "calm": nil, "much": {"ToyBroken", "ToyStolen"}, "foreign": {"Other"}}

// TestMain is the program itself, with toys, where a test wants it to be.
func TestMain(m *testing.M) {
	if os.Getenv("REHEARSE_TOYS") == "1" {
		c := command{exit: os.Exit, stdout: os.Stdout, stderr: os.Stderr, play: playToy}
		for name, alerts := range toyScenarios {
			c.scenarios = append(c.scenarios, program.Scenario{Name: name, Description: "The toy " + name + ".", Alerts: alerts})
		}
		c.main(os.Args[1:])
	}
	os.Exit(m.Run())
}

func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "REHEARSE_TOYS=1")
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

const toyRules = `
groups:
  - name: toys
    rules:
      - {alert: ToyBroken, expr: toy_broken == 1, for: 5m}
      - {alert: Always, expr: vector(1)}
`

func TestProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yml")
	wrong := filepath.Join(t.TempDir(), "wrong.yml")
	for name, text := range map[string]string{file: toyRules, wrong: strings.Replace(toyRules, "toy_broken == 1", "'toy_broken * on (a) {job=\"trainbridge\"}'", 1)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string // what must be said
	}{
		"as expected":       {[]string{"--scenario=good", "--rules=" + file, "--always=Always"}, 0, "ToyBroken", ""},
		"one always fires":  {[]string{"--scenario=good", "--rules=" + file}, 1, "ToyBroken", "Always fired, which it should not have."},
		"something fires":   {[]string{"--scenario=calm", "--rules=" + file, "--always=Always"}, 1, "ToyBroken", "ToyBroken fired, which"},
		"something missing": {[]string{"--scenario=much", "--rules=" + file, "--always=Always"}, 1, "ToyBroken", "ToyStolen did not fire"},
		"rules of others":   {[]string{"--scenario=foreign", "--rules=" + file}, 0, "nothing is judged: --expect=ALERT", ""},
		"too short":         {[]string{"--scenario=good", "--rules=" + file, "--always=Always", "--duration=12m"}, 1, "Pending, but never fired: ToyBroken", "did not fire"},
		"a rule that fails": {[]string{"--scenario=calm", "--rules=" + wrong, "--always=Always"}, 1, "Trouble: part rules", "found duplicate series"},
		"list":              {[]string{"--scenario=list"}, 0, "The toy calm.", ""},
		"help":              {[]string{"--help"}, 0, "", "--scrape-interval"},
		"no scenario":       {nil, 2, "", "--scenario"},
		"unknown scenario":  {[]string{"--scenario=none", "--rules=" + file}, 2, "", `there is no "none"`},
		"no rules":          {[]string{"--scenario=good"}, 2, "", "--rules: required"},
		"rules nowhere":     {[]string{"--scenario=good", "--rules=" + file + ".none"}, 1, "", "matches none"},
		"unknown flag":      {[]string{"--scenario=good", "--loud"}, 2, "", "--loud"},
		"a tiny interval":   {[]string{"--scenario=good", "--rules=" + file, "--scrape-interval=1ms"}, 2, "", "1s or longer"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := run(t, test.args...)
			if code != test.code || !strings.Contains(stdout, test.stdout) || !strings.Contains(stderr, test.stderr) || (test.stderr == "") != (stderr == "") {
				t.Errorf("code %d\n%s\n%s", code, stdout, stderr)
			}
			if strings.Contains(stdout, "PASS") || strings.Contains(stdout, "---") {
				t.Errorf("package testing speaks: %s", stdout)
			}
		})
	}
}
