package tensoronetest

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

type tree = map[string]any

// precise is a time with its fraction, which checkpoints that follow each other closely need.
func precise(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// real is a number, or null where it is none.
func real(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return f
}

// tree is a job object.
func (s *Server) tree(j *job, metrics bool, f *faultState) tree {
	out := tree{"jobId": j.ID, "name": j.Name, "status": j.Status}
	if f.Status != "" {
		out["status"] = f.Status
	}
	times := tree{"createdAt": precise(j.Created), "lastUpdated": precise(j.Updated)}
	if !j.Started.IsZero() {
		times["startedAt"] = precise(j.Started)
	}
	if !j.Completed.IsZero() {
		times["completedAt"] = precise(j.Completed)
	}
	out["timestamps"] = times
	if j.Error != "" {
		out["error"] = tree{"message": j.Error}
	}
	if p := j.Progress; p != nil {
		out["progress"] = tree{
			"currentEpoch": p.Epoch, "totalEpochs": p.Epochs, "currentStep": p.Step, "totalSteps": p.Steps,
			"percentComplete": real(p.Percent), "estimatedTimeRemaining": s.duration(p.Remaining, f),
		}
	}
	if j.Metrics != nil && metrics {
		out["metrics"] = metricsTree(j.Metrics, f)
	}
	if r := j.Resources; r != nil {
		out["resourceUsage"] = s.resources(r, f)
	}
	out["configuration"] = tree{
		"framework": j.Framework, "modelConfig": tree{"modelType": j.ModelType, "baseModel": j.BaseModel},
		"hyperparameters": tree{"learningRate": 0.0001, "batchSize": 16, "optimizer": "adamw"},
		"infrastructure":  tree{"gpuType": j.GPUType, "gpuCount": j.GPUs, "memory": "64GB"},
	}
	list := []any{}
	for _, c := range s.ordered(j) {
		list = append(list, checkpointTree(c))
	}
	out["checkpoints"] = list
	if c := j.Costs; c != nil {
		out["costs"] = tree{
			"currentCost": real(c.GPU + c.Storage), "estimatedTotalCost": real(c.Estimated),
			"costBreakdown": tree{"gpuCost": real(c.GPU), "storageCost": real(c.Storage)},
		}
	}
	return out
}

func (s *Server) duration(text string, f *faultState) any {
	if len(f.Durations) > 0 {
		return f.Durations[s.answered%len(f.Durations)]
	}
	if text == "" {
		return nil
	}
	return text
}

func metricsTree(m *Metrics, f *faultState) tree {
	value := real
	if f.Words {
		value = func(v float64) any {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return "NaN"
			}
			return v
		}
	}
	out := tree{
		"loss": value(m.Loss), "accuracy": value(m.Accuracy), "validationLoss": value(m.ValidationLoss),
		"validationAccuracy": value(m.ValidationAccuracy), "learningRate": value(m.LearningRate),
		"throughput": tree{"samplesPerSecond": real(m.Samples), "tokensPerSecond": real(m.Tokens), "stepTime": real(m.StepTime)},
	}
	for _, name := range slices.Sorted(maps.Keys(m.Other)) {
		out[name] = value(m.Other[name])
	}
	return out
}

func (s *Server) resources(r *Resources, f *faultState) tree {
	utilization, memory := r.Utilization, r.Memory
	if f.DriftGPUs {
		rng := rand.New(rand.NewPCG(uint64(s.o.Seed), uint64(s.answered)))
		utilization = utilization[:rng.IntN(len(utilization)+1)]
		memory = memory[:rng.IntN(len(memory)+1)]
	}
	return tree{
		"gpuUtilization": reals(utilization), "storageUsage": real(r.Storage),
		"memoryUsage": tree{"gpuMemory": reals(memory), "systemMemory": real(r.System)},
	}
}

func reals(fs []float64) []any {
	out := make([]any, len(fs))
	for i, f := range fs {
		out[i] = real(f)
	}
	return out
}

func checkpointTree(c Checkpoint) tree {
	return tree{
		"checkpointId": c.ID, "epoch": c.Epoch, "step": c.Step, "size": c.Size, "createdAt": precise(c.Created),
		"metrics": tree{"loss": real(c.Loss), "validationLoss": real(c.ValidationLoss)},
	}
}

// Order is how checkpoints are listed.
type Order string

// The orders.
const (
	Oldest   Order = "" // first, by their time
	Newest   Order = "newest"
	Added    Order = "added"    // in the order in which they were added
	Shuffled Order = "shuffled" // in another order each time
)

func (s *Server) ordered(j *job) []Checkpoint {
	list := slices.Clone(j.checkpoints)
	switch j.order {
	case Added:
	case Shuffled:
		rng := rand.New(rand.NewPCG(uint64(s.o.Seed), uint64(s.answered)))
		rng.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	default:
		slices.SortStableFunc(list, func(a, b Checkpoint) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Step, b.Step))
		})
		if j.order == Newest {
			slices.Reverse(list)
		}
	}
	return list
}

// spoil lets faults have their way with a job object.
func (s *Server) spoil(t tree, f *faultState) tree {
	rng := rand.New(rand.NewPCG(uint64(s.o.Seed)+1, uint64(s.answered)))
	for _, key := range slices.Sorted(maps.Keys(t)) {
		_, object := t[key].(tree)
		_, list := t[key].([]any)
		switch {
		case f.NullObjects && (object || list) && rng.IntN(2) == 0:
			t[key] = nil
		case f.MissingFields && key != "jobId" && key != "status" && rng.IntN(3) == 0:
			delete(t, key)
		}
	}
	if f.ExtraFields {
		t["queuePosition"], t["tags"], t["nested"] = 3, []any{"a", 1, nil}, tree{"x": tree{"y": []any{}}}
	}
	if f.StringNumbers || f.Exponents {
		rewritten, _ := rewrite(t, f).(tree)
		return rewritten
	}
	return t
}

// rewrite writes the numbers of a tree in another way.
func rewrite(v any, f *faultState) any {
	switch v := v.(type) {
	case tree:
		for key, member := range v {
			v[key] = rewrite(member, f)
		}
		return v
	case []any:
		for i, element := range v {
			v[i] = rewrite(element, f)
		}
		return v
	case int:
		return rewrite(float64(v), f)
	case float64:
		if f.StringNumbers {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
		return json.Number(strconv.FormatFloat(v, 'e', -1, 64))
	}
	return v
}
