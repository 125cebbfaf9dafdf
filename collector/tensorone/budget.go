package tensorone

import (
	"fmt"
	"log/slog"
	"math"
	"sync"

	"github.com/trainbridge/trainbridge/collector/api"
)

const (
	hour = 3600.0 // seconds

	// maxBurst and burstShare bound the requests that may start at once. Each start of the program has a full burst, which comes
	// on top of what the one before has used, so it is a small part of the hour.
	maxBurst   = 20
	burstShare = 0.05
)

// fit is the rate and burst whose requests in any hour are at most reads: a bucket gives no more than its burst and what flows in. What is
// set already is kept, and judged by checkBudget.
func fit(reads int, rate float64, burst int) (float64, int) {
	if burst == 0 {
		burst = max(1, min(maxBurst, int(burstShare*float64(reads))))
	}
	if rate == 0 {
		rate = float64(reads-burst) / hour
	}
	return rate, burst
}

// minReads leaves a rate beside a burst.
const minReads = 4

// checkBudget wants a Config with defaults.
func (c *Config) checkBudget() error {
	if c.ReadsPerHour < minReads || c.ReadsPerHour > maxReads {
		return fmt.Errorf("reads_per_hour: must be between %d and %d, is %d", minReads, maxReads, c.ReadsPerHour)
	}
	inHour := c.HTTP.RateLimit*hour + float64(c.HTTP.Burst)
	if !(c.HTTP.RateLimit > 0) || inHour > float64(c.ReadsPerHour)*(1+1e-12) {
		return fmt.Errorf("reads_per_hour: rate_limit %g a second and burst %d would allow %.0f requests in an hour, not %d: "+
			"leave them out, they follow from it",
			c.HTTP.RateLimit, c.HTTP.Burst, math.Ceil(inHour), c.ReadsPerHour)
	}
	return nil
}

// meter passes on what the client observes, and learns from it when the service allows less than reads_per_hour.
type meter struct {
	api.Observer
	reads float64 // configured, in an hour
	rate  float64 // of the client, a second
	burst float64 // of the client
	log   *slog.Logger

	mu   sync.Mutex
	held float64 // the service's own limit in an hour while it holds us back; 0 is none
	told float64 // what the log was told of
}

// Budget implements [api.Observer]. A limit that is not our burst is the service's own, which counts by the hour in its documentation.
func (m *meter) Budget(limit, remaining float64) {
	m.Observer.Budget(limit, remaining)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = 0
	if limit >= 1 && limit != m.burst && limit < m.reads {
		m.held = limit
	}
	if m.held == 0 || m.held == m.told {
		return
	}
	m.told = m.held
	m.log.Warn("the service allows fewer reads than reads_per_hour: set it to that", "reads_per_hour", m.reads, "service", m.held)
}

// heldShare of a limit that the service told is planned with: how much of its window others have used is not known.
const heldShare = 0.75

// current is the rate to plan with, in requests a second.
func (m *meter) current() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == 0 {
		return m.rate
	}
	return min(m.rate, heldShare*m.held/hour)
}
