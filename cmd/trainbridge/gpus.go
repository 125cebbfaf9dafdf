package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"go.yaml.in/yaml/v3"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
)

// gpuSettings are what the GPUs of this machine are read with; without a configuration they are not.
type gpuSettings struct {
	config *nvml.Config
	digest [sha256.Size]byte
}

// gpuReader is the reader of the GPUs at work. A nil one reads none.
type gpuReader struct {
	settings gpuSettings
	monitor  *nvml.Monitor
	run      *task // nil before it starts
}

func (e *configError) gpus(root *yaml.Node, c *nvml.Config) gpuSettings {
	node, _ := child(root, "gpus")
	if node == nil || c == nil {
		return gpuSettings{}
	}
	c.Directory = e.dir
	if err := c.Validate(); err != nil {
		e.complain(resolve(node), "gpus", fieldsOf(reflect.TypeFor[nvml.Config]()), err)
	}
	return gpuSettings{config: c, digest: digestOf(node, "")}
}

// newGPUs makes the reader that the settings ask for: the one at work if nothing changed, and nil for none.
func (b *bridge) newGPUs(s gpuSettings) (*gpuReader, error) {
	switch {
	case s.config == nil:
		return nil, nil
	case b.gpus != nil && b.gpus.settings.digest == s.digest:
		return b.gpus, nil
	}
	host, err := os.Hostname()
	if err != nil {
		b.log.Warn("the name of this machine is not known", "err", err)
	}
	m, err := nvml.New(*s.config, nvml.Env{
		Log: limited(b.log.With("reader", "gpus")), Publish: b.store.SetGPUs, JobOfPod: (&podIndex{store: b.store}).find, Hostname: host,
	})
	if err != nil {
		return nil, fmt.Errorf("gpus: %w", err)
	}
	return &gpuReader{settings: s, monitor: m}, nil
}

// regpu puts another reader in the place of the one at work. Counters go on.
func (b *bridge) regpu(ctx context.Context, next *gpuReader) error {
	if next == b.gpus {
		return nil
	}
	err := b.gpus.stop(ctx)
	if next == nil {
		b.store.SetGPUs(nil)
	} else {
		if b.gpus != nil {
			next.monitor.Inherit(b.gpus.monitor)
		}
		next.run = start(next.monitor.Run)
	}
	b.gpus = next
	return err
}

func (g *gpuReader) stop(ctx context.Context) error {
	if g == nil {
		return nil
	}
	return g.run.stop(ctx)
}

// podIndex finds the job that a pod belongs to. It looks through all jobs once in a while, not for every pod.
type podIndex struct {
	store *collector.Store
	jobs  map[[2]string]*collector.Job
	until time.Time
}

// podsFor is how long what was found is used.
const podsFor = 5 * time.Second

// find implements what package nvml asks for. It is called from one goroutine.
func (p *podIndex) find(namespace, pod string) (collector.Key, bool) {
	if now := time.Now(); now.After(p.until) {
		p.jobs, p.until = map[[2]string]*collector.Job{}, now.Add(podsFor)
		for j := range p.store.Snapshot().Jobs.All {
			for _, label := range j.Labels(collector.JobPod) {
				namespace, name, _ := strings.Cut(label, collector.JoinLabels("", ""))
				pod := [2]string{namespace, name}
				if other := p.jobs[pod]; other == nil || laterJob(j, other) {
					p.jobs[pod] = j
				}
			}
		}
	}
	j, ok := p.jobs[[2]string{namespace, pod}]
	if !ok {
		return collector.Key{}, false
	}
	return j.Key, true
}

// laterJob reports whether a pod that both jobs claim is a's: that of the one that started last, as the recording rules have it.
func laterJob(a, b *collector.Job) bool {
	return cmp.Or(cmp.Compare(a.Started, b.Started), cmp.Compare(a.Key.String(), b.Key.String())) > 0
}

// helperCommand is what the reader of the GPUs starts in a process of its own: calls into a driver may hang for ever or end the
// process.
//
// It ends with its standard input. Signals are for the process that started it: a service manager sends them to both.
func (p *program) helperCommand(*kingpin.CmdClause) command {
	return func(context.Context) error {
		signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		out, err := ownOutput()
		if err != nil {
			return err
		}
		return nvml.HelperMain(context.Background(), openDriver, p.stdin, out)
	}
}

// virtualPrefix begins the library of a machine that is simulated.
const virtualPrefix = "virtual:"

// openDriver opens the library of the driver, or the simulated machine of the demo.
func openDriver(library string) (driver.Driver, error) {
	if file, ok := strings.CutPrefix(library, virtualPrefix); ok {
		return nvmltest.Open(file)
	}
	return driver.Open(library)
}

// readGPUs reads the GPUs once, for dump and check.
func (b *bridge) readGPUs(ctx context.Context, s gpuSettings) (*collector.GPUView, error) {
	g, err := b.newGPUs(s)
	if err != nil || g == nil {
		return nil, err
	}
	return g.monitor.Once(ctx)
}

// probeGPUs tries to read the GPUs and tells about it.
func (p *program) probeGPUs(ctx context.Context, b *bridge, s gpuSettings) error {
	var view *collector.GPUView
	err := within(ctx, probeWithin, func(ctx context.Context) (err error) {
		view, err = b.readGPUs(ctx, s)
		return err
	})
	switch {
	case err != nil:
		fmt.Fprintf(p.stdout, "gpus: %v\n", err)
	case view == nil:
		return nil
	case !view.Host.Up:
		fmt.Fprintf(p.stdout, "gpus: %s\n", view.Host.Detail)
	case view.Host.Expected != nil && view.Host.Seen < *view.Host.Expected:
		fmt.Fprintf(p.stdout, "gpus: %d answer, of %d that are expected\n", view.Host.Seen, *view.Host.Expected)
	default:
		fmt.Fprintf(p.stdout, "gpus: %d answer, driver %s\n", view.Host.Seen, view.Host.Versions.Driver)
		return nil
	}
	return errSaid
}
