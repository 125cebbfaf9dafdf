package nvml

import (
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// inside is a helper that lives in this process.
type inside struct {
	stdin  *io.PipeWriter
	stdout *io.PipeReader
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // read it after ended
}

// startWithinProcess starts helpers that are goroutines.
func startWithinProcess(run func(context.Context, io.Reader, io.Writer) error) starter {
	return func(o helper.Options) (process, error) {
		var options bytes.Buffer
		if err := helper.WriteOptions(&options, o); err != nil {
			return nil, err
		}
		in, stdin := io.Pipe()
		stdout, out := io.Pipe()
		ctx, cancel := context.WithCancel(context.Background())
		p := &inside{stdin: stdin, stdout: stdout, cancel: cancel, ended: make(chan struct{})}
		go func() {
			defer close(p.ended)
			p.err = run(ctx, io.MultiReader(&options, in), out)
			_ = out.Close() // what a process does at its end
			_ = in.Close()
		}()
		return p, nil
	}
}

func (p *inside) Stdout() io.Reader { return p.stdout }
func (p *inside) Stderr() io.Reader { return strings.NewReader("") }
func (p *inside) CloseStdin()       { _ = p.stdin.Close() }

// Kill ends what can be ended: a goroutine that hangs in a library cannot.
func (p *inside) Kill() {
	p.cancel()
	_ = p.stdin.Close()
	_ = p.stdout.Close()
}

func (p *inside) Wait() error {
	<-p.ended
	p.cancel()
	return p.err
}
