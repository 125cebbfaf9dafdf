package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/trainbridge/trainbridge/collector/ledger"
	"github.com/trainbridge/trainbridge/exporters/otlp"
	"github.com/trainbridge/trainbridge/exporters/prom"
)

func (p *program) referenceCommand(c *kingpin.CmdClause) command {
	check := c.Flag("check", "Fail if this file is not the page.").PlaceHolder("FILE").String()
	write := c.Flag("write", "Write the page to this file.").PlaceHolder("FILE").String()
	return func(context.Context) error {
		var page bytes.Buffer
		if err := errors.Join(prom.Reference(&page), p.ownReference(&page)); err != nil {
			return err
		}
		switch {
		case *check != "":
			return checkReference(*check, page.Bytes())
		case *write != "":
			if err := os.WriteFile(*write, page.Bytes(), 0o644); err != nil { //nolint:gosec // documentation, for everyone
				return fmt.Errorf("write the metrics reference: %w", err)
			}
			return nil
		}
		_, err := p.stdout.Write(page.Bytes())
		return err
	}
}

func checkReference(file string, page []byte) error {
	have, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("check the metrics reference: %w", err)
	}
	if !bytes.Equal(bytes.ReplaceAll(have, []byte("\r\n"), []byte("\n")), page) {
		return fmt.Errorf("%s is not what the program says; run: go run ./cmd/trainbridge metrics-reference --write %s", file, file)
	}
	return nil
}

const ownIntro = `
## The bridge itself

These come beside the metrics of jobs, with those of the Go runtime (` + "`go_*`" + `) and the process (` + "`process_*`" + `).

| Prometheus | Kind | Labels | Meaning |
|---|---|---|---|
`

// ownReference documents the bridge's own metrics from a registry that holds all of them.
func (p *program) ownReference(w io.Writer) error {
	b := newBridge(webOptions{}, p.log, p.getenv, nil)
	b.self.state.open(recovered{ledger.Memory(ledger.Options{})}, false)
	b.self.registered.WithLabelValues("", "", "")
	b.self.passThrough.set(map[string]func() uint64{"": func() uint64 { return 0 }})
	to := otlp.Signal{Enabled: true, Protocol: otlp.HTTP, URL: &url.URL{Scheme: "http", Host: "localhost"}}
	_, err := otlp.New(otlp.Settings{Traces: to}, otlp.Options{Registerer: filling{b.self.registry}, Log: p.log})
	if err != nil {
		return fmt.Errorf("list the exporter's metrics: %w", err)
	}
	families, err := b.self.registry.Gather()
	if err != nil {
		return fmt.Errorf("list the bridge's own metrics: %w", err)
	}
	fmt.Fprint(w, ownIntro)
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "trainbridge_") {
			fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), labelsOf(f), f.GetHelp())
		}
	}
	return nil
}

// filling gives gauges that have no value yet one, so that they are listed.
type filling struct{ prometheus.Registerer }

// Register implements [prometheus.Registerer].
func (f filling) Register(c prometheus.Collector) error {
	if v, ok := c.(*prometheus.GaugeVec); ok {
		if g, err := v.GetMetricWithLabelValues(""); err == nil {
			g.Set(0)
		}
	}
	return f.Registerer.Register(c)
}

// recovered is a ledger that has everything to tell.
type recovered struct{ ledger.Engine }

// LastWrite implements [ledger.Engine].
func (recovered) LastWrite() time.Time { return time.Unix(0, 0) }

// Recovered implements [ledger.Engine].
func (recovered) Recovered() string { return ledger.Rebuilt }

func labelsOf(f *dto.MetricFamily) string {
	var names []string
	for _, l := range f.GetMetric()[0].GetLabel() {
		names = append(names, "`"+l.GetName()+"`")
	}
	return strings.Join(names, ", ")
}
