package nvml

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector/nvml/assign"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// Config says how GPUs are read.
type Config struct {
	Interval     model.Duration `yaml:"interval"`      // how often GPUs are read; default 5s
	SlowInterval model.Duration `yaml:"slow_interval"` // how often ECC, links and fabric are; default 30s
	// Library is the driver's library; default libnvidia-ml.so.1, found as the system finds libraries. A path is relative to
	// the configuration file. virtual:FILE is the simulated host of the demo.
	Library     string        `yaml:"library"`
	Expected    *int          `yaml:"expected"`    // how many GPUs the machine should have
	Profiling   *bool         `yaml:"profiling"`   // GPM, on Hopper and later: how busy SMs and tensor cores are; default true
	Processes   bool          `yaml:"processes"`   // memory and utilization by process
	DCGMNames   string        `yaml:"dcgm_names"`  // the names of dcgm-exporter too: off (default), classic or renamed
	Assignments assign.Config `yaml:"assignments"` // which job a GPU belongs to
	Directory   string        `yaml:"-"`           // that relative paths are relative to
}

const (
	defaultLibrary = "libnvidia-ml.so.1"
	virtualPrefix  = "virtual:"

	dcgmOff     = "off"
	dcgmClassic = "classic"
	dcgmRenamed = "renamed"

	minInterval = 100 * time.Millisecond
	maxInterval = time.Hour
)

// withDefaults returns c with empty fields filled and absolute paths.
func (c Config) withDefaults() Config {
	c.Interval = cmp.Or(c.Interval, model.Duration(5*time.Second))
	c.SlowInterval = cmp.Or(c.SlowInterval, model.Duration(max(30*time.Second, time.Duration(c.Interval))))
	c.DCGMNames = cmp.Or(c.DCGMNames, dcgmOff)
	c.Library = c.library()
	if c.Profiling == nil {
		yes := true
		c.Profiling = &yes
	}
	c.Assignments.SetDirectory(c.Directory)
	return c
}

// library is what the helper opens. A name without a slash is looked for by the system.
func (c *Config) library() string {
	file, virtual := strings.CutPrefix(c.Library, virtualPrefix)
	switch {
	case c.Library == "":
		return defaultLibrary
	case virtual:
		return virtualPrefix + c.absolute(file)
	case strings.ContainsAny(file, `/\`):
		return c.absolute(file)
	default:
		return file
	}
}

func (c *Config) absolute(path string) string {
	if filepath.IsAbs(path) || strings.HasPrefix(path, "/") {
		return path
	}
	return filepath.Join(c.Directory, path)
}

// Validate returns the first thing that is wrong, with the name of its field.
func (c *Config) Validate() error {
	d := c.withDefaults()
	if err := checkInterval("interval", d.Interval, minInterval); err != nil {
		return err
	}
	if err := checkInterval("slow_interval", d.SlowInterval, time.Duration(d.Interval)); err != nil {
		return err
	}
	if strings.ContainsRune(c.Library, 0) || c.Library == virtualPrefix {
		return errors.New("library: must be the name or path of a library, or virtual:FILE")
	}
	if c.Expected != nil && (*c.Expected < 0 || *c.Expected > helper.MaxGPUs) {
		return fmt.Errorf("expected: must be from 0 to %d, is %d", helper.MaxGPUs, *c.Expected)
	}
	if !slices.Contains([]string{dcgmOff, dcgmClassic, dcgmRenamed}, d.DCGMNames) {
		return fmt.Errorf("dcgm_names: must be off, classic or renamed, is %q", c.DCGMNames)
	}
	if err := d.Assignments.Validate(); err != nil {
		return fmt.Errorf("assignments.%w", err)
	}
	return nil
}

func checkInterval(field string, d model.Duration, least time.Duration) error {
	if time.Duration(d) < least || time.Duration(d) > maxInterval {
		return fmt.Errorf("%s: must be from %s to %s, is %s", field, model.Duration(least), model.Duration(maxInterval), d)
	}
	return nil
}

func (c *Config) interval() time.Duration { return time.Duration(c.Interval) }

// stale is how old values may be.
func (c *Config) stale() time.Duration { return 2*c.interval() + time.Second }

// silence is how long a helper may say nothing.
func (c *Config) silence() time.Duration { return max(30*time.Second, 3*c.interval()) }
