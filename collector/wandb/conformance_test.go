package wandb

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

func TestConformance(t *testing.T) {
	collectortest.Run(t, collectortest.Subject{
		Open:    openSubject,
		Service: func(testing.TB) collectortest.Service { return newSubjectService() },
		Pages:   true,
	})
}

// openSubject makes a source that finds its jobs at the service that newSubjectService makes.
func openSubject(t testing.TB, o collectortest.SubjectOptions) collector.Source {
	t.Helper()
	key := config.Secret(testKey)
	if o.BadKey {
		key = "bad-key-9876543210"
	}
	c := Config{BaseURL: o.Base + "/v1", ReadJob: true}
	c.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", Credentials: key}
	c.HTTP.Dial = o.Dial
	list := JobURL{URL: o.Base + "/jobs", RefreshInterval: model.Duration(time.Second), HTTP: c.HTTP}
	c.JobURLs = []JobURL{list}
	s, err := New(c, o.Env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plan is the life of a job of a subjectService.
type plan struct {
	id     string
	begins time.Duration // when it is created
	starts time.Duration // when it begins to train
	every  time.Duration // between steps
	steps  int
	failed bool

	created bool
	done    int
}

// subjectService is the simulated service with a few jobs, and an endpoint that lists them.
type subjectService struct {
	*wandbtest.Server

	mu    sync.Mutex
	now   time.Duration
	plans []*plan
}

func newSubjectService() *subjectService {
	s := &subjectService{
		Server: wandbtest.New(wandbtest.Options{Key: testKey, Rate: 20, Burst: 25}),
		plans: []*plan{
			{id: "old", begins: -time.Hour, starts: -50 * time.Minute, every: 10 * time.Second, steps: 1e6},
			{id: "short", begins: -time.Minute, starts: time.Minute, every: 5 * time.Second, steps: 90},
			{id: "doomed", begins: -time.Minute, starts: 0, every: 15 * time.Second, steps: 30, failed: true},
			{id: "waiting", begins: 0, starts: time.Hour, every: time.Second, steps: 200},
			{id: "late", begins: 7 * time.Minute, starts: 8 * time.Minute, every: 2 * time.Second, steps: 1500},
		},
	}
	s.Advance(0)
	return s
}

// ServeHTTP implements [http.Handler].
func (s *subjectService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/jobs" {
		s.Server.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("Authorization") != "Bearer "+testKey {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"detail":"who are you?"}`)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	groups := []group{}
	for _, p := range s.plans {
		if p.created {
			groups = append(groups, group{Targets: []string{p.id}, Labels: map[string]string{"name": "job " + p.id}})
		}
	}
	_ = json.NewEncoder(w).Encode(groups) // an error means that the client has left
}

// Advance implements [collectortest.Service].
func (s *subjectService) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += d
	for _, p := range s.plans {
		if !p.created && s.now >= p.begins {
			p.created = true
			s.AddJob(wandbtest.Job{ID: p.id})
		}
		if s.now < p.starts {
			continue
		}
		for due := min(p.steps, int((s.now-p.starts)/p.every)); p.done <= due; p.done++ {
			switch {
			case p.done == 0:
				s.Append(p.id, wandbtest.Started(p.steps))
			case p.done < p.steps:
				s.Append(p.id, step(p.done))
			case p.failed:
				s.Append(p.id, wandbtest.Failed("CUDA out of memory"))
			default:
				s.Append(p.id, wandbtest.Ended())
			}
		}
	}
}

// Truth implements [collectortest.Service].
func (s *subjectService) Truth() map[string]collectortest.Truth {
	phases := map[wandbtest.Result]collector.Phase{
		wandbtest.Queued: collector.Pending, wandbtest.Running: collector.Running,
		wandbtest.Success: collector.Succeeded, wandbtest.Failure: collector.Failed,
	}
	out := map[string]collectortest.Truth{}
	for id, job := range s.Server.Truth().Jobs {
		n := 0
		for _, count := range job.Events {
			n += count
		}
		out[id] = collectortest.Truth{Phase: phases[job.Result], Events: n}
	}
	return out
}

// Violations implements [collectortest.Service].
func (s *subjectService) Violations() map[string]int {
	c := s.Counters()
	return map[string]int{
		"no_auth": c.NoAuth, "bad_auth": c.BadAuth, "bad_limit": c.BadLimit, "bad_body": c.BadBody, "unknown_query": c.UnknownQuery,
		"unknown_route": c.UnknownRoute, "no_user_agent": c.NoUserAgent, "over_rate": c.OverRate,
	}
}
