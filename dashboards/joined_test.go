package dashboards_test

import (
	"math"
	"slices"
	"testing"
)

// joined is what the rules should make of a recording, computed GPU by GPU: the values of each rule by job.
func joined(t *testing.T, r recording) map[string]map[job]float64 {
	t.Helper()
	w := &joiner{t: t, r: r, gpus: map[job][]string{}, want: map[string]map[job]float64{}}
	for _, h := range r.named("training_gpu_assignment_info") {
		if _, ok := h.last(); ok {
			w.gpus[h.job()] = append(w.gpus[h.job()], h.labels["hw_id"])
		}
	}
	w.states()
	w.loads()
	w.events()
	return w.want
}

type joiner struct {
	t    *testing.T
	r    recording
	gpus map[job][]string
	want map[string]map[job]float64
}

// read gives the value of one GPU; false where it has none.
type read func(gpu string) (float64, bool)

// value reads a family, which has one series for a GPU with these labels.
func (w *joiner) value(name string, pairs ...string) read {
	return func(gpu string) (float64, bool) {
		for _, h := range w.r.named(name, append(pairs, "hw_id", gpu)...) {
			return h.last()
		}
		return 0, false
	}
}

func share(of, whole read) read {
	return func(gpu string) (float64, bool) {
		a, one := of(gpu)
		b, two := whole(gpu)
		return a / b, one && two
	}
}

// rule makes one value of those of a job's GPUs; none where no GPU has one.
func (w *joiner) rule(name string, of read, fold func([]float64) float64) {
	w.want[name] = map[job]float64{}
	for j, gpus := range w.gpus {
		var vs []float64
		for _, g := range gpus {
			if v, ok := of(g); ok {
				vs = append(vs, v)
			}
		}
		if len(vs) > 0 {
			w.want[name][j] = fold(vs)
		}
	}
}

func sum(vs []float64) float64 {
	total := 0.0
	for _, v := range vs {
		total += v
	}
	return total
}

func mean(vs []float64) float64 { return sum(vs) / float64(len(vs)) }

func median(vs []float64) float64 {
	slices.Sort(vs)
	return (vs[(len(vs)-1)/2] + vs[len(vs)/2]) / 2
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (w *joiner) states() {
	up := w.value("nvml_gpu_up")
	w.rule("training_job:gpus:count", func(string) (float64, bool) { return 1, true }, sum)
	w.rule("training_job:gpus_down:count", func(gpu string) (float64, bool) {
		v, ok := up(gpu)
		return one(!ok || v != 1), true
	}, sum)
	w.rule("training_job:gpus_throttled:count", func(gpu string) (float64, bool) {
		held, known := false, false
		for _, reason := range []string{"hw_slowdown", "hw_thermal", "sw_thermal", "hw_power_brake"} {
			v, ok := w.value("nvml_gpu_clock_event_active", "nvml_clock_event_reason", reason)(gpu)
			held, known = held || v == 1, known || ok
		}
		return one(held), known
	}, sum)
}

func (w *joiner) loads() {
	busy, sm := w.value("hw_gpu_utilization_ratio", "hw_gpu_task", "general"), w.value("nvml_gpu_sm_utilization_ratio")
	watts := w.value("hw_power_watts")
	power := share(watts, w.value("nvml_gpu_power_limit_watts"))
	clock := w.value("nvml_gpu_clock_frequency_hertz", "nvml_clock_domain", "sm")
	w.rule("training_job:hw_gpu_utilization_ratio:avg", busy, mean)
	w.rule("training_job:hw_gpu_utilization_ratio:min", busy, slices.Min)
	w.rule("training_job:nvml_gpu_sm_utilization_ratio:avg", sm, mean)
	w.rule("training_job:nvml_gpu_tensor_utilization_ratio:avg", w.value("nvml_gpu_tensor_utilization_ratio"), mean)
	w.rule("training_job:hw_gpu_memory_usage:ratio_max",
		share(w.value("hw_gpu_memory_usage_bytes"), w.value("hw_gpu_memory_limit_bytes")), slices.Max)
	w.rule("training_job:hw_power_watts:sum", watts, sum)
	w.rule("training_job:hw_power:ratio_avg", power, mean)
	w.rule("training_job:nvml_gpu_sm_clock_hertz:min", clock, slices.Min)
	w.rule("training_job:nvml_gpu_sm_clock_hertz:median", clock, median)
	w.rule("training_job:hw_energy_joules:rate5m", w.slope("hw_energy_joules_total"), sum)
	w.rule("training_job:gpus_idle:count", func(gpu string) (float64, bool) {
		v, ok := busy(gpu)
		return one(v < 0.05), ok
	}, sum)
	w.rule("training_job:gpus_spinning:count", func(gpu string) (float64, bool) {
		b, ok := busy(gpu)
		s, profiled := sm(gpu)
		p, powered := power(gpu)
		waits := s < 0.1
		if !profiled {
			waits = p < 0.35
		}
		return one(b >= 0.95 && waits), ok && (profiled || powered)
	}, sum)
}

// slope is what a rate is with these scrapes; see step.
func (w *joiner) slope(name string) read {
	return func(gpu string) (float64, bool) {
		all := w.r.named(name, "hw_id", gpu)
		if len(all) == 0 {
			return 0, false
		}
		h := all[0]
		from, to := h.values[1], h.values[len(h.values)-1]
		if slices.Contains(h.values, nil) || *to < *from {
			w.t.Fatalf("%s is not in all scrapes, or falls: record the demo anew", h)
		}
		return (*to - *from) / float64(step*(len(h.values)-2)), true
	}
}

// events are the rules about times.
func (w *joiner) events() {
	for name, codes := range map[string][]string{
		"training_job:nvml_gpu_xid_last_timestamp_seconds:max":             nil,
		"training_job:nvml_gpu_xid_hardware_last_timestamp_seconds:max":    {"48", "62", "64", "74", "79", "95", "119", "120", "140"},
		"training_job:nvml_gpu_xid_application_last_timestamp_seconds:max": {"13", "31", "43", "45", "94"},
	} {
		w.rule(name, func(gpu string) (float64, bool) {
			latest := math.Inf(-1)
			for _, h := range w.r.named("nvml_gpu_xid_last_timestamp_seconds", "hw_id", gpu) {
				if v, ok := h.last(); ok && (codes == nil || slices.Contains(codes, h.labels["nvml_xid"])) {
					latest = max(latest, v)
				}
			}
			return latest, !math.IsInf(latest, -1)
		}, slices.Max)
		for j, v := range w.want[name] {
			if started, ok := w.ofJob(j, "training_job_started_timestamp_seconds"); ok && v < started {
				delete(w.want[name], j)
			}
		}
	}
	ages := map[job]float64{}
	for j := range w.gpus {
		running, _ := w.ofJob(j, "training_job_phase", "training_job_phase", "running")
		if v, ok := w.ofJob(j, "training_job_last_step_timestamp_seconds"); ok && running == 1 {
			ages[j] = float64(step*(w.r.scrapes-1)) - v
		}
	}
	w.want["training_job:last_step_age_seconds:min"] = ages
}

func (w *joiner) ofJob(j job, name string, pairs ...string) (float64, bool) {
	for _, h := range w.r.named(name, append(pairs, "training_source", j.source, "training_job_id", j.id)...) {
		return h.last()
	}
	return 0, false
}
