package nvmltest_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	c "github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
)

// answers is true for modes in which a GPU gives values.
func answers(m nvmltest.Mode) bool {
	return m != nvmltest.Lost && m != nvmltest.Gone && m != nvmltest.Hang
}

// bound says what is physically possible.
func bound(k c.GPUValue) (low, high float64) {
	switch k.Metric {
	case c.DeviceUtilization, c.DeviceMemoryBusy, c.DeviceGraphicsUtilization, c.DeviceSMUtilization, c.DeviceSMOccupancy,
		c.DeviceTensorUtilization, c.DeviceMemoryBandwidth, c.ProcessUtilization, c.DeviceClockEvent, c.DeviceRowRemapPending,
		c.DeviceRowRemapFailure, c.DeviceFabricState, c.DeviceFabricHealthy:
		return 0, 1
	case c.DeviceMemoryLimit, c.DeviceMemoryUsage, c.ProcessMemoryUsage, c.DeviceMemoryReserved:
		return 1, 85_900_000_000
	case c.DevicePower:
		return 40, 700
	case c.DevicePowerLimit:
		return 400, 700
	case c.DeviceTemperature:
		return 22, 99
	case c.DeviceClock, c.DeviceClockMax:
		return 100e6, 2619e6
	case c.DevicePCIeWidth, c.DevicePCIeWidthMax:
		return 8, 16
	case c.DevicePCIeGeneration, c.DevicePCIeGenerationMax:
		return 3, 5
	case c.DeviceNVLinkLinks:
		return 12, 18
	case c.DeviceNVLinkThroughput, c.DevicePCIeThroughput:
		return 0, 450e9
	}
	return 0, 1e18
}

func TestValuesAreWithinBounds(t *testing.T) {
	for _, model := range nvmltest.Models() {
		for _, mode := range nvmltest.Modes() {
			if !answers(mode) {
				continue
			}
			for _, job := range []string{"", "a job"} {
				b := newBench(t, model)
				b.set(2, mode, job)
				d := b.device(2)
				for b.now.Before(epoch.Add(24 * time.Hour)) {
					for k, v := range values(t, d) {
						if low, high := bound(k); !(v >= low && v <= high) {
							t.Fatalf("%s, mode %q, job %q, after %v: metric %d %q is %v, not from %v to %v",
								model, mode, job, b.now.Sub(epoch), k.Metric, k.Label, v, low, high)
						}
					}
					b.now = b.now.Add(293 * time.Second)
				}
			}
		}
	}
}

func TestAnH100GivesEveryMetric(t *testing.T) {
	b := newBench(t, "h100")
	b.set(0, nvmltest.Train, "a job")
	has := map[c.GPUMetric]bool{}
	for k := range values(t, b.device(0)) {
		has[k.Metric] = true
	}
	// Pages are retired by GPUs that cannot remap rows; XIDs are events.
	lacks := []c.GPUMetric{c.DeviceRetiredPages, c.DeviceRetiredPending, c.DeviceXIDErrors, c.DeviceXIDLast}
	for m := c.DeviceUtilization; m <= c.ProcessUtilization; m++ {
		if has[m] == slices.Contains(lacks, m) {
			t.Errorf("metric %d is given: %v", m, has[m])
		}
	}
}

func TestAnA100HasNoGPM(t *testing.T) {
	b := newBench(t, "a100")
	b.set(0, nvmltest.Train, "a job")
	vs := values(t, b.device(0))
	if _, ok := vs[at(c.DeviceSMUtilization)]; ok {
		t.Error("an A100 gives the SM utilisation")
	}
	if p := vs[at(c.DevicePower)]; p < 100 || p > 400 {
		t.Errorf("an A100 draws %v W", p)
	}
}

