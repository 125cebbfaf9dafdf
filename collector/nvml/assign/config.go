package assign

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
)

// Config says where it stands which job a GPU belongs to. Nothing is looked at unless it is written here. Several places may
// tell of one GPU: it is then given to all that they name.
type Config struct {
	// Interval is how often the places are looked at; default 10s.
	Interval model.Duration `yaml:"interval"`
	// MappingDirectories hold a file per GPU, as dcgm-exporter takes them for HPC jobs.
	MappingDirectories []Directory `yaml:"mapping_directories"`
	// Static is what an operator knows, for machines that always do the same.
	Static []Static `yaml:"static"`
	// Kubelet asks the kubelet of this node which pods and containers it gave GPUs to, by device plugins or by claims of dynamic
	// resources.
	Kubelet *Kubelet `yaml:"kubelet"`
	// Environment reads a few variables of the processes that use a GPU. It needs the right to do so, and is off unless it
	// is written here.
	Environment *Environment `yaml:"environment"`

	directory string // that relative paths are relative to
}

// Directory is a directory of mapping files. A file is named after the GPU's index (0), or after index and GPU instance for
// MIG (2.0), or after a UUID; it holds ids of jobs, one a line. Schedulers write them when a job starts and ends. Links are followed
// as long as they are relative and stay in the directory.
type Directory struct {
	Path   string `yaml:"path"`   // relative to the configuration file
	Source string `yaml:"source"` // the name of the source that the jobs are of
}

// Static gives a GPU to a job.
type Static struct {
	GPU    string `yaml:"gpu"` // UUID of the GPU or MIG instance, or the GPU's index
	Source string `yaml:"source"`
	Job    string `yaml:"job"`
}

// Kubelet is where the kubelet answers.
type Kubelet struct {
	// Socket is the kubelet's; default /var/lib/kubelet/pod-resources/kubelet.sock. Mount its directory, read-only.
	Socket string `yaml:"socket"`
	// Resources are the names of resources that are GPUs, where * stands for any part of a name;
	// default nvidia.com/gpu, nvidia.com/gpu.shared and nvidia.com/mig-*.
	Resources []string `yaml:"resources"`
}

// Environment says what is read of the environment of processes that use a GPU. Nothing but the values of these variables is
// ever kept, and they become ids of jobs that everyone who reads metrics can see.
type Environment struct {
	Source    string   `yaml:"source"`    // the name of the source that the jobs are of
	Variables []string `yaml:"variables"` // such as SLURM_JOB_ID; the first that a process has is the id of its job
	Proc      string   `yaml:"proc"`      // where the processes of the machine are; default /proc
}

const (
	defaultInterval = 10 * time.Second
	minInterval     = 100 * time.Millisecond
	maxInterval     = time.Hour
	defaultSocket   = "/var/lib/kubelet/pod-resources/kubelet.sock"
	defaultProc     = "/proc"
)

// SetDirectory says what relative paths are relative to: the directory of the configuration file.
func (c *Config) SetDirectory(dir string) { c.directory = dir }

// Enabled reports whether there is any place to look at.
func (c Config) Enabled() bool {
	return len(c.MappingDirectories) > 0 || len(c.Static) > 0 || c.Kubelet != nil || c.Environment != nil
}

// NeedsProcesses reports whether [GPU.PIDs] are of use.
func (c Config) NeedsProcesses() bool { return c.Environment != nil }

// Every is the interval at which the places should be looked at.
func (c Config) Every() time.Duration { return cmp.Or(time.Duration(c.Interval), defaultInterval) }

// withDefaults returns c with empty fields filled and with absolute paths.
func (c Config) withDefaults() Config {
	c.Interval = model.Duration(c.Every())
	c.MappingDirectories = slices.Clone(c.MappingDirectories)
	for i := range c.MappingDirectories {
		c.MappingDirectories[i].Path = c.path(c.MappingDirectories[i].Path)
	}
	if c.Kubelet != nil {
		k := *c.Kubelet
		k.Socket = c.path(cmp.Or(k.Socket, defaultSocket))
		if len(k.Resources) == 0 {
			k.Resources = []string{"nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-*"}
		}
		c.Kubelet = &k
	}
	if c.Environment != nil {
		e := *c.Environment
		e.Proc = c.path(cmp.Or(e.Proc, defaultProc))
		c.Environment = &e
	}
	return c
}

func (c *Config) path(p string) string {
	if p == "" || filepath.IsAbs(p) || strings.HasPrefix(p, "/") {
		return p
	}
	return filepath.Join(c.directory, p)
}

// Validate returns the first thing that is wrong, with the name of its field.
func (c *Config) Validate() error {
	if d := time.Duration(c.Interval); d != 0 && (d < minInterval || d > maxInterval) {
		return fmt.Errorf("interval: must be from %s to %s, is %s", minInterval, maxInterval, d)
	}
	for i, d := range c.MappingDirectories {
		if err := d.check(); err != nil {
			return fmt.Errorf("mapping_directories[%d].%w", i, err)
		}
		if j := slices.IndexFunc(c.MappingDirectories, func(o Directory) bool { return c.path(o.Path) == c.path(d.Path) }); j < i {
			return fmt.Errorf("mapping_directories[%d].path: %q stands at mapping_directories[%d] already", i, d.Path, j)
		}
	}
	for i, s := range c.Static {
		if err := s.check(); err != nil {
			return fmt.Errorf("static[%d].%w", i, err)
		}
	}
	if c.Kubelet != nil {
		if err := c.Kubelet.check(); err != nil {
			return fmt.Errorf("kubelet.%w", err)
		}
	}
	if c.Environment != nil {
		if err := c.Environment.check(); err != nil {
			return fmt.Errorf("environment.%w", err)
		}
	}
	return nil
}

func (d Directory) check() error {
	if d.Path == "" {
		return errors.New("path: required")
	}
	return checkSource(d.Source)
}

func (s Static) check() error {
	if !isIndex(s.GPU) && !isUUID(s.GPU) {
		return fmt.Errorf("gpu: must be a UUID (GPU-... or MIG-...) or an index, is %q", collector.Clean(s.GPU))
	}
	if err := checkSource(s.Source); err != nil {
		return err
	}
	if s.Job == "" {
		return errors.New("job: required")
	}
	if !isJobID(s.Job) {
		return fmt.Errorf("job: must be printable, without spaces at its ends, and at most %d bytes long", maxIDBytes)
	}
	return nil
}

func (k *Kubelet) check() error {
	const longest = 100 // a socket's path must fit into the kernel's 108 bytes
	if len(k.Socket) > longest {
		return fmt.Errorf("socket: must be at most %d bytes long", longest)
	}
	for i, r := range k.Resources {
		if _, err := path.Match(r, ""); err != nil || r == "" {
			return fmt.Errorf("resources[%d]: %q is not a name or pattern", i, collector.Clean(r))
		}
	}
	return nil
}

func (e *Environment) check() error {
	if err := checkSource(e.Source); err != nil {
		return err
	}
	if len(e.Variables) == 0 {
		return errors.New("variables: required, such as [SLURM_JOB_ID]")
	}
	for i, v := range e.Variables {
		if v == "" || len(v) > maxNameBytes || strings.ContainsAny(v, "=\x00") {
			return fmt.Errorf("variables[%d]: %q is not the name of a variable", i, collector.Clean(v))
		}
	}
	return nil
}

func checkSource(name string) error {
	if name == "" {
		return errors.New("source: required: the name of the source that the jobs are of")
	}
	if collector.Clean(name) != name {
		return errors.New("source: must be printable and at most 128 characters long")
	}
	return nil
}
