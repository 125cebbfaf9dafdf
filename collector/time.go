package collector

import "time"

// Time is an instant in nanoseconds since the Unix epoch, UTC. Zero means unknown. It is a third of the size of a
// time.Time and has no location to disagree about, which matters in a table of 100,000 jobs.
type Time int64

// TimeOf converts t; the zero time.Time becomes unknown.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixNano())
}

// Known reports whether t is an instant.
func (t Time) Known() bool { return t != 0 }

// Std converts t back; unknown becomes the zero time.Time.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(t)).UTC()
}

// Seconds is t as Prometheus wants timestamps: seconds since the epoch.
func (t Time) Seconds() float64 { return float64(t) / 1e9 }

// Add returns t+d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns the duration t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }
