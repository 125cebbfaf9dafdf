package otlp

import (
	"slices"
	"testing"
	"time"

	colmetricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// ended returns the series that the difference between two snapshots ends, sorted.
func ended(t *testing.T, e *encoder, before, now *collector.Snapshot) (series []string) {
	t.Helper()
	err := e.encode(before, now, time.Unix(100, 0), func(body []byte, _ int) error {
		var r colmetricpb.ExportMetricsServiceRequest
		if err := proto.Unmarshal(body, &r); err != nil {
			return err
		}
		for _, m := range metricsOf(&r) {
			points := m.GetGauge().GetDataPoints()
			if points == nil {
				points = m.GetSum().GetDataPoints()
			}
			for _, p := range points {
				series = appendEnded(series, m, attributes(p.Attributes), p.Flags)
			}
			for _, p := range m.GetHistogram().GetDataPoints() {
				series = appendEnded(series, m, attributes(p.Attributes), p.Flags)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(series)
	return series
}

func appendEnded(series []string, m *metricpb.Metric, labels map[string]string, flags uint32) []string {
	if flags != uint32(metricpb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK) {
		return series
	}
	delete(labels, "training_source")
	delete(labels, "training_job_id")
	name := m.Name
	for _, key := range []string{"training_split", "training_job_phase", "training_job_name"} {
		if v := labels[key]; v != "" {
			name += " " + v
		}
	}
	return append(series, name)
}

func snapshotOf(jobs ...*collector.Job) *collector.Snapshot {
	b := &collector.Block[collector.Job]{Used: len(jobs)}
	copy(b.Items[:], jobs)
	return &collector.Snapshot{Jobs: collector.Table[collector.Job]{Blocks: []*collector.Block[collector.Job]{b}}}
}

func TestSeriesThatLeaveAreEnded(t *testing.T) {
	job := &collector.Job{
		Key: collector.Key{Source: "s", ID: "j"}, Info: &collector.Info{Name: "before"}, Phase: collector.Running, Live: true,
		Readings: []collector.Reading{
			{Metric: collector.Loss, Label: "train", Value: 1}, {Metric: collector.Loss, Label: "validation", Value: 2},
			{Metric: collector.LearningRate, Value: 3},
		},
	}
	withdrawn := *job
	withdrawn.Readings = slices.Clone(job.Readings)
	withdrawn.Readings[0].Null = true
	done := *job
	done.Phase = collector.Succeeded
	renamed := *job
	renamed.Info = &collector.Info{Name: "after"}
	e := testEncoder(t)
	for name, c := range map[string]struct {
		now  *collector.Snapshot
		want []string
	}{
		"nothing":   {snapshotOf(job), nil},
		"withdrawn": {snapshotOf(&withdrawn), []string{"training.job.loss train"}},
		"done":      {snapshotOf(&done), []string{"training.job.learning_rate"}},
		"renamed":   {snapshotOf(&renamed), []string{"training.job.info before"}},
		"moved":     {snapshotOf(nil, job), nil},
	} {
		if got := ended(t, e, snapshotOf(job), c.now); !slices.Equal(got, c.want) {
			t.Errorf("%s: ended %v, want %v", name, got, c.want)
		}
	}
	all := ended(t, e, snapshotOf(job), snapshotOf())
	if len(all) < 15 || !slices.Contains(all, "training.job.loss validation") || !slices.Contains(all, "training.job.phase running") {
		t.Errorf("a job that left ends %v", all)
	}
	promoting := testEncoder(t, "training.job.name")
	if got := ended(t, promoting, snapshotOf(job), snapshotOf(&renamed)); len(got) != len(all) {
		t.Errorf("with the name on every series, a new name ends %d series of %d", len(got), len(all))
	}
}

func TestAnUnchangedFixtureEndsNothing(t *testing.T) {
	s := collectortest.Fixture()
	if got := ended(t, testEncoder(t), s, s); len(got) != 0 {
		t.Errorf("ended %v", got)
	}
	if got := ended(t, testEncoder(t), nil, s); len(got) != 0 {
		t.Errorf("ended %v", got)
	}
	empty := &collector.Snapshot{}
	if got := ended(t, testEncoder(t), s, empty); len(got) < 300 {
		t.Errorf("only %d series of everything ended", len(got))
	}
}

// TestGPUsThatLeaveAreEnded: a GPU that does not answer, one that is no more, and a machine whose GPUs are read no more.
func TestGPUsThatLeaveAreEnded(t *testing.T) {
	e := testEncoder(t)
	view := func(gpus ...*collector.GPU) *collector.Snapshot {
		return &collector.Snapshot{GPUs: &collector.GPUView{Host: &collector.GPUHost{Up: true}, GPUs: gpus}}
	}
	power := []collector.GPUValue{{Metric: collector.DevicePower, Value: 1}, {Metric: collector.DeviceEnergy, Value: 2}}
	up, lost := &collector.GPU{ID: "a", Up: true, Values: power}, &collector.GPU{ID: "a", Values: power}
	if got := ended(t, e, view(up), view(up)); len(got) != 0 {
		t.Errorf("nothing left, and %v ended", got)
	}
	if got := ended(t, e, view(up), view(lost)); !slices.Equal(got, []string{"hw.power"}) {
		t.Errorf("of a GPU that does not answer %v ended", got)
	}
	if got := ended(t, e, view(up), view()); !slices.Contains(got, "hw.energy") || !slices.Contains(got, "nvml.gpu.up") || slices.Contains(got, "nvml.up") {
		t.Errorf("of a GPU that left %v ended", got)
	}
	if got := ended(t, e, view(up), &collector.Snapshot{}); !slices.Contains(got, "nvml.up") || !slices.Contains(got, "hw.power") {
		t.Errorf("of a machine that left %v ended", got)
	}
}
