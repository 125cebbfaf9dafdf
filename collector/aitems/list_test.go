package aitems

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// within runs a test in a world of its own, where waiting costs nothing.
func within(t *testing.T, o aitemstest.Options, change func(*Config), do func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(t, newBench(t, o, change)) })
}

// TestListing has everything that a line of a listing says.
func TestListing(t *testing.T) {
	within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
		time.Sleep(time.Hour)
		created := time.Now().Add(-40 * time.Minute).Truncate(time.Millisecond)
		id := b.server.AddService(aitemstest.Service{ID: "b28ao000001", Name: "shop_reco"})
		b.server.AddTraining(id, aitemstest.Training{
			Type: "personalRecommend", Version: "9fn93000002", Description: "nightly", Status: "learning", Created: created, Epochs: 20,
		})
		b.server.AddTraining(id, aitemstest.Training{Version: "maqll000001", Status: "refinedFailed", Created: created})
		b.mustList()
		j := b.jobs["b28ao000001/personalRecommend/9fn93000002"]
		want := collector.Info{
			Name: "shop_reco personalRecommend: nightly", Provider: "aitems", Project: "shop_reco", Group: "shop_reco", Kind: "personalRecommend",
		}
		if *j.Info != want {
			t.Errorf("%+v", *j.Info)
		}
		if j.Phase != collector.Running || j.Status != "learning" || j.Created != collector.TimeOf(created) || j.Started.Known() || j.Ended.Known() {
			t.Errorf("%v %s, created %v, started %v, ended %v", j.Phase, j.Status, j.Created.Std(), j.Started.Std(), j.Ended.Std())
		}
		if limit, ok := j.Reading(collector.EpochLimit, ""); !ok || limit != 20 || len(j.Readings) != 1 {
			t.Errorf("readings %v", j.Readings)
		}
		f := b.jobs["b28ao000001/pop/maqll000001"]
		if f.Phase != collector.Failed || f.ErrorType != "data" || len(f.Readings) != 0 {
			t.Errorf("%v %s %v", f.Phase, f.ErrorType, f.Readings)
		}
		b.same()
		b.behaved()
		if got := b.server.Requests(); got["services"] != 3 || got["trains"] != 3 || len(got) != 2 {
			t.Errorf("requests %v", got)
		}
	})
}

// TestStatuses has all documented statuses and one that is not. Each change that is seen counts once.
func TestStatuses(t *testing.T) {
	within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
		id := b.server.AddService(aitemstest.Service{Name: "s"})
		for status, want := range map[string]collector.Phase{
			"ready": collector.Pending, "requesting": collector.Pending, "waiting": collector.Pending, "learning": collector.Running,
			"stopping": collector.Stopping, "completed": collector.Succeeded, "requestFailed": collector.Failed,
			"refinedFailed": collector.Failed, "learningFailed": collector.Failed, "paused": collector.Unknown,
		} {
			job := b.server.AddTraining(id, aitemstest.Training{Status: status})
			l, err := b.list()
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(l.Jobs, func(u collector.Update) bool { return u.Key.ID == job })
			u := l.Jobs[i]
			if u.Phase != want || !u.HasPhase || u.Status != status || !u.Observed || u.Started.Known() || u.Ended.Known() || u.PhaseAt.Known() {
				t.Errorf("%s: %+v", status, u)
			}
			if (want == collector.Unknown) != slices.Contains(u.Unknown, "status") {
				t.Errorf("%s: unknown %v", status, u.Unknown)
			}
		}
		job := b.server.AddTraining(id, aitemstest.Training{Status: "requesting"})
		for _, status := range []string{"requesting", "waiting", "waiting", "learning", "learning", "stopping", "completed"} {
			b.server.SetStatus(job, status)
			if _, err := b.list(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if n := b.jobs[job].EventCount(); n != 3 { // running, stopping, succeeded
			t.Errorf("%d changes of phase counted: %v", n, b.jobs[job].Events)
		}
	})
}

// TestServicesOfTheConfiguration are asked for, listed or not.
func TestServicesOfTheConfiguration(t *testing.T) {
	within(t, aitemstest.Options{}, func(c *Config) { c.Services = []string{"one", "missing"} }, func(t *testing.T, b *bench) {
		for _, id := range []string{"one", "two"} {
			b.server.AddTraining(b.server.AddService(aitemstest.Service{ID: id, Name: "name of " + id}), aitemstest.Training{})
		}
		l, err := b.list()
		if err != nil || len(l.Jobs) != 1 || l.Jobs[0].Info.Project != "name of one" || !l.Partial {
			t.Errorf("%+v %v", l, err)
		}
		if got := strings.Count(b.log.String(), "service=missing"); got != 1 {
			t.Errorf("log %s", b.log)
		}
		// Without the permission to list services the rest goes on.
		b.server.SetFaults(aitemstest.Faults{Fail: aitemstest.Answer{Count: 1, Status: 401, Code: "210"}})
		if l, err = b.list(); err != nil || len(l.Jobs) != 1 || l.Jobs[0].Info.Project != "one" {
			t.Errorf("%+v %v", l, err)
		}
	})
}

func TestNamesOfServices(t *testing.T) {
	within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
		for _, v := range []aitemstest.Service{{ID: "a", Name: "same"}, {ID: "b", Name: "same"}, {ID: "c"}, {ID: "d", Name: "own"}} {
			b.server.AddTraining(b.server.AddService(v), aitemstest.Training{Version: "v"})
		}
		b.mustList()
		for id, want := range map[string]string{"a": "same (a)", "b": "same (b)", "c": "c", "d": "own"} {
			if got := b.jobs[id+"/pop/v"].Info.Group; got != want {
				t.Errorf("%s is named %q, want %q", id, got, want)
			}
		}
		// A list of services that fails does not rename anything.
		b.server.SetFaults(aitemstest.Faults{Fail: aitemstest.Answer{Count: 3, Status: 500}})
		if _, err := b.list(); err == nil {
			t.Error("no error")
		}
		if got := b.jobs["a/pop/v"].Info.Group; got != "same (a)" {
			t.Errorf("renamed to %q", got)
		}
	})
}

// TestHiddenServices may not be seen, in each way that this is said. They hide no other, and are told of once an hour.
func TestHiddenServices(t *testing.T) {
	coded := []string{"number", "details", "flat", "codeMsg", "responseError", "status"}
	for _, status := range []int{401, 403, 404} {
		for _, shape := range aitemstest.Shapes() {
			if status == 401 && !slices.Contains(coded, string(shape)) {
				continue // a 401 without a code means the key
			}
			within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
				for _, id := range []string{"a", "b", "c"} {
					b.server.AddTraining(b.server.AddService(aitemstest.Service{ID: id}), aitemstest.Training{})
				}
				b.server.SetFaults(aitemstest.Faults{Denied: map[string]int{"a": status}, Shape: shape})
				for range 90 {
					l, err := b.list()
					if err != nil || len(l.Jobs) != 2 || !l.Partial {
						t.Fatalf("%d %s: %d jobs, partial %v, %v", status, shape, len(l.Jobs), l.Partial, err)
					}
					time.Sleep(time.Minute)
				}
				if n := strings.Count(b.log.String(), "service=a"); n != 2 {
					t.Errorf("%d %s: told %d times in 90 minutes\n%s", status, shape, n, b.log)
				}
				b.server.SetFaults(aitemstest.Faults{})
				b.mustList()
				b.same()
				b.server.SetFaults(aitemstest.Faults{Denied: map[string]int{"a": status, "b": status, "c": status}, Shape: shape})
				if _, err := b.list(); err == nil {
					t.Errorf("%d %s: no error though no service may be seen", status, shape)
				}
				b.same()
			})
		}
	}
}

// TestFailuresKeepWhatWasRead has one service that fails in each way. No job is lost and none is taken to be gone.
func TestFailuresKeepWhatWasRead(t *testing.T) {
	for name, c := range map[string]struct {
		faults aitemstest.Faults
		class  string
		jobs   int // of three
	}{
		"500":       {aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Service: "b", Status: 500}}, "http_5xx", 2},
		"web page":  {aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Service: "b", Status: 502, Shape: aitemstest.HTML}}, "http_5xx", 2},
		"503":       {aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Service: "b", Status: 503}}, "http_5xx", 2},
		"quota":     {aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Service: "b", Status: 429, Code: "400"}}, "quota", 1},
		"throttle":  {aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Service: "b", Status: 429, Code: "410"}}, "rate_limited", 1},
		"rate":      {aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Service: "b", Status: 429, Code: "420"}}, "rate_limited", 1},
		"quota 403": {aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Service: "b", Status: 403, Message: "Quota exceeded"}}, "quota", 1},
		"bad key":   {aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Service: "b", Status: 401}}, "auth", 1},
		"empty 401": {aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Service: "b", Status: 401, Shape: aitemstest.Empty}}, "auth", 1},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
				for _, id := range []string{"a", "b", "c"} {
					b.server.AddTraining(b.server.AddService(aitemstest.Service{ID: id}), aitemstest.Training{})
				}
				b.mustList()
				b.server.SetFaults(c.faults)
				b.source.asked = map[string]time.Time{} // a is asked first
				start := time.Now()
				l, err := b.list()
				if got := collector.ClassOf(err); got != c.class || len(l.Jobs) != c.jobs || !l.Partial {
					t.Errorf("class %s, %d jobs, partial %v: %v", got, len(l.Jobs), l.Partial, err)
				}
				if took := time.Since(start); took > askWithin {
					t.Errorf("took %v", took)
				}
				b.same()
				b.server.SetFaults(aitemstest.Faults{})
				time.Sleep(time.Hour)
				b.mustList()
				b.same()
				b.behaved()
			})
		})
	}
}

// TestRotation has a service at which every listing breaks off: the others are read before it.
func TestRotation(t *testing.T) {
	within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
		for _, id := range []string{"a", "b", "c", "d"} {
			b.server.AddTraining(b.server.AddService(aitemstest.Service{ID: id}), aitemstest.Training{})
		}
		b.server.SetFaults(aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Service: "b", Status: 429, Code: "410"}})
		for range 2 {
			if _, err := b.list(); err == nil {
				t.Error("no error")
			}
			time.Sleep(2 * time.Hour)
		}
		if len(b.jobs) != 3 {
			t.Errorf("%d jobs after two listings, want those of a, c and d", len(b.jobs))
		}
	})
}

// TestFailuresEndAListing has services of which half fail. What is asked of them is bounded, and the others are read all the same.
func TestFailuresEndAListing(t *testing.T) {
	within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
		denied := map[string]int{}
		for i := range 20 {
			id := fmt.Sprintf("s%02d", i)
			b.server.AddTraining(b.server.AddService(aitemstest.Service{ID: id}), aitemstest.Training{})
			if i < 10 {
				denied[id] = 500
			}
		}
		b.server.SetFaults(aitemstest.Faults{Denied: denied})
		requests := func() (n int) {
			for _, r := range b.health.View().Requests {
				n += int(r.N)
			}
			return n
		}
		for range 6 {
			before := requests()
			l, err := b.list()
			if most := 1 + 10 + 3*maxFailures; collector.ClassOf(err) != "http_5xx" || !l.Partial || requests()-before > most {
				t.Errorf("%d requests, partial %v, %v", requests()-before, l.Partial, err)
			}
			time.Sleep(10 * time.Minute)
		}
		if len(b.jobs) != 10 {
			t.Errorf("%d jobs, want the 10 of the services that answer", len(b.jobs))
		}
	})
}

