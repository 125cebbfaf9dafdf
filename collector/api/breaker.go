package api

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	breakerSlots    = 10
	breakerSlot     = 3 * time.Second // ten of them are the window of 30 s
	breakerRequests = 20              // in the window, before failures mean anything
	breakerShut     = 10 * time.Second
	breakerShutMax  = time.Minute
)

// outcome is what one attempt says about the host.
type outcome uint8

const (
	unknown outcome = iota // the caller gave up, or nothing was sent
	worked
	failed // no answer, or a 5xx
)

// breakerCount is what happened in one slot of the window.
type breakerCount struct {
	at             int64 // number of the slot since 1970
	worked, failed int
}

// breaker stops asking a host that fails: it opens when at least half of at least twenty requests in 30 s failed. After a
// while one request at a time may try whether it is back. It is safe for concurrent use.
type breaker struct {
	mu       sync.Mutex
	slots    [breakerSlots]breakerCount
	open     bool
	class    string        // of the failure that opened it
	shut     time.Duration // how long the last one stayed shut
	probeAt  time.Time     // when a request may try, while open
	probing  bool
	notified func(open bool, class string, rest time.Duration) // called when the state changes, locked
}

// allow reports whether a request may go out, and whether it is the one that tries. Each allowed one must be followed by
// one call of done. If not, wait is how long until the next try, and class what opened the breaker.
func (b *breaker) allow(now time.Time) (ok, probe bool, wait time.Duration, class string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true, false, 0, ""
	}
	if b.probing || now.Before(b.probeAt) {
		return false, false, max(b.probeAt.Sub(now), 0), b.class
	}
	b.probing = true
	return true, true, 0, ""
}

// done reports how an allowed request ended. While the breaker is open only the end of the one that tries is news.
func (b *breaker) done(now time.Time, probe bool, o outcome, class string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open && o != unknown:
		b.count(now, o, class)
	case b.open && probe && o == unknown:
		b.probing = false
	case b.open && probe && o == worked:
		b.open, b.probing, b.slots = false, false, [breakerSlots]breakerCount{}
		b.tell(false, 0)
	case b.open && probe:
		b.trip(now, min(b.shut*2, breakerShutMax), class)
	}
}

// count adds one request to the window and opens the breaker if that was one failure too many.
func (b *breaker) count(now time.Time, o outcome, class string) {
	at := now.UnixNano() / int64(breakerSlot)
	s := &b.slots[at%breakerSlots]
	if s.at != at {
		*s = breakerCount{at: at}
	}
	if o == worked {
		s.worked++
		return
	}
	s.failed++
	var good, bad int
	for _, s := range b.slots {
		if s.at > at-breakerSlots {
			good, bad = good+s.worked, bad+s.failed
		}
	}
	if good+bad >= breakerRequests && bad >= good {
		b.trip(now, breakerShut, class)
	}
}

// trip opens the breaker for d and up to half as much again, so that replicas do not try in step.
func (b *breaker) trip(now time.Time, d time.Duration, class string) {
	b.open, b.probing, b.class, b.shut = true, false, class, d
	wait := d + rand.N(d/2)
	b.probeAt = now.Add(wait)
	b.tell(true, wait)
}

func (b *breaker) tell(open bool, rest time.Duration) {
	if b.notified != nil {
		b.notified(open, b.class, rest)
	}
}
