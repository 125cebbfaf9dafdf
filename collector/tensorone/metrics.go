package tensorone

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

const (
	maxFree      = 256 // free-form names of one job that are looked at; the core shows fewer
	maxFreeName  = 256 // bytes of one
	maxFreeDepth = 3   // of objects below metrics
	maxGPUs      = 512
	maxParts     = 16 // of a cost
)

// metric reads a member of metrics.
func (rd *reader) metric(d *api.Decoder, key string) error {
	switch field := "metrics." + key; key {
	case "loss":
		return rd.learned(d, field, collector.Loss, "train")
	case "validationLoss":
		return rd.learned(d, field, collector.Loss, "validation")
	case "accuracy":
		return rd.learned(d, field, collector.Accuracy, "train")
	case "validationAccuracy":
		return rd.learned(d, field, collector.Accuracy, "validation")
	case "learningRate":
		return rd.learned(d, field, collector.LearningRate, "")
	case "throughput":
		return rd.object(d, field, rd.throughput)
	}
	return rd.freeForm(d, key, 1)
}

func (rd *reader) throughput(d *api.Decoder, key string) error {
	switch field := "metrics.throughput." + key; key {
	case "samplesPerSecond":
		return rd.plain(d, field, collector.SamplesPerSecond, 1)
	case "tokensPerSecond":
		return rd.plain(d, field, collector.TokensPerSecond, 1)
	case "stepTime":
		return rd.plain(d, field, collector.LastStepDuration, timeUnits[rd.units.StepTime])
	}
	return rd.freeForm(d, "throughput/"+key, 2)
}

// learned reads a number that training gives. NaN and infinities are values; null is kept, for it may be one.
func (rd *reader) learned(d *api.Decoder, field string, m collector.Metric, label string) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	f, ok, null := v.Float()
	text, isText := v.Text()
	switch {
	case null:
		rd.keep(collector.Reading{Metric: m, Label: label, Null: true})
		return nil
	case isText && strings.TrimSpace(text) == "":
		return nil
	case ok && v.Kind != api.Bool && m == collector.Accuracy && !math.IsNaN(f): // NaN is no share, and a value
		f, ok = share(f, rd.units.Accuracy)
	}
	if !ok || v.Kind == api.Bool {
		rd.strange(field)
		return nil
	}
	rd.set(m, label, f)
	return nil
}

// freeForm reads any other number, also below objects. What is not a number is not missed.
func (rd *reader) freeForm(d *api.Decoder, name string, depth int) error {
	switch d.Kind() {
	case api.Object:
		if depth > maxFreeDepth {
			return d.Skip()
		}
		return d.Object(func(key string) error { return rd.freeForm(d, name+"/"+key, depth+1) })
	case api.Number, api.String, api.Null:
	default:
		return d.Skip()
	}
	v, err := d.Value()
	if err != nil {
		return err
	}
	f, ok, null := v.Float()
	if !ok && !null || len(name) > maxFreeName || rd.free >= maxFree {
		return nil
	}
	rd.free++
	rd.keep(collector.Reading{Metric: collector.FreeForm, Label: name, Value: f, Null: null})
	return nil
}

// resource reads a member of resourceUsage.
func (rd *reader) resource(d *api.Decoder, key string) error {
	switch key {
	case "gpuUtilization":
		return rd.perGPU(d, "resourceUsage.gpuUtilization", collector.GPUUtilization, rd.utilization)
	case "memoryUsage":
		return rd.object(d, "resourceUsage.memoryUsage", func(d *api.Decoder, key string) error {
			switch key {
			case "gpuMemory":
				return rd.perGPU(d, "resourceUsage.memoryUsage.gpuMemory", collector.GPUMemoryUsage, rd.gpuMemory)
			case "systemMemory":
				return rd.size(d, "resourceUsage.memoryUsage.systemMemory", collector.MemoryUsage, rd.units.SystemMemory)
			}
			return nil
		})
	case "storageUsage":
		return rd.size(d, "resourceUsage.storageUsage", collector.StorageUsage, rd.units.Storage)
	}
	return nil
}

