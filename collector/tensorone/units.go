package tensorone

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Units say what the numbers of the service mean. Its documentation writes down none of them: the defaults fit its examples.
type Units struct {
	// Progress is the unit of percentComplete: percent (default) or ratio.
	Progress string `yaml:"progress"`
	// Accuracy is the unit of accuracies: ratio (default) or percent.
	Accuracy string `yaml:"accuracy"`
	// GPUUtilization is percent (default) or ratio.
	GPUUtilization string `yaml:"gpu_utilization"`
	// GPUMemory, SystemMemory and Storage are the units of usages without one: bytes, kB, MB, GB (default), TB, KiB, MiB, GiB,
	// TiB, or off, which leaves the number out: where it turns out to be a percentage, for example.
	GPUMemory    string `yaml:"gpu_memory"`
	SystemMemory string `yaml:"system_memory"`
	Storage      string `yaml:"storage"`
	// CheckpointSize is the same for a checkpoint's size where it is a bare number; default bytes.
	CheckpointSize string `yaml:"checkpoint_size"`
	// TextSizes says what a unit in a text such as "2.3GB" means: decimal (default, 2.3e9 bytes) or binary (2.3 times 2^30). GiB
	// and its like are always binary.
	TextSizes string `yaml:"text_sizes"`
	// StepTime is the unit of throughput.stepTime: seconds (default), milliseconds or minutes.
	StepTime string `yaml:"step_time"`
	// Durations is the unit of an estimatedTimeRemaining that is a bare number: seconds (default), milliseconds, minutes or hours.
	Durations string `yaml:"durations"`
	// Currency is the label of costs where the answer names none; default USD. No currency is documented.
	Currency string `yaml:"currency"`
}

const (
	percent = "percent"
	ratio   = "ratio"
	off     = "off"
	decimal = "decimal"
	binary  = "binary"
)

// timeUnits are seconds.
var timeUnits = map[string]float64{"milliseconds": 0.001, "seconds": 1, "minutes": 60, "hours": 3600}

// byteUnits are bytes.
var byteUnits = map[string]float64{
	"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, off: 0,
}

func (u Units) withDefaults() Units {
	u.Progress = cmp.Or(u.Progress, percent)
	u.Accuracy = cmp.Or(u.Accuracy, ratio)
	u.GPUUtilization = cmp.Or(u.GPUUtilization, percent)
	u.GPUMemory = cmp.Or(u.GPUMemory, "GB")
	u.SystemMemory = cmp.Or(u.SystemMemory, "GB")
	u.Storage = cmp.Or(u.Storage, "GB")
	u.CheckpointSize = cmp.Or(u.CheckpointSize, "bytes")
	u.TextSizes = cmp.Or(u.TextSizes, decimal)
	u.StepTime = cmp.Or(u.StepTime, "seconds")
	u.Durations = cmp.Or(u.Durations, "seconds")
	u.Currency = cmp.Or(u.Currency, "USD")
	return u
}

// check wants units with defaults.
func (u *Units) check() error {
	shares := []string{percent, ratio}
	bytes := []string{"bytes", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", off}
	times := []string{"milliseconds", "seconds", "minutes", "hours"}
	for _, f := range []struct {
		field, value string
		allowed      []string
	}{
		{"progress", u.Progress, shares}, {"accuracy", u.Accuracy, shares}, {"gpu_utilization", u.GPUUtilization, shares},
		{"gpu_memory", u.GPUMemory, bytes}, {"system_memory", u.SystemMemory, bytes}, {"storage", u.Storage, bytes},
		{"checkpoint_size", u.CheckpointSize, bytes}, {"text_sizes", u.TextSizes, []string{decimal, binary}},
		{"step_time", u.StepTime, times[:3]}, {"durations", u.Durations, times},
	} {
		if !slices.Contains(f.allowed, f.value) {
			return fmt.Errorf("units.%s: must be one of %s, is %q", f.field, strings.Join(f.allowed, ", "), f.value)
		}
	}
	if len(u.Currency) > maxCurrency {
		return fmt.Errorf("units.currency: must be a code such as USD or EUR, is %d bytes long", len(u.Currency))
	}
	return nil
}

const maxCurrency = 16

// share is a percentage or ratio as a ratio. What is outside of 0 to 1 by more than rounding is not one.
func share(v float64, unit string) (float64, bool) {
	if unit == percent {
		v /= 100
	}
	const rounding = 1e-9
	if !(v >= -rounding && v <= 1+rounding) {
		return 0, false
	}
	return min(max(v, 0), 1), true
}