// TestModes holds each mode to what it is made for, on average over half an hour.
func TestModes(t *testing.T) {
	type limit struct {
		of        c.GPUValue
		low, high float64
	}
	busy, sm, tensor, power := at(c.DeviceUtilization, "general"), at(c.DeviceSMUtilization), at(c.DeviceTensorUtilization), at(c.DevicePower)
	clock, warm, nvlink := at(c.DeviceClock, "sm"), at(c.DeviceTemperature, "gpu"), at(c.DeviceNVLinkThroughput, "receive")
	for mode, limits := range map[nvmltest.Mode][]limit{
		nvmltest.Train: {{busy, .85, .95}, {sm, .6, .7}, {tensor, .38, .45}, {power, 560, 640}, {warm, 55, 70}, {nvlink, 5e10, 7e10}},
		nvmltest.Idle:  {{busy, 0, 0}, {sm, 0, 0}, {at(c.DeviceMemoryUsage), 4e10, 8e10}, {power, 100, 130}, {clock, 1980e6, 1980e6}},
		nvmltest.Free:  {{busy, 0, 0}, {at(c.DeviceMemoryUsage), 1, 1e7}, {power, 60, 80}, {warm, 25, 40}, {clock, 345e6, 345e6}},
		nvmltest.Spin:  {{busy, 1, 1}, {sm, .01, .05}, {tensor, 0, 0}, {power, 120, 160}, {nvlink, 0, 0}},
		nvmltest.Thermal: {
			{clock, 1180e6, 1195e6}, {warm, 86, 90}, {at(c.DeviceClockEvent, "hw_thermal"), 1, 1}, {at(c.DeviceClockEvent, "sw_thermal"), 1, 1},
		},
		nvmltest.Straggler:       {{clock, 1350e6, 1420e6}, {busy, .85, .95}, {at(c.DeviceClockEvent, "hw_thermal"), 0, 0}},
		nvmltest.ECC:             {{at(c.DeviceECCErrors, "uncorrected", "volatile"), 8, 25}, {at(c.DeviceRowRemapPending), 1, 1}},
		nvmltest.RowRemapFailure: {{at(c.DeviceRowRemapFailure), 1, 1}},
		nvmltest.PCIe:            {{at(c.DevicePCIeWidth), 8, 8}, {at(c.DevicePCIeGeneration), 3, 3}, {at(c.DevicePCIeReplays), 200, 500}},
	} {
		b := newBench(t, "h100")
		job := "a job"
		if mode == nvmltest.Free {
			job = ""
		}
		b.set(0, mode, job)
		d, sums, n := b.device(0), map[c.GPUValue]float64{}, 0.0
		b.now = b.now.Add(2 * time.Minute)
		for ; n < 300; n++ {
			for k, v := range values(t, d) {
				sums[k] += v
			}
			b.now = b.now.Add(5 * time.Second)
		}
		for _, l := range limits {
			if v := sums[l.of] / n; v < l.low || v > l.high {
				t.Errorf("mode %q: metric %d %q is %v on average, not from %v to %v", mode, l.of.Metric, l.of.Label, v, l.low, l.high)
			}
		}
	}
}

// TestCountersNeverFall lets modes and jobs change at odd times, and other helpers go on.
func TestCountersNeverFall(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	counters := c.GPUCounters()
	b := newBench(t, "h100")
	d := b.device(3)
	last := map[c.GPUValue]float64{}
	changes := 0
	for range 20_000 {
		b.now = b.now.Add(time.Duration(rng.Int64N(int64(3 * time.Second))))
		switch rng.IntN(40) {
		case 0: // known a second before it begins, as Host does it
			mode, job := nvmltest.Modes()[rng.IntN(len(nvmltest.Modes()))], []string{"", "a", "b"}[rng.IntN(3)]
			b.state.Change(3, b.now.Add(time.Second), func(sp *nvmltest.Spell) { sp.Mode, sp.Job, sp.Peers = mode, job, rng.IntN(4) })
			b.write()
			changes++
		case 1:
			if hangs(b) {
				continue
			}
			if next, err := b.open().Open(3); err == nil && id(next) == b.state.GPUs[3].ID { // while it is gone, 3 is another GPU
				d = next
			}
		}
		if hangs(b) {
			continue
		}
		var vs driver.Values
		if d.Read(driver.Fields, &vs) != nil || d.Read(driver.Health, &vs) != nil {
			continue
		}
		for _, v := range vs.Values {
			k := c.GPUValue{Metric: v.Metric, Label: v.Label}
			if counters[k.Metric] && v.Value < last[k] {
				t.Fatalf("metric %d %q fell from %v to %v after %v and %d changes", k.Metric, k.Label, last[k], v.Value, b.now.Sub(epoch), changes)
			}
			last[k] = v.Value
		}
	}
	if len(last) < 20 || changes < 300 {
		t.Errorf("only %d values and %d changes were seen", len(last), changes)
	}
}

func id(d driver.Device) string {
	who, _ := d.Identity()
	return who.ID
}

// hangs is true while GPU 3 would not answer: with this clock for ever.
func hangs(b *bench) bool {
	hang := false
	for _, sp := range b.state.GPUs[3].Spells {
		if !sp.From.After(b.now) {
			hang = sp.Mode == nvmltest.Hang
		}
	}
	return hang
}

