package program

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/kingpin/v2"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/exporters/otlp"
)

func (p *program) checkCommand(c *kingpin.CmdClause) command {
	file := configFlag(c)
	webFile := c.Flag("web.config.file", "A file for the listener to check too.").String()
	probe := c.Flag("probe", "Make one harmless request to every source, to try its credentials.").Bool()
	return func(ctx context.Context) error {
		s, err := loadConfig(*file, p.getenv)
		if err != nil {
			return err
		}
		if err := toolkit.Validate(*webFile); err != nil {
			return fmt.Errorf("%s: %w", *webFile, err)
		}
		b := newBridge(webOptions{}, p.log, p.getenv, nil)
		b.store = collector.NewStore(s.frozen.Limits)
		sources, err := b.build(s)
		if err != nil {
			return err
		}
		defer closeAll(sources) //nolint:errcheck // the process ends
		fmt.Fprintf(p.stdout, "%s: ok, %s\n", *file, describe(s))
		for _, source := range s.sources {
			for _, line := range sources[source.Name].advice() {
				fmt.Fprintf(p.stdout, "%s: warning: %s\n", source.Name, line)
			}
		}
		for _, line := range s.gpuAdvice() {
			fmt.Fprintf(p.stdout, "gpus: warning: %s\n", line)
		}
		if !*probe {
			return nil
		}
		return errors.Join(p.probe(ctx, s, sources), p.probeGPUs(ctx, b, s.gpus))
	}
}

// describe says what a configuration asks for, without anything secret.
func describe(s *settings) string {
	text := "1 source"
	if n := len(s.sources); n != 1 {
		text = fmt.Sprintf("%d sources", n)
	}
	if s.gpus.config != nil {
		text += ", the GPUs of this machine"
	}
	if s.frozen.StateDirectory == "" {
		text += ", state in memory"
	} else {
		text += ", state in " + s.frozen.StateDirectory
	}
	for _, signal := range []struct {
		name string
		otlp otlp.Signal
	}{{"metrics", s.push.otlp.Metrics}, {"traces", s.push.otlp.Traces}} {
		if signal.otlp.Enabled {
			text += ", " + signal.name + " to " + signal.otlp.URL.Scheme + "://" + signal.otlp.URL.Host
		}
	}
	return text
}

// probeWithin is how long one source may take to answer.
const probeWithin = 30 * time.Second

// probe tries every source and tells about each.
func (p *program) probe(ctx context.Context, s *settings, sources map[string]*runner) error {
	failed := false
	for _, source := range s.sources {
		r := sources[source.Name]
		prober, ok := r.source.(collector.Prober)
		if !ok {
			fmt.Fprintf(p.stdout, "%s: cannot be tried without reading jobs\n", r.Name)
			continue
		}
		if err := within(ctx, probeWithin, prober.Probe); err != nil {
			failed = true
			fmt.Fprintf(p.stdout, "%s: %v\n", r.Name, err)
			continue
		}
		fmt.Fprintf(p.stdout, "%s: answers, and does not refuse the credentials\n", r.Name)
	}
	if failed {
		return errSaid
	}
	return nil
}

func within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := do(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", d, err)
	}
	return err
}
