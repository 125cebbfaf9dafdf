package nvmltest

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// Mode is what a GPU does, or what is wrong with it.
type Mode string

// The modes. A job runs in all of them that have one; Free is the only mode of a GPU without a job that is well.
const (
	Free            Mode = ""                  // no job, nothing allocated
	Train           Mode = "train"             // healthy work, with a pause for each checkpoint
	Idle            Mode = "idle"              // memory is allocated and nothing runs
	Spin            Mode = "spin"              // a kernel waits for others for ever: busy, but no SM works
	Straggler       Mode = "straggler"         // works with lower clocks than the others of its job
	Thermal         Mode = "thermal"           // too hot: clocks are held down
	Lost            Mode = "lost"              // every call says that the GPU is lost
	Gone            Mode = "gone"              // not even counted any more
	Hang            Mode = "hang"              // calls do not return until the mode changes
	ECC             Mode = "ecc"               // works, with uncorrectable memory errors
	RowRemapFailure Mode = "row_remap_failure" // works, and a row of memory could not be remapped
	PCIe            Mode = "pcie"              // works over a link that was trained down
)

// Modes lists all of them.
func Modes() []Mode {
	return []Mode{Free, Train, Idle, Spin, Straggler, Thermal, Lost, Gone, Hang, ECC, RowRemapFailure, PCIe}
}

// State is a host as its file holds it.
type State struct {
	Seed  int64
	Model string // a name of Models
	Epoch time.Time
	// Checkpoints is how many seconds lie between two checkpoints of a job.
	Checkpoints float64
	GPUs        []GPUState
	XIDs        []XID `json:",omitempty"` // by Seq, the latest 64
}

// GPUState is one GPU, by its place in the machine.
type GPUState struct {
	ID  string
	MIG []string `json:",omitempty"` // profiles of its instances, such as 1g.10gb
	// Spells are what it did and will do, oldest first. The last that has begun holds; one may begin in the future, so that
	// a reader knows of it before it begins and counters go on without a step.
	Spells []Spell
}

// Spell is a time in which a GPU does one thing.
type Spell struct {
	From  time.Time
	Mode  Mode   `json:",omitempty"`
	Job   string `json:",omitempty"` // empty while nobody has the GPU
	Peers int    `json:",omitempty"` // GPUs of the job on this machine, itself included
	Base  Totals // at From
}

// Totals are what a GPU has counted, and how warm it is.
type Totals struct {
	Energy                          float64 // joules
	PCIeReceived, PCIeSent          float64 // bytes
	NVLinkReceived, NVLinkSent      float64 // bytes
	Replays                         float64
	Corrected, Uncorrected          float64            // ECC errors since the driver was loaded
	RemappedCorrected, RemappedRows float64            // rows remapped for corrected and for uncorrected errors
	Throttled                       map[string]float64 `json:",omitempty"` // seconds by reason
	Celsius                         float64            // 0 is as warm as the mode makes it in the end
}

// XID is an error that the driver reported.
type XID struct {
	Seq  uint64 // 1 is the first
	GPU  string
	Code uint64
	At   time.Time
}

// spell is what holds at t.
func (g *GPUState) spell(t time.Time) *Spell {
	at := 0
	for i := range g.Spells {
		if !g.Spells[i].From.After(t) {
			at = i
		}
	}
	return &g.Spells[at]
}

// ends is the last spell, which may be yet to begin.
func (g *GPUState) ends() *Spell { return &g.Spells[len(g.Spells)-1] }

// Change lets GPU i do something else from a time on: change edits a copy of what it would do then.
func (s *State) Change(i int, from time.Time, change func(*Spell)) {
	g := &s.GPUs[i]
	was := *g.spell(from)
	next := was
	next.From, next.Base = from, s.virtual(i).totals(from)
	change(&next)
	// Readers need what holds now, which may be some spells before this one.
	const most = 8
	kept := slices.DeleteFunc(slices.Clone(g.Spells), func(sp Spell) bool { return !sp.From.Before(from) })
	kept = append(kept, next)
	g.Spells = kept[max(0, len(kept)-most):]
}

// Report adds an XID.
func (s *State) Report(i int, at time.Time, code uint64) {
	const most = 64
	seq := uint64(1)
	if n := len(s.XIDs); n > 0 {
		seq = s.XIDs[n-1].Seq + 1
	}
	s.XIDs = append(s.XIDs, XID{Seq: seq, GPU: s.GPUs[i].ID, Code: code, At: at})
	s.XIDs = slices.Clone(s.XIDs[max(0, len(s.XIDs)-most):])
}

// NewState is a host whose GPUs nobody uses. Unknown models are reported by Open.
func NewState(seed int64, modelName string, gpus int, epoch time.Time) *State {
	s := &State{Seed: seed, Model: modelName, Epoch: epoch.UTC().Round(0), Checkpoints: 90}
	for i := range gpus {
		name := fmt.Sprintf("%d/%s/%d", seed, modelName, i)
		days := 86_400 * (3 + 20*share(name, "days"))
		g := GPUState{ID: "GPU-" + uuid(name)}
		g.Spells = []Spell{{From: s.Epoch, Base: Totals{
			Energy: 300 * days, PCIeReceived: 4e8 * days, PCIeSent: 2e8 * days, NVLinkReceived: 2e10 * days, NVLinkSent: 2e10 * days,
			Corrected: float64(int(3 * share(name, "ecc"))),
			Throttled: map[string]float64{"sw_power_cap": days / 50},
		}}}
		s.GPUs = append(s.GPUs, g)
	}
	return s
}

// Write replaces the file at once: a reader sees the old state or the new one.
func (s *State) Write(file string) error {
	text, err := json.MarshalIndent(s, "", " ")
	if err == nil {
		err = os.WriteFile(file+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fmt.Errorf("write the state of the virtual GPUs: %w", err)
	}
	return nil
}

// ReadState reads a file that Write wrote.
func ReadState(file string) (*State, error) {
	s := &State{}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of the virtual GPUs: %w", err)
	}
	return s, nil
}

func (s *State) check() error {
	if _, ok := models[s.Model]; !ok {
		return fmt.Errorf("model %q is unknown: use one of %v", s.Model, Models())
	}
	for i, g := range s.GPUs {
		if len(g.Spells) == 0 {
			return fmt.Errorf("GPU %d does nothing: it needs a spell", i)
		}
		for _, sp := range g.Spells {
			if !slices.Contains(Modes(), sp.Mode) {
				return fmt.Errorf("GPU %d: mode %q is unknown: use one of %q", i, sp.Mode, Modes())
			}
		}
	}
	if !(s.Checkpoints > 0) {
		return fmt.Errorf("checkpoints every %v seconds: it must be above 0", s.Checkpoints)
	}
	return nil
}
