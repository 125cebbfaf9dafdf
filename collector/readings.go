package collector

import (
	"cmp"
	"math"
	"slices"
)

// Metric names a number that a source can read for a job: the row of the schema that exposes it.
type Metric uint16

// The metrics that sources give as readings. The numbers are part of the durable record: append only.
const (
	NoMetric              Metric = iota
	Progress                     // ratio 0 to 1
	Epoch                        // completed or current epoch
	EpochLimit                   // planned epochs
	Step                         // current step as the provider counts
	StepLimit                    // planned steps
	Loss                         // label: split
	Accuracy                     // ratio; label: split
	LearningRate                 //
	GradientNorm                 //
	FreeForm                     // any other number; label: its name
	SamplesPerSecond             //
	TokensPerSecond              //
	LastStepDuration             // seconds
	PodsRunning                  //
	PodsRequested                //
	GPURequested                 //
	GPUUtilization               // ratio; label: GPU index
	GPUMemoryUsage               // bytes; label: GPU index
	MemoryUsage                  // bytes
	StorageUsage                 // bytes
	Cost                         // label: currency
	CostComponent                // labels: currency, component
	CostEstimated                // label: currency
	Budget                       // label: currency; made of Info.Budget and Update.Budget, not given by sources
	CheckpointAvailable          // how many
	CheckpointLastStep           //
	CheckpointLastCreated        // seconds since the epoch
	CheckpointInterval           // seconds
	CheckpointLastSize           // bytes
	EstimatedEnd                 // seconds since the epoch
	CPUUsage                     // cores
	GPUAllocated                 // how many, fractions included
	GPUIdle                      // allocated GPUs that do nothing
	CPUAllocated                 // cores
	MemoryAllocated              // bytes
	JobPod                       // 1 for each pod that runs; labels: namespace, pod
)

// keys are the names of metrics without a label, for training_job_nonfinite_values_total.
var keys = map[Metric]string{
	Progress: "progress", Loss: "loss", Accuracy: "accuracy", LearningRate: "learning_rate", GradientNorm: "gradient_norm",
	SamplesPerSecond: "samples_per_second", TokensPerSecond: "tokens_per_second", LastStepDuration: "step_duration",
}

// key names a reading in training_job_nonfinite_values_total.
func (r Reading) key() string {
	if r.Metric == FreeForm {
		return r.Label
	}
	name, ok := keys[r.Metric]
	if !ok {
		name = "other"
	}
	if r.Label != "" {
		name += "/" + r.Label
	}
	return name
}

func (r Reading) finite() bool { return !r.Null && !math.IsNaN(r.Value) && !math.IsInf(r.Value, 0) }

// sameValue reports whether two readings say the same; NaN is like NaN.
func (r Reading) sameValue(o Reading) bool {
	return r.Null == o.Null && (r.Value == o.Value || math.IsNaN(r.Value) && math.IsNaN(o.Value))
}

func findReading(rs []Reading, m Metric, label string) (int, bool) {
	return slices.BinarySearchFunc(rs, Reading{Metric: m, Label: label}, func(a, b Reading) int {
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Label, b.Label))
	})
}

// Labels are those of the job's readings of a metric. Null ones are left out.
func (j *Job) Labels(m Metric) []string {
	var labels []string
	first, _ := findReading(j.Readings, m, "")
	for _, r := range j.Readings[first:] {
		if r.Metric != m {
			break
		}
		if !r.Null {
			labels = append(labels, r.Label)
		}
	}
	return labels
}
