package program

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// limiter is a log handler that lets one line of a text through per minute, and says with the next how many it held back, so
// that a source that fails for every job, or a trainer that asks in vain, does not fill a disk.
type limiter struct {
	slog.Handler
	said *said
}

type said struct {
	mu   sync.Mutex
	last map[string]*line
}

type line struct {
	next time.Time
	held int
}

const (
	limitEach = time.Minute
	maxTexts  = 1024 // texts are constants in the code; this bounds mistakes
)

// limited is a logger that drops repeated warnings and errors.
func limited(log *slog.Logger) *slog.Logger {
	return slog.New(&limiter{log.Handler(), &said{last: map[string]*line{}}})
}

// Handle implements [slog.Handler].
func (l *limiter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return l.Handler.Handle(ctx, r)
	}
	held, ok := l.said.allow(r.Message, r.Time)
	if !ok {
		return nil
	}
	if held > 0 {
		r.AddAttrs(slog.Int("suppressed", held))
	}
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (l *limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limiter{l.Handler.WithAttrs(attrs), l.said}
}

// WithGroup implements [slog.Handler].
func (l *limiter) WithGroup(name string) slog.Handler {
	return &limiter{l.Handler.WithGroup(name), l.said}
}

func (s *said) allow(text string, now time.Time) (held int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.last[text]
	if l == nil {
		if len(s.last) >= maxTexts {
			return 0, true
		}
		l = &line{}
		s.last[text] = l
	}
	if now.Before(l.next) {
		l.held++
		return 0, false
	}
	held = l.held
	l.next, l.held = now.Add(limitEach), 0
	return held, true
}
