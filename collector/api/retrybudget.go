package api

import (
	"sync"
	"time"
)

// retryBudget holds retries to a tenth of the requests, with a small allowance for a client that asks seldom. It is safe for
// concurrent use.
type retryBudget struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

const (
	retryShare     = 0.1
	retryMax       = 10 // saved up
	retryFloor     = 2  // given to a quiet client
	retryPerMinute = 1  // refilled up to the floor
)

// request counts a first attempt.
func (b *retryBudget) request(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	b.tokens = min(b.tokens+retryShare, retryMax)
}

// take reports whether one more retry is within the budget, and counts it.
func (b *retryBudget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (b *retryBudget) refill(now time.Time) {
	if b.last.IsZero() {
		b.tokens, b.last = retryFloor, now
		return
	}
	if b.tokens < retryFloor {
		b.tokens = min(b.tokens+retryPerMinute*now.Sub(b.last).Minutes(), retryFloor)
	}
	b.last = now
}
