package prom

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
)

func TestFloats(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", -7: "-7", 1e6: "1000000", 123456789012: "123456789012", 1e15: "1e+15", 0.5: "0.5", 5e-6: "5e-06",
		1773480413.5: "1773480413.5", 1e-4: "0.0001", 2.5e21: "2.5e+21", math.Inf(1): "+Inf", math.Inf(-1): "-Inf",
		0.30000000000000004: "0.30000000000000004", math.MaxFloat64: "1.7976931348623157e+308",
	} {
		if got := string(appendFloat(nil, v)); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	if got := string(appendFloat(nil, math.NaN())); got != "NaN" {
		t.Errorf("NaN: %s", got)
	}
	if got := string(appendFloat(nil, math.Copysign(0, -1))); got != "-0" {
		t.Errorf("-0: %s", got)
	}
	for v, want := range map[float64]string{1: "1.0", 0.25: "0.25", 1 << 21: "2.097152e+06", 1e6: "1e+06", 4096: "4096.0"} {
		if got := string(appendBound(nil, v)); got != want {
			t.Errorf("bound %v: %s, want %s", v, got, want)
		}
	}
}

func FuzzFloat(f *testing.F) {
	f.Add(uint64(0))
	f.Add(math.Float64bits(1e15 - 0.5))
	f.Add(math.Float64bits(9.999e-5))
	f.Fuzz(func(t *testing.T, bits uint64) {
		v := math.Float64frombits(bits)
		got, err := strconv.ParseFloat(string(appendFloat(nil, v)), 64)
		if err != nil || math.Float64bits(got) != bits && !math.IsNaN(v) {
			t.Fatalf("%v became %v, %v", v, got, err)
		}
	})
}

// FuzzLabelValue puts any text where providers can put text and reads it back, with a foreign parser for each format.
func FuzzLabelValue(f *testing.F) {
	for _, s := range []string{"", "plain", "a\\b\"c\nd", "\xff\xfe", "\r\t\x00", "} 1\n# EOF\n", "日本語\u202e", `\n`, "\\", "\x1f"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, id, name string) {
		j := &collector.Job{
			Key: collector.Key{Source: "s", ID: id}, Info: &collector.Info{Name: name}, Attempt: 1,
			Readings: []collector.Reading{{Metric: collector.FreeForm, Label: strings.ReplaceAll(name, "\x1f", ""), Value: 1}},
		}
		s := snapshotOf(j)
		p := expfmt.NewTextParser(model.UTF8Validation)
		byName, err := p.TextToMetricFamilies(bytes.NewReader(write(t, s, Text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := checkOpenMetrics(write(t, s, OpenMetrics)); err != nil {
			t.Fatal(err)
		}
		var text []*dto.MetricFamily
		for _, fam := range byName {
			text = append(text, fam)
			for _, m := range fam.Metric {
				checkLabel(t, m, "training_job_id", id)
			}
		}
		checkLabel(t, byName["training_job_info"].Metric[0], "training_job_name", name)
		compare(t, samples(text), samples(decodeProto(t, write(t, s, Protobuf))))
	})
}

func checkLabel(t *testing.T, m *dto.Metric, name, want string) {
	t.Helper()
	got := ""
	for _, l := range m.Label {
		if l.GetName() == name {
			got = l.GetValue()
		}
	}
	if got != strings.ToValidUTF8(want, "\ufffd") {
		t.Fatalf("%s is %q, want %q", name, got, want)
	}
}
