package collectortest

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// dice are random numbers for several goroutines.
type dice struct {
	mu     sync.Mutex
	random *rand.Rand
}

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(n)
}

func (d *dice) share() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.Float64()
}

// comeAndGo lets any request fail in any way, at random, while the jobs go on and the program restarts.
func comeAndGo(b *bench) {
	random := &dice{random: rand.New(rand.NewPCG(7, 11))}
	kinds := ailments()
	for round := range 40 {
		before := b.snapshot()
		a := kinds[random.below(len(kinds))]
		spoil, chance := a.fault(b.meddler), random.share()
		b.meddler.meddle(func(n int, w http.ResponseWriter, r *http.Request) bool {
			return n > 0 && random.share() < chance && spoil(n, w, r) // one request at a time
		})
		_ = b.round() // whatever it says
		b.meddler.meddle(nil)
		b.unharmed(before, true)
		b.advance(time.Duration(random.below(180)) * time.Second)
		if round%7 == 6 {
			b.settle("between faults")
		}
		if round%10 == 9 {
			b.reopen()
		}
	}
	b.settle("after all faults")
}

// restarts has a program that is killed after every few polls.
func restarts(b *bench) {
	calls := 0
	again := func() {
		if calls++; calls%3 == 0 {
			b.reopen()
		}
	}
	for range 8 {
		b.list()
		again()
		for _, id := range b.drive.Due() {
			more := true
			for polls := 0; more && polls < maxPolls && !b.hopeless(); polls++ {
				out := b.follow(id)
				more = out.update.More && out.err == nil
				again()
			}
		}
		b.unharmed(b.snapshot(), true)
		b.advance(2 * time.Minute)
	}
	b.settle("after restarts")
	before := b.snapshot()
	b.meddler.meddle(status(http.StatusInternalServerError))
	_ = b.round() // it fails
	b.reopen()
	_ = b.round() // again, with nothing known but the jobs
	b.unharmed(before, false)
	b.meddler.meddle(nil)
	b.reopen()
	b.settle("after a restart during a fault")
}

// maxPages is up to which request of a full reading the faults of pages go.
const maxPages = 12

// duplicatePages has an answer come twice, one time for each request of a full reading.
func duplicatePages(b *bench) {
	b.settle("at first")
	b.advance(10 * time.Minute)
	for n := 2; n <= maxPages; n++ {
		b.settle("before a duplicate page")
		before := b.snapshot()
		b.meddler.meddle(b.meddler.replay(n))
		_ = b.round() // it may notice
		b.unharmed(before, true)
		b.meddler.meddle(nil)
		b.settle("after a duplicate page")
		b.afresh()
		b.meddler.meddle(b.meddler.replay(n))
		_ = b.round()
		b.unharmed(nil, true)
		b.meddler.meddle(nil)
		b.settle("after a duplicate page of a first reading")
	}
}

// missingPages has a service fail from some request on.
func missingPages(b *bench) {
	for n := 2; n <= maxPages; n++ {
		for _, spoil := range []fault{status(http.StatusInternalServerError), html(http.StatusNotFound), html(http.StatusBadGateway)} {
			b.interrupted(n, spoil)
		}
	}
}

// brokenPages has answers break from some request on.
func brokenPages(b *bench) {
	for n := 2; n <= maxPages; n++ {
		b.interrupted(n, b.meddler.half(true))
		b.interrupted(n, b.meddler.half(false))
		b.interrupted(n, says(jsonType, "{}"))
	}
}

// interrupted reads everything, first with jobs that are known and then from scratch, while the service fails from the nth
// request on.
func (b *bench) interrupted(n int, spoil fault) {
	b.Helper()
	b.settle("before a failure between pages")
	b.advance(time.Minute)
	before := b.snapshot()
	b.meddler.meddle(from(n, spoil))
	_ = b.round() // it fails at some place
	b.unharmed(before, true)
	b.meddler.meddle(nil)
	b.settle("after a failure between pages")
	b.afresh()
	b.meddler.meddle(from(n, spoil))
	_ = b.round()
	b.unharmed(nil, true)
	b.meddler.meddle(nil)
	b.settle("after a failure between pages of a first reading")
}
