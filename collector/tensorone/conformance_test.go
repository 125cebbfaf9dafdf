package tensorone

import (
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
)

// suiteReads is what the suite may ask in an hour, here and at the service.
const suiteReads = 3000

func TestConformance(t *testing.T) {
	for _, checkpoints := range []string{embedded, endpoint} {
		t.Run(checkpoints, func(t *testing.T) {
			collectortest.Run(t, collectortest.Subject{
				Open: func(t testing.TB, o collectortest.SubjectOptions) collector.Source {
					return openSubject(t, o, checkpoints)
				},
				Service: func(testing.TB) collectortest.Service { return newSubjectService() },
				Pages:   true,
			})
		})
	}
}

// openSubject makes a source that finds its jobs in the listing.
func openSubject(t testing.TB, o collectortest.SubjectOptions, checkpoints string) collector.Source {
	t.Helper()
	key := config.Secret(testKey)
	if o.BadKey {
		key = "tpo_live_bad_9876543210"
	}
	c := Config{BaseURL: o.Base + "/v2", List: listOn, ListInterval: model.Duration(time.Second), ReadsPerHour: suiteReads, Checkpoints: checkpoints}
	c.ListEnded = model.Duration(1000 * time.Hour) // the suite forgets jobs and wants them back
	c.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", Credentials: key}
	c.HTTP.Dial = o.Dial
	s, err := New(c, o.Env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// subjectService is the simulator as the suite wants it.
type subjectService struct{ *tensoronetest.Server }

// Truth implements [collectortest.Service]. How many events there are depends on when one looks.
func (s subjectService) Truth() map[string]collectortest.Truth {
	out := map[string]collectortest.Truth{}
	for id, phase := range s.Server.Truth() {
		out[id] = collectortest.Truth{Phase: phase, Events: -1}
	}
	return out
}

func newSubjectService() subjectService {
	s := tensoronetest.New(tensoronetest.Options{Key: testKey, ReadsPerHour: suiteReads, List: true, PageLimit: 3})
	f := tensoronetest.NewFleet(s, tensoronetest.FleetOptions{Seed: 1, Jobs: 6})
	f.Advance(5 * time.Minute)
	return subjectService{s}
}
