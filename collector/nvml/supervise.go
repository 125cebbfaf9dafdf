package nvml

import (
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// supervise ends helpers that are silent and starts what is due.
func (m *Monitor) supervise(now time.Time) {
	for l := range m.lives {
		if !l.killAt.IsZero() && !now.Before(l.killAt) {
			l.killAt = time.Time{}
			l.kill()
		}
	}
	if l := m.current; l != nil {
		if quiet := now.Sub(l.heard); quiet >= m.silence {
			m.end(l, endedSilent, "the helper has said nothing for "+quiet.Round(time.Second).String(), now)
		}
	}
	if m.current != nil || m.never || now.Before(m.next) {
		return
	}
	if m.alive.Load() >= maxHelpers {
		m.fault, m.detail = endedSilent, "two helpers hang in the driver and cannot be ended; no third is started"
		if !m.saidFull {
			m.log.log.Error("two helpers that read GPUs cannot be ended, and no third is started: GPUs are not read until one of them ends; " +
				"look at dmesg, the machine may need a reboot")
		}
		m.saidFull = true
		return
	}
	m.saidFull = false
	m.begin(now)
}

// begin starts a helper.
func (m *Monitor) begin(now time.Time) {
	want := 0
	if m.config.Expected != nil {
		want = *m.config.Expected
	}
	known, missing := m.memory.known()
	if want = max(want, known); !missing && known == want {
		m.refresh = 0
	}
	m.refresh = min(max(2*m.refresh, minRefresh, 12*m.config.interval()), max(maxRefresh, 12*m.config.interval()))
	l := &life{began: now, heard: now, xids: map[xidKey]uint64{}}
	m.current = l
	m.lives[l] = true
	m.memory.starts++
	m.alive.Add(1)
	go m.live(l, helper.Options{
		Library: m.config.Library, Interval: m.config.interval(), Slow: time.Duration(m.config.SlowInterval), Profiling: *m.config.Profiling,
		Processes: m.config.Processes || m.config.Assignments.NeedsProcesses(), Want: want, Refresh: m.refresh,
	})
}

// handle takes a message and reports whether it changes what is shown.
func (m *Monitor) handle(x message, now time.Time) bool {
	l := x.life
	current := l == m.current
	switch {
	case x.line != "":
		m.hear(x.line)
		return false
	case x.gone:
		if current {
			m.end(l, endedCrashed, m.lastWords(x.err), now)
		}
		delete(m.lives, l)
		m.memory.exits[l.ended]++
	case !current: // what it says does not count any more
		return false
	case x.frame != nil:
		m.take(l, x.frame, now)
	case wrong(x.err) != "":
		m.end(l, endedCrashed, wrong(x.err), now)
	default: // the end of its stdout: why will be known when it was reaped
		l.killAt = now.Add(time.Second)
		return false
	}
	return true
}

// take takes over a frame of the helper that is listened to.
func (m *Monitor) take(l *life, f *helper.Frame, now time.Time) {
	l.heard, l.calls, l.init = now, f.Calls, f.Init
	if f.Fault == helper.Starting && f.Again == "" {
		if now.Sub(l.began) > startWithin {
			m.end(l, endedSilent, "the driver's initialisation has not come back for "+startWithin.String(), now)
		}
		return
	}
	if l.answered.IsZero() {
		l.answered = now
	}
	if f.Versions != (collector.DriverVersions{}) {
		m.versions = cleanVersions(f.Versions)
	}
	m.frame, m.good, m.fault, m.detail = f, now, "", ""
	if f.Fault != "" {
		m.good, m.fault, m.detail = time.Time{}, known(f.Fault), collector.CleanWords(f.Detail)
		m.never = f.Fault == "not_built_in"
	} else {
		m.memory.take(f, now, max(resetsWithin, 2*time.Duration(m.config.SlowInterval)), m.isCounter)
		m.memory.xids(f, l.xids, m.sayXID)
	}
	if f.Again != "" {
		m.log.log.Debug("the helper that reads GPUs begins anew", "why", collector.CleanWords(f.Again))
		m.end(l, endedAgain, "", now)
	}
}

// end stops listening to the helper and says when the next may be started.
func (m *Monitor) end(l *life, why, detail string, now time.Time) {
	m.current = nil
	l.ended = why
	m.memory.spend(l.calls)
	l.dismiss()
	if !l.answered.IsZero() && now.Sub(l.answered) >= wellAfter {
		m.backoff = 0
	}
	if why == endedAgain {
		l.killAt = now.Add(againWithin)
		m.next = l.began.Add(max(m.config.interval(), initShare*min(l.init, startWithin)))
		return
	}
	m.fault, m.detail = why, detail
	l.kill()
	m.backoff = min(max(time.Second, 2*m.backoff), maxBackoff)
	m.next = now.Add(m.backoff)
	m.log.warn("helper "+why, 3, "the helper that reads GPUs has ended", "reason", why, "detail", detail, "next_in", m.backoff.String())
}

// shutdown ends all helpers.
func (m *Monitor) shutdown() {
	for l := range m.lives {
		if l == m.current {
			l.ended = endedStopped
			m.memory.spend(l.calls)
		}
		l.dismiss()
	}
	m.current = nil
	patience := time.NewTimer(300 * time.Millisecond)
	defer patience.Stop()
	for kills := 0; len(m.lives) > 0 && kills < 2; {
		select {
		case x := <-m.messages:
			if x.gone {
				delete(m.lives, x.life)
				m.memory.exits[x.life.ended]++
			}
		case <-patience.C:
			for l := range m.lives {
				l.kill()
			}
			kills++
			patience.Reset(time.Second)
		}
	}
}
