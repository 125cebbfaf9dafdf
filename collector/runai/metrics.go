package runai

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// metricTypes are what is asked for. Allocation and pods are only used where the listing does not tell them.
func metricTypes() []string {
	return []string{
		"GPU_UTILIZATION", "GPU_MEMORY_USAGE_BYTES", "CPU_USAGE_CORES", "CPU_MEMORY_USAGE_BYTES", "GPU_ALLOCATION",
		"RUNNING_POD_COUNT",
	}
}

const (
	metricsBack    = 5 * time.Minute // an older sample is no news
	metricsSamples = "20"
)

// readMetrics asks for the metrics of a running workload if it is time. That there are none is no failure of the poll.
func (p *poll) readMetrics(ctx context.Context) error {
	s, now := p.s, p.begun.Std()
	running := p.memo.running || p.memo.mark == "" && p.job.Phase == collector.Running
	due := now.Sub(p.memo.metrics) >= time.Duration(s.config.MetricsInterval)
	switch {
	case !*s.config.Metrics || p.isRevision():
		return nil
	case !running:
		p.readings = p.stale(p.begun)
		return nil
	case !due || !s.metrics.available(now):
		p.readings = p.stale(p.begun.Add(-metricsBack))
		return nil
	}
	s.with(p.job.Key.ID, func(m *memo) { m.metrics = now })
	r := metricsReader{ratio: s.config.GPUUtilization == ratio, from: p.begun.Add(-metricsBack), until: p.begun.Add(metricsBack)}
	q := url.Values{
		"metricType": {strings.Join(metricTypes(), ",")}, "numberOfSamples": {metricsSamples},
		"start": {r.from.Std().Format(time.RFC3339)}, "end": {now.Format(time.RFC3339)},
	}
	err := s.get(ctx, "metrics", q, r.read, append(slices.Clone(p.path), "metrics")...)
	switch {
	case ctx.Err() != nil && err != nil:
		return err
	case err != nil:
		if isRefused(err) || isBadRequest(err) {
			s.metrics.refuse(now, err)
		}
		s.log.Debug("The metrics of a workload could not be read", "job", p.job.Key.ID, "err", err)
		return nil
	}
	s.metrics.worked()
	p.odd = append(p.odd, r.odd...)
	p.readings = append(p.stale(p.begun.Add(-metricsBack)), r.readings(p.memo.allocated, p.memo.pods)...)
	return nil
}

// usage is what a workload uses while it runs.
func usage() []collector.Metric {
	return []collector.Metric{collector.GPUUtilization, collector.GPUMemoryUsage, collector.CPUUsage, collector.MemoryUsage}
}

// stale withdraws what the workload used before some time: nobody tells of it any more.
func (p *poll) stale(before collector.Time) (out []collector.Reading) {
	for _, r := range p.job.Readings {
		if slices.Contains(usage(), r.Metric) && !r.Null && r.At <= before {
			out = append(out, collector.Reading{Metric: r.Metric, Label: r.Label, Gone: true})
		}
	}
	return out
}

func isBadRequest(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Status == 400
}

// sample is the newest value of one metric.
type sample struct {
	metric collector.Metric
	label  string
	value  float64
	at     collector.Time
}

// metricsReader reads the samples of a workload and keeps the newest of each metric.
type metricsReader struct {
	ratio       bool           // utilisation is one, and not in percent
	from, until collector.Time // samples of another time are no news
	samples     []sample
	odd         []string
	found       bool
}

func (r *metricsReader) read(d *api.Decoder) error {
	*r = metricsReader{ratio: r.ratio, from: r.from, until: r.until}
	err := d.Object(func(key string) error {
		if key != "measurements" {
			return nil
		}
		r.found, r.samples = true, r.samples[:0]
		if d.Kind() == api.Null {
			return nil
		}
		return d.Array(func(int) error {
			if d.Kind() != api.Object {
				r.odd = append(r.odd, "metrics.measurement")
				return nil
			}
			return r.readMeasurement(d)
		})
	})
	if err == nil && !r.found {
		return errors.New(`the answer has no list "measurements"`)
	}
	return err
}

