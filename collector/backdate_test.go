package collector

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// undated is a poll or line that states a phase without its time.
func undated(second int, p Phase) Update {
	return Update{At: at(second), HasPhase: true, Phase: p, Status: p.String(), Polled: true}
}

// dated is undated with the time that the provider gives.
func dated(second int, p Phase, since int) Update {
	u := undated(second, p)
	u.PhaseAt = at(since)
	return u
}

// line is what a listing says, which no poll has explained yet.
func line(u Update) Update {
	u.Polled = false
	return u
}

func created(second int, u Update) Update {
	u.Created = at(second)
	return u
}

func TestTheProvidersEarlierDateOfAPhaseIsBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		updates []Update
		want    int // seconds
	}{
		"pending, first seen late":         {[]Update{created(10, dated(5000, Pending, 10))}, 10},
		"pending, created is not told":     {[]Update{dated(5000, Pending, 10)}, 10},
		"pending, queued after creation":   {[]Update{created(10, dated(5000, Pending, 900))}, 900},
		"pending, registered before":       {[]Update{{At: at(4000), Origin: Registered}, created(10, dated(5000, Pending, 10))}, 10},
		"pending, told later":              {[]Update{undated(100, Pending), undated(200, Pending), dated(300, Pending, 20)}, 20},
		"pending, by a line of history":    {[]Update{poll(5000, phaseAt(30, Pending))}, 30},
		"initializing":                     {[]Update{created(1, undated(100, Initializing)), dated(200, Initializing, 50)}, 50},
		"paused":                           {[]Update{created(1, undated(100, Paused)), dated(200, Paused, 50)}, 50},
		"stopping":                         {[]Update{undated(100, Stopping), dated(200, Stopping, 50)}, 50},
		"unknown":                          {[]Update{undated(100, Unknown), dated(200, Unknown, 50)}, 50},
		"running, after it was seen":       {[]Update{dated(10, Pending, 5), {At: at(100), HasPhase: true, Phase: Running}, dated(101, Running, 90)}, 90},
		"running, began before the bridge": {[]Update{created(1, undated(100, Running)), dated(200, Running, 50)}, 50},

		"not told":                                  {[]Update{created(10, undated(5000, Pending))}, 5000},
		"later than was seen":                       {[]Update{undated(100, Pending), dated(200, Pending, 150)}, 100},
		"in the future":                             {[]Update{undated(100, Pending), dated(200, Pending, 900)}, 100},
		"before the job":                            {[]Update{created(60, dated(100, Pending, 50))}, 100},
		"before the job, told earlier":              {[]Update{created(60, undated(100, Pending)), dated(200, Pending, 50)}, 100},
		"before the phase before":                   {[]Update{dated(10, Running, 5), dated(100, Paused, 90), dated(200, Running, 180), dated(300, Running, 5)}, 180},
		"while the trace is behind":                 {[]Update{dated(10, Running, 5), {At: at(100), HasPhase: true, Phase: Paused}, {At: at(110), HasPhase: true, Phase: Paused, PhaseAt: at(2)}}, 100},
		"while the trace is behind, from the start": {[]Update{undated(10, Pending), line(undated(100, Paused)), line(dated(110, Paused, 2))}, 100},
		"by a line of history without a time":       {[]Update{poll(5000, Event{ID: "x", Type: PhaseEvent, Phase: Pending, Status: "Pending"})}, 5000},
		"of an end that nobody has explained":       {[]Update{created(1, line(dated(100, Failed, 90))), created(1, line(dated(110, Failed, 50)))}, 90},
		"before it began anew":                      {[]Update{poll(1), poll(10, startedEvent(4)), poll(100, Event{ID: "again", Type: StartedEvent}), dated(200, Running, 5)}, 100},
		"of another phase":                          {[]Update{undated(100, Paused), poll(200, phaseAt(50, Pending))}, 100},
		"of an end":                                 {[]Update{dated(10, Running, 5), dated(100, Failed, 90), dated(200, Failed, 50)}, 90},
	} {
		job, _, _ := polls(t, spansOn(), c.updates...)
		if got := int(job.Since.Sub(t0) / time.Second); got != c.want {
			t.Errorf("%s: %s since %d, want %d", name, job.Phase, got, c.want)
		}
	}
}

func TestAnEarlierDateIsToldOnceAndIsNoNews(t *testing.T) {
	first := dated(100, Pending, 10)
	first.Key = testKey
	job := Reduce(nil, first, spansOn()).Job
	again := dated(200, Pending, 10)
	again.Key = testKey
	if out := Reduce(job, again, spansOn()); out.Changed && out.Job.Since != job.Since {
		t.Errorf("since %v, then %v", job.Since, out.Job.Since)
	}
	seen := undated(100, Pending)
	seen.Key = testKey
	job = Reduce(nil, seen, spansOn()).Job
	if out := Reduce(job, again, spansOn()); !out.Changed || out.Job.Updated != at(100) {
		t.Errorf("changed %v, news since %v", out.Changed, out.Job.Updated)
	}
}

// TestDatesThatComeLateChangeNoDuration leaves out dates that the provider gives sooner or later: what the metric shows is never
// before the truth, nor after the first sight of the phase, and spans follow each other without a gap or an overlap.
func TestDatesThatComeLateChangeNoDuration(t *testing.T) {
	corrected := 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 7))
		history, _ := phaseHistory(r)
		var updates []Update
		var firstSight, began Time // of the phase that the bridge sees; it may have missed one in between
		shown := Phase(phaseCount)
		for now := r.IntN(60); now < 300; now += 1 + r.IntN(30) {
			e := history[visible(history, now)-1]
			u := created(0, undated(now, e.Phase))
			if r.IntN(2) == 0 {
				u.PhaseAt = e.At
			}
			if r.IntN(3) == 0 {
				u = line(u)
			}
			if e.Phase != shown {
				firstSight, began, shown = u.At, e.At, e.Phase
			}
			updates = append(updates, u)
			job, _, _ := polls(t, spansOn(), updates...)
			if job.Since < began || job.Since > firstSight {
				t.Fatalf("seed %d at %d: %s since %v, which began at %v and was seen at %v", seed, now, job.Phase, job.Since, began, firstSight)
			}
			if job.Since == began && began != u.At && !u.PhaseAt.Known() {
				corrected++
			}
		}
		_, spans, totals := polls(t, spansOn(), updates...)
		until := Time(0)
		for _, s := range spans {
			if slices.ContainsFunc(s.Attrs, func(a Attr) bool { return a.Key == "training.job.phase" }) {
				if until.Known() && s.Start != until || s.End < s.Start {
					t.Fatalf("seed %d: %s begins at %v, and the span before it ends at %v", seed, s.Name, s.Start, until)
				}
				until = s.End
			}
		}
		if len(totals.Ended) > 1 || len(totals.Ended) == 1 && totals.Ended[0].N != 1 {
			t.Fatalf("seed %d: ended %v", seed, totals.Ended)
		}
	}
	if corrected == 0 {
		t.Error("no date was ever kept: the test tests nothing")
	}
}