// TestQuotaIsNotAskedAgainSoon counts the requests of an hour in which the quota is used up, listed every minute.
func TestQuotaIsNotAskedAgainSoon(t *testing.T) {
	for code, most := range map[string]int{"400": 4, "410": 12, "420": 12} {
		within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
			b.server.AddTraining(b.server.AddService(aitemstest.Service{ID: "a"}), aitemstest.Training{})
			b.server.SetFaults(aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Status: 429, Code: code}})
			for range 60 {
				if l, err := b.list(); err == nil || !l.Partial {
					t.Errorf("code %s: %v", code, err)
				}
				time.Sleep(time.Minute)
			}
			requests := 0
			for _, r := range b.health.View().Requests {
				requests += int(r.N)
			}
			if requests > most {
				t.Errorf("code %s: %d requests in an hour", code, requests)
			}
			if strings.Contains(b.log.String(), testSecret) {
				t.Error("the secret is in the log")
			}
		})
	}
}

// TestDatesOfTheFuture are not believed, and said to be a matter of time_zone.
func TestDatesOfTheFuture(t *testing.T) {
	seoul := func(c *Config) { c.TimeZone = "UTC" } // the service's dates are Korean
	within(t, aitemstest.Options{}, seoul, func(t *testing.T, b *bench) {
		id := b.server.AddService(aitemstest.Service{Name: "s"})
		job := b.server.AddTraining(id, aitemstest.Training{})
		l, err := b.list()
		if err != nil {
			t.Fatal(err)
		}
		again := b.mustList()
		if len(again.Jobs[0].Unknown) > 0 {
			t.Errorf("told again: %v", again.Jobs[0].Unknown)
		}
		if b.jobs[job].Created.Known() || !slices.Contains(l.Jobs[0].Unknown, "createdDate") || !strings.Contains(b.log.String(), "time_zone") {
			t.Errorf("created %v, unknown %v, log %s", b.jobs[job].Created.Std(), l.Jobs[0].Unknown, b.log)
		}
	})
}

// TestForms has the same trainings in every form that the documentation leaves open.
func TestForms(t *testing.T) {
	for name, f := range map[string]aitemstest.Faults{
		"nulls": {NullOptionals: true}, "no fraction": {Digits: -1}, "one digit": {Digits: 1}, "nine digits": {Digits: 9},
		"zoned": {Zoned: true}, "no echo": {NoEcho: true}, "no date": {NoDate: true},
	} {
		within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
			b.server.SetFaults(f)
			created := time.Now().Add(-time.Hour).Truncate(time.Second)
			job := b.server.AddTraining(b.server.AddService(aitemstest.Service{}), aitemstest.Training{Created: created})
			l := b.mustList()
			b.same()
			if b.jobs[job].Created != collector.TimeOf(created) || len(l.Jobs[0].Unknown) != 0 {
				t.Errorf("%s: created %v, unknown %v", name, b.jobs[job].Created.Std(), l.Jobs[0].Unknown)
			}
		})
	}
}

