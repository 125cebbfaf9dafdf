package hostile

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/aitems"
	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/runai"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
	"github.com/trainbridge/trainbridge/collector/tensorone"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
	"github.com/trainbridge/trainbridge/collector/wandb"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// victim is a kind of source and what it asks.
type victim struct {
	name    string
	open    func(o collectortest.SubjectOptions) (collector.Source, error)
	service func(*grammar) service
	// free are the keys whose values may be anything without changing which events there are.
	free []string
}

// service answers as the provider does.
type service interface {
	http.Handler
	// Advance lets jobs go on.
	Advance(d time.Duration)
	// Events are the ids of all events by job; nil if the provider keeps none, or gives them no id.
	Events() map[string][]string
}

const key = "hostile-key-0123456789"

// victims are all kinds of sources, one line each.
func victims() []victim {
	return []victim{
		{"wandb", openWandb, newWandb, []string{"object", "has_more", "first_id", "last_id", "loss/train", "num_sequences", "status"}},
		{"runai", openRunai, newRunai, []string{"allocatedResources", "conditions", "phaseMessage", "requestedPods", "runningPods", "values"}},
		{"aitems", openAitems, newAitems, []string{"hpConfig", "description", "inference", "nextUpdateDate", "updateResult", "actionName"}},
		{"tensorone", openTensorone, newTensorone, []string{"progress", "metrics", "resourceUsage", "costs", "infrastructure", "total"}},
	}
}

func bearer() *config.Authorization {
	return &config.Authorization{Type: "Bearer", Credentials: key}
}

func openWandb(o collectortest.SubjectOptions) (collector.Source, error) {
	c := wandb.Config{BaseURL: o.Base + "/v1", ReadJob: true}
	c.HTTP.HTTP.Authorization, c.HTTP.Dial = bearer(), o.Dial
	c.JobURLs = []wandb.JobURL{{URL: o.Base + "/jobs", RefreshInterval: model.Duration(time.Second), HTTP: c.HTTP}}
	return wandb.New(c, o.Env)
}

func openRunai(o collectortest.SubjectOptions) (collector.Source, error) {
	c := runai.Config{BaseURL: o.Base, PageSize: 10, Token: runai.TokenConfig{ClientID: "hostile", ClientSecret: key}}
	c.HTTP.Dial = o.Dial
	return runai.New(c, o.Env)
}

func openAitems(o collectortest.SubjectOptions) (collector.Source, error) {
	c := aitems.Config{BaseURL: o.Base + "/api/v1", AccessKey: "hostile", SecretKey: key, PageSize: 5, Updates: true}
	c.HTTP.Dial = o.Dial
	return aitems.New(c, o.Env)
}

func openTensorone(o collectortest.SubjectOptions) (collector.Source, error) {
	c := tensorone.Config{BaseURL: o.Base + "/v2", List: "on", ListInterval: model.Duration(time.Second), ReadsPerHour: readsPerHour}
	c.ListEnded = model.Duration(1000 * time.Hour) // jobs that end meanwhile are compared, too
	c.HTTP.HTTP.Authorization, c.HTTP.Dial = bearer(), o.Dial
	return tensorone.New(c, o.Env)
}

const readsPerHour = 10_000

// fleet is a simulator that keeps no ids of events, or none that can be known beforehand.
type fleet struct {
	service interface {
		http.Handler
		Advance(d time.Duration)
	}
}

func (f fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.service.ServeHTTP(w, r) }
func (f fleet) Advance(d time.Duration)                          { f.service.Advance(d) }
func (fleet) Events() map[string][]string                        { return nil }

func newRunai(*grammar) service {
	s := runaitest.New(runaitest.Options{ClientID: "hostile", ClientSecret: key})
	runaitest.NewFleet(s, runaitest.FleetOptions{Seed: 1}).Advance(20 * time.Minute)
	return fleet{s}
}

func newAitems(*grammar) service {
	s := aitemstest.New(aitemstest.Options{AccessKey: "hostile", SecretKey: key})
	aitemstest.NewFleet(s, aitemstest.FleetOptions{Seed: 1}).Advance(48 * time.Hour)
	return fleet{s}
}

func newTensorone(*grammar) service {
	s := tensoronetest.New(tensoronetest.Options{Key: key, ReadsPerHour: readsPerHour, List: true})
	tensoronetest.NewFleet(s, tensoronetest.FleetOptions{Seed: 1}).Advance(10 * time.Minute)
	return fleet{s}
}

// wandbService is the simulator with three jobs, and an endpoint that lists them. One event in twenty holds something hostile for
// good.
type wandbService struct {
	*wandbtest.Server
	grammar *grammar
	ids     []string
	events  map[string][]string
}

func newWandb(g *grammar) service {
	s := &wandbService{Server: wandbtest.New(wandbtest.Options{Key: key}), grammar: g, events: map[string][]string{}}
	for _, n := range []int{3, 30, 260} {
		id := s.AddJob(wandbtest.Job{})
		s.ids = append(s.ids, id)
		s.append(id, wandbtest.Started(1000))
		for range n {
			s.step(id)
		}
	}
	return s
}

func (s *wandbService) append(job string, e wandbtest.Event) {
	e.ID = fmt.Sprintf("event-%d", len(s.events[job]))
	s.events[job] = append(s.events[job], e.ID)
	s.Append(job, e)
}

func (s *wandbService) step(job string) {
	e := wandbtest.Step(wandbtest.Value{Key: "loss/train", Number: 0.5}, wandbtest.Value{Key: "tokens", Number: 17})
	if s.grammar.random != nil && s.grammar.chance(0.05) {
		s.grammar.left = large
		e = wandbtest.Event{Type: wandbtest.TypeStep, Raw: json.RawMessage(`{"loss/train":0.5,"x":` + s.grammar.evil() + `}`)}
	}
	s.append(job, e)
}

func (s *wandbService) Events() map[string][]string { return s.events }

func (s *wandbService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/jobs" {
		s.Server.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	body := `[`
	for i, id := range s.ids {
		if i > 0 {
			body += ","
		}
		body += `{"targets":["` + id + `"],"labels":{"name":"job"}}`
	}
	w.Write([]byte(body + `]`))
}

func (s *wandbService) Advance(d time.Duration) {
	for i, id := range s.ids {
		for range int(d/time.Minute) * i {
			s.step(id)
		}
	}
}
