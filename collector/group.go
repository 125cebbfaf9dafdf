package collector

import "slices"

// GroupKey names a group: jobs that are one run to their owner.
type GroupKey struct {
	Source string `cbor:"1,keyasint"`
	Name   string `cbor:"2,keyasint"`
}

// Group rolls up the jobs of one run, so that curves and counters go on while its short jobs come and go. Values are immutable
// once published.
type Group struct {
	Key      GroupKey            `cbor:"1,keyasint"`
	Birth    Time                `cbor:"2,keyasint,omitempty"` // start of the counters; unknown if the first job had a backlog
	Shown    bool                `cbor:"3,keyasint,omitempty"` // every backlog that there was at first has been read
	Jobs     [phaseCount]int64   `cbor:"4,keyasint"`           // jobs being tracked, by phase
	Behind   int64               `cbor:"5,keyasint,omitempty"` // jobs whose backlog is being read
	Steps    uint64              `cbor:"6,keyasint,omitempty"`
	Ended    [resultCount]uint64 `cbor:"7,keyasint"`
	Readings []Reading           `cbor:"8,keyasint,omitempty"` // newest loss and free-form numbers of any job
	LastStep Time                `cbor:"9,keyasint,omitempty"`
	Updated  Time                `cbor:"10,keyasint,omitempty"`
	Hidden   bool                `cbor:"11,keyasint,omitempty"` // without jobs for so long that its series left
	Info     Info                `cbor:"12,keyasint"`           // of its newest job, so that a later one of the same model is told apart
	Stepped  bool                `cbor:"13,keyasint,omitempty"` // its provider tells of steps
}

// Size is the number of jobs of the group that are tracked.
func (g *Group) Size() int64 {
	var n int64
	for _, c := range g.Jobs {
		n += c
	}
	return n
}

// withJob returns g after a job of it went from before to after. before is nil for a job that is new to the group, after for one
// that left it. counted is the version whose steps and end stand in some group already, nil for a new job.
func (g *Group) withJob(before, after, counted *Job) *Group {
	next := *g
	next.count(before, -1)
	next.count(after, +1)
	if after != nil {
		next.advance(counted, after)
	}
	next.Shown = next.Shown || next.Behind <= 0
	next.Hidden = next.Hidden && after == nil
	return &next
}

func (g *Group) count(j *Job, n int64) {
	if j == nil {
		return
	}
	g.Jobs[j.Phase] += n
	if !j.caughtUp() && j.TellsSteps() {
		g.Behind += n
	}
}

func (g *Group) advance(before, after *Job) {
	steps := uint64(0)
	if before != nil {
		steps = before.Steps
	}
	g.Steps += after.Steps - steps
	g.Stepped = g.Stepped || after.TellsSteps()
	if after.counted() && (before == nil || !before.counted() || before.Attempt != after.Attempt) {
		g.Ended[after.Result]++
	}
	g.Info = *after.Info
	g.LastStep = max(g.LastStep, after.LastStep)
	g.Updated = max(g.Updated, after.Updated)
	g.Readings = newest(g.Readings, after.Readings)
}

// newest merges the loss and free-form readings of a job that are newer than the group's.
func newest(group, job []Reading) []Reading {
	copied := false
	for _, r := range job {
		if r.Metric != Loss && r.Metric != FreeForm {
			continue
		}
		i, found := findReading(group, r.Metric, r.Label)
		if found && group[i].At > r.At || found && group[i] == r {
			continue
		}
		if !copied {
			group, copied = slices.Clone(group), true
		}
		switch {
		case found:
			group[i] = r
		case r.Metric == Loss || len(group) < maxGroupReadings:
			group = slices.Insert(group, i, r)
		}
	}
	return group
}

// maxGroupReadings bounds the free-form names of one group.
const maxGroupReadings = 256