func TestEnergyIsTheIntegralOfPower(t *testing.T) {
	b := newBench(t, "h100")
	b.set(0, nvmltest.Train, "a job")
	d := b.device(0)
	first, sum := values(t, d)[at(c.DeviceEnergy)], 0.0
	const step = 250 * time.Millisecond
	for range 4 * 900 {
		b.now = b.now.Add(step / 2)
		sum += values(t, d)[at(c.DevicePower)] * step.Seconds()
		b.now = b.now.Add(step / 2)
	}
	if got := values(t, d)[at(c.DeviceEnergy)] - first; math.Abs(got-sum) > 0.002*sum {
		t.Errorf("the energy grew by %v J, the power adds up to %v J", got, sum)
	}
}

func TestTemperatureFollowsPowerWithALag(t *testing.T) {
	b := newBench(t, "h100")
	warm := func() float64 { return values(t, b.device(0))[at(c.DeviceTemperature, "gpu")] }
	cold := warm()
	b.now = b.now.Add(time.Hour)
	b.set(0, nvmltest.Train, "a job")
	if now := warm(); math.Abs(now-cold) > 2 {
		t.Errorf("it was %v degrees, and %v at the moment when work began", cold, now)
	}
	b.now = b.now.Add(20 * time.Second)
	some := warm()
	b.now = b.now.Add(4 * time.Minute)
	if hot := warm(); !(cold+5 < some && some+5 < hot) {
		t.Errorf("it went from %v over %v to %v degrees", cold, some, hot)
	}
}

func TestValuesAreDetermined(t *testing.T) {
	b := newBench(t, "h100")
	b.set(0, nvmltest.Train, "a job")
	b.set(1, nvmltest.Train, "a job")
	b.now = b.now.Add(100 * time.Second)
	one, two := values(t, b.device(0)), values(t, b.device(0))
	if !maps.Equal(one, two) {
		t.Error("two helpers read different values at the same time")
	}
	if other := values(t, b.device(1)); maps.Equal(one, other) {
		t.Error("two GPUs have the same values")
	}
	b.now = b.now.Add(time.Second)
	if later := values(t, b.device(0)); later[at(c.DevicePower)] == one[at(c.DevicePower)] {
		t.Error("the power does not move")
	}
}

func TestIdentity(t *testing.T) {
	b := newBench(t, "h100")
	seen := map[string]bool{}
	for i := range 8 {
		who, err := b.device(i).Identity()
		if err != nil {
			t.Fatal(err)
		}
		if seen[who.ID] || !strings.HasPrefix(who.ID, "GPU-") || len(who.ID) != 40 {
			t.Errorf("GPU %d has the UUID %q", i, who.ID)
		}
		seen[who.ID] = true
		if who.Info.Index != string(rune('0'+i)) || who.Info.Serial == "" || len(who.Info.PCIBusID) != len("00000000:1B:00.0") {
			t.Errorf("GPU %d: %+v", i, who.Info)
		}
	}
}

func TestInstances(t *testing.T) {
	b := newBench(t, "h100")
	b.state.GPUs[7].MIG = []string{"3g.40gb", "2g.20gb", "1g.10gb"}
	b.set(7, nvmltest.Train, "a job")
	gpu := b.device(7)
	parts, err := gpu.Instances()
	if err != nil || len(parts) != 3 {
		t.Fatalf("%d instances, %v", len(parts), err)
	}
	parent, _ := gpu.Identity()
	who, err := parts[1].Identity()
	if err != nil || who.Info.Parent != parent.ID || who.Info.Profile != "2g.20gb" || who.Info.Instance == "" || !strings.HasPrefix(who.ID, "MIG-") {
		t.Errorf("%+v, %v", who, err)
	}
	vs := values(t, parts[1])
	if m := vs[at(c.DeviceMemoryLimit)]; m < 19<<30 || m > 20<<30 || vs[at(c.DeviceSMUtilization)] <= 0 {
		t.Errorf("the instance has %v", vs)
	}
	if _, ok := values(t, gpu)[at(c.DeviceUtilization, "general")]; ok {
		t.Error("a GPU that is divided has a utilisation")
	}
	b.state.GPUs[7].MIG = b.state.GPUs[7].MIG[:1]
	b.write()
	if _, err := parts[1].Identity(); driver.KindOf(err) != driver.Stale {
		t.Errorf("an instance that is gone: %v", err)
	}
}
