package nvml

import (
	"maps"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// What a helper that is to replace another is given.
const (
	minRefresh  = time.Minute      // between looks for GPUs that are missing; more and more, up to
	maxRefresh  = 10 * time.Minute // this
	coverWithin = 10 * time.Second // from its first answer on, to read all that the other reads, or three intervals
	xidQuiet    = time.Second / 2  // without an XID, within this time too, so that both have counted the same

	stuckStart = "the driver's initialisation does not come back"
)

// renew starts another helper beside the one that is listened to, where only a library that is initialised anew may see a GPU
// again. GPUs that are well are read by the old one until the new one reads them.
func (m *Monitor) renew(now time.Time) {
	l := m.current
	if l == nil || l.answered.IsZero() || m.coming != nil || m.never {
		return
	}
	missing := m.missing()
	if !missing && !l.lost {
		m.refresh = 0
		return
	}
	if now.Before(m.renewAt(l)) || m.alive.Load() >= maxHelpers {
		return
	}
	m.refresh = m.nextRefresh()
	m.renewed = now
	m.coming = m.begin(now)
	m.coming.before = maps.Clone(l.xids)
}

// renewAt is when a helper may be started beside another: at once where a GPU was lost, and else from time to time. Either way,
// initialisation takes a small share of the time.
func (m *Monitor) renewAt(l *life) time.Time {
	share := initShare * min(l.init, startWithin)
	if l.lost {
		return later(l.began.Add(m.config.interval()), m.renewed.Add(max(m.config.interval(), share)))
	}
	return later(l.answered, m.renewed).Add(max(m.nextRefresh(), share))
}

// nextRefresh is the pause before the next look for GPUs that are missing.
func (m *Monitor) nextRefresh() time.Duration {
	ticks := 12 * m.config.interval()
	return min(max(2*m.refresh, minRefresh, ticks), max(maxRefresh, ticks))
}

// missing reports whether there are fewer GPUs than there should be, or one is lost.
func (m *Monitor) missing() bool {
	f := m.frame
	if f == nil || f.Fault != "" {
		return f != nil && f.Fault == "no_gpu"
	}
	for i := range f.GPUs {
		if f.GPUs[i].State == helper.Lost {
			return true
		}
	}
	want := m.memory.known()
	if m.config.Expected != nil {
		want = max(want, *m.config.Expected)
	}
	return listed(f) < want
}

// listed is how many GPUs a frame tells of, those that cannot be opened included.
func listed(f *helper.Frame) int {
	indices := map[int]bool{}
	for i := range f.GPUs {
		indices[f.GPUs[i].Index] = true
	}
	return len(indices)
}

// consider takes a frame of the helper that is to replace the one that is listened to.
func (m *Monitor) consider(l *life, f *helper.Frame, now time.Time) {
	l.note(f, now)
	if l.answered.IsZero() {
		if now.Sub(l.began) > startWithin {
			m.abandon(l, endedSilent, stuckStart, now)
		}
		return
	}
	l.pending = f
	if m.replaceBy(l, now) || m.coming != l {
		return
	}
	if f.Again != "" || m.late(l, now) {
		m.abandon(l, endedAgain, collector.CleanWords(f.Again), now)
	}
}

// late reports whether a helper that is coming has had its time.
func (m *Monitor) late(l *life, now time.Time) bool {
	return now.Sub(l.answered) >= max(coverWithin, 3*m.config.interval())
}

// replaceBy listens to the helper that is coming instead of the one that is listened to, if it is as good.
func (m *Monitor) replaceBy(l *life, now time.Time) bool {
	f := l.pending
	switch {
	case f == nil:
		return false
	case !m.readable(now):
	case f.Fault != "" || f.Again != "" || !m.covers(f, now):
		return false
	case now.Before(m.countedAt(l)) && !m.late(l, now):
		return false
	}
	for i := range f.GPUs {
		f.GPUs[i].Age += now.Sub(l.heard)
	}
	l.pending = nil
	old := m.current
	m.log.log.Debug("another helper reads the GPUs", "after", now.Sub(l.began).String())
	m.succeed(old)
	m.dismiss(old, endedAgain, now)
	m.take(l, f, now)
	return true
}

// countedAt is when both helpers have counted and told the same XIDs, as far as can be known: when there was none for a while, since
// the new one counts.
func (m *Monitor) countedAt(l *life) time.Time {
	return later(l.answered, later(l.xidAt, m.current.xidAt)).Add(xidQuiet)
}

// covers reports whether a frame tells of all GPUs and instances that are up.
func (m *Monitor) covers(f *helper.Frame, now time.Time) bool {
	reads := map[string]bool{}
	for i := range f.GPUs {
		g := &f.GPUs[i]
		reads[g.ID] = g.ReadAt.Known() && (g.State == helper.OK || g.State == helper.Slow)
	}
	for _, a := range m.memory.shown() {
		if a.up(now, m.config.stale()) && !reads[a.id] {
			return false
		}
	}
	return true
}

// succeed puts the helper that is coming, if there is one, in the place of another. Both have counted XIDs: those that the other
// told since this one began are left out of what this one has counted.
func (m *Monitor) succeed(old *life) {
	l := m.coming
	m.current, m.coming = l, nil
	if l == nil {
		return
	}
	l.pending = nil
	for k, n := range l.counted {
		l.xids[k] = min(n, old.xids[k]-min(old.xids[k], l.before[k]))
	}
}

// abandon ends a helper that was to replace the one that is listened to, and is of no use.
func (m *Monitor) abandon(l *life, why, detail string, now time.Time) {
	m.coming = nil
	m.current.lost = false // from time to time is enough
	m.dismiss(l, why, now)
	if why != endedAgain {
		m.sayEnd(why, detail)
		return
	}
	m.log.log.Debug("another helper does not read what this one does, and is ended", "why", detail)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
