package web

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// level says how bad something is.
type level uint8

const (
	fine level = iota
	note       // is worth knowing, and no trouble
	warning
	critical
)

// kind is what a check found.
type kind uint8

// The checks of jobs: what is so now, worst first, then what is over.
const (
	jobNotFinite kind = iota + 1
	jobSpins
	jobStalled
	jobOverBudget
	jobDead
	jobIdle
	jobPartIdle
	jobEndsBusy
	jobSilent
	jobNoStep
	jobQueued
	jobRestarts
	jobCheckpoint
	jobRising
	jobSlow
	jobFailed
	jobLost
)

// past is what is over and leaves the list by itself.
func (k kind) past() bool { return k >= jobFailed }

// Bounds of the checks; the package comment tells them to people.
const (
	newsFor    = time.Hour // how long a failure, a lost job or a fault of a GPU is news
	stormFor   = 30 * time.Minute
	stormFrom  = 3 // failures of one source and project within that time
	oldNews    = 24 * time.Hour
	expirySoon = 7 * 24 * time.Hour

	expiryAlert = 3 * 24 * time.Hour // of the alert
)

// finding is one thing that is wrong with a job; its words are made only where it is shown.
type finding struct {
	kind  kind
	level level
	at    collector.Time // since when, as far as is known
	job   *collector.Job
}

// checks judge jobs at one moment.
type checks struct {
	now      collector.Time
	sources  map[string]*collector.SourceView
	troubles troubles
}

func newChecks(snap *collector.Snapshot, now time.Time, h *History) *checks {
	c := &checks{now: collector.TimeOf(now), sources: map[string]*collector.SourceView{}}
	c.troubles = h.troubles(snap, c.now)
	for _, s := range snap.Sources {
		c.sources[s.Name] = s
	}
	return c
}

// up reports whether what is known of a source's jobs is new, and by how much polls are late.
func (c *checks) up(source string) (late time.Duration, up bool) {
	s := c.sources[source]
	if s == nil || !s.Health.Known || !s.Health.Up {
		return 0, false
	}
	if seen := c.troubles.sources; seen != nil && !seen[source].settled {
		return 0, false
	}
	return s.Health.Lag, true
}

func (c *checks) recent(t collector.Time) bool { return t.Known() && c.now.Sub(t) < newsFor }

// job appends what is wrong with a job, worst first.
func (c *checks) job(to []finding, j *collector.Job) []finding {
	if j.Done() {
		return c.doneJob(to, j)
	}
	if at, bad := notFinite(j, c); bad {
		to = append(to, finding{jobNotFinite, critical, at, j})
	}
	n := len(to)
	to = c.gpus(to, j)
	hangs := len(to) > n && to[n].kind == jobSpins // that says why it is stalled
	to = c.pace(to, j, !hangs)
	if _, _, over := overBudget(j); over {
		to = append(to, finding{jobOverBudget, critical, 0, j}) // nobody knows since when
	}
	slices.SortStableFunc(to[n:], func(a, b finding) int { return int(b.level) - int(a.level) })
	return to
}

func (c *checks) doneJob(to []finding, j *collector.Job) []finding {
	at := endOf(j)
	if !at.Known() {
		at = j.Since
	}
	// One that had failed before the first look counts from then, as it does in the metrics, unless it is long past.
	if j.FirstSeen > at && j.FirstSeen.Sub(at) < oldNews {
		at = j.FirstSeen
	}
	switch {
	case !c.recent(at):
	case j.Phase == collector.Failed:
		to = append(to, finding{jobFailed, critical, at, j})
	case j.Gone && !j.Phase.Ended():
		to = append(to, finding{jobLost, warning, at, j})
	}
	if _, busy := c.troubles.ends[j.Key]; busy {
		to = append(to, finding{jobEndsBusy, warning, j.Since, j})
	}
	return to
}

// fewIntervals is how many intervals a median needs.
const fewIntervals = 5

