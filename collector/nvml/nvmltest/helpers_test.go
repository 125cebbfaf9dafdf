package nvmltest_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bench is a state file and a clock.
type bench struct {
	t     *testing.T
	file  string
	state *nvmltest.State
	now   time.Time
}

func newBench(t *testing.T, model string) *bench {
	b := &bench{t: t, file: filepath.Join(t.TempDir(), "gpus.json"), state: nvmltest.NewState(1, model, 8, epoch), now: epoch}
	b.write()
	return b
}

func (b *bench) write() {
	b.t.Helper()
	if err := b.state.Write(b.file); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) set(gpu int, mode nvmltest.Mode, job string) {
	b.t.Helper()
	b.state.Change(gpu, b.now, func(sp *nvmltest.Spell) { sp.Mode, sp.Job, sp.Peers = mode, job, 2 })
	b.write()
}

func (b *bench) open() driver.Driver {
	b.t.Helper()
	d, err := nvmltest.New(nvmltest.Options{File: b.file, Now: func() time.Time { return b.now }})
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bench) device(index int) driver.Device {
	b.t.Helper()
	d, err := b.open().Open(index)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

// values are all of a device, by metric and label.
func values(t *testing.T, d driver.Device) map[collector.GPUValue]float64 {
	t.Helper()
	all := map[collector.GPUValue]float64{}
	for g := range driver.Groups {
		var vs driver.Values
		if err := d.Read(g, &vs); err != nil {
			t.Fatal(err)
		}
		for _, v := range vs.Values {
			k := collector.GPUValue{Metric: v.Metric, Label: v.Label}
			if _, twice := all[k]; twice {
				t.Fatalf("metric %d %q is given twice", v.Metric, v.Label)
			}
			all[k] = v.Value
		}
	}
	return all
}

func at(m collector.GPUMetric, labels ...string) collector.GPUValue {
	return collector.GPUValue{Metric: m, Label: collector.JoinLabels(labels...)}
}
