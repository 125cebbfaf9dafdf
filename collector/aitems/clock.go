package aitems

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/trainbridge/trainbridge/collector/api"
)

const (
	refusedSkew = 5 * time.Minute  // from which the gateway refuses a signature
	ignoredSkew = 30 * time.Second // up to which nothing is corrected
	maxSkew     = 15 * time.Minute // by which a time is corrected at most
)

// clock is the time to sign with. It hears of the service's clock as the observer of the client.
type clock struct {
	api.Observer
	trusted bool // that the answers are the service's: its clock may be followed
	log     *slog.Logger
	told    *api.Hourly
	skew    atomic.Int64 // the service's clock minus ours, in nanoseconds
}

// Skew implements [api.Observer].
func (c *clock) Skew(d time.Duration) {
	c.Observer.Skew(d)
	c.skew.Store(int64(d))
	if c.wrong() && c.told.First("clock") {
		c.log.Warn("this machine's clock is wrong, or the service's: synchronize it (NTP)", "problem", c.problem())
	}
}

// now is the time by the service's clock, as far as it may be followed.
func (c *clock) now() time.Time {
	now, d := time.Now(), time.Duration(c.skew.Load())
	if !c.trusted || d.Abs() < ignoredSkew {
		return now
	}
	return now.Add(min(max(d, -maxSkew), maxSkew))
}

// wrong reports whether the gateway would refuse the time of this machine.
func (c *clock) wrong() bool { return time.Duration(c.skew.Load()).Abs() >= refusedSkew }

// problem says how wrong the clock is and what follows.
func (c *clock) problem() string {
	d := time.Duration(c.skew.Load()).Round(5 * time.Second)
	how := "behind"
	if d < 0 {
		how = "ahead of"
	}
	text := fmt.Sprintf("this machine's clock is %v %s the service's, which refuses signatures that are %v off", d.Abs(), how, refusedSkew)
	if c.trusted && d.Abs() < maxSkew+refusedSkew {
		text += " (requests are signed with the service's time meanwhile)"
	}
	return text
}
