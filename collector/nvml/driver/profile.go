//go:build linux && cgo

package driver

import (
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/trainbridge/trainbridge/collector"
)

// gpmMetric is one metric that is computed from two samples of the GPU's counters.
type gpmMetric struct {
	id     nvml.GpmMetricId
	metric collector.GPUMetric
	label  string
	unit   unit
}

var gpmMetrics = []gpmMetric{
	{nvml.GPM_METRIC_GRAPHICS_UTIL, collector.DeviceGraphicsUtilization, "", percent},
	{nvml.GPM_METRIC_SM_UTIL, collector.DeviceSMUtilization, "", percent},
	{nvml.GPM_METRIC_SM_OCCUPANCY, collector.DeviceSMOccupancy, "", percent},
	{nvml.GPM_METRIC_ANY_TENSOR_UTIL, collector.DeviceTensorUtilization, "", percent},
	{nvml.GPM_METRIC_DRAM_BW_UTIL, collector.DeviceMemoryBandwidth, "", percent},
	{nvml.GPM_METRIC_PCIE_RX_PER_SEC, collector.DevicePCIeThroughput, "receive", mebi},
	{nvml.GPM_METRIC_PCIE_TX_PER_SEC, collector.DevicePCIeThroughput, "transmit", mebi},
	{nvml.GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC, collector.DeviceNVLinkThroughput, "receive", mebi},
	{nvml.GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC, collector.DeviceNVLinkThroughput, "transmit", mebi},
}

// minSampleGap is how far apart samples must be; the counters themselves are only so often brought up to date.
const minSampleGap = 100 * time.Millisecond

// gpmState is the samples of one device. They are memory of the library.
type gpmState struct {
	asked     bool // whether the GPU supports it
	supported bool
	old, next nvml.GpmSample
	taken     time.Time               // of old; zero without one
	metrics   *nvml.GpmMetricsGetType // large, so there is one for good
}

func (d *device) readProfile(to *Values) error {
	ret := d.learnGPM(to)
	if ret == nvml.SUCCESS && d.gpm.supported {
		ret = d.sample(to)
	}
	if ret == nvml.SUCCESS || unsupported(ret) {
		return nil
	}
	return callError("profile "+d.String(), ret)
}

// learnGPM asks once whether the GPU supports it, and gets memory for the samples.
func (d *device) learnGPM(to *Values) nvml.Return {
	g := &d.gpm
	if g.asked {
		return nvml.SUCCESS
	}
	gpu := d
	if d.gpu != nil {
		gpu = d.gpu
	}
	to.beat()
	support, ret := call(d.lib, "GpmQueryDeviceSupport", gpu.handle.GpmQueryDeviceSupport)
	if ret == nvml.SUCCESS && support.IsSupportedDevice != 0 {
		ret = g.alloc(d.lib, to)
		g.supported = ret == nvml.SUCCESS && g.old != nil && g.next != nil
	}
	g.asked = ret == nvml.SUCCESS || unsupported(ret)
	return ret
}

func (g *gpmState) alloc(l *library, to *Values) (ret nvml.Return) {
	for _, s := range []*nvml.GpmSample{&g.old, &g.next} {
		to.beat()
		if *s, ret = call(l, "GpmSampleAlloc", l.nvml.GpmSampleAlloc); ret != nvml.SUCCESS {
			*s = nil
			g.free(l)
			return ret
		}
	}
	g.metrics = &nvml.GpmMetricsGetType{NumMetrics: uint32(len(gpmMetrics))}
	return nvml.SUCCESS
}

// free gives the memory back. The device can be read again after it.
func (g *gpmState) free(l *library) {
	for _, s := range []nvml.GpmSample{g.old, g.next} {
		if s != nil {
			_ = do(l, "GpmSampleFree", func() nvml.Return { return l.nvml.GpmSampleFree(s) })
		}
	}
	*g = gpmState{}
}

// sample takes a sample and compares it with the one before.
func (d *device) sample(to *Values) nvml.Return {
	g := &d.gpm
	now := time.Now()
	if !g.taken.IsZero() && now.Sub(g.taken) < minSampleGap {
		return nvml.SUCCESS
	}
	to.beat()
	if ret := d.takeSample(g.next); ret != nvml.SUCCESS {
		g.taken = time.Time{}
		return ret
	}
	first := g.taken.IsZero()
	g.old, g.next, g.taken = g.next, g.old, now
	if first {
		return nvml.SUCCESS
	}
	return d.compare(g.next, g.old, to)
}

func (d *device) takeSample(into nvml.GpmSample) nvml.Return {
	if d.gpu == nil {
		ret := do(d.lib, "GpmSampleGet", func() nvml.Return { return d.handle.GpmSampleGet(into) })
		return ret
	}
	ret := do(d.lib, "GpmMigSampleGet", func() nvml.Return { return d.gpu.handle.GpmMigSampleGet(d.instance, into) })
	return ret
}

// compare appends what happened between two samples.
func (d *device) compare(before, after nvml.GpmSample, to *Values) nvml.Return {
	m := d.gpm.metrics
	m.Sample1, m.Sample2 = before, after
	for i := range gpmMetrics {
		m.Metrics[i] = nvml.GpmMetric{MetricId: uint32(gpmMetrics[i].id)}
	}
	to.beat()
	ret := do(d.lib, "GpmMetricsGet", func() nvml.Return { return d.lib.nvml.GpmMetricsGet(m) })
	if ret != nvml.SUCCESS {
		return ret
	}
	for i := range gpmMetrics {
		row, v := &gpmMetrics[i], &m.Metrics[i]
		if nvml.Return(v.NvmlReturn) == nvml.SUCCESS && isNumber(v.Value) {
			to.Add(row.metric, row.unit.of(v.Value), row.label)
		}
	}
	return nvml.SUCCESS
}
