package wandbtest_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// follower reads the events of all jobs of a healthy fleet as they come.
type follower struct {
	t         *testing.T
	server    *wandbtest.Server
	speed     float64
	jobs      map[string]*followed
	completed int
}

type followed struct {
	after   string
	first   float64   // loss
	steps   int       //
	planned int       // 0 before the start
	last    time.Time // when there was news, or when the job was first seen
	ended   bool
}

// TestAHealthyDay follows the jobs of scenario healthy for a day, and for an hour at the usual speed.
func TestAHealthyDay(t *testing.T) {
	for _, c := range []struct {
		speed  float64
		lasts  time.Duration
		jobs   int
		listed int
	}{{1, 24 * time.Hour, 1500, 80}, {30, time.Hour, 1500, 80}} {
		synctest.Test(t, func(t *testing.T) {
			w := &follower{t: t, server: newServer(t, wandbtest.Options{}), speed: c.speed, jobs: map[string]*followed{}}
			f := wandbtest.NewFleet(w.server, wandbtest.FleetOptions{
				Seed: 1, Scenario: "healthy", Jobs: 3, Speed: c.speed, Tick: 10 * time.Second, Keep: 30 * time.Minute,
			})
			ctx, cancel := context.WithTimeout(t.Context(), c.lasts)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- f.Run(ctx) }()
			time.Sleep(5 * time.Second) // what is read is read between two ticks
			for range c.lasts/(30*time.Second) - 1 {
				time.Sleep(30 * time.Second)
				list := f.Jobs()
				if len(list) > c.listed {
					t.Fatalf("speed %v: %d jobs", c.speed, len(list))
				}
				for _, j := range list {
					w.read(j.ID)
				}
			}
			if w.completed < c.jobs {
				t.Errorf("speed %v: only %d jobs were seen to end", c.speed, w.completed)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			for id := range w.jobs {
				if kept := w.server.JobTruth(id).ID != ""; kept && w.jobs[id].ended && time.Since(w.jobs[id].last) > 31*time.Minute {
					t.Errorf("speed %v: %s is kept", c.speed, id)
				}
			}
		})
	}
}

// read reads on in the events of a job.
func (w *follower) read(id string) {
	w.t.Helper()
	j := w.jobs[id]
	if j == nil {
		j = &followed{last: time.Now()}
		w.jobs[id] = j
	}
	for !j.ended {
		p := page(w.t, w.server, id, "?limit=100&after="+j.after)
		for _, e := range p.Data {
			j.after, j.last = e.ID, time.Now()
			w.event(id, j, e)
		}
		if p.HasMore == nil || !*p.HasMore {
			break
		}
	}
	if !j.ended && time.Since(j.last) > 2*time.Minute {
		w.t.Fatalf("speed %v: job %s has told nothing for %v after step %d", w.speed, id, time.Since(j.last), j.steps)
	}
}

func (w *follower) event(id string, j *followed, e wandbtest.ReceivedEvent) {
	w.t.Helper()
	switch e.Type {
	case wandbtest.TypeStarted:
		var data struct {
			Planned int `json:"num_sequences"`
		}
		if err := json.Unmarshal(e.Data, &data); err != nil || data.Planned == 0 || j.planned > 0 {
			w.t.Fatalf("speed %v: job %s starts with %s, %v", w.speed, id, e.Data, err)
		}
		j.planned = data.Planned
	case wandbtest.TypeStep:
		j.steps++
		w.step(id, j, e)
	case wandbtest.TypeEnded:
		if j.steps != j.planned {
			w.t.Fatalf("speed %v: job %s ends after %d of %d steps", w.speed, id, j.steps, j.planned)
		}
		j.ended = true
		w.completed++
	default:
		w.t.Fatalf("speed %v: job %s: %s %s", w.speed, id, e.Type, e.Data)
	}
}

func (w *follower) step(id string, j *followed, e wandbtest.ReceivedEvent) {
	w.t.Helper()
	var data map[string]*float64
	if err := json.Unmarshal(e.Data, &data); err != nil {
		w.t.Fatalf("job %s: %v: %s", id, err, e.Data)
	}
	for name, v := range data {
		if v == nil {
			w.t.Fatalf("speed %v: job %s: %s is no number", w.speed, id, name)
		}
	}
	for _, name := range []string{"loss/train", "loss", "policy_loss"} {
		loss := data[name]
		switch {
		case loss == nil:
			continue
		case j.first == 0:
			j.first = *loss
		case *loss > 1.5*j.first:
			w.t.Fatalf("speed %v: the loss of job %s was %v and is %v", w.speed, id, j.first, *loss)
		}
		return
	}
}
