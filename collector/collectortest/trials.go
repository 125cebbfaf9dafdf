package collectortest

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// well lets a service that works go on for an hour.
func well(b *bench) {
	for range 30 {
		b.settle("without any fault")
		b.advance(2 * time.Minute)
	}
	b.settle("without any fault")
	if len(b.health.View().Requests) == 0 {
		b.Errorf("no request was reported to Env.Health")
	}
	if p, ok := b.drive.Source().(collector.Prober); ok {
		if out := b.call("Probe", pollWithin, p.Probe); out.err != nil {
			b.Errorf("Probe: %v", out.err)
		}
	}
}

// calls are the calls that a source can be asked to make now.
func (b *bench) calls() map[string]func(context.Context) error {
	out := map[string]func(context.Context) error{
		"List": func(ctx context.Context) error {
			_, err := b.drive.List(ctx)
			return err
		},
	}
	if p, ok := b.drive.Source().(collector.Prober); ok {
		out["Probe"] = p.Probe
	}
	for _, id := range b.drive.Due() {
		if b.drive.Jobs()[id].Phase.Ended() {
			continue
		}
		out["Follow"] = func(ctx context.Context) error {
			_, err := b.drive.Follow(ctx, id)
			return err
		}
	}
	return out
}

func cancelledBefore(b *bench) {
	b.settle("at first")
	b.advance(10 * time.Minute)
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	for kind, call := range b.calls() {
		out := b.call(kind, pollWithin, func(context.Context) error { return call(ctx) })
		if out.requests > 0 {
			b.Errorf("%s: %d requests for a caller who has left", kind, out.requests)
		}
		if !errors.Is(out.err, context.Canceled) && (kind != "List" || out.err != nil) { // a listing may need no request
			b.Errorf("%s: with a cancelled context: %v", kind, out.err)
		}
	}
	b.settle("afterwards")
}

// patience is how long a call may take to notice that its caller has left.
const patience = 100 * time.Millisecond

// abandon makes every call, and leaves it after a while.
func (b *bench) abandon(after time.Duration) {
	for kind, call := range b.calls() {
		out := b.call(kind, pollWithin, func(context.Context) error {
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			defer time.AfterFunc(after, cancel).Stop()
			return call(ctx)
		})
		if out.took > after+patience {
			b.Errorf("%s: came back %v after its context was cancelled", kind, out.took-after)
		}
		if out.took >= after && !errors.Is(out.err, context.Canceled) {
			b.Errorf("%s: cancelled after %v: %v", kind, after, out.err)
		}
		if out.took < after && out.requests > 0 {
			b.Errorf("%s: came back after %v, although the service does not answer: %v", kind, out.took, out.err)
		}
	}
}

func cancelledDuring(b *bench) {
	b.settle("at first")
	b.advance(10 * time.Minute)
	before := b.snapshot()
	b.meddler.meddle(silent())
	b.abandon(3 * time.Second)
	b.unharmed(before, false)
	b.meddler.meddle(b.meddler.slow())
	b.abandon(3 * time.Second)
	b.unharmed(before, false)
	b.meddler.meddle(nil)
	b.settle("afterwards")
}

func cancelledPause(b *bench) {
	b.settle("at first")
	b.advance(10 * time.Minute)
	b.meddler.meddle(status(http.StatusTooManyRequests, "Retry-After", "900"))
	_ = b.round() // it fails, as it should
	b.meddler.meddle(nil)
	for kind, call := range b.calls() {
		out := b.call(kind, pollWithin, func(context.Context) error {
			ctx, cancel := context.WithTimeout(b.Context(), time.Second)
			defer cancel()
			return call(ctx)
		})
		if out.took > time.Second+patience {
			b.Errorf("%s: came back %v after its deadline", kind, out.took-time.Second)
		}
		if out.requests > 0 {
			b.Errorf("%s: asked a service that had asked for a pause", kind)
		}
	}
	b.settle("afterwards")
}

func deadline(b *bench) {
	b.settle("at first")
	b.advance(10 * time.Minute)
	b.meddler.meddle(silent())
	const within = 2 * time.Second
	for kind, call := range b.calls() {
		out := b.call(kind, within, call)
		if out.took > within+patience {
			b.Errorf("%s: came back %v after its deadline", kind, out.took-within)
		}
		if class := collector.ClassOf(out.err); class != "timeout" && out.requests > 0 {
			b.Errorf("%s: error of class %q after the deadline: %v", kind, class, out.err)
		}
	}
	b.meddler.meddle(nil)
	b.settle("afterwards")
}

