package dashboards_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// series is a name and labels.
type series struct {
	name   string
	labels map[string]string
}

func newSeries(name string, pairs ...string) series {
	s := series{name, map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		s.labels[pairs[i]] = pairs[i+1]
	}
	return s
}

func (s series) with(label, value string) series {
	labels := maps.Clone(s.labels)
	labels[label] = value
	return series{s.name, labels}
}

func (s series) String() string {
	var pairs []string
	for _, l := range sortedKeys(s.labels) {
		pairs = append(pairs, fmt.Sprintf("%s=%q", l, s.labels[l]))
	}
	return s.name + "{" + strings.Join(pairs, ", ") + "}"
}

func (s series) job() job { return job{s.labels["training_source"], s.labels["training_job_id"]} }

type job struct{ source, id string }

// history is a series with its value in each scrape; nil where it is absent.
type history struct {
	series
	values []*float64
}

// recording is some scrapes of one bridge, five seconds apart.
type recording struct {
	scrapes int
	of      map[string]*history
}

func (r *recording) put(s series, values []*float64) { r.of[s.String()] = &history{s, values} }

func (r recording) relabelled(f func(series) series) recording {
	out := recording{scrapes: r.scrapes, of: map[string]*history{}}
	for _, h := range r.of {
		out.put(f(h.series), h.values)
	}
	return out
}

func (r recording) with(label, value string) recording {
	return r.relabelled(func(s series) series { return s.with(label, value) })
}

func (r recording) and(other recording) recording {
	out := recording{scrapes: r.scrapes, of: maps.Clone(r.of)}
	maps.Copy(out.of, other.of)
	return out
}

// needed are the families that the rules are made of.
var needed = []string{
	"training_gpu_assignment_info", "nvml_gpu_up", "hw_gpu_utilization_ratio", "nvml_gpu_sm_utilization_ratio",
	"nvml_gpu_tensor_utilization_ratio", "hw_gpu_memory_usage_bytes", "hw_gpu_memory_limit_bytes", "hw_power_watts",
	"nvml_gpu_power_limit_watts", "hw_energy_joules_total", "nvml_gpu_clock_frequency_hertz", "nvml_gpu_clock_event_active",
	"nvml_gpu_xid_last_timestamp_seconds", "training_job_started_timestamp_seconds", "training_job_last_step_timestamp_seconds",
	"training_job_phase",
}

// recorded reads testdata.
func recorded(t *testing.T) recording {
	t.Helper()
	if *update {
		recordOnce.Do(func() { record(t) })
	}
	files, err := filepath.Glob(filepath.Join("testdata", "demo-*.prom"))
	if err != nil || len(files) != scrapes {
		t.Fatalf("%d recorded scrapes instead of %d (%v): go test ./dashboards -update makes them", len(files), scrapes, err)
	}
	r := recording{scrapes: len(files), of: map[string]*history{}}
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for name, f := range families {
			for _, m := range f.Metric {
				r.add(i, name, m)
			}
		}
	}
	for _, name := range needed {
		if len(r.named(name)) == 0 {
			t.Errorf("no scrape has %s: go test ./dashboards -update records the demo anew", name)
		}
	}
	return r
}

func seriesOf(name string, m *dto.Metric) series {
	s := newSeries(name)
	for _, l := range m.GetLabel() {
		s.labels[l.GetName()] = l.GetValue()
	}
	return s
}

func (r *recording) add(scrape int, name string, m *dto.Metric) {
	s := seriesOf(name, m)
	v := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue() // it is one of them
	h := r.of[s.String()]
	if h == nil {
		h = &history{s, make([]*float64, r.scrapes)}
		r.of[s.String()] = h
	}
	h.values[scrape] = &v
}

// named are the series of a family with given labels.
func (r recording) named(name string, pairs ...string) []*history {
	var all []*history
	for _, h := range r.of {
		fits := h.name == name
		for i := 0; i < len(pairs); i += 2 {
			fits = fits && h.labels[pairs[i]] == pairs[i+1]
		}
		if fits {
			all = append(all, h)
		}
	}
	return all
}

// last is the value in the last scrape.
func (h *history) last() (float64, bool) {
	v := h.values[len(h.values)-1]
	if v == nil {
		return 0, false
	}
	return *v, true
}
