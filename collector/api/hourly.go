package api

import (
	"sync"
	"time"
)

// maxTold bounds the reasons that are remembered.
const maxTold = 20_000

// Hourly lets each reason be told once an hour: what is odd in one answer is odd in the next. The zero value is ready; it is safe
// for concurrent use and must not be copied.
type Hourly struct {
	mu   sync.Mutex
	next map[string]time.Time
}

// First reports whether the reason was not told within the hour, and notes that it is told now. Beyond 20,000 reasons within an
// hour further ones are not told.
func (h *Hourly) First(reason string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if now.Before(h.next[reason]) {
		return false
	}
	if len(h.next) >= maxTold {
		h.forget(now)
	}
	if len(h.next) >= maxTold {
		return false
	}
	if h.next == nil {
		h.next = map[string]time.Time{}
	}
	h.next[reason] = now.Add(time.Hour)
	return true
}

func (h *Hourly) forget(now time.Time) {
	for reason, next := range h.next {
		if !now.Before(next) {
			delete(h.next, reason)
		}
	}
}
