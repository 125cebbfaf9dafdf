package collectortest

import (
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// fixtureGroups are a group with everything, and one whose first job had a backlog.
func fixtureGroups() []*collector.Group {
	at := ago(1500 * time.Millisecond)
	full := &collector.Group{
		Key: collector.GroupKey{Source: RLSource, Name: GroupName}, Birth: ago(time.Hour), Shown: true,
		Steps: 181, LastStep: at, Updated: at,
		Readings: []collector.Reading{
			{Metric: collector.Loss, Label: "train", Value: 0.03125, At: at},
			{Metric: collector.FreeForm, Label: "reward/mean", Value: -1.5, At: at},
		},
	}
	full.Jobs[collector.Running], full.Jobs[collector.Succeeded] = 2, 1
	full.Ended[collector.Success], full.Ended[collector.Failure] = 12, 1
	old := &collector.Group{
		Key: collector.GroupKey{Source: RLSource, Name: "with \"quotes\" \\ and\nlines"}, Shown: true, Steps: 5,
	}
	return []*collector.Group{full, old}
}

// fixtureSources are one that is down with little known, and one with everything.
func fixtureSources() []*collector.SourceView {
	cloud := &collector.SourceView{Name: CloudSource, Health: collector.HealthView{
		Start: ago(2 * time.Hour), Known: true, LastPoll: ago(5 * time.Second), Polls: 3,
		PollTimes:  histogram(30, 30, 30),
		PollErrors: []collector.Count{{Name: "timeout", N: 3}}, LastError: "timeout",
		Requests: []collector.RequestCount{{Operation: "list_workloads", Code: "error", N: 3}},
	}}
	cloud.Jobs[collector.Running], cloud.Jobs[collector.Paused] = 1, 1
	limit, remaining, demand, skew := 300.0, 287.5, 0.25, -1500*time.Millisecond
	rl := &collector.SourceView{Name: RLSource, Suppressed: 2, Totals: fixtureTotals(), Health: collector.HealthView{
		Start: ago(2 * time.Hour), Known: true, Up: true, LastPoll: ago(time.Second), LastSuccess: ago(time.Second),
		Polls: 4000, PollTimes: histogram(0.01, 0.02, 0.02, 0.5),
		PollErrors: []collector.Count{{Name: "http_5xx", N: 1}, {Name: "rate_limited", N: 2}},
		Requests: []collector.RequestCount{
			{Operation: "events", Code: "200", N: 3997}, {Operation: "events", Code: "429", N: 2}, {Operation: "events", Code: "502", N: 1},
		},
		BudgetLimit: &limit, BudgetRemaining: &remaining, DemandRatio: &demand, Skew: &skew,
		Lag: 250 * time.Millisecond, CredentialExpiry: ago(-720 * time.Hour),
	}}
	rl.Jobs[collector.Running], rl.Jobs[collector.Failed], rl.Jobs[collector.Pending] = 6, 1, 1
	return []*collector.SourceView{cloud, rl}
}

// fixtureTotals hold the identity Read = events + Duplicate + Quarantined.
func fixtureTotals() *collector.Totals {
	return &collector.Totals{
		Source: RLSource, Birth: ago(30 * 24 * time.Hour),
		Events: []collector.EventSum{
			{Type: collector.OtherEvent, Reason: "odd \"reason\"", N: 1},
			{Type: collector.CreatedEvent, N: 40},
			{Type: collector.StepEvent, N: 9000},
			{Type: collector.EndedEvent, N: 36},
		},
		Ended: []collector.EndedSum{
			{Result: collector.Success, N: 34}, {Result: collector.Failure, ErrorType: "out_of_memory", N: 2},
		},
		Read: 9100, Duplicate: 20, Quarantined: 3, Late: 1, Gaps: 2, Mismatches: 1,
		Unknown: []collector.Count{{Name: "data.new_field", N: 7}, {Name: "status", N: 1}},
		Durations: []collector.ResultSum{
			{Result: collector.Success, Histogram: histogram(60, 61, 3600, 100_000)},
			{Result: collector.Failure, Histogram: histogram(5, 10)},
		},
		Queues:    []collector.ResultSum{{Result: collector.Success, Histogram: histogram(0, 1, 30)}},
		LastEvent: ago(1500 * time.Millisecond),
	}
}
