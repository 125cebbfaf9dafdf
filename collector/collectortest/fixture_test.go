package collectortest

import (
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

// TestFixtureHoldsEveryRow keeps the fixture complete: a new row without an example in it fails here.
func TestFixtureHoldsEveryRow(t *testing.T) {
	s := Fixture()
	rowsHavePoints(t, collector.JobRows(), collect(s.Jobs.All))
	rowsHavePoints(t, collector.GroupRows(), collect(s.Groups.All))
	rowsHavePoints(t, collector.SourceRows(), s.Sources)
	rowsHavePoints(t, collector.GPURows(), s.GPUs.GPUs)
	rowsHavePoints(t, collector.GPUHostRows(), []*collector.GPUHost{s.GPUs.Host, {Fault: "no_driver"}})
}

func collect[T any](all func(func(*T) bool)) []*T {
	var items []*T
	all(func(item *T) bool { items = append(items, item); return true })
	return items
}

func rowsHavePoints[T collector.Entity](t *testing.T, rows []collector.Row[T], entities []T) {
	t.Helper()
	for i := range rows {
		var p collector.Points
		for _, e := range entities {
			rows[i].Read(e, &p)
		}
		if p.Len() == 0 {
			t.Errorf("%s: no example in the fixture", rows[i].Name)
		}
	}
}

func TestManyAndChange(t *testing.T) {
	before := Many(2000)
	var p collector.Points
	rows := collector.JobRows()
	for j := range before.Jobs.All {
		p.Reset()
		for i := range rows {
			rows[i].Read(j, &p)
		}
		if p.Len() != SeriesPerJob {
			t.Fatalf("job %v has %d series, want %d", j.Key, p.Len(), SeriesPerJob)
		}
	}
	for _, c := range []struct {
		share             float64
		nth, jobs, blocks int
	}{{0.1, 1, 200, 1}, {1, 10, 200, 4}, {0, 1, 0, 0}} {
		after := Change(before, c.share, c.nth)
		jobs, blocks := 0, 0
		for i, b := range after.Jobs.Blocks {
			if b != before.Jobs.Blocks[i] {
				blocks++
			}
			for k := range b.Items {
				if b.Items[k] != before.Jobs.Blocks[i].Items[k] {
					jobs++
				}
			}
		}
		if jobs != c.jobs || blocks != c.blocks {
			t.Errorf("Change(%v, %d): %d jobs in %d blocks, want %d in %d", c.share, c.nth, jobs, blocks, c.jobs, c.blocks)
		}
	}
}
