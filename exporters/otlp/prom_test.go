package otlp

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// TestSameAsScrape compares what goes out by OTLP with what a scrape of the same snapshot shows: the golden file of the
// other exporter, read by a parser of the Prometheus project.
func TestSameAsScrape(t *testing.T) {
	f, err := os.Open("../prom/testdata/fixture.prom")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(f)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, f := range families {
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			want[series(f.GetName(), labels)] = scraped(f.GetType(), m)
		}
	}
	got := map[string]string{}
	for _, r := range requests(t, testEncoder(t), collectortest.Fixture()) {
		translate(t, got, r)
	}
	for k, v := range got { // drop kind and start, which the text format cannot say
		fields := strings.Fields(v)
		got[k] = strings.Join(fields[:len(fields)-2], " ")
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("scrape (-) and OTLP (+):\n%s", d)
	}
	if len(got) == 0 || collector.PromLabel("a.b") != "a_b" {
		t.Error("nothing compared")
	}
}

func scraped(kind dto.MetricType, m *dto.Metric) string {
	switch kind {
	case dto.MetricType_COUNTER:
		return fmt.Sprint(m.GetCounter().GetValue())
	case dto.MetricType_HISTOGRAM:
		h := m.GetHistogram()
		text := fmt.Sprint(h.GetSampleCount(), h.GetSampleSum())
		for _, b := range h.Bucket[:len(h.Bucket)-1] {
			text += fmt.Sprintf(" %g=%d", b.GetUpperBound(), b.GetCumulativeCount())
		}
		return text
	}
	return fmt.Sprint(m.GetGauge().GetValue())
}