// readMeasurement reads one series. Its labels say whose it is: one GPU's, or nobody's in particular. A series of something else would
// have to be added up with others, and how is not documented: it is left out.
func (r *metricsReader) readMeasurement(d *api.Decoder) error {
	var typ, gpu string
	var newest sample
	other, known := false, false
	err := d.Object(func(key string) (err error) {
		switch {
		case key == "type":
			var v api.Value
			v, err = d.Value()
			typ = textIn(v)
		case key == "labels" && d.Kind() == api.Object:
			gpu, other, err = readLabels(d)
		case key == "values" && d.Kind() == api.Array:
			newest, known, err = r.newest(d)
		}
		return err
	})
	if err != nil || !known {
		return err
	}
	metric, ok := metricOf(typ)
	switch {
	case !ok:
		r.odd = append(r.odd, "metrics.type")
	case other:
		r.odd = append(r.odd, "metrics.labels")
	default:
		newest.metric, newest.label = metric, gpu
		if metric == collector.GPUUtilization && !r.ratio {
			newest.value /= 100
		}
		r.samples = append(r.samples, newest)
	}
	return nil
}

// metricOf is our name of a metric. That of the allocation has another name in the API's example.
func metricOf(typ string) (collector.Metric, bool) {
	switch typ {
	case "GPU_UTILIZATION":
		return collector.GPUUtilization, true
	case "GPU_MEMORY_USAGE_BYTES":
		return collector.GPUMemoryUsage, true
	case "CPU_USAGE_CORES":
		return collector.CPUUsage, true
	case "CPU_MEMORY_USAGE_BYTES":
		return collector.MemoryUsage, true
	case "GPU_ALLOCATION", "ALLOCATED_GPU":
		return collector.GPUAllocated, true
	case "RUNNING_POD_COUNT":
		return collector.PodsRunning, true
	}
	return collector.NoMetric, false
}

func readLabels(d *api.Decoder) (gpu string, other bool, err error) {
	err = d.Object(func(key string) error {
		v, err := d.Value()
		if err != nil {
			return err
		}
		if text := textIn(v); key == "gpu" && isIndex(text) {
			gpu = text
		} else if text != "" {
			other = true
		}
		return nil
	})
	return gpu, other, err
}

func isIndex(s string) bool {
	return s != "" && len(s) <= 4 && strings.Trim(s, "0123456789") == ""
}

// newest is the newest sample of a series that has a value and is of now. Samples come in no documented order.
func (r *metricsReader) newest(d *api.Decoder) (out sample, known bool, err error) {
	err = d.Array(func(int) error {
		if d.Kind() != api.Object {
			return nil
		}
		var at collector.Time
		value, ok := 0.0, false
		err := d.Object(func(key string) error {
			v, err := d.Value()
			if err != nil {
				return err
			}
			odd := false
			switch key {
			case "timestamp":
				at, odd = timeIn(v)
			case "value":
				value, ok, _ = v.Float()
				ok = ok && v.Kind != api.Bool
				odd = !ok && v.Kind != api.Null
			}
			if odd {
				r.odd = append(r.odd, "metrics."+key)
			}
			return nil
		})
		if ok && at > r.from && at <= r.until && (!known || at > out.at) {
			out, known = sample{value: value, at: at}, true
		}
		return err
	})
	return out, known, err
}

// readings are the newest values, but for those that the listing tells.
func (r *metricsReader) readings(allocated, pods bool) []collector.Reading {
	var out []collector.Reading
	for _, s := range r.samples {
		isPods := s.metric == collector.PodsRunning || s.metric == collector.PodsRequested
		if s.metric == collector.GPUAllocated && allocated || isPods && pods {
			continue
		}
		out = append(out, collector.Reading{Metric: s.metric, Label: s.label, Value: s.value, At: s.at})
	}
	return out
}
