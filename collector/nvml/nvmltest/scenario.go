package nvmltest

import (
	"fmt"
	"strings"
	"time"
)

// Scenario is something that a Host can play.
type Scenario struct {
	Name        string
	Description string
}

type scenario struct {
	Scenario
	repeat   time.Duration // begins again after this; 0 is never
	episodes []episode
}

// episode is a time in which some GPUs are in another mode than their job would have them in.
type episode struct {
	at, lasts time.Duration // since the host began, in real time; lasts 0 is for ever
	mode      Mode
	target    target
	xids      []uint64
	again     time.Duration // the XIDs come again after this; 0 is never
	trained   time.Duration // by the clock of the jobs: only one that has had its GPUs for so long
	silent    bool          // only a job whose source tells of no steps
}

// target says which GPUs an episode wants.
type target uint8

const (
	any1    target = iota // a GPU of any job
	single                // the GPU of a job that has one
	member                // a GPU of the job that has most
	group                 // all GPUs of a job that has some, but not the most
	last                  // the GPU with the highest number
	front                 // a GPU of the share that is given away first, which is the largest, whoever has it
	whole                 // all GPUs of a job
	several               // all GPUs of a job that has more than one
)

// needsJob is true for what comes from what a job does. It ends with the job; what is wrong with a GPU does not.
func (e episode) needsJob() bool { return e.mode == Idle || e.mode == Spin || e.mode == Train }

// dead is true for modes in which nobody would get the GPU.
func (m Mode) dead() bool { return m == Lost || m == Gone || m == Hang || m == RowRemapFailure }

// Scenarios lists what a Host can play, the default first.
func Scenarios() []Scenario {
	var all []Scenario
	for _, s := range scenarios() {
		all = append(all, s.Scenario)
	}
	return all
}

func findScenario(name string) (scenario, error) {
	var names []string
	for _, s := range scenarios() {
		if name == s.Name || name == "" {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return scenario{}, fmt.Errorf("GPU scenario %q is unknown: use one of %s", name, strings.Join(names, ", "))
}

// soon is when the trouble of a scenario with one trouble begins.
const soon = 20 * time.Second

func scenarios() []scenario {
	one := func(name, text string, e episode) scenario {
		e.at = soon
		return scenario{Scenario: Scenario{name, text}, episodes: []episode{e}}
	}
	return []scenario{
		fleet(),
		{Scenario: Scenario{"healthy", "Nothing is wrong with any GPU."}},
		one("gpu_idle", "A job runs and its GPUs do nothing; when it ends, another job.", episode{mode: Idle, target: whole}),
		one("gpu_spin", "All GPUs of a job that has trained for a while are busy with waiting for each other; when it ends, another job.",
			episode{mode: Spin, target: several, trained: 10 * time.Minute, silent: true}),
		one("gpu_xid", "A GPU falls off the bus with XID 79, and is back after three minutes.",
			episode{mode: Lost, target: any1, xids: []uint64{79}, lasts: 3 * time.Minute}),
		one("gpu_xid_application", "A job's kernels fail with XIDs 13, 31 and 94, once a minute; its GPUs are well.",
			episode{mode: Train, target: several, xids: []uint64{13, 31, 94}, again: time.Minute}),
		one("gpu_lost", "A GPU vanishes: the driver counts one less.", episode{mode: Gone, target: last}),
		one("gpu_thermal", "A GPU is too hot and holds its clocks down.", episode{mode: Thermal, target: any1}),
		one("gpu_straggler", "A GPU has lower clocks than the other three of its job.", episode{mode: Straggler, target: front}),
		one("gpu_ecc", "A GPU has uncorrectable memory errors, one a minute, and waits for a reset.",
			episode{mode: ECC, target: any1, xids: []uint64{48, 63}}),
		one("gpu_row_remap", "A GPU could not remap a row of its memory and must be replaced.",
			episode{mode: RowRemapFailure, target: any1, xids: []uint64{64}}),
		one("gpu_pcie", "The link of a GPU was trained down to 8 lanes of generation 3, with replays.", episode{mode: PCIe, target: any1}),
		one("gpu_hang", "Calls that ask one of the GPUs do not return for three minutes.",
			episode{mode: Hang, target: any1, xids: []uint64{119}, lasts: 3 * time.Minute}),
	}
}

// fleet shows the most common troubles within two minutes, and again later.
func fleet() scenario {
	return scenario{
		Scenario: Scenario{"fleet", "Mostly well; in turns a GPU idles under its job, a job spins, a GPU is lost with XID 79, and one is too hot."},
		repeat:   7 * time.Minute,
		episodes: []episode{
			{at: 15 * time.Second, lasts: 75 * time.Second, mode: Idle, target: single},
			{at: 40 * time.Second, lasts: 80 * time.Second, mode: Spin, target: group},
			{at: 65 * time.Second, lasts: 3 * time.Minute, mode: Lost, target: member, xids: []uint64{79}},
			{at: 90 * time.Second, lasts: 2 * time.Minute, mode: Thermal, target: member},
		},
	}
}
