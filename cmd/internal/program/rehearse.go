package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// rehearseProgram is the program that rehearses: it has a Prometheus in it, which is larger than all of this one.
const rehearseProgram = "trainbridge-rehearse"

// rehearseCommand is only there for the help: see [program.rehearse].
func (p *program) rehearseCommand(*kingpin.CmdClause) command {
	return func(ctx context.Context) error { return p.rehearse(ctx, nil) }
}

// rehearse hands its arguments to the program that rehearses. That one is looked for beside this one and on the PATH.
func (p *program) rehearse(ctx context.Context, args []string) error {
	path, err := findRehearse()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, path, args...)
	c.Stdin, c.Stdout, c.Stderr = p.stdin, p.stdout, p.stderr
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 5 * time.Second
	var exit *exec.ExitError
	switch err = c.Run(); {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.Exited():
		return &exitError{exit.ExitCode()} // it has said why
	}
	return fmt.Errorf("%s: %w", path, err)
}

// exitError ends the program with a code. Whoever returns it has said why.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

func findRehearse() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), rehearseProgram+filepath.Ext(self))
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath(rehearseProgram)
	if err != nil {
		return "", fmt.Errorf("%[1]s is a program of its own, and is neither beside this one nor on the PATH: build it in the source tree "+
			"with go build -C cmd/%[1]s -o FOLDER", rehearseProgram)
	}
	return path, nil
}
