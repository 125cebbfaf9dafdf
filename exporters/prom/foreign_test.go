package prom

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/otlptranslator"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

func parseText(t *testing.T, body []byte) []*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(maps.Values(families))
}

// samples flattens families to "name{labels}" and a value that tells NaN from NaN.
func samples(families []*dto.MetricFamily) map[string]string {
	all := map[string]string{}
	for _, f := range families {
		for _, m := range f.Metric {
			add := func(suffix, extra string, v float64) {
				key := f.GetName() + suffix + labelsOf(m) + extra
				if _, double := all[key]; double {
					all[key] = "DOUBLE"
					return
				}
				all[key] = fmt.Sprint(f.GetType(), " ", v)
			}
			switch {
			case m.Counter != nil:
				add("", "", m.Counter.GetValue())
			case m.Gauge != nil:
				add("", "", m.Gauge.GetValue())
			case m.Histogram != nil:
				add("_sum", "", m.Histogram.GetSampleSum())
				add("_count", "", float64(m.Histogram.GetSampleCount()))
				for _, b := range m.Histogram.Bucket {
					add("_bucket", fmt.Sprint(" le=", b.GetUpperBound()), float64(b.GetCumulativeCount()))
				}
			}
		}
	}
	return all
}

func labelsOf(m *dto.Metric) string {
	var pairs []string
	for _, l := range m.Label {
		pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ",") + "}"
}

// TestTextAndProtobufAgree decodes both with parsers of the Prometheus project and compares all samples.
func TestTextAndProtobufAgree(t *testing.T) {
	s := collectortest.Fixture()
	text := samples(parseText(t, write(t, s, Text)))
	proto := samples(decodeProto(t, write(t, s, Protobuf)))
	if len(text) < 500 {
		t.Fatalf("only %d samples", len(text))
	}
	compare(t, text, proto)
	for key, v := range text {
		if v == "DOUBLE" {
			t.Errorf("the series stands twice: %s", key)
		}
	}
}

func compare(t *testing.T, a, b map[string]string) {
	t.Helper()
	for key, v := range a {
		if w, ok := b[key]; !ok || v != w {
			t.Errorf("%s: %q and %q", key, v, w)
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			t.Errorf("%s: only in the second", key)
		}
	}
}

// TestOpenMetricsIsTextAndMore: the same sample lines but for exemplars.
func TestOpenMetricsIsTextAndMore(t *testing.T) {
	s := collectortest.Fixture()
	text, om := write(t, s, Text), write(t, s, OpenMetrics)
	strip := func(body []byte) (lines []string) {
		for l := range strings.Lines(string(body)) {
			if !strings.HasPrefix(l, "#") {
				l, _, _ = strings.Cut(strings.TrimSuffix(l, "\n"), " # {trace_id=")
				lines = append(lines, l)
			}
		}
		return lines
	}
	if !slices.Equal(strip(text), strip(om)) {
		t.Error("the samples of text and OpenMetrics differ")
	}
	if n := strings.Count(string(om), " # {trace_id="); n != 1 {
		t.Errorf("%d exemplars in OpenMetrics, want 1", n)
	}
	if strings.Contains(string(text), " # {trace_id=") {
		t.Error("an exemplar in the text format")
	}
	if strings.Contains(string(om), "_created") && strings.Contains(string(om), "_created{") {
		t.Error("_created lines")
	}
	if err := checkOpenMetrics(om); err != nil {
		t.Error(err)
	}
}

