package collectortest

import (
	"net/http"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

func (b *bench) tokens() TokenService {
	b.Helper()
	s, ok := b.service.(TokenService)
	if !ok {
		b.Fatalf("Subject.Tokens is set, but the service is no TokenService")
	}
	return s
}

// tokenEnds makes the token worthless between two requests, for each request of a full reading.
func tokenEnds(b *bench) {
	s := b.tokens()
	b.settle("at first")
	for n := 1; n <= maxPages; n++ {
		b.afresh()
		if out := b.list(); out.err != nil { // the first token
			b.Fatalf("List: %v", out.err)
		}
		had, ended := s.TokenRequests(), false
		b.meddler.meddle(func(i int, _ http.ResponseWriter, _ *http.Request) bool {
			if i == n {
				ended = true
				s.ExpireTokens()
			}
			return false
		})
		if err := b.round(); err != nil {
			b.Errorf("the token ended before request %d: %v", n, err)
		}
		b.meddler.meddle(nil)
		if grown := s.TokenRequests() - had; ended && grown != 1 {
			b.Errorf("the token ended before request %d: %d tokens were asked for instead of 1", n, grown)
		}
		b.settle("after a token ended")
	}
}

// crowd is how many ask at once.
const crowd = 16

// together makes calls at the same time, to a service that takes a while to answer. Listings are never made at the same time.
func (b *bench) together() {
	b.Helper()
	b.meddler.meddle(data(func(w http.ResponseWriter, r *http.Request) {
		if pause(r, 100*time.Millisecond) {
			b.meddler.service.ServeHTTP(w, r)
		}
	}))
	var calls sync.WaitGroup
	var mu sync.Mutex
	source := b.drive.Source()
	f, follows := source.(collector.Follower)
	jobs := b.drive.Jobs()
	ids := b.drive.Due()
	for i := range crowd {
		calls.Go(func() {
			var err error
			switch {
			case follows && len(ids) > 0:
				_, err = f.Follow(b.Context(), jobs[ids[i%len(ids)]])
			case i == 0:
				_, err = source.List(b.Context())
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				b.Errorf("one of %d calls at once: %v", crowd, err)
			}
		})
	}
	calls.Wait()
	b.meddler.meddle(nil)
}

func tokenEndsForAll(b *bench) {
	s := b.tokens()
	b.settle("at first")
	for range 3 {
		had := s.TokenRequests()
		s.ExpireTokens()
		b.together()
		if grown := s.TokenRequests() - had; grown != 1 {
			b.Errorf("the token ended while %d asked at once: %d tokens were asked for instead of 1", crowd, grown)
		}
		b.advance(time.Minute)
	}
	b.settle("afterwards")
}

func firstToken(b *bench) {
	s := b.tokens()
	b.settle("at first")
	b.reopen()
	had := s.TokenRequests()
	b.together()
	if grown := s.TokenRequests() - had; grown != 1 {
		b.Errorf("%d asked at once without a token: %d tokens were asked for instead of 1", crowd, grown)
	}
}

// tokenAges lets days pass between rounds: the token that was had is over, and that is no failure.
func tokenAges(b *bench) {
	s := b.tokens()
	b.settle("at first")
	for range 3 {
		time.Sleep(25 * time.Hour)
		had := s.TokenRequests()
		if err := b.round(); err != nil {
			b.Errorf("a round after a day of rest: %v", err)
		}
		if grown := s.TokenRequests() - had; grown > 2 {
			b.Errorf("a round after a day of rest: %d tokens were asked for", grown)
		}
	}
	b.settle("afterwards")
}

// noTokens has a service that gives no token, in several ways.
func noTokens(b *bench) {
	s := b.tokens()
	b.settle("at first")
	for _, spoil := range []fault{
		status(http.StatusUnauthorized), status(http.StatusServiceUnavailable), html(http.StatusBadGateway), html(http.StatusOK),
		says(jsonType, "{}"), silent(), repeats("{", " ", "", big), redirect(http.StatusTemporaryRedirect), hangUp(""),
	} {
		b.advance(time.Minute)
		before := b.snapshot()
		asked := b.meddler.requests()
		s.ExpireTokens()
		b.meddler.meddle(func(n int, w http.ResponseWriter, r *http.Request) bool {
			return n == 0 && spoil(1, w, r)
		})
		failed := 0
		for range 3 {
			if err := b.round(); err != nil {
				failed++
			}
			time.Sleep(time.Second)
		}
		if failed == 0 {
			b.Errorf("a round without a token went well")
		}
		b.unharmed(before, false)
		if n, calls := b.meddler.requests()-asked, 3*(1+len(b.drive.Due())); n > 6*calls {
			b.Errorf("%d requests in %d calls without a token", n, calls)
		}
		b.meddler.meddle(nil)
		b.settle("when there are tokens again")
	}
}
