package wandb

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Bounds of the numbers of one event.
const (
	maxNumbers = 256 // per event
	maxKey     = 128 // bytes of a joined key
	maxNesting = 4   // of objects in an event's data
)

// number is one number of an event's data, with the keys of the objects around it joined by slashes. A null is how the
// service most likely sends NaN.
type number struct {
	key   string
	value float64
	null  bool
}

// readingsOf turns the numbers of an event into readings, in an order that depends on nothing but the numbers. Where two keys
// mean the same, the better one is taken.
func readingsOf(numbers []number) []collector.Reading {
	best := make(map[string]number, len(numbers))
	for _, n := range numbers {
		name := normalise(n.key)
		old, ok := best[name]
		if !ok || rank(n.key) > rank(old.key) || rank(n.key) == rank(old.key) && n.key < old.key {
			best[name] = n
		}
	}
	out := make([]collector.Reading, 0, len(best))
	for name, n := range best {
		metric, label := metricOf(name)
		if metric == collector.FreeForm {
			label = collector.Clean(name)
		}
		if metric == collector.FreeForm && label == "" {
			continue
		}
		out = append(out, collector.Reading{Metric: metric, Label: label, Value: n.value, Null: n.null})
	}
	slices.SortFunc(out, compareReadings)
	return slices.CompactFunc(out, func(a, b collector.Reading) bool { return a.Metric == b.Metric && a.Label == b.Label })
}

func compareReadings(a, b collector.Reading) int {
	return cmp.Or(
		cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Label, b.Label), cmp.Compare(a.Value, b.Value),
	)
}

// metricOf is the metric and, for a loss, the split that a name of today stands for.
func metricOf(name string) (m collector.Metric, label string) {
	switch name {
	case "loss/train":
		return collector.Loss, "train"
	case "val/loss", "validation/loss", "loss/val", "loss/valid", "loss/validation": // not loss/value, a loss of its own
		return collector.Loss, "validation"
	case "test/loss", "loss/test":
		return collector.Loss, "test"
	case "loss/grad_norm":
		return collector.GradientNorm, ""
	case "loss/learning_rate":
		return collector.LearningRate, ""
	case "tokens_per_second":
		return collector.TokensPerSecond, ""
	}
	return collector.FreeForm, name
}

// takeDuration takes the number that is the duration of a step, in seconds, out of the list.
func takeDuration(numbers []number, key string) ([]number, time.Duration) {
	if key == "" {
		return numbers, 0
	}
	for i, n := range numbers {
		if n.key != key && normalise(n.key) != key {
			continue
		}
		rest := slices.Delete(slices.Clone(numbers), i, i+1)
		if n.null || math.IsNaN(n.value) || n.value <= 0 || n.value > maxDuration.Seconds() {
			return rest, 0
		}
		return rest, time.Duration(n.value * float64(time.Second))
	}
	return numbers, 0
}

// maxDuration is longer than any step.
const maxDuration = 30 * 24 * time.Hour
