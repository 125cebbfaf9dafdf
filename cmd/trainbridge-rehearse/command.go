package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/trainbridge/trainbridge/cmd/internal/program"
	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/rehearse"
)

const (
	exitExpected = iota
	exitUnexpected
	exitUsage

	exitInterrupted = 130 // as shells have it
)

// A command is what main does, with what it does it on.
type command struct {
	stdout, stderr io.Writer
	exit           func(code int) // ends the process
	scenarios      []program.Scenario
	play           func(context.Context, rehearse.Options) (rehearse.Result, error)
}

// main runs the program and ends the process.
func (c command) main(args []string) {
	o, code, done := c.parse(args)
	if !done && o.Scenario == "list" {
		code, done = c.list(), true
	}
	if done {
		c.exit(code)
	}
	c.inBubble(func(ctx context.Context) int { return c.rehearse(ctx, o) })
}

// parse reads the command line. The last result is whether that was all.
func (c command) parse(args []string) (o rehearse.Options, code int, done bool) {
	app := kingpin.New("trainbridge-rehearse", "Plays a scenario of trainbridge demo in virtual time and shows which alerts fire.")
	app.UsageWriter(c.stderr).ErrorWriter(c.stderr).Terminate(func(status int) { code, done = status, true })
	app.HelpFlag.Short('h')
	verbose := false
	app.Flag("scenario", "What to play; list shows what there is.").Required().StringVar(&o.Scenario)
	app.Flag("rules", "Rule files, as a pattern; may be repeated.").PlaceHolder("GLOB").StringsVar(&o.Rules)
	app.Flag("scrape-interval", "How often to scrape; 30s, or 1m in rehearsals of many hours, if 0.").Default("0").DurationVar(&o.Scrape)
	app.Flag("evaluation-interval", "How often to evaluate groups that do not say it; 1m, or 4m in rehearsals of many hours, if 0.").Default("0").DurationVar(&o.Evaluate)
	app.Flag("duration", "How long the fault lasts; 0 is as long as its scenario says.").Default("0").DurationVar(&o.Faulty)
	app.Flag("expect", "An alert that shall fire, instead of those that the scenario names; may be repeated. For rules of your own.").
		PlaceHolder("ALERT").StringsVar(&o.Expect)
	app.Flag("always", "An alert that fires all the time; may be repeated.").PlaceHolder("ALERT").Default("TrainbridgeWatchdog").StringsVar(&o.Always)
	app.Flag("verbose", "Show what the bridge and Prometheus log.").Short('v').BoolVar(&verbose)
	if _, err := app.Parse(args); err != nil && !done {
		return o, c.usage(err), true
	}
	if done {
		return o, code, true
	}
	if verbose {
		o.Log = slog.New(slog.NewTextHandler(c.stderr, nil))
	}
	if err := c.validate(o); err != nil {
		return o, c.usage(err), true
	}
	return o, 0, false
}

func (c command) usage(err error) int {
	_, _ = fmt.Fprintf(c.stderr, "trainbridge-rehearse: %v; --help shows what can be said\n", err)
	return exitUsage
}

func (c command) validate(o rehearse.Options) error {
	switch {
	case o.Scenario == "list":
		return nil
	case !slices.ContainsFunc(c.scenarios, func(s program.Scenario) bool { return s.Name == o.Scenario }):
		return fmt.Errorf("--scenario: there is no %q; list shows those that there are", o.Scenario)
	case len(o.Rules) == 0:
		return errors.New("--rules: required: where the rule files are, such as 'dashboards/alerts/*.yml'")
	case o.Scrape != 0 && o.Scrape < time.Second || o.Evaluate != 0 && o.Evaluate < time.Second:
		return errors.New("--scrape-interval and --evaluation-interval: must be 1s or longer")
	case o.Faulty < 0:
		return errors.New("--duration: must not be negative")
	}
	return nil
}

// list shows the scenarios.
func (c command) list() int {
	out := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	for _, s := range c.scenarios {
		_, _ = fmt.Fprintf(out, "%s\t%s\t%s\n", s.Name, strings.Join(s.Alerts, ", "), s.Description)
	}
	if err := out.Flush(); err != nil {
		return exitUnexpected
	}
	return exitExpected
}

// inBubble plays in virtual time and ends the process with the code that play returns.
func (c command) inBubble(play func(context.Context) int) {
	os.Args = os.Args[:1] // package testing reads them too
	every := func(string, string) (bool, error) { return true, nil }
	testing.Main(every, []testing.InternalTest{{Name: "rehearsal", F: func(t *testing.T) {
		code := exitUnexpected
		synctest.Test(t, func(*testing.T) { code = play(context.Background()) })
		c.exit(code) // before package testing can say PASS
	}}}, nil, nil)
}

// rehearse plays the scenario and judges what fired.
func (c command) rehearse(ctx context.Context, o rehearse.Options) int {
	result, err := c.play(ctx, o)
	if !result.Start.IsZero() { // there is something to see
		err = errors.Join(err, result.WriteTable(c.stdout))
	}
	if !result.Began.IsZero() {
		_, _ = fmt.Fprintf(c.stdout, "The fault came at +%v.\n", result.Began.Sub(result.Start).Round(time.Second))
	}
	if !result.Recovered.IsZero() {
		_, _ = fmt.Fprintf(c.stdout, "The fault ended at +%v.\n", result.Recovered.Sub(result.Start).Round(time.Second))
	}
	if err != nil {
		_, _ = fmt.Fprintf(c.stderr, "trainbridge-rehearse: %v\n", err)
	}
	if result.Foreign {
		_, _ = fmt.Fprintln(c.stdout, "These rules have none of the alerts of the scenario, so nothing is judged: --expect=ALERT says what shall fire.")
	}
	complaints := result.Complaints(o.Always)
	for _, complaint := range complaints {
		_, _ = fmt.Fprintln(c.stderr, complaint)
	}
	if err != nil || len(complaints) > 0 {
		return exitUnexpected
	}
	return exitExpected
}
