package collectortest

import (
	"math"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// RLJob runs a reinforcement-learning step of the fixture's group: free-form numbers, steps without durations.
func RLJob() *collector.Job {
	j := job(RLSource, "7d0f6e0a-4b1e-4a57-9b1c-6a2f0f0c2f11", collector.Running, "running")
	j.Info = &collector.Info{
		Name: "voice-agent", Provider: "wandb", Project: "speech", Group: GroupName, Owner: "speech-team", Framework: "art",
		BaseModel: "Qwen/Qwen3-14B", Kind: "rl", GPUModel: "H100", URL: "https://wandb.example/speech/runs/voice-agent",
	}
	j.Steps = 128
	j.Events = []collector.Count{{Name: "created", N: 1}, {Name: "training_started", N: 1}, {Name: "gradient_step", N: 128}}
	j.Readings = []collector.Reading{
		{Metric: collector.Step, Value: 128, At: j.Updated},
		{Metric: collector.StepLimit, Value: 256, At: j.Updated},
		{Metric: collector.Loss, Label: "train", Value: 0.03125, At: j.Updated},
		{Metric: collector.LearningRate, Value: 5e-6, At: j.Updated},
		{Metric: collector.GradientNorm, Value: 0.25, At: j.Updated},
		{Metric: collector.FreeForm, Label: "entropy", Value: 0.30000000000000004, At: j.Updated},
		{Metric: collector.FreeForm, Label: "reward/mean", Value: -1.5, At: j.Updated},
		{Metric: collector.FreeForm, Label: "tokens/total", Value: 123456789012, At: j.Updated},
	}
	j.Intervals = []float32{11, 12.5, 12, 13, 11.5, 60}
	return j
}

// SFTJob runs supervised fine-tuning with step durations, an exemplar into its trace, and checkpoints.
func SFTJob() *collector.Job {
	j := job(RLSource, "sft-0001", collector.Running, "running")
	j.Info = &collector.Info{Name: "summarizer", Provider: "wandb", Owner: "nlp", Kind: "sft", BaseModel: "meta-llama/Llama-3.1-8B"}
	j.Steps = 7
	j.Events = []collector.Count{{Name: "training_started", N: 1}, {Name: "gradient_step", N: 7}, {Name: "checkpoint", N: 2}}
	j.StepTimes = histogram(0, 0.75, 1, 1.5, 2, 2.25, 9000)
	j.StepTimes.Exemplar = &collector.Exemplar{
		Value: 1.5, At: ago(90 * time.Second), TraceID: collector.TraceIDOf(j.Key, j.Attempt),
		SpanID: collector.SpanID{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7},
	}
	j.Readings = []collector.Reading{
		{Metric: collector.Progress, Value: 0.4375, At: j.Updated},
		{Metric: collector.Epoch, Value: 1.4, At: j.Updated},
		{Metric: collector.EpochLimit, Value: 3, At: j.Updated},
		{Metric: collector.Step, Value: 7, At: j.Updated},
		{Metric: collector.StepLimit, Value: 16, At: j.Updated},
		{Metric: collector.Loss, Label: "train", Value: 1.0625, At: j.Updated},
		{Metric: collector.Loss, Label: "validation", Value: 1.1875, At: j.Updated},
		{Metric: collector.Accuracy, Label: "validation", Value: 0.8125, At: j.Updated},
		{Metric: collector.LearningRate, Value: 1e-5, At: j.Updated},
		{Metric: collector.SamplesPerSecond, Value: 31.5, At: j.Updated},
		{Metric: collector.TokensPerSecond, Value: 40960, At: j.Updated},
		{Metric: collector.LastStepDuration, Value: 2.25, At: j.Updated},
		{Metric: collector.CheckpointAvailable, Value: 2, At: j.Updated},
		{Metric: collector.CheckpointLastStep, Value: 6, At: j.Updated},
		{Metric: collector.CheckpointLastCreated, Value: ago(2 * time.Minute).Seconds(), At: j.Updated},
		{Metric: collector.CheckpointInterval, Value: 600, At: j.Updated},
		{Metric: collector.CheckpointLastSize, Value: 16 << 30, At: j.Updated},
		{Metric: collector.EstimatedEnd, Value: ago(-2 * time.Hour).Seconds(), At: j.Updated},
	}
	return j
}

// nanJob has diverged: NaN and infinities are values.
func nanJob() *collector.Job {
	j := job(RLSource, "diverged", collector.Running, "running")
	j.Info = &collector.Info{Name: "diverged", Provider: "wandb", Group: GroupName, Kind: "rl"}
	j.Steps = 3
	j.Events = []collector.Count{{Name: "gradient_step", N: 3}}
	j.NonFinite = []collector.Count{{Name: "gradient_norm", N: 1}, {Name: "logit_min", N: 2}, {Name: "loss/train", N: 1}}
	j.Readings = []collector.Reading{
		{Metric: collector.Loss, Label: "train", Value: math.NaN(), At: j.Updated},
		{Metric: collector.GradientNorm, Value: math.Inf(+1), At: j.Updated},
		{Metric: collector.FreeForm, Label: "logit_min", Value: math.Inf(-1), At: j.Updated},
	}
	return j
}

// nullJob reported null: its loss is withdrawn, its name counted.
func nullJob() *collector.Job {
	j := job(RLSource, "withdrawn", collector.Running, "running")
	j.Info = &collector.Info{Name: "withdrawn", Provider: "wandb", Kind: "rl"}
	j.Steps = 4
	j.NonFinite = []collector.Count{{Name: "loss/train", N: 1}}
	j.NonFiniteAt = j.Updated
	j.Readings = []collector.Reading{
		{Metric: collector.Loss, Label: "train", Null: true, Value: 2, At: j.Updated},
		{Metric: collector.Loss, Label: "validation", Value: 2.5, At: j.Updated},
		{Metric: collector.LearningRate, Null: true, At: j.Updated},
	}
	return j
}

// cloudJob has what a GPU cloud tells: cost by component, GPUs, pods, memory, money.
func cloudJob() *collector.Job {
	j := job(CloudSource, "tr-42", collector.Running, "Running")
	j.Info = &collector.Info{Name: "pretrain", Provider: "runai", Project: "research", GPUModel: "NVIDIA H200"}
	j.Readings = []collector.Reading{
		{Metric: collector.PodsRunning, Value: 2, At: j.Updated},
		{Metric: collector.PodsRequested, Value: 4, At: j.Updated},
		{Metric: collector.GPURequested, Value: 0.5, At: j.Updated},
		{Metric: collector.GPUUtilization, Label: "0", Value: 0.97, At: j.Updated},
		{Metric: collector.GPUUtilization, Label: "1", Value: 0, At: j.Updated},
		{Metric: collector.GPUMemoryUsage, Label: "0", Value: 85899345920, At: j.Updated},
		{Metric: collector.GPUMemoryUsage, Label: "1", Value: 1 << 53, At: j.Updated},
		{Metric: collector.MemoryUsage, Value: 1e15, At: j.Updated},
		{Metric: collector.StorageUsage, Value: 2.5e21, At: j.Updated},
		{Metric: collector.Cost, Label: "EUR", Value: 12.34, At: j.Updated},
		{Metric: collector.CostComponent, Label: collector.JoinLabels("EUR", "compute"), Value: 12, At: j.Updated},
		{Metric: collector.CostComponent, Label: collector.JoinLabels("EUR", "storage"), Value: 0.34, At: j.Updated},
		{Metric: collector.CostComponent, Label: collector.JoinLabels("", "credits"), Value: 0, At: j.Updated},
		{Metric: collector.CostEstimated, Label: "EUR", Value: 20, At: j.Updated},
		{Metric: collector.Budget, Label: "EUR", Value: 100, At: j.Updated},
		{Metric: collector.CPUUsage, Value: 63.25, At: j.Updated},
		{Metric: collector.GPUAllocated, Value: 1.5, At: j.Updated},
		{Metric: collector.GPUIdle, Value: 0, At: j.Updated},
		{Metric: collector.CPUAllocated, Value: 64, At: j.Updated},
		{Metric: collector.MemoryAllocated, Value: 274877906944, At: j.Updated},
		{Metric: collector.JobPod, Label: collector.JoinLabels("runai-vision", "bert-ddp-worker-0"), Value: 1, At: j.Updated},
	}
	return j
}
