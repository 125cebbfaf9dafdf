package runai

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/config"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

func TestConformance(t *testing.T) {
	collectortest.Run(t, collectortest.Subject{
		Open:    openSubject,
		Service: func(testing.TB) collectortest.Service { return newSubjectService() },
		Pages:   true, Tokens: true,
	})
}

func openSubject(t testing.TB, o collectortest.SubjectOptions) collector.Source {
	t.Helper()
	c := Config{BaseURL: o.Base, PageSize: 60, Pods: true, Token: TokenConfig{ClientID: testID, ClientSecret: testSecret}}
	if o.BadKey {
		c.Token.ClientSecret = config.Secret("bad-secret-9876543210")
	}
	c.HTTP.Dial = o.Dial
	s, err := New(c, o.Env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plan is the life of a workload of a subjectService.
type plan struct {
	id     string
	begins time.Duration // when it is created
	runs   time.Duration // how long after that it begins to run
	every  time.Duration // between events
	events int           // before it ends
	end    string        // the last phase; "Deleted" deletes it

	step int
}

// subjectService is the simulated service with a few workloads.
type subjectService struct {
	*runaitest.Server

	mu    sync.Mutex
	now   time.Duration
	plans []*plan
}

func newSubjectService() *subjectService {
	s := &subjectService{
		Server: runaitest.New(runaitest.Options{ClientID: testID, ClientSecret: testSecret, Rate: 20, Burst: 25}),
		plans: []*plan{
			{id: "old", begins: -2 * time.Hour, runs: time.Minute, every: 30 * time.Second, events: 1e6},
			{id: "short", begins: -time.Minute, runs: time.Minute, every: 5 * time.Second, events: 90, end: "Completed"},
			{id: "doomed", begins: -time.Minute, runs: 10 * time.Second, every: 15 * time.Second, events: 30, end: "Failed"},
			{id: "unwanted", begins: -time.Minute, runs: 10 * time.Second, every: 10 * time.Second, events: 100, end: "Deleted"},
			{id: "late", begins: 7 * time.Minute, runs: time.Minute, every: 2 * time.Second, events: 400, end: "Completed"},
		},
	}
	s.Advance(0)
	return s
}

// Advance implements [collectortest.Service].
func (s *subjectService) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += d
	for _, p := range s.plans {
		for ; s.step(p); p.step++ {
		}
	}
}

// step takes the next step in the life of a workload, if it is time.
func (s *subjectService) step(p *plan) bool {
	due := p.begins
	switch {
	case p.step > 0 && p.step <= p.events:
		due += p.runs + time.Duration(p.step-1)*p.every
	case p.step > p.events:
		due += p.runs + time.Duration(p.events)*p.every
	}
	if due > s.now || p.step > p.events+1 {
		return false
	}
	at := time.Now().Add(due - s.now)
	switch {
	case p.step == 0:
		s.AddWorkload(runaitest.Workload{ID: p.id, Name: p.id, GPUs: 2, Pods: 2, CreatedAt: at})
	case p.step == 1:
		s.SetPhaseAt(p.id, "Running", "", at)
	case p.step <= p.events:
		s.AddEvent(p.id, runaitest.Event{CreatedAt: at, Reason: "BackOff", NoID: p.step%3 == 0, Message: fmt.Sprintf("event %d", p.step/2)})
	case p.end == "Deleted":
		s.Delete(p.id)
	case p.end != "":
		s.SetPhaseAt(p.id, p.end, "", at)
	}
	return true
}

// Truth implements [collectortest.Service].
func (s *subjectService) Truth() map[string]collectortest.Truth {
	out := map[string]collectortest.Truth{}
	for id, w := range s.Server.Truth() {
		phase, _ := phaseOf(w.Phase)
		if !w.Deleted.IsZero() && !phase.Ended() {
			phase = collector.Cancelled
		}
		out[id] = collectortest.Truth{Phase: phase, Events: w.Distinct() + len(w.Phases)}
	}
	return out
}