func median(seconds []float32) (float64, bool) {
	if len(seconds) < fewIntervals {
		return 0, false
	}
	var buf [64]float32
	sorted := append(buf[:0], seconds...)
	slices.Sort(sorted)
	return float64(sorted[len(sorted)/2]), true
}

// stepRate is steps per minute, by the median of the latest intervals.
func stepRate(j *collector.Job) (float64, bool) {
	m, ok := median(j.Intervals)
	if !ok || m <= 0 || !j.LastStep.Known() {
		return 0, false
	}
	return 60 / m, true
}

// notFinite: the newest loss of some split is no number, or some other value came so within the last hour.
func notFinite(j *collector.Job, c *checks) (at collector.Time, bad bool) {
	for _, r := range j.Readings {
		if r.Metric > collector.Loss {
			break
		}
		if r.Metric == collector.Loss && isBad(r) {
			return r.At, true
		}
	}
	return j.NonFiniteAt, c.recent(j.NonFiniteAt)
}

func isBad(r collector.Reading) bool { return r.Null || math.IsNaN(r.Value) || math.IsInf(r.Value, 0) }

// overBudget finds a currency in which a job costs more than it may.
func overBudget(j *collector.Job) (cost, budget collector.Reading, over bool) {
	for _, b := range j.Readings {
		if b.Metric == collector.Budget && !b.Null {
			if v, ok := j.Reading(collector.Cost, b.Label); ok && v > b.Value {
				return collector.Reading{Label: b.Label, Value: v}, b, true
			}
		}
	}
	return cost, budget, false
}

// problem is a finding in words.
type problem struct {
	Level  sign
	What   string // such as "Job failed"
	Name   label
	Link   string
	Why    string
	Do     string // what somebody can do about it
	Alert  string // the shipped alerts of it, by name, if there are any
	Source string
	When   string // what happened at that time
	At     moment
	First  moment // of several alike
	Lead   string // what Jobs are
	Jobs   []jobRef
	More   string // how many others there are

	level level
	at    collector.Time
	past  bool // it is over, and leaves the list by itself
	n     int  // how many findings it stands for
}

var levelSigns = map[level]sign{critical: {"critical", "✖", "bad"}, warning: {"warning", "▲", "warn"}, note: {"note", "○", "quiet"}}

// Alerts are the shipped alerts of it.
func (p problem) Alerts() []string { return strings.Fields(p.Alert) }

func (c *checks) problem(f finding, at clock) problem {
	w := kindWords[f.kind]
	return problem{
		Level: levelSigns[f.level], What: w.what, Name: nameOf(f.job), Link: jobLink(f.job.Key), Why: c.why(f), Do: f.kind.doFor(f.job),
		Alert: w.alert, Source: clean(f.job.Key.Source), When: w.when, At: at.moment(f.at), level: f.level, at: f.at, past: f.kind.past(), n: 1,
	}
}

// why says in words what was found.
func (c *checks) why(f finding) string {
	j := f.job
	switch f.kind {
	case jobFailed:
		return failureOf(j)
	case jobNotFinite:
		return badValues(j)
	case jobStalled, jobNoStep, jobQueued, jobSilent, jobCheckpoint, jobRestarts, jobRising, jobSlow:
		return c.whyWaits(f)
	case jobEndsBusy:
		return fmt.Sprintf("The service says that it has ended, and the GPUs that it had here were %.0f %% busy for the last ten minutes.", 100*c.troubles.ends[j.Key])
	case jobSpins, jobDead, jobIdle, jobPartIdle:
		return c.whyGPUs(f)
	case jobLost:
		return "The service no longer knows this job, so nobody can say how it ended."
	case jobOverBudget:
		cost, budget, _ := overBudget(j)
		return "It has cost " + money(cost.Value, cost.Label) + " of a budget of " + money(budget.Value, budget.Label) + "."
	}
	return ""
}

func seconds(s float64) string {
	if s < 10 {
		return trimmed(math.Round(s*10)/10) + " s"
	}
	return span(time.Duration(s * float64(time.Second)))
}
