package collector

import (
	"cmp"
	"slices"
	"sort"
)

// GPU is one GPU, or one MIG instance of one, as it was last read. It is immutable once published.
type GPU struct {
	ID     string  // the UUID that the driver gives it, label hw_id; an index would be another GPU's after a repair
	Info   GPUInfo //
	Up     bool    // the last read came back; otherwise only Info, counters and what is known of its jobs are shown
	ReadAt Time    // when the values were read
	// Values are sorted by metric and label, as [SortGPUValues] does. Counters are made continuous by whoever fills this in.
	Values []GPUValue
	Resets uint64 // times the driver's own counters began anew
	Jobs   []Key  // the jobs that it was given to, sorted
	Pods   []Pod  // the pods that it was given to, sorted
	Since  Time   // when the bridge first saw it: the start of what only the bridge counts, such as XIDs
}

// GPUInfo is who a GPU is. Empty is unknown.
type GPUInfo struct {
	Index    string // the driver's number for it now; a MIG instance has its parent's
	Name     string // of the product
	Serial   string
	VBIOS    string
	PCIBusID string
	Minor    string // of the device file: 0 for /dev/nvidia0
	Parent   string // hw_id of the GPU that a MIG instance is a part of
	Profile  string // of a MIG instance, such as 1g.10gb
	Instance string // GPU instance id of a MIG instance
}

// Pod is a container that the kubelet gave a GPU to.
type Pod struct{ Namespace, Name, Container string }

// GPUValue is one number of a GPU.
type GPUValue struct {
	Metric GPUMetric `cbor:"1,keyasint"`
	Label  string    `cbor:"2,keyasint,omitempty"` // the value of the row's own label; several are joined by [JoinLabels]
	Value  float64   `cbor:"3,keyasint"`
}

// SortGPUValues sorts values as [GPU] has them.
func SortGPUValues(vs []GPUValue) { slices.SortFunc(vs, compareGPUValues) }

func compareGPUValues(a, b GPUValue) int {
	return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Label, b.Label))
}

// of are the values of a metric.
func (g *GPU) of(m GPUMetric) []GPUValue {
	from := sort.Search(len(g.Values), func(i int) bool { return g.Values[i].Metric >= m })
	to := from
	for to < len(g.Values) && g.Values[to].Metric == m {
		to++
	}
	return g.Values[from:to]
}

// Value is one of the GPU's values, if it is known.
func (g *GPU) Value(m GPUMetric, label string) (float64, bool) {
	for _, v := range g.of(m) {
		if v.Label == label {
			return v.Value, true
		}
	}
	return 0, false
}

// Identity implements [Entity].
func (g *GPU) Identity(dst []string) []string { return append(dst, g.ID) }

// Start implements [Entity]: most counters are the driver's and older than the bridge.
func (g *GPU) Start() Time { return 0 }

// Done implements [Entity]: what is Live leaves while the GPU does not answer.
func (g *GPU) Done() bool { return !g.Up }

// GPUHost is the machine whose GPUs are read, and the helper that reads them.
type GPUHost struct {
	Name     string // of the machine
	Up       bool   // the driver answers
	Fault    string // why not: one of GPUFaults
	Detail   string // the same in words, for people
	Versions DriverVersions
	Expected *int // how many GPUs there should be, where it is configured
	Seen     int  // how many answer; MIG instances are not counted
	Listed   int  // how many the driver lists

	Helpers  int     // helper processes that are alive
	Starts   uint64  // helpers started
	Exits    []Count // helpers that ended, by reason
	Began    Time    // of these counters
	Calls    []CallCost
	Assigned []AssignmentSource
}

// DriverVersions are the versions of what the GPUs are read through. Empty is unknown.
type DriverVersions struct {
	Driver string `cbor:"1,keyasint,omitempty"`
	NVML   string `cbor:"2,keyasint,omitempty"`
	CUDA   string `cbor:"3,keyasint,omitempty"`
}

// CallCost is what the calls of one group took.
type CallCost struct {
	Group   string  `cbor:"1,keyasint"`
	N       uint64  `cbor:"2,keyasint"` // times the group was read
	Seconds float64 `cbor:"3,keyasint"` // all of them together
	Max     float64 `cbor:"4,keyasint"` // the longest, in seconds
	Errors  []Count `cbor:"5,keyasint,omitempty"`
}

// AssignmentSource is one place that tells which job a GPU belongs to.
type AssignmentSource struct {
	Name string // such as files, static, kubelet or environment
	Up   bool   // it could be read when it was last tried
	Bad  uint64 // entries that could not be understood, since the start
}

// GPUFaults is the closed set of reasons why GPUs cannot be read.
func GPUFaults() []string {
	return []string{
		"not_built_in", "no_library", "no_driver", "no_permission", "version_mismatch", "no_gpu", "crashed", "silent", "starting", OtherClass,
	}
}

// GPUView is all that is known of the GPUs of a machine.
type GPUView struct {
	Host *GPUHost
	GPUs []*GPU // sorted by id
	DCGM []*DCGMView
}

// Identity implements [Entity]: there is one host to a bridge, and Prometheus knows it as the instance.
func (h *GPUHost) Identity(dst []string) []string { return dst }

// Start implements [Entity].
func (h *GPUHost) Start() Time { return h.Began }

// Done implements [Entity].
func (h *GPUHost) Done() bool { return !h.Up }

// SetGPUs shows another view of the GPUs. The view must not change any more; nil shows none.
func (s *Store) SetGPUs(v *GPUView) { s.gpus.Store(v) }