// TestRefreshes reads refresh runs as notices, once each, and takes none of their times for the training's.
func TestRefreshes(t *testing.T) {
	within(t, aitemstest.Options{}, func(c *Config) { c.Updates = true }, func(t *testing.T, b *bench) {
		id := b.server.AddService(aitemstest.Service{Name: "s", Interval: time.Hour})
		old := b.server.AddTraining(id, aitemstest.Training{Status: "completed"})
		time.Sleep(time.Hour)
		job := b.server.AddTraining(id, aitemstest.Training{Status: "completed"})
		b.server.AddTraining(id, aitemstest.Training{Type: "relatedItem", Status: "learning"})
		b.server.AddRefresh(old, aitemstest.Refresh{})
		for i := range 100 {
			r := aitemstest.Refresh{Status: "learning", Asked: time.Now()}
			r.Version = b.server.AddRefresh(job, r)
			if _, err := b.list(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			r.Status, r.Finished, r.Users = "completed", time.Now(), 100+i
			b.server.AddRefresh(job, r)
			if i%10 == 5 {
				b.restart()
			}
		}
		b.mustList()
		j := b.jobs[job]
		if len(j.Events) != 1 || j.Events[0] != (collector.Count{Name: "notice", N: 200}) {
			t.Errorf("events %v", j.Events)
		}
		if users, ok := j.Reading(collector.FreeForm, "updateResult.inputUsersCnt"); !ok || users != 199 {
			t.Errorf("%v users", users)
		}
		if b.jobs[old].EventCount() != 0 {
			t.Errorf("an older model has %d events", b.jobs[old].EventCount())
		}
		if got := b.server.Requests(); got["updates"] != got["trains"] {
			t.Errorf("requests %v", got)
		}
		b.behaved()
	})
}

// TestRefreshesThatFail cost no training.
func TestRefreshesThatFail(t *testing.T) {
	for status, class := range map[int]string{404: "", 403: "", 500: "", 429: "rate_limited"} {
		within(t, aitemstest.Options{}, func(c *Config) { c.Updates = true }, func(t *testing.T, b *bench) {
			for _, id := range []string{"a", "b"} {
				b.server.AddTraining(b.server.AddService(aitemstest.Service{ID: id}), aitemstest.Training{Status: "completed"})
			}
			b.mustList()
			b.source.asked = map[string]time.Time{}
			b.server.SetFaults(aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Status: status, Service: "a", Suffix: "/updates"}})
			l, err := b.list()
			if got := collector.ClassOf(err); got != class || (len(l.Jobs) == 2) != (status != 429) || l.Partial != (err != nil) {
				t.Errorf("%d: class %q, %d jobs, partial %v: %v", status, got, len(l.Jobs), l.Partial, err)
			}
			b.same()
		})
	}
}

// TestRedirectsKeepTheKey: nothing follows a redirect, so that no signature reaches another host.
func TestRedirectsKeepTheKey(t *testing.T) {
	within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
		b.server.AddService(aitemstest.Service{ID: "a"})
		b.server.SetFaults(aitemstest.Faults{Fail: aitemstest.Answer{Count: -1, Status: http.StatusTemporaryRedirect, Location: "https://evil.example/api/v1/services"}})
		_, err := b.list()
		if err == nil || !strings.Contains(err.Error(), "evil.example") {
			t.Errorf("%v", err)
		}
		if n := len(b.health.View().Requests); n != 1 || b.health.View().Requests[0].N != 1 {
			t.Errorf("requests %v", b.health.View().Requests)
		}
	})
}

func TestCadence(t *testing.T) {
	b := newBench(t, aitemstest.Options{}, func(c *Config) {
		c.ListInterval = model.Duration(7 * time.Second)
		c.HTTP.RateLimit = 3
		c.HTTP.Burst = 4
	})
	if c := b.source.Cadence(); c.List != 7*time.Second || c.Rate != 3 || c.Burst != 4 {
		t.Errorf("%+v", c)
	}
	var s collector.Source = b.source
	if _, ok := s.(collector.Follower); ok {
		t.Error("trainings are not asked one by one")
	}
}

// TestTargets has the requests of a listing, letter by letter.
func TestTargets(t *testing.T) {
	for size, want := range map[int]string{
		0: "/api/v1/services /api/v1/services/a/trains /api/v1/services/a/updates?trainVersion=v&type=pop",
		7: "/api/v1/services?limit=7&offset=0 /api/v1/services/a/trains?limit=7&offset=0 /api/v1/services/a/updates?trainVersion=v&type=pop",
	} {
		synctest.Test(t, func(t *testing.T) {
			server := aitemstest.New(aitemstest.Options{})
			server.AddTraining(server.AddService(aitemstest.Service{ID: "a"}), aitemstest.Training{Version: "v", Status: "completed"})
			var got []string
			n := collectortest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = append(got, r.RequestURI)
				server.ServeHTTP(w, r)
			}))
			s, err := New(testConfig(n, func(c *Config) { c.PageSize, c.Updates = size, true }), collector.Env{Name: "test"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.List(t.Context()); err != nil || strings.Join(got, " ") != want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}
