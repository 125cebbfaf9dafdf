package engine

import (
	"errors"
	"fmt"
	"time"
)

// A Timeline is what a rehearsal saw.
type Timeline struct {
	Start, End time.Time
	// Alerts are all that became pending, in the order in which they fired, or became pending if they never fired. What was pending,
	// fired or resolved more than once is there as often.
	Alerts []Alert
	// Scrapes is how often the target was scraped, FailedScrapes how often in vain, and ScrapeErrors why.
	Scrapes, FailedScrapes int
	ScrapeErrors           []Incident
	// Trouble is what went wrong with the rules and with Prometheus itself.
	Trouble []Incident
	// Known are the names of all alerts in the rules, sorted.
	Known []string
	// ExternalLabels are those of [Options].
	ExternalLabels map[string]string
}

// An Alert is one alert from when it became pending. Times that have not come are zero.
type Alert struct {
	Name string
	// Labels identify the alert, alertname among them.
	Labels map[string]string
	// Annotations and Value are those of the last evaluation in which the expression held.
	Annotations map[string]string
	Value       float64
	// Expr is the expression of the rule.
	Expr string
	// Pending is when the expression began to hold, Fired when it had held for long enough, Resolved when it held no more.
	Pending, Fired, Resolved time.Time
}

// An Incident is something that went wrong, once or more often.
type Incident struct {
	Text        string
	Times       int
	First, Last time.Time
}

// HasFired tells whether the alert came as far as firing.
func (a Alert) HasFired() bool { return !a.Fired.IsZero() }

// Lasted is how long an alert fired, until end if it has not resolved, and 0 if it never fired.
func (a Alert) Lasted(end time.Time) time.Duration {
	if !a.HasFired() {
		return 0
	}
	if !a.Resolved.IsZero() {
		end = a.Resolved
	}
	return end.Sub(a.Fired)
}

// Fired are the alerts that fired.
func (t Timeline) Fired() []Alert {
	var fired []Alert
	for _, a := range t.Alerts {
		if a.HasFired() {
			fired = append(fired, a)
		}
	}
	return fired
}

// String tells the incident in a line.
func (i Incident) String() string {
	if i.Times == 1 {
		return i.Text
	}
	return fmt.Sprintf("%s (%d times)", i.Text, i.Times)
}

// troubled is all of the trouble as an error, or nil.
func (t Timeline) troubled() error {
	var errs []error
	for _, trouble := range t.Trouble {
		errs = append(errs, errors.New(trouble.String()))
	}
	return errors.Join(errs...)
}
