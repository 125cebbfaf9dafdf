package nvmltest

import (
	"maps"
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// DefaultModel is what a host has unless it is told otherwise.
const DefaultModel = "h100"

// model is what a kind of GPU is and can do.
type model struct {
	name, vbios       string
	memory, reserved  float64 // bytes; memory includes what is reserved
	power, idle       float64 // watts: the limit, and without work
	clock, memClock   float64 // MHz
	videoClock        float64
	low               float64 // MHz of a GPU without work
	generation, lanes float64 // of PCIe
	links             float64 // of NVLink
	profile           bool    // has GPM
}

var models = map[string]model{
	"h100": {
		name: "NVIDIA H100 80GB HBM3", vbios: "96.00.A5.00.01", memory: 81_559 << 20, reserved: 551 << 20, power: 700, idle: 72,
		clock: 1980, memClock: 2619, videoClock: 1545, low: 345, generation: 5, lanes: 16, links: 18, profile: true,
	},
	"a100": {
		name: "NVIDIA A100-SXM4-80GB", vbios: "92.00.45.00.05", memory: 81_920 << 20, reserved: 536 << 20, power: 400, idle: 56,
		clock: 1410, memClock: 1593, videoClock: 1275, low: 210, generation: 4, lanes: 16, links: 12,
	},
}

// Models lists the names that a state can have.
func Models() []string { return slices.Sorted(maps.Keys(models)) }

// buses are where a machine with eight GPUs has them.
var buses = [...]string{"1B", "43", "52", "61", "9D", "C3", "D1", "DF"}

func versions() collector.DriverVersions {
	return collector.DriverVersions{Driver: "570.172.08", NVML: "12.570.172.08", CUDA: "12.8"}
}
