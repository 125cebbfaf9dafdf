package collectortest

import (
	"testing"
	"testing/synctest"
)

// Run holds a kind of source to what every source promises, one subtest for each way in which a service, the way to it, or the
// program itself can fail. It must not be called from a parallel test: it measures what calls allocate.
func Run(t *testing.T, s Subject) {
	t.Helper()
	for _, c := range trials() {
		t.Run(c.name, func(t *testing.T) {
			if c.needs != nil && !c.needs(s) {
				t.Skip("does not apply to this source")
			}
			synctest.Test(t, func(t *testing.T) { c.run(t, s) })
		})
	}
}

// trial is one subtest of Run.
type trial struct {
	name     string
	needs    func(Subject) bool // nil is all
	badKey   bool
	provoked bool // refusals of credentials at the service are the trial's own doing
	check    func(b *bench)
}

func (c trial) run(tb testing.TB, s Subject) {
	tb.Helper()
	b := newBench(tb, s, c.badKey)
	defer b.close(c.provoked)
	c.check(b)
}

func paged(s Subject) bool  { return s.Pages }
func tokens(s Subject) bool { return s.Tokens }

func trials() []trial {
	all := []trial{
		{name: "well", check: well},
		{name: "context cancelled before", check: cancelledBefore},
		{name: "context cancelled during a request", check: cancelledDuring},
		{name: "context cancelled during a pause", check: cancelledPause},
		{name: "deadline", check: deadline},
		{name: "bad credential", badKey: true, provoked: true, check: badCredential},
		{name: "too many requests", check: throttled(pauseNone)},
		{name: "too many requests, wait in seconds", check: throttled(pauseSeconds)},
		{name: "too many requests, wait as a date", check: throttled(pauseDate)},
		{name: "unavailable, wait in seconds", check: throttled(pauseUnavailable)},
		{name: "unreachable", check: unreachable},
		{name: "faults come and go", check: comeAndGo},
		{name: "restarts", check: restarts},
		{name: "duplicate pages", needs: paged, check: duplicatePages},
		{name: "missing pages", needs: paged, check: missingPages},
		{name: "broken pages", needs: paged, check: brokenPages},
		{name: "token ends while reading", needs: tokens, provoked: true, check: tokenEnds},
		{name: "token ends for many at once", needs: tokens, provoked: true, check: tokenEndsForAll},
		{name: "first token for many at once", needs: tokens, provoked: true, check: firstToken},
		{name: "token ends in time", needs: tokens, provoked: true, check: tokenAges},
		{name: "no tokens", needs: tokens, provoked: true, check: noTokens},
	}
	for _, a := range ailments() {
		all = append(all, trial{name: "every answer " + a.name, provoked: true, check: a.check})
	}
	return all
}