// perGPU reads a number for each GPU, by its place, or one for all. A place that is null has none.
func (rd *reader) perGPU(d *api.Decoder, field string, m collector.Metric, read func(api.Value) (f float64, ok, nothing bool)) error {
	rd.clear(m)
	one := func(label string) error {
		v, err := d.Value()
		if err != nil {
			return err
		}
		f, ok, nothing := read(v)
		if ok {
			rd.set(m, label, f)
		} else if !nothing {
			rd.strange(field)
		}
		return nil
	}
	if d.Kind() != api.Array {
		return one("")
	}
	return d.Array(func(i int) error {
		if i >= maxGPUs {
			rd.strange(field)
			return nil
		}
		return one(strconv.Itoa(i))
	})
}

func (rd *reader) utilization(v api.Value) (f float64, ok, nothing bool) {
	f, ok, nothing = number(v)
	if ok {
		f, ok = share(f, rd.units.GPUUtilization)
	}
	return f, ok, nothing
}

func (rd *reader) gpuMemory(v api.Value) (f float64, ok, nothing bool) {
	return rd.bytesOf(v, rd.units.GPUMemory)
}

func (rd *reader) size(d *api.Decoder, field string, m collector.Metric, unit string) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	f, ok, nothing := rd.bytesOf(v, unit)
	if ok {
		rd.set(m, "", f)
	} else if !nothing {
		rd.strange(field)
	}
	return nil
}

// bytesOf judges a value as a size: a number in the unit given, a text with or without its own, or an object that has bytes. The
// unit off makes it nothing.
func (rd *reader) bytesOf(v api.Value, unit string) (f float64, ok, nothing bool) {
	scale := byteUnits[unit]
	switch v.Kind {
	case api.Object:
		return bytesIn(v)
	case api.String:
		text, _ := v.Text()
		f, ok = parseSize(text, scale, rd.units.TextSizes)
		return f, ok, strings.TrimSpace(text) == "" || scale == 0
	}
	f, ok, nothing = number(v)
	if ok {
		f, ok = toBytes(f, scale)
	}
	return f, ok, nothing || scale == 0
}

// bytesIn is the member bytes of an object, which needs no unit.
func bytesIn(v api.Value) (f float64, ok, nothing bool) {
	err := v.Decode(func(d *api.Decoder) error {
		return d.Object(func(key string) error {
			if key != "bytes" {
				return nil
			}
			v, err := d.Value()
			if err != nil {
				return err
			}
			if f, ok, nothing = number(v); ok {
				f, ok = toBytes(f, 1)
			}
			return nil
		})
	})
	return f, ok && err == nil, nothing
}

// cost reads a member of costs. The currency may come after.
func (rd *reader) cost(d *api.Decoder, key string) error {
	switch field := "costs." + key; key {
	case "currentCost":
		return rd.money(d, field, collector.Cost, "")
	case "estimatedTotalCost":
		return rd.money(d, field, collector.CostEstimated, "")
	case "costBreakdown":
		rd.clear(collector.CostComponent)
		parts := 0
		return rd.object(d, field, func(d *api.Decoder, key string) error {
			name := collector.Clean(strings.TrimSuffix(key, "Cost")) // several labels are joined by a control character
			if parts++; parts > maxParts || name == "" || len(name) > maxFreeName {
				rd.strange(field)
				return nil
			}
			return rd.money(d, field, collector.CostComponent, name)
		})
	case "currency":
		return rd.text(d, field, &rd.currency, maxCurrency)
	}
	return nil
}

func (rd *reader) money(d *api.Decoder, field string, m collector.Metric, part string) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	f, ok, nothing := number(v)
	if ok {
		rd.set(m, part, f)
	} else if !nothing {
		rd.strange(field)
	}
	return nil
}

// labelCosts puts the currency on costs.
func (rd *reader) labelCosts() {
	currency := cmp.Or(collector.Clean(rd.currency), rd.units.Currency)
	for i := range rd.r.readings {
		switch r := &rd.r.readings[i]; r.Metric {
		case collector.Cost, collector.CostEstimated:
			r.Label = currency
		case collector.CostComponent:
			r.Label = collector.JoinLabels(currency, r.Label)
		}
	}
}
