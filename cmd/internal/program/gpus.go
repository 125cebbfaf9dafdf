package program

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
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
		Log: b.log.With("reader", "gpus"), Publish: b.store.SetGPUs, JobOfPod: (&podIndex{store: b.store}).find, Hostname: host,
		Within: b.own.helper,
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
	if b.gpus != nil {
		b.lastGPUs = b.gpus
	}
	if next == nil {
		b.store.SetGPUs(nil)
	} else {
		if b.lastGPUs != nil { // counters go on, also where GPUs were not read for a while
			next.monitor.Inherit(b.lastGPUs.monitor)
			b.lastGPUs = nil
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
	default:
		return p.tellGPUs(view.Host)
	}
	return errSaid
}

// tellGPUs says what was read, and returns an error if any of it is missing.
func (p *program) tellGPUs(h *collector.GPUHost) error {
	var missing error
	text := fmt.Sprintf("gpus: %d answer", h.Seen)
	if h.Seen < h.Listed {
		text += fmt.Sprintf(", of %d that the driver lists", h.Listed)
		missing = errSaid
	}
	if h.Expected != nil && h.Seen < *h.Expected {
		text += fmt.Sprintf(", of %d that are expected", *h.Expected)
		missing = errSaid
	}
	fmt.Fprintf(p.stdout, "%s, driver %s\n", text, h.Versions.Driver)
	for _, a := range h.Assigned {
		switch {
		case !a.Up:
			fmt.Fprintf(p.stdout, "gpus: assignments by %s cannot be read, see the log\n", a.Name)
			missing = errSaid
		case a.Bad > 0:
			fmt.Fprintf(p.stdout, "gpus: %d assignments by %s are not understood, see the log\n", a.Bad, a.Name)
			missing = errSaid
		}
	}
	return missing
}

// gpuAdvice is what will keep assignments from being of use: sources that nobody knows.
func (s *settings) gpuAdvice() []string {
	if s.gpus.config == nil || len(s.sources) == 0 { // the sources may be those of another bridge
		return nil
	}
	a := s.gpus.config.Assignments
	var named []string
	for _, d := range a.MappingDirectories {
		named = append(named, d.Source)
	}
	for _, g := range a.Static {
		named = append(named, g.Source)
	}
	if a.Environment != nil {
		named = append(named, a.Environment.Source)
	}
	slices.Sort(named)
	var lines []string
	for _, name := range slices.Compact(named) {
		if !slices.Contains(s.names(), name) {
			lines = append(lines, fmt.Sprintf("GPUs are assigned to jobs of %q, and no source here is called so", name))
		}
	}
	return lines
}