// setting is what names a field of the configuration.
var setting = func() *regexp.Regexp {
	return regexp.MustCompile(`\b(authorization|basic_auth|oauth2|[a-z]+(_[a-z0-9]+)*_(file|env|secret|key|id|url|ref|rest))\b`)
}

// badCredential has a key that the service refuses.
func badCredential(b *bench) {
	asked := b.meddler.requests()
	refusals := 0
	look := func(kind string, err error) {
		if class := collector.ClassOf(err); class != "auth" {
			b.Errorf("%s: error of class %q with a bad credential: %v", kind, class, err)
		}
		refusals++
	}
	for range 10 {
		if out := b.list(); out.err != nil || out.requests > 0 {
			look("List", out.err)
		}
		for id := range b.drive.Jobs() {
			if out := b.follow(id); out.err != nil || out.requests > 0 {
				look("Follow", out.err)
			}
		}
		time.Sleep(time.Second)
	}
	if refusals == 0 {
		b.Errorf("neither List nor Follow failed with a bad credential")
	}
	if n := b.meddler.requests() - asked; n > 12 {
		b.Errorf("%d requests in ten seconds with a credential that is refused", n)
	}
	p, ok := b.drive.Source().(collector.Prober)
	if !ok {
		return
	}
	time.Sleep(10 * time.Minute)
	out := b.call("Probe", pollWithin, p.Probe)
	look("Probe", out.err)
	if out.err != nil && !setting().MatchString(out.err.Error()) {
		b.Errorf("Probe: the error names no setting to check: %v", out.err)
	}
}

func unreachable(b *bench) {
	b.settle("at first")
	b.advance(time.Minute)
	before := b.snapshot()
	b.meddler.meddle(data(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	_ = b.list() // ends the connections that were kept
	b.meddler.cut(refused())
	for range 2 {
		b.sickRound(ailment{classes: []string{"connect"}})
		b.unharmed(before, false)
		b.advance(31 * time.Second)
	}
	b.meddler.meddle(nil)
	b.settle("afterwards")
}

// The ways to ask for a pause.
const (
	pauseNone = iota
	pauseSeconds
	pauseDate
	pauseUnavailable
)

// throttled has a service that refuses and asks to wait.
func throttled(how int) func(*bench) {
	const wait = 150 * time.Second
	return func(b *bench) {
		b.settle("at first")
		b.advance(time.Minute)
		before := b.snapshot()
		class, quiet := "rate_limited", wait
		refuse := func(w http.ResponseWriter, r *http.Request) {
			switch how {
			case pauseNone:
				status(http.StatusTooManyRequests)(1, w, r)
			case pauseSeconds:
				status(http.StatusTooManyRequests, "Retry-After", "150")(1, w, r)
			case pauseDate:
				at := time.Now().Add(wait).UTC().Format(http.TimeFormat)
				status(http.StatusTooManyRequests, "Retry-After", at)(1, w, r)
			default:
				status(http.StatusServiceUnavailable, "Retry-After", "150")(1, w, r)
			}
		}
		switch how {
		case pauseNone:
			quiet = 30 * time.Second // nothing was asked for, so any good while will do
		case pauseUnavailable:
			class = "http_5xx"
		}
		var refusedAt time.Time
		b.meddler.meddle(data(func(w http.ResponseWriter, r *http.Request) {
			if refusedAt.IsZero() {
				refusedAt = time.Now()
			}
			refuse(w, r)
		}))
		for range 4 {
			b.waitingRound(class)
			time.Sleep(time.Second)
		}
		b.unharmed(before, false)
		time.Sleep(max(0, quiet-time.Since(refusedAt)-time.Second))
		_ = b.round() // it may fail: the pause is not over
		if refusedAt.IsZero() {
			b.Fatalf("nothing was asked")
		}
		if n := b.meddler.between(refusedAt, refusedAt.Add(quiet)); n > 0 {
			b.Errorf("%d requests before the %v were over that the service asked for", n, quiet)
		}
		b.meddler.meddle(nil)
		b.settle("afterwards")
	}
}

// waitingRound makes a round in which calls fail, at once or at their deadline.
func (b *bench) waitingRound(class string) {
	b.Helper()
	classes := []string{class, "timeout", "rate_limited"}
	b.judge("List", b.list(), classes)
	for _, id := range b.drive.Due() {
		b.judge("Follow", b.follow(id), classes)
	}
}
