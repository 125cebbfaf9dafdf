package otlp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/otlptranslator"
	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

var testResource = []Attribute{{"deployment.environment.name", "test"}, {"service.name", "trainbridge"}, {"service.version", "1.2.3"}}

func testEncoder(t testing.TB, jobLabels ...string) *encoder {
	t.Helper()
	e, err := newEncoder(newFrame(testResource, "1.2.3"), jobLabels)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// requests decodes everything the encoder makes of a snapshot with types it does not use itself.
func requests(t testing.TB, e *encoder, s *collector.Snapshot) (all []*colmetricpb.ExportMetricsServiceRequest) {
	t.Helper()
	err := e.encode(nil, s, collectortest.Now(), func(body []byte, points int) error {
		var m colmetricpb.ExportMetricsServiceRequest
		if err := proto.Unmarshal(body, &m); err != nil {
			t.Fatal(err)
		}
		if got := pointCount(&m); got != points || points > e.maxPoints {
			t.Fatalf("request holds %d points, said %d", got, points)
		}
		if len(body) > e.maxBytes {
			t.Fatalf("request has %d bytes, more than %d", len(body), e.maxBytes)
		}
		all = append(all, &m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func metricsOf(m *colmetricpb.ExportMetricsServiceRequest) []*metricpb.Metric {
	return m.ResourceMetrics[0].ScopeMetrics[0].Metrics
}

func pointCount(r *colmetricpb.ExportMetricsServiceRequest) (n int) {
	for _, m := range metricsOf(r) {
		n += len(m.GetGauge().GetDataPoints()) + len(m.GetSum().GetDataPoints()) + len(m.GetHistogram().GetDataPoints())
	}
	return n
}

// TestGolden shows every row of the schema as it goes out.
func TestGolden(t *testing.T) {
	for name, labels := range map[string][]string{
		"fixture.otlp.json":  nil,
		"promoted.otlp.json": {"training_owner", "training.project"},
	} {
		t.Run(name, func(t *testing.T) {
			snap := collectortest.Fixture()
			if labels != nil {
				snap.Sources, snap.Groups, snap.GPUs = nil, collector.Table[collector.Group]{}, nil
			}
			all := requests(t, testEncoder(t, labels...), snap)
			if len(all) != 1 {
				t.Fatalf("%d requests", len(all))
			}
			text := goldenText(t, all[0])
			var back colmetricpb.ExportMetricsServiceRequest
			if err := protojson.Unmarshal(text, &back); err != nil || !proto.Equal(&back, all[0]) {
				t.Fatalf("the golden text is not the request: %v", err)
			}
			golden(t, name, text)
		})
	}
}

// goldenText is JSON with a line for each metric and each point.
func goldenText(t *testing.T, r *colmetricpb.ExportMetricsServiceRequest) []byte {
	t.Helper()
	text := oneLine(t, r)
	var out bytes.Buffer
	depth, inText := 0, false
	for i, c := range text {
		switch {
		case inText:
			inText = c != '"' || text[i-1] == '\\'
		case c == '"':
			inText = true
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		}
		out.WriteByte(c)
		// metrics is the array of depth 6, dataPoints that of depth 9.
		if !inText && (c == '[' || c == ',') && (depth == 6 || depth == 9) {
			out.WriteByte('\n')
		}
	}
	if !json.Valid(out.Bytes()) {
		t.Fatal("bad JSON")
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// TestSameAsRows holds OTLP to what /metrics reads: name by name under the standard translation, label by label, value by
// value, kind and start.
func TestSameAsRows(t *testing.T) {
	for _, limit := range []int{maxPoints, 7, 1} {
		snap := collectortest.Fixture()
		want := map[string]string{}
		for _, s := range snap.Sources {
			readRows(want, collector.SourceRows(), collector.SourceIdentity(), s)
		}
		for g := range snap.Groups.All {
			readRows(want, collector.GroupRows(), collector.GroupIdentity(), g)
		}
		for j := range snap.Jobs.All {
			readRows(want, collector.JobRows(), collector.JobIdentity(), j)
		}
		readRows(want, collector.GPUHostRows(), nil, snap.GPUs.Host)
		for _, g := range snap.GPUs.GPUs {
			readRows(want, collector.GPURows(), collector.GPUIdentity(), g)
		}
		for _, v := range snap.GPUs.DCGM {
			readRows(want, collector.DCGMRows(), collector.DCGMIdentity(), v)
		}
		e := testEncoder(t)
		e.maxPoints = limit
		got := map[string]string{}
		for _, r := range requests(t, e, snap) {
			translate(t, got, r)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("limit %d: rows (-) and OTLP (+):\n%s", limit, d)
		}
		if len(got) < 200 {
			t.Fatalf("only %d series", len(got))
		}
	}
}

// readRows adds "value kind start" by series, as a scrape would show them.
func readRows[T collector.Entity](to map[string]string, rows []collector.Row[T], identity []string, item T) {
	var p collector.Points
	for _, r := range rows {
		p.Reset()
		r.Read(item, &p)
		for i := range p.Len() {
			labels := map[string]string{}
			for k, v := range item.Identity(nil) {
				labels[collector.PromLabel(identity[k])] = v
			}
			for k, v := range p.Labels(i) {
				labels[collector.PromLabel(r.Labels[k])] = v
			}
			start := r.Start(item)
			if r.Kind == collector.Gauge || r.Kind == collector.UpDown {
				start = 0
			}
			value := fmt.Sprint(p.Value(i))
			if h := p.Histogram(i); h != nil {
				value = fmt.Sprint(h.Count, h.Sum)
				for _, e := range r.Bounds {
					value += fmt.Sprintf(" %g=%d", math.Ldexp(1, e), h.Below(e))
				}
			}
			to[series(r.Prom, labels)] = fmt.Sprintf("%s %d %d", value, r.Kind, start)
		}
	}
}

func series(name string, labels map[string]string) string {
	var all []string
	for k, v := range labels {
		if v != "" {
			all = append(all, fmt.Sprintf("%s=%q", k, strings.ToValidUTF8(v, "\ufffd")))
		}
	}
	sort.Strings(all)
	return name + "{" + strings.Join(all, ",") + "}"
}

func translate(t *testing.T, to map[string]string, r *colmetricpb.ExportMetricsServiceRequest) {
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
	seen := map[string]bool{}
	for _, m := range metricsOf(r) {
		if seen[m.Name] {
			t.Fatalf("%s stands twice in a request", m.Name)
		}
		seen[m.Name] = true
		tm := otlptranslator.Metric{Name: m.Name, Unit: m.Unit, Type: otlptranslator.MetricTypeGauge}
		kind := collector.Gauge
		points := m.GetGauge().GetDataPoints()
		if s := m.GetSum(); s != nil {
			points, kind, tm.Type = s.DataPoints, collector.UpDown, otlptranslator.MetricTypeNonMonotonicCounter
			if s.IsMonotonic {
				kind, tm.Type = collector.Counter, otlptranslator.MetricTypeMonotonicCounter
			}
			mustCumulative(t, m.Name, s.AggregationTemporality)
		}
		if h := m.GetHistogram(); h != nil {
			tm.Type = otlptranslator.MetricTypeHistogram
			mustCumulative(t, m.Name, h.AggregationTemporality)
		}
		name, err := namer.Build(tm)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range points {
			put(t, to, series(name, attributes(p.Attributes)), fmt.Sprintf("%v %d %d", p.GetAsDouble(), kind, p.StartTimeUnixNano))
		}
		for _, p := range m.GetHistogram().GetDataPoints() {
			value, below := fmt.Sprint(p.Count, p.GetSum()), uint64(0)
			for i, bound := range p.ExplicitBounds {
				below += p.BucketCounts[i]
				value += fmt.Sprintf(" %g=%d", bound, below)
			}
			if below += p.BucketCounts[len(p.ExplicitBounds)]; below != p.Count {
				t.Errorf("%s: buckets hold %d of %d", m.Name, below, p.Count)
			}
			put(t, to, series(name, attributes(p.Attributes)), fmt.Sprintf("%s %d %d", value, collector.Distribution, p.StartTimeUnixNano))
		}
	}
}

func put(t *testing.T, to map[string]string, k, v string) {
	if _, ok := to[k]; ok {
		t.Errorf("%s stands twice", k)
	}
	to[k] = v
}

func mustCumulative(t *testing.T, name string, a metricpb.AggregationTemporality) {
	if a != metricpb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE {
		t.Errorf("%s is %v", name, a)
	}
}

func attributes(kvs []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range kvs {
		k := collector.PromLabel(kv.Key)
		if _, ok := m[k]; ok {
			panic("attribute stands twice: " + k)
		}
		m[k] = kv.Value.GetStringValue()
	}
	return m
}

// TestBounds cuts 100,000 points into requests by both limits; requests checks each.
func TestBounds(t *testing.T) {
	snap := collectortest.Many(100_000 / collectortest.SeriesPerJob)
	for _, bytes := range []int{maxBody, 50_000} {
		e := testEncoder(t)
		e.maxBytes = bytes
		total, series := 0, map[string]string{}
		all := requests(t, e, snap)
		for _, r := range all {
			total += pointCount(r)
			translate(t, series, r)
		}
		if total != 100_000 || len(series) != total {
			t.Errorf("%d points, %d series", total, len(series))
		}
		if want := 100_000 / maxPoints; bytes == maxBody && len(all) != want {
			t.Errorf("%d requests, want %d", len(all), want)
		}
		if bytes < maxBody && len(all) < 100 {
			t.Errorf("the limit of bytes cut only %d requests", len(all))
		}
	}
}

func TestPromotion(t *testing.T) {
	if _, err := newEncoder(frame{}, []string{"training_owner", "nonsense"}); err == nil || !strings.Contains(err.Error(), `"nonsense"`) {
		t.Errorf("unknown label: %v", err)
	}
	got := map[string]string{}
	for _, r := range requests(t, testEncoder(t, "training_owner"), collectortest.Fixture()) {
		translate(t, got, r)
	}
	owned := 0
	for s := range maps.Keys(got) {
		if strings.HasPrefix(s, "training_job_loss{") && strings.Contains(s, "training_owner=") {
			owned++
		}
	}
	if owned == 0 {
		t.Errorf("no loss carries the owner: %v", slices.Sorted(maps.Keys(got))[:20])
	}
}

// TestSteadyMemory: a push allocates nothing beyond what the rows do when they are read.
func TestSteadyMemory(t *testing.T) {
	e, snap := testEncoder(t), collectortest.Many(2_000)
	rows, points := collector.JobRows(), collector.Points{}
	read := testing.AllocsPerRun(3, func() {
		for j := range snap.Jobs.All {
			for i := range rows {
				points.Reset()
				rows[i].Read(j, &points)
			}
		}
	})
	push := testing.AllocsPerRun(3, func() {
		if err := e.encode(nil, snap, collectortest.Now(), func([]byte, int) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
	if push > read+50 {
		t.Errorf("%v allocations for %d points, of which the rows make %v", push, 2_000*collectortest.SeriesPerJob, read)
	}
}
