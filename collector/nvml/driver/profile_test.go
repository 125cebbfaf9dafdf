//go:build linux && cgo

package driver

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"

	"github.com/trainbridge/trainbridge/collector"
)

// gpm is a mocked GPU that counts: every sample is the next number.
type gpm struct {
	taken   map[nvml.GpmSample]int
	n       int
	alive   int
	fails   nvml.Return
	compare [][2]int // the samples that were compared
	answers map[uint32]nvml.GpmMetric
}

func profiled(s *server.Server, m *server.Device) *gpm {
	g := &gpm{taken: map[nvml.GpmSample]int{}, answers: map[uint32]nvml.GpmMetric{}}
	m.GpmQueryDeviceSupportFunc = gives(nvml.GpmSupport{IsSupportedDevice: 1})
	s.GpmSampleAllocFunc = func() (nvml.GpmSample, nvml.Return) {
		g.alive++
		return &mock.GpmSample{}, nvml.SUCCESS
	}
	s.GpmSampleFreeFunc = func(sample nvml.GpmSample) nvml.Return {
		delete(g.taken, sample)
		g.alive--
		return nvml.SUCCESS
	}
	take := func(sample nvml.GpmSample) nvml.Return {
		g.n++
		g.taken[sample] = g.n
		return g.fails
	}
	m.GpmSampleGetFunc = take
	m.GpmMigSampleGetFunc = func(_ int, sample nvml.GpmSample) nvml.Return { return take(sample) }
	s.GpmMetricsGetFunc = func(get *nvml.GpmMetricsGetType) nvml.Return {
		g.compare = append(g.compare, [2]int{g.taken[get.Sample1], g.taken[get.Sample2]})
		for i := range get.NumMetrics {
			id := get.Metrics[i].MetricId
			get.Metrics[i] = g.answers[id]
			get.Metrics[i].MetricId = id
		}
		return nvml.SUCCESS
	}
	return g
}

func TestProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := host()
		g := profiled(s, m)
		g.answers = map[uint32]nvml.GpmMetric{
			1: {Value: 98.5}, 2: {Value: 50}, 3: {Value: 25}, 5: {Value: 12.5}, 10: {Value: math.NaN()}, 20: {Value: 5}, 21: {Value: 6}, 60: {Value: 3},
			61: {Value: 7, NvmlReturn: uint32(nvml.ERROR_NOT_SUPPORTED)},
		}
		d := open(t, s)
		wantValues(t, mustRead(t, d, Profile)) // nothing to compare with
		time.Sleep(99 * time.Millisecond)
		wantValues(t, mustRead(t, d, Profile)) // too early
		for range 3 {
			time.Sleep(time.Second)
			wantValues(t, mustRead(t, d, Profile),
				value(collector.DeviceGraphicsUtilization, 0.985), value(collector.DeviceSMUtilization, 0.5),
				value(collector.DeviceSMOccupancy, 0.25), value(collector.DeviceTensorUtilization, 0.125),
				value(collector.DevicePCIeThroughput, 6<<20, "receive"), value(collector.DevicePCIeThroughput, 5<<20, "transmit"),
				value(collector.DeviceNVLinkThroughput, 3<<20, "receive"))
		}
		if want := [][2]int{{1, 2}, {2, 3}, {3, 4}}; len(g.compare) != 3 || g.compare[0] != want[0] || g.compare[2] != want[2] {
			t.Errorf("compared %v, want %v", g.compare, want)
		}

		g.fails = nvml.ERROR_UNKNOWN
		time.Sleep(time.Second)
		if err := d.Read(Profile, new(Values)); err == nil || KindOf(err) != Failed {
			t.Errorf("a sample that failed: %v", err)
		}
		g.fails, g.compare = nvml.SUCCESS, nil
		for range 2 { // what is left of the sample that failed is not compared with
			time.Sleep(time.Second)
			mustRead(t, d, Profile)
		}
		if len(g.compare) != 1 || g.compare[0] != [2]int{6, 7} {
			t.Errorf("compared %v", g.compare)
		}
		m.UUID = "GPU-2"
		if _, err := d.Identity(); err != nil || g.alive != 0 {
			t.Errorf("another GPU: %v, %d samples left of the one before", err, g.alive)
		}
		wantValues(t, mustRead(t, d, Profile))
		if g.alive != 2 {
			t.Errorf("%d samples, want 2", g.alive)
		}
	})
}

func TestProfileUnsupported(t *testing.T) {
	s, m := host()
	g := profiled(s, m)
	asked := 0
	m.GpmQueryDeviceSupportFunc = func() (nvml.GpmSupport, nvml.Return) {
		asked++
		return nvml.GpmSupport{}, nvml.SUCCESS
	}
	d := open(t, s)
	for range 3 {
		wantValues(t, mustRead(t, d, Profile))
	}
	if asked != 1 || g.alive != 0 || g.n != 0 {
		t.Errorf("asked %d times, %d samples, %d taken", asked, g.alive, g.n)
	}
	m.GpmQueryDeviceSupportFunc = gives(nvml.GpmSupport{IsSupportedDevice: 1})
	second := false
	alloc := s.GpmSampleAllocFunc
	s.GpmSampleAllocFunc = func() (nvml.GpmSample, nvml.Return) {
		if second = !second; !second {
			return nil, nvml.ERROR_MEMORY
		}
		return alloc()
	}
	d = open(t, s)
	if err := d.Read(Profile, new(Values)); err == nil || g.alive != 0 {
		t.Errorf("out of memory: %v, %d samples kept", err, g.alive)
	}
}
