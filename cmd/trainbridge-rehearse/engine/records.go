package engine

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
)

// maxAlerts limits a timeline. A rule that makes more alerts is broken, and so is a rehearsal that shows them.
const maxAlerts = 20_000

// records follow every alert of every rule from when it becomes pending until it resolves.
type records struct {
	mu      sync.Mutex
	open    map[*rules.AlertingRule]map[uint64]*episode // by the hash of the labels
	closed  []*episode
	count   int
	dropped int
}

// An episode is one alert from pending to the end of it. The same labels may have several, one after the other.
type episode struct {
	name                     string
	expr                     string
	labels, annotations      labels.Labels
	value                    float64
	pending, fired, resolved time.Time
}

func newRecords() *records {
	return &records{open: make(map[*rules.AlertingRule]map[uint64]*episode)}
}

// take reads what the alerting rules of a group say after an evaluation.
func (r *records) take(g *rules.Group, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rule := range g.Rules() {
		if alerting, ok := rule.(*rules.AlertingRule); ok {
			r.takeRule(alerting, at)
		}
	}
}

func (r *records) takeRule(rule *rules.AlertingRule, at time.Time) {
	open := r.open[rule]
	if open == nil {
		open = make(map[uint64]*episode)
		r.open[rule] = open
	}
	there := make(map[uint64]bool)
	rule.ForEachActiveAlert(func(a *rules.Alert) {
		hash := a.Labels.Hash()
		there[hash] = true
		is := open[hash]
		if is == nil {
			if is = r.begin(rule, a); is == nil {
				return
			}
			open[hash] = is
		}
		is.fired = a.FiredAt
		if a.State == rules.StateInactive {
			r.end(open, hash, a.ResolvedAt)
			return
		}
		is.annotations, is.value = a.Annotations, a.Value
	})
	for hash := range open { // pending alerts go without a trace
		if !there[hash] {
			r.end(open, hash, at)
		}
	}
}

// begin opens an episode: nil for an alert that resolved and is only remembered.
func (r *records) begin(rule *rules.AlertingRule, a *rules.Alert) *episode {
	if a.State == rules.StateInactive {
		return nil
	}
	if r.count == maxAlerts {
		r.dropped++
		return nil
	}
	r.count++
	return &episode{name: rule.Name(), expr: rule.Query().String(), labels: a.Labels, pending: a.ActiveAt}
}

func (r *records) end(open map[uint64]*episode, hash uint64, at time.Time) {
	is := open[hash]
	is.resolved = at
	r.closed = append(r.closed, is)
	delete(open, hash)
}

func (r *records) firing() []Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alerts(nil, func(e *episode) bool { return !e.fired.IsZero() })
}

func (r *records) all() []Alert {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alerts(r.closed, func(*episode) bool { return true })
}

// alerts are these episodes and the open ones that are wanted, in the order of a timeline.
func (r *records) alerts(episodes []*episode, wanted func(*episode) bool) []Alert {
	episodes = slices.Clone(episodes)
	for _, open := range r.open {
		for _, e := range open {
			if wanted(e) {
				episodes = append(episodes, e)
			}
		}
	}
	slices.SortFunc(episodes, func(a, b *episode) int {
		if c := a.begun().Compare(b.begun()); c != 0 {
			return c
		}
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return labels.Compare(a.labels, b.labels)
	})
	alerts := make([]Alert, len(episodes))
	for i, e := range episodes {
		alerts[i] = e.alert()
	}
	return alerts
}

// begun is when an episode fired, or became pending if it never did.
func (e *episode) begun() time.Time {
	if e.fired.IsZero() {
		return e.pending
	}
	return e.fired
}

func (e *episode) alert() Alert {
	return Alert{
		Name: e.name, Labels: e.labels.Map(), Annotations: e.annotations.Map(), Value: e.value, Expr: e.expr,
		Pending: e.pending, Fired: e.fired, Resolved: e.resolved,
	}
}

func (r *records) lost() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}
