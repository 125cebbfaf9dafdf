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
	if l := m.coming; l != nil {
		if quiet := now.Sub(l.heard); quiet >= m.silence {
			m.abandon(l, endedSilent, "the helper has said nothing for "+quiet.Round(time.Second).String(), now)
		} else {
			m.replaceBy(l, now)
		}
	}
	m.renew(now)
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
	m.current = m.begin(now)
}

// begin starts a helper.
func (m *Monitor) begin(now time.Time) *life {
	m.memory.starts++
	l := newLife(m.memory.starts, now)
	m.lives[l] = true
	m.alive.Add(1)
	go m.live(l, helper.Options{
		Library: m.config.Library, Interval: m.config.interval(), Slow: time.Duration(m.config.SlowInterval), Profiling: *m.config.Profiling,
		Processes: m.config.Processes || m.config.Assignments.NeedsProcesses(),
	})
	return l
}

// handle takes a message and reports whether it changes what is shown.
func (m *Monitor) handle(x message, now time.Time) bool {
	l := x.life
	current, coming := l == m.current, l == m.coming
	switch {
	case x.line != "":
		m.hear(x.line)
		return false
	case x.gone:
		m.lose(l, endedCrashed, func() string { return m.lastWords(x.err) }, now)
		delete(m.lives, l)
		m.memory.exits[l.ended]++
	case !current && !coming: // what it says does not count any more
		return false
	case x.frame != nil && coming:
		m.consider(l, x.frame, now)
	case x.frame != nil:
		m.take(l, x.frame, now)
	case wrong(x.err) != "":
		m.lose(l, endedCrashed, func() string { return wrong(x.err) }, now)
	default: // the end of its stdout: why will be known when it was reaped
		l.killAt = now.Add(time.Second)
		return false
	}
	return true
}

// lose stops listening to a helper that has failed, if it was listened to.
func (m *Monitor) lose(l *life, why string, detail func() string, now time.Time) {
	switch l {
	case m.current:
		m.end(l, why, detail(), now)
	case m.coming:
		m.abandon(l, why, detail(), now)
	}
}

// take takes over a frame of the helper that is listened to.
func (m *Monitor) take(l *life, f *helper.Frame, now time.Time) {
	l.note(f, now)
	if f.Fault == helper.Starting && f.Again == "" {
		if now.Sub(l.began) > startWithin {
			m.end(l, endedSilent, stuckStart, now)
		}
		return
	}
	if f.Versions != (collector.DriverVersions{}) {
		m.versions = cleanVersions(f.Versions)
	}
	m.frame, m.good, m.fault, m.detail = f, now, "", ""
	if f.Fault != "" {
		m.good, m.fault, m.detail = time.Time{}, known(f.Fault), collector.CleanWords(f.Detail)
		m.never = f.Fault == "not_built_in"
	} else {
		slow := time.Duration(m.config.SlowInterval)
		m.memory.take(f, sight{
			now: now, life: l.number, slow: slow + m.config.interval(), together: max(resetsWithin, 2*slow), isCounter: m.isCounter,
		})
		m.memory.xids(f, l.xids, m.sayXID)
	}
	if f.Again != "" {
		m.log.log.Debug("the helper that reads GPUs begins anew", "why", collector.CleanWords(f.Again))
		m.end(l, endedAgain, "", now)
	}
}

// end stops listening to the helper. The one that was to replace it does so at once; without one, end says when the next may be
// started.
func (m *Monitor) end(l *life, why, detail string, now time.Time) {
	if !l.answered.IsZero() && now.Sub(l.answered) >= wellAfter {
		m.backoff = 0
	}
	m.succeed(l)
	m.dismiss(l, why, now)
	if why == endedAgain {
		pause := m.config.interval()
		if !l.read { // as if nothing but the initialisation were left of it
			pause = max(pause, initShare*min(l.init, startWithin))
		}
		m.next = l.began.Add(pause)
		return
	}
	m.fault, m.detail = why, detail
	m.backoff = min(max(time.Second, 2*m.backoff), maxBackoff)
	m.next = now.Add(m.backoff)
	if m.current != nil {
		m.sayEnd(why, detail)
		return
	}
	m.sayEnd(why, detail, "next_in", m.backoff.String())
}

// dismiss ends a helper that is not listened to any more.
func (m *Monitor) dismiss(l *life, why string, now time.Time) {
	l.ended = why
	m.memory.spend(l.calls)
	l.dismiss()
	if why == endedAgain {
		l.killAt = now.Add(againWithin)
		return
	}
	l.kill()
}

func (m *Monitor) sayEnd(why, detail string, more ...any) {
	m.log.warn("helper "+why, 3, "the helper that reads GPUs has ended", append([]any{"reason", why, "detail", detail}, more...)...)
}

// shutdown ends all helpers.
func (m *Monitor) shutdown() {
	for l := range m.lives {
		if l == m.current || l == m.coming {
			l.ended = endedStopped
			m.memory.spend(l.calls)
		}
		l.dismiss()
	}
	m.current, m.coming = nil, nil
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
