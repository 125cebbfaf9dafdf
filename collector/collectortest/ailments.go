package collectortest

import (
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// ailment is a service that gives the same kind of bad answer to every request for data, for a while.
type ailment struct {
	name    string
	fault   func(*meddler) fault
	classes []string // of the error; "" is none
	poll    []string // of a poll's error, if other ones than those of a listing
	learned bool     // an answer may be good for something nevertheless
	once    bool     // for one round instead of two: a second one would mean something
}

func just(f fault) func(*meddler) fault { return func(*meddler) fault { return f } }

func ailments() []ailment {
	decode, connect, timeout := []string{"decode"}, []string{"connect"}, []string{"timeout"}
	tooLarge := []string{"too_large", "decode"} // what is found first: that it is too large, or that it is not what was asked for
	silence := []string{"decode", ""}           // a poll may take an object without content for one that says nothing
	return []ailment{
		{name: "400", fault: just(status(400)), classes: []string{"http_4xx"}},
		{name: "401", fault: just(status(401)), classes: []string{"auth"}},
		{name: "403", fault: just(status(403)), classes: []string{"auth"}},
		{name: "404", fault: just(status(404)), classes: []string{"not_found"}, once: true},
		{name: "404 HTML", fault: just(html(404)), classes: []string{"not_found", "http_4xx"}, once: true},
		{name: "429", fault: just(status(429)), classes: []string{"rate_limited"}},
		{name: "500", fault: just(status(500)), classes: []string{"http_5xx"}},
		{name: "502 HTML", fault: just(html(502)), classes: []string{"http_5xx"}},
		{name: "200 HTML", fault: just(html(200)), classes: decode},
		{name: "of another type", fault: func(m *meddler) fault { return m.retyped("text/plain") }, classes: decode},
		{name: "empty", fault: just(says(jsonType, "")), classes: decode},
		{name: "an empty object", fault: just(says(jsonType, "{}")), classes: decode, poll: silence},
		{name: "null", fault: just(says(jsonType, "null")), classes: decode, poll: silence},
		{name: "a number", fault: just(says(jsonType, "1e999")), classes: decode},
		{name: "garbage", fault: just(garbage()), classes: decode},
		{name: "silence", fault: just(silent()), classes: timeout},
		{name: "slow", fault: (*meddler).slow, classes: timeout},
		{name: "endless", fault: just(repeats("{", " ", "", endless)), classes: tooLarge},
		{name: "an endless string", fault: just(repeats(`{"x":"`, "a", "", endless)), classes: tooLarge},
		{name: "huge", fault: just(repeats(`{"x":"`, "a", `"}`, big)), classes: tooLarge},
		{name: "many items", fault: just(repeats(`{"x":[`, "0,", "0]}", big)), classes: tooLarge},
		{name: "many members", fault: just(repeats(`{"x":{`, `"a":0,`, `"a":0}}`, big)), classes: tooLarge},
		{name: "deep", fault: just(repeats(`{"x":`, `[`, "", 1<<20)), classes: tooLarge},
		{name: "deep objects", fault: just(repeats("", `{"x":`, "", 1<<20)), classes: tooLarge},
		{name: "a gzip bomb", fault: just(bomb()), classes: tooLarge},
		{name: "broken gzip", fault: just(brokenGzip()), classes: decode},
		{name: "cut off", fault: func(m *meddler) fault { return m.half(true) }, classes: connect},
		{name: "truncated", fault: func(m *meddler) fault { return m.half(false) }, classes: decode},
		{name: "followed by garbage", fault: func(m *meddler) fault { return m.changed(trailed) }, classes: silence, learned: true},
		{name: "with duplicate keys", fault: func(m *meddler) fault { return m.changed(twice) }, classes: silence, learned: true},
		{name: "a flood of headers", fault: just(flood()), classes: []string{"too_large"}},
		{name: "a redirect", fault: just(redirect(307)), classes: []string{collector.OtherClass}},
		{name: "a redirect with GET", fault: just(redirect(302)), classes: []string{collector.OtherClass}},
		{name: "a closed connection", fault: just(hangUp("")), classes: connect},
		{name: "no HTTP", fault: just(hangUp("SSH-2.0-" + canary + "\r\n")), classes: connect},
	}
}

func trailed(body []byte) []byte { return append(body, `]}{"`+canary+`":`...) }

// check lets every answer be bad for some rounds, and then none.
func (a ailment) check(b *bench) {
	b.settle("before the fault")
	b.advance(time.Minute)
	before := b.snapshot()
	b.meddler.meddle(a.fault(b.meddler))
	for round := range 2 {
		if a.once && round > 0 {
			break
		}
		b.sickRound(a)
		b.unharmed(before, a.learned)
		b.advance(31 * time.Second)
	}
	b.meddler.meddle(nil)
	b.settle("after the fault")
}

// sickRound makes a round in which every call that asks the service must fail as the ailment says.
func (b *bench) sickRound(a ailment) {
	b.Helper()
	out := b.list()
	b.judge("List", out, a.classes)
	classes := a.classes
	if a.poll != nil {
		classes = a.poll
	}
	for _, id := range b.drive.Due() {
		out := b.follow(id)
		if out.err == nil && (out.update.NotFound || out.update.Early) && slices.Contains(classes, "not_found") {
			continue
		}
		b.judge("Follow", out, classes)
	}
}

// judge holds a call that met a fault to the classes its error may have. A call that asked nobody may succeed.
func (b *bench) judge(kind string, out outcome, classes []string) {
	b.Helper()
	class := collector.ClassOf(out.err)
	if class == "" && out.requests == 0 {
		return
	}
	if !slices.Contains(classes, class) {
		b.Errorf("%s: error of class %q, must be %q: %v", kind, class, classes, out.err)
	}
	if most := 3*b.usual[kind] + 3; out.requests > most {
		b.Errorf("%s: %d requests against a service that fails, at most %d are polite", kind, out.requests, most)
	}
}