func TestLint(t *testing.T) {
	problems, err := promlint.New(bytes.NewReader(write(t, collectortest.Fixture(), Text))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "DCGM_") { // spelled as others spell it
			continue
		}
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestNamesAreTheStandardTranslation holds every row's Prometheus name to what a receiver makes of the OTLP name.
func TestNamesAreTheStandardTranslation(t *testing.T) {
	seen := map[string]bool{}
	translated(t, seen, collector.JobRows(), collector.JobIdentity())
	translated(t, seen, collector.GroupRows(), collector.GroupIdentity())
	translated(t, seen, collector.SourceRows(), collector.SourceIdentity())
	translated(t, seen, collector.GPURows(), collector.GPUIdentity())
	translated(t, seen, collector.GPUHostRows(), nil)
	translated(t, seen, collector.DCGMRows(), collector.DCGMIdentity())
}

func translated[E collector.Entity](t *testing.T, seen map[string]bool, rows []collector.Row[E], identity []string) {
	t.Helper()
	names := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	kinds := map[collector.Kind]otlptranslator.MetricType{
		collector.Gauge: otlptranslator.MetricTypeGauge, collector.Counter: otlptranslator.MetricTypeMonotonicCounter,
		collector.UpDown: otlptranslator.MetricTypeNonMonotonicCounter, collector.Distribution: otlptranslator.MetricTypeHistogram,
	}
	var labels otlptranslator.LabelNamer
	for _, r := range rows {
		want, err := names.Build(otlptranslator.Metric{Name: r.Name, Unit: r.Unit, Type: kinds[r.Kind]})
		if err != nil || r.Prom != want {
			t.Errorf("%s is %s, the translation is %s %v", r.Name, r.Prom, want, err)
		}
		if seen[r.Prom] || seen[r.Name] {
			t.Errorf("%s stands twice", r.Prom)
		}
		seen[r.Prom], seen[r.Name] = true, true
		for _, key := range append(identity, r.Labels...) {
			want, err := labels.Build(key)
			if err != nil || collector.PromLabel(key) != want {
				t.Errorf("%s: label %s is %s, the translation is %s %v", r.Name, key, collector.PromLabel(key), want, err)
			}
			if slices.Contains([]string{"job", "instance", "type", "env", "cluster", "region", "zone", "service", "owner"}, want) {
				t.Errorf("%s: label %s is one that scrapers use", r.Name, want)
			}
		}
	}
}

// TestNativeHistogram counts the sparse buckets back to what was observed.
func TestNativeHistogram(t *testing.T) {
	values := []float64{0, zeroBound, 1e-9 * (1 + 1e-6), 0.001, 0.75, 1, 1.0000001, 2, 2.25, 2.25, 9000}
	j := collectortest.SFTJob()
	j.StepTimes = nil
	for _, v := range values {
		j.StepTimes = j.StepTimes.With(v)
	}
	if j.StepTimes.Zero != 2 {
		t.Fatalf("the zero bucket has %d, so its width is not %v", j.StepTimes.Zero, zeroBound)
	}
	for _, f := range decodeProto(t, write(t, snapshotOf(j), Protobuf)) {
		if f.GetName() != "training_job_step_duration_seconds" {
			continue
		}
		h := f.Metric[0].Histogram
		if h.GetSchema() != 3 || h.GetZeroThreshold() != zeroBound || h.GetZeroCount() != 2 || h.CreatedTimestamp == nil {
			t.Errorf("schema %d, zeros %d up to %v, created %v", h.GetSchema(), h.GetZeroCount(), h.GetZeroThreshold(), h.CreatedTimestamp)
		}
		if got, want := nativeCounts(h), countsOf(values[2:]); !maps.Equal(got, want) {
			t.Errorf("buckets %v, want %v", got, want)
		}
		return
	}
	t.Fatal("no histogram")
}

// nativeCounts reads spans and deltas as the Prometheus documentation describes them.
func nativeCounts(h *dto.Histogram) map[int]int64 {
	counts := map[int]int64{}
	index, n, k := 0, int64(0), 0
	for _, span := range h.PositiveSpan {
		index += int(span.GetOffset())
		for range span.GetLength() {
			n += h.PositiveDelta[k]
			counts[index] = n
			index++
			k++
		}
	}
	return counts
}

func countsOf(values []float64) map[int]int64 {
	counts := map[int]int64{}
	for _, v := range values {
		counts[int(math.Ceil(math.Log2(v)*8))]++
	}
	return counts
}

func snapshotOf(jobs ...*collector.Job) *collector.Snapshot {
	b := &collector.Block[collector.Job]{Used: len(jobs)}
	copy(b.Items[:], jobs)
	return &collector.Snapshot{Jobs: collector.Table[collector.Job]{Blocks: []*collector.Block[collector.Job]{b}}}
}

func readAll(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
