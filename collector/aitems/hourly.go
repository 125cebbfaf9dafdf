package aitems

import (
	"sync"
	"time"
)

// maxTold bounds the reasons that are remembered.
const maxTold = 10_000

// hourly lets each reason be told once an hour.
type hourly struct {
	mu   sync.Mutex
	next map[string]time.Time
}

func newHourly() *hourly { return &hourly{next: map[string]time.Time{}} }

// first reports whether the reason was not told within the hour, and notes that it is told now.
func (h *hourly) first(reason string) bool {
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
	h.next[reason] = now.Add(time.Hour)
	return true
}

func (h *hourly) forget(now time.Time) {
	for reason, next := range h.next {
		if !now.Before(next) {
			delete(h.next, reason)
		}
	}
}
