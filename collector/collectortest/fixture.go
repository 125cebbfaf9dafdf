package collectortest

import (
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Names of the fixture's sources and of its one group.
const (
	RLSource    = "rl-team"
	CloudSource = "gpu-cloud"
	GroupName   = "agent-001"
)

// Now is the moment the fixture is taken, to which all its times are relative.
func Now() time.Time { return time.Date(2026, time.March, 14, 9, 26, 53, 0, time.UTC) }

// ago is a moment before Now.
func ago(d time.Duration) collector.Time { return collector.TimeOf(Now().Add(-d)) }

// Fixture is a snapshot with all rows and all oddities. Its jobs lie in two blocks, busy and quiet, with free places
// between them, as a store leaves them. Every call makes new values.
func Fixture() *collector.Snapshot {
	busy, quiet := &collector.Block[collector.Job]{}, &collector.Block[collector.Job]{}
	for i, j := range busyJobs() {
		place(busy, 2*i, j)
	}
	for i, j := range quietJobs() {
		place(quiet, collector.BlockSize-1-3*i, j)
	}
	groups := &collector.Block[collector.Group]{}
	for i, g := range fixtureGroups() {
		place(groups, i, g)
	}
	return &collector.Snapshot{
		Jobs:    collector.Table[collector.Job]{Blocks: []*collector.Block[collector.Job]{busy, {}, quiet}},
		Groups:  collector.Table[collector.Group]{Blocks: []*collector.Block[collector.Group]{groups}},
		Sources: fixtureSources(),
		GPUs:    fixtureGPUs(),
	}
}

func place[T any](b *collector.Block[T], at int, item *T) {
	b.Items[at] = item
	b.Used++
}

// busyJobs are the jobs that run.
func busyJobs() []*collector.Job {
	return []*collector.Job{RLJob(), SFTJob(), nanJob(), nullJob(), cloudJob(), backlogJob(), attackJob()}
}

// quietJobs are those that wait or are done.
func quietJobs() []*collector.Job {
	return []*collector.Job{failedJob(), succeededJob(), pendingJob(), goneJob(), cancelledJob(), restartedJob()}
}

// histogram holds the given observations.
func histogram(values ...float64) *collector.Histogram {
	var h *collector.Histogram
	for _, v := range values {
		h = h.With(v)
	}
	return h
}
