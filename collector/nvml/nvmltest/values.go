package nvmltest

import (
	"math"
	"slices"
	"strconv"

	c "github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// reading adds the values of a moment, in the steps in which the library gives them.
type reading struct {
	*moment
	to *driver.Values
}

func (r reading) add(m c.GPUMetric, v float64, labels ...string) { r.to.Add(m, v, labels...) }

// percent is a share in whole hundredths, as the library gives utilisation.
func (r reading) percent(s signal) float64 { return math.Round(100*r.share(s)) / 100 }

func (r reading) share(s signal) float64 { return min(1, max(0, r.rhythm.at(s, r.x))) }

func (r reading) watts() float64 { return math.Round(1000*r.rhythm.at(r.power, r.x)*r.m.power) / 1000 }

// used is what is allocated, with what every CUDA context takes.
func (r reading) used() float64 {
	if !r.allocated {
		return 4 << 20
	}
	return math.Floor(between(0.55, 0.93, r.sp.Job, "memory")*r.m.memory/(2<<20)) * (2 << 20)
}

func (r reading) load() {
	if len(r.g.MIG) == 0 { // the driver has no utilisation of a GPU that is divided
		r.add(c.DeviceUtilization, r.percent(r.general), "general")
		r.add(c.DeviceUtilization, 0, "encoder")
		r.add(c.DeviceUtilization, 0, "decoder")
		r.add(c.DeviceMemoryBusy, r.percent(r.memoryBusy))
	}
	r.add(c.DeviceMemoryLimit, r.m.memory)
	r.add(c.DeviceMemoryUsage, r.used())
	r.add(c.DeviceMemoryReserved, r.m.reserved)
	r.add(c.DevicePower, r.watts())
	warm := math.Round(r.celsius())
	r.add(c.DeviceTemperature, warm, "gpu")
	r.add(c.DeviceTemperature, warm+8, "memory")
	graphics := 15 * math.Round(r.rhythm.at(r.clock, r.x)*r.m.clock/15)
	graphics = min(graphics, r.m.clock) * 1e6
	r.add(c.DeviceClock, graphics, "graphics")
	r.add(c.DeviceClock, graphics, "sm")
	r.add(c.DeviceClock, r.m.memClock*1e6, "memory")
	r.add(c.DeviceClock, math.Round(0.78*graphics/15e6)*15e6, "video")
	for _, reason := range c.ClockEvents() {
		on := slices.Contains(r.events, reason)
		if reason == "sw_power_cap" {
			on = r.watts() > 0.95*r.m.power
		}
		r.add(c.DeviceClockEvent, flag(on), reason)
	}
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func (r reading) fields() {
	t := r.counted()
	r.add(c.DeviceEnergy, math.Floor(t.Energy*1000)/1000)
	for _, reason := range c.ThrottleTimes() {
		r.add(c.DeviceThrottleTime, math.Floor(t.Throttled[reason]*1e6)/1e6, reason)
	}
	r.add(c.DeviceIO, math.Floor(t.PCIeReceived/1024)*1024, "receive")
	r.add(c.DeviceIO, math.Floor(t.PCIeSent/1024)*1024, "transmit")
	r.add(c.DevicePCIeReplays, math.Floor(t.Replays))
	r.add(c.DeviceNVLinkIO, math.Floor(t.NVLinkReceived/1024)*1024, "receive")
	r.add(c.DeviceNVLinkIO, math.Floor(t.NVLinkSent/1024)*1024, "transmit")
	for _, kind := range c.NVLinkErrors() {
		r.add(c.DeviceNVLinkErrors, 0, kind)
	}
}

func (r reading) health() {
	t := r.counted()
	lifetime := math.Floor(between(0, 12, r.g.ID, "lifetime"))
	r.add(c.DeviceECCErrors, t.Corrected, "corrected", "volatile")
	r.add(c.DeviceECCErrors, t.Corrected+lifetime, "corrected", "aggregate")
	r.add(c.DeviceECCErrors, t.Uncorrected, "uncorrected", "volatile")
	r.add(c.DeviceECCErrors, t.Uncorrected, "uncorrected", "aggregate")
	r.add(c.DeviceRemappedRows, t.RemappedCorrected, "corrected")
	r.add(c.DeviceRemappedRows, t.RemappedRows, "uncorrected")
	r.add(c.DeviceRowRemapPending, flag(r.sp.Mode == ECC))
	r.add(c.DeviceRowRemapFailure, flag(r.sp.Mode == RowRemapFailure))
	r.add(c.DevicePowerLimit, r.m.power)
	r.add(c.DeviceClockMax, r.m.clock*1e6, "graphics")
	r.add(c.DeviceClockMax, r.m.clock*1e6, "sm")
	r.add(c.DeviceClockMax, r.m.memClock*1e6, "memory")
	r.add(c.DeviceClockMax, r.m.videoClock*1e6, "video")
	width, generation := r.m.lanes, r.m.generation
	if r.sp.Mode == PCIe {
		width, generation = 8, 3
	}
	r.add(c.DevicePCIeWidth, width)
	r.add(c.DevicePCIeWidthMax, r.m.lanes)
	r.add(c.DevicePCIeGeneration, generation)
	r.add(c.DevicePCIeGenerationMax, r.m.generation)
	r.add(c.DeviceNVLinkLinks, r.m.links)
	if !r.m.profile {
		return // a fabric to register with came with GPM
	}
	for _, state := range c.FabricStates() {
		r.add(c.DeviceFabricState, flag(state == "completed"), state)
	}
	r.add(c.DeviceFabricHealthy, 1)
}

func (r reading) profiling() {
	if !r.m.profile {
		return
	}
	r.activity("")
	r.add(c.DevicePCIeThroughput, r.rhythm.at(r.pcieReceive, r.x), "receive")
	r.add(c.DevicePCIeThroughput, r.rhythm.at(r.pcieSend, r.x), "transmit")
	r.add(c.DeviceNVLinkThroughput, r.rhythm.at(r.nvlink, r.x), "receive")
	r.add(c.DeviceNVLinkThroughput, r.rhythm.at(r.nvlink, r.x), "transmit")
}

// activity is what GPM knows of a GPU and of its instances, which differ a little.
func (r reading) activity(of string) {
	some := 1 - 0.1*share(r.g.ID, of, "activity")
	for _, a := range []struct {
		metric c.GPUMetric
		signal signal
	}{
		{c.DeviceGraphicsUtilization, r.graphics}, {c.DeviceSMUtilization, r.sm}, {c.DeviceSMOccupancy, r.occupancy},
		{c.DeviceTensorUtilization, r.tensor}, {c.DeviceMemoryBandwidth, r.bandwidth},
	} {
		r.add(a.metric, math.Round(1e4*some*r.share(a.signal))/1e4)
	}
}

// firstPID is beyond what Linux gives out, so that nobody takes a virtual process for one of the machine's.
const firstPID = 5_000_000

func (r reading) processes(index int) {
	if !r.allocated {
		return
	}
	pid := firstPID + 1000*index + int(between(0, 999, r.sp.Job, "pid"))
	r.to.PIDs = append(r.to.PIDs, pid)
	r.add(c.ProcessMemoryUsage, r.used()-64<<20, strconv.Itoa(pid))
	r.add(c.ProcessUtilization, r.percent(r.general), strconv.Itoa(pid))
}
