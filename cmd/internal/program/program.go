package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
)

// Main is the whole program: it does what the arguments of a command line say, until ctx ends where that is without an end, and returns
// the exit code. hangup asks for a reload.
func Main(ctx context.Context, args []string, hangup <-chan os.Signal) int {
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, hangup: hangup}
	return p.run(ctx, args)
}

// program is a run of the program: its surroundings, and the command line once it is read.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	hangup         <-chan os.Signal // asks for a reload; nil never does
	log            *slog.Logger
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// errSaid is returned by commands that have told what is wrong themselves.
var errSaid = errors.New("said already")

// command is what a sub-command does.
type command func(ctx context.Context) error

// run reads a command line and does what it says, until ctx ends where that is without an end. It returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	app := kingpin.New("trainbridge", "Watches training jobs and turns what it sees into Prometheus metrics, OTLP metrics and traces.")
	ended := -1
	app.Terminate(func(code int) { ended = max(ended, code) })
	app.UsageWriter(p.stdout).ErrorWriter(p.stderr)
	app.HelpFlag.Short('h')
	app.Version(version.Print("trainbridge"))
	logging := &promslog.Config{}
	promslogflag.AddFlags(app, logging)
	commands := p.commands(app)
	if len(args) > 0 && args[0] == "rehearse" { // its flags are those of another program
		return exitCode(p.stderr, p.rehearse(ctx, args[1:]))
	}
	name, err := app.Parse(args)
	switch {
	case ended >= 0:
		return ended
	case err != nil:
		fmt.Fprintf(p.stderr, "trainbridge: %s, try --help\n", err)
		return exitUsage
	}
	p.log = newLogger(p.stderr, logging)
	return exitCode(p.stderr, commands[name](ctx))
}

// exitCode says what is wrong and returns the code.
func exitCode(w io.Writer, err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case !errors.Is(err, errSaid):
		fmt.Fprintln(w, err)
	}
	return exitFailed
}

func (p *program) commands(app *kingpin.Application) map[string]command {
	return map[string]command{
		"run":               p.runCommand(app.Command("run", "Watch the sources of a configuration file.").Default()),
		"demo":              p.demoCommand(app.Command("demo", "Show the program at work on a simulated service, without a key or a network.")),
		"rehearse":          p.rehearseCommand(app.Command("rehearse", "Show in virtual time which alerts a scenario of the demo fires: see rehearse --help.")),
		"check":             p.checkCommand(app.Command("check", "Check a configuration file.")),
		"dump":              p.dumpCommand(app.Command("dump", "Ask every source once and print the metrics.")),
		"trace-id":          p.traceIDCommand(app.Command("trace-id", "Print the id of a job's trace.")),
		"metrics-reference": p.referenceCommand(app.Command("metrics-reference", "Print the page that documents every metric.")),
		"nvml-helper":       p.helperCommand(app.Command("nvml-helper", "Read the GPUs for another process of this program.").Hidden()),
		"version":           p.versionCommand(app.Command("version", "Print the version.")),
	}
}

// newLogger is promslog's logger without the place in the source code, whose key "source" stands for training sources here.
func newLogger(w io.Writer, c *promslog.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format.String() == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func configFlag(c *kingpin.CmdClause) *string {
	return c.Flag("config.file", "The configuration file.").Default("trainbridge.yml").String()
}

func (p *program) versionCommand(*kingpin.CmdClause) command {
	return func(context.Context) error {
		_, err := fmt.Fprintln(p.stdout, version.Print("trainbridge"))
		return err
	}
}
