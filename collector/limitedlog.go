package collector

import (
	"log/slog"
	"sync"
	"time"
)

// limitedLog writes one line per reason and minute, with how many were left out, so that a failing source with 100,000 jobs
// does not fill a disk.
type limitedLog struct {
	log *slog.Logger
	mu  sync.Mutex
	by  map[string]*reason
}

type reason struct {
	next       time.Time
	suppressed int
}

const logEvery = time.Minute

func newLimitedLog(log *slog.Logger) *limitedLog {
	return &limitedLog{log: log, by: map[string]*reason{}}
}

func (l *limitedLog) warn(why, msg string, args ...any) {
	suppressed, ok := l.allow(why, time.Now())
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	l.log.Warn(msg, args...)
}

func (l *limitedLog) allow(why string, now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.by[why]
	if r == nil {
		r = &reason{}
		l.by[why] = r
	}
	if now.Before(r.next) {
		r.suppressed++
		return 0, false
	}
	suppressed = r.suppressed
	r.next, r.suppressed = now.Add(logEvery), 0
	return suppressed, true
}
