package collectortest

import (
	"fmt"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// SeriesPerJob is how many series each job of [Many] has.
const SeriesPerJob = 20

// Many is a snapshot of running jobs with [SeriesPerJob] series each, in full blocks. There are no groups and sources.
func Many(jobs int) *collector.Snapshot {
	snap := &collector.Snapshot{}
	for i := range jobs {
		if i%collector.BlockSize == 0 {
			snap.Jobs.Blocks = append(snap.Jobs.Blocks, &collector.Block[collector.Job]{})
		}
		place(snap.Jobs.Blocks[i/collector.BlockSize], i%collector.BlockSize, manyJob(i))
	}
	return snap
}

func manyJob(i int) *collector.Job {
	h := mix(uint64(i))
	began := ago(time.Duration(h%7_200_000) * time.Millisecond)
	j := &collector.Job{
		Key: collector.Key{
			Source: RLSource,
			ID:     fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(h), h>>48, h>>36&0xfff, h>>24&0xfff, uint64(i)),
		},
		Info: &collector.Info{
			Name: fmt.Sprintf("run-%d", i), Provider: "wandb", Project: "project-" + string(rune('a'+i%20)),
			Owner: "team-" + string(rune('a'+i%7)), Kind: "rl", BaseModel: "Qwen/Qwen3-14B",
		},
		Attempt: 1, Phase: collector.Running, Live: true,
		FirstSeen: began, Birth: began, Created: began, Started: began, Since: began,
	}
	return stepped(j, 1+h%500)
}

// stepped is the next version of j after some gradient steps: what an update of a training job changes.
func stepped(j *collector.Job, steps uint64) *collector.Job {
	next := *j
	next.Steps += steps
	next.Updated = j.Started + collector.Time(next.Steps)*collector.Time(11_731*time.Millisecond)
	next.LastStep = next.Updated
	next.Events = []collector.Count{{Name: "gradient_step", N: next.Steps}}
	loss := float64(mix(next.Steps^uint64(j.Started))>>11) / (1 << 53)
	next.Readings = []collector.Reading{
		{Metric: collector.Step, Value: float64(next.Steps), At: next.Updated},
		{Metric: collector.Loss, Label: "train", Value: loss, At: next.Updated},
	}
	return &next
}

// Change is the next version of a snapshot, in which every nth job of the first share has made a step: Change(s, 0.1, 1)
// changes the first tenth of the jobs, which is clustered, and Change(s, 1, 10) a tenth evenly spread. Blocks and jobs
// that do not change are shared with s.
func Change(s *collector.Snapshot, share float64, nth int) *collector.Snapshot {
	next := *s
	next.Jobs.Blocks = make([]*collector.Block[collector.Job], len(s.Jobs.Blocks))
	copy(next.Jobs.Blocks, s.Jobs.Blocks)
	limit := int(share * float64(s.Jobs.Len()))
	seen := 0
	for at, b := range s.Jobs.Blocks {
		copied := *b
		for i, j := range b.Items {
			if j == nil {
				continue
			}
			if seen++; seen <= limit && seen%nth == 0 {
				copied.Items[i] = stepped(j, 1)
				next.Jobs.Blocks[at] = &copied
			}
		}
	}
	return &next
}

// mix is a fixed scrambling of 64 bits (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
