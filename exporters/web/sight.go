package web

import (
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Bounds of what is said of sources: those of the rule training_source:blind:info, and of the alerts TrainbridgeLagging,
// TrainbridgeSeriesHeldBack, TrainingSourceRateLimited, TrainingSourceSchemaDrift and TrainingSourceClockSkew.
const (
	silentFor   = 15 * time.Minute
	lateBy      = 5 * time.Minute
	failsOver   = 10 * time.Minute
	failsFrom   = 0.5 // of the polls, for other reasons than being asked too often
	failingFor  = 5 * time.Minute
	lagAbove    = 2 * time.Minute
	lagFor      = 10 * time.Minute
	heldFor     = 30 * time.Minute
	heldRecent  = 15 * time.Minute // values of free-form names
	limitedFrom = 0.05             // of the polls of a quarter of an hour
	limitedFor  = 15 * time.Minute
	driftRecent = time.Hour
	skewAbove   = 30 * time.Second
	skewFor     = 15 * time.Minute
	droppedNews = 30 * time.Minute // spans, as the alert TrainbridgeOtlpDataLost
)

// sight is what is remembered of a source.
type sight struct {
	first, blind collector.Time // since when it is known here, and when it was last not heard of, the first minutes counted in
	up, lost     collector.Time // when it was first heard of, and when it was last not heard of since

	lagging, held, limited, failing, skewed collector.Time // since when it looks so; 0 if it does not

	strange, values     uint64         // fields not understood and items set aside, and values held back, so far
	strangeAt, valuesAt collector.Time // when they last became more
	polls, refused      uint64         // so far
	failed              uint64         // otherwise
	refusals, failures  quarter        // the share of polls
}

// see takes what sources tell of themselves, as the rules do.
func (h *History) see(sources []*collector.SourceView, now collector.Time) {
	next := make(map[string]*sight, len(sources))
	for _, s := range sources {
		seen := h.sights[s.Name]
		if seen == nil {
			seen = &sight{first: now}
			seen.count(s)
		}
		seen.look(s, h.o.Writable == nil || h.o.Writable(), now)
		next[s.Name] = seen
	}
	h.sights = next
}

// look takes what is so now; without a state that can be written, nothing new is shown.
func (s *sight) look(v *collector.SourceView, writable bool, now collector.Time) {
	health := v.Health
	for _, t := range []*collector.Time{&s.first, &s.blind, &s.up, &s.lost} { // a clock that was set back
		*t = min(*t, now)
	}
	failures, known := s.failures.mean(now, failsOver)
	fails := known && failures > failsFrom
	heard := health.Up && now.Sub(health.LastSuccess) <= silentFor && health.Lag <= lateBy && writable && !fails
	switch {
	case heard && !s.up.Known():
		s.up = now
	case !heard && s.up.Known():
		s.lost = now
	}
	if !heard || now.Sub(s.first) < blindFor {
		s.blind = now
	}
	before := *s
	s.count(v)
	if s.strange > before.strange {
		s.strangeAt = now
	}
	if s.values > before.values {
		s.valuesAt = now
	}
	if s.polls > before.polls {
		n := int(s.polls - before.polls)
		s.refusals.addAll(now, float64(s.refused)-float64(before.refused), n)
		s.failures.addAll(now, float64(s.failed)-float64(before.failed), n)
	}
	refused, known := s.refusals.mean(now, limitedFor)
	s.limited = since(s.limited, known && refused > limitedFrom, now)
	s.failing = since(s.failing, fails, now)
	s.lagging = since(s.lagging, health.Up && health.Lag > lagAbove, now)
	values := s.valuesAt.Known() && now.Sub(s.valuesAt) < heldRecent
	s.held = since(s.held, values || v.HeldGroups > 0 || v.Suppressed > 0 && !s.muted(now), now)
	s.skewed = since(s.skewed, health.Skew != nil && health.Skew.Abs() > skewAbove, now)
}

// count takes the counters.
func (s *sight) count(v *collector.SourceView) {
	s.polls, s.refused, s.failed = v.Health.Polls, 0, 0
	for _, e := range v.Health.PollErrors {
		switch e.Name {
		case "rate_limited", "quota":
			s.refused += e.N
		case "not_found": // is an answer
		default:
			s.failed += e.N
		}
	}
	if v.Totals == nil {
		return
	}
	s.values, s.strange = v.Totals.Held, v.Totals.Quarantined
	for _, field := range v.Totals.Unknown {
		s.strange += field.N
	}
}

// settled: all jobs were asked since the start, as far as one can say, and since it was not heard of. Then a time of long ago says what
// it says.
func (s *sight) settled(now collector.Time) bool {
	return s.up.Known() && now.Sub(s.up) >= blindFor && (!s.lost.Known() || now.Sub(s.lost) >= blindFor)
}

// muted: what the rules would not say yet, as they cannot know whether there was something to see.
func (s *sight) muted(now collector.Time) bool { return now.Sub(s.blind) < blindFor }

func (h *History) muted(source string, now collector.Time) bool {
	s := h.sights[source]
	return s == nil || s.muted(now)
}

// sourceTrouble is what is wrong with a source, besides that it is down.
type sourceTrouble struct {
	lagging, held, limited, failing, skewed, strange bool
	values                                           bool // were held back a moment ago
	settled                                          bool
}

func (s *sight) trouble(now collector.Time) sourceTrouble {
	return sourceTrouble{
		settled: s.settled(now),
		lagging: lasted(s.lagging, lagFor, now), held: lasted(s.held, heldFor, now), limited: lasted(s.limited, limitedFor, now),
		failing: lasted(s.failing, failingFor, now), values: s.valuesAt.Known() && now.Sub(s.valuesAt) < heldRecent,
		skewed: lasted(s.skewed, skewFor, now), strange: s.strangeAt.Known() && now.Sub(s.strangeAt) < driftRecent,
	}
}

// dropped is when spans were last lost because the outbox was full.
type dropped struct {
	n     uint64
	at    collector.Time
	known bool
}

func (h *History) countDropped(now collector.Time) {
	if h.o.Dropped == nil {
		return
	}
	n := h.o.Dropped()
	if h.spans.known && n > h.spans.n {
		h.spans.at = now
	}
	h.spans.n, h.spans.known = n, true
}

// young: it is not watched for long enough to judge how old things are. A nil History never watches.
func (h *History) young(now time.Time) bool {
	if h == nil {
		return false
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	at := collector.TimeOf(now)
	for _, s := range h.sights {
		if s.up.Known() && at.Sub(s.first) < blindFor {
			return true
		}
	}
	return false
}
