package aitems

import (
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

func TestConformance(t *testing.T) {
	collectortest.Run(t, collectortest.Subject{
		Open:    openSubject,
		Service: func(testing.TB) collectortest.Service { return newSubjectService() },
		Pages:   true,
	})
}

func openSubject(t testing.TB, o collectortest.SubjectOptions) collector.Source {
	t.Helper()
	c := Config{BaseURL: o.Base + "/api/v1", AccessKey: "AK_SUBJECT", SecretKey: "SK_SUBJECT", PageSize: 3, Updates: true}
	if o.BadKey {
		c.SecretKey = "SK_SUBJECT_BAD"
	}
	c.HTTP.RateLimit, c.HTTP.Burst = 50, 50 // four services in pages of three
	c.HTTP.Dial = o.Dial
	s, err := New(c, o.Env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// subjectService names a refused key as the suite wants it.
type subjectService struct{ *aitemstest.Server }

// Violations implements [collectortest.Service].
func (s subjectService) Violations() map[string]int {
	out := s.Server.Violations()
	if n := out["bad_signature"]; n > 0 {
		out["auth"] = n
	}
	delete(out, "bad_signature")
	return out
}

// Truth implements [collectortest.Service]. The provider keeps no events.
func (s subjectService) Truth() map[string]collectortest.Truth {
	out := map[string]collectortest.Truth{}
	for id, phase := range s.Server.Truth() {
		out[id] = collectortest.Truth{Phase: phase, Events: -1}
	}
	return out
}

// newSubjectService is a fleet that has been at work for two days.
func newSubjectService() subjectService {
	s := aitemstest.New(aitemstest.Options{AccessKey: "AK_SUBJECT", SecretKey: "SK_SUBJECT", PageSize: 3})
	f := aitemstest.NewFleet(s, aitemstest.FleetOptions{Seed: 1})
	f.Advance(48 * time.Hour)
	return subjectService{s}
}
