package aitemstest

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestAHealthyDay asks for all trainings of a healthy fleet every five minutes for a day.
func TestAHealthyDay(t *testing.T) {
	for _, c := range []struct {
		speed  float64
		models int
		jobs   int           // of the day that complete
		keep   time.Duration // virtual
	}{{1, 4, 10, 2 * time.Hour}, {30, 2, 200, 12 * time.Hour}} {
		synctest.Test(t, func(t *testing.T) {
			call := newCaller(t, Options{Now: time.Now, PageSize: 1000})
			o := FleetOptions{Seed: 1, Healthy: true, Jobs: c.models, Speed: c.speed, Tick: 10 * time.Second, Keep: c.keep}
			f := NewFleet(call.server, o)
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- f.Run(ctx) }()
			time.Sleep(5 * time.Second) // what is read is read between two ticks
			completed := map[string]bool{}
			for range 24*12 - 1 {
				time.Sleep(5 * time.Minute)
				call.look(o, completed)
			}
			if len(completed) < c.jobs {
				t.Errorf("speed %v: only %d trainings were seen completed", c.speed, len(completed))
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if v := call.server.Violations(); len(v) > 0 {
				t.Errorf("violations %v", v)
			}
		})
	}
}

// look holds what is said of each training to what nobody would worry about.
func (c *caller) look(o FleetOptions, completed map[string]bool) {
	c.t.Helper()
	var services struct {
		Services []struct {
			ID string `json:"serviceId"`
		} `json:"services"`
	}
	c.decode("/api/v1/services", &services)
	alive, listed, models := 0, 0, map[string]bool{}
	for _, v := range services.Services {
		var list struct {
			Trains []struct{ Type, Version, Status, CreatedDate string } `json:"trains"`
		}
		c.decode("/api/v1/services/"+v.ID+"/trains", &list)
		for _, train := range list.Trains {
			listed++
			models[v.ID+train.Type] = true
			created, err := time.ParseInLocation("2006-01-02T15:04:05.000", train.CreatedDate, c.server.o.Zone)
			if err != nil {
				c.t.Fatal(err)
			}
			age := time.Duration(float64(time.Since(created)-o.Tick) * o.Speed)
			limit := 4 * time.Hour
			switch train.Status {
			case "completed":
				completed[v.ID+train.Version] = true
				limit += o.Keep
			case "requesting", "waiting":
				alive++
				limit = 5 * time.Minute
			case "learning":
				alive++
			default:
				c.t.Fatalf("speed %v: %s %s is %s", o.Speed, train.Type, train.Version, train.Status)
			}
			if age > limit {
				c.t.Fatalf("speed %v: %s %s is %s after %v", o.Speed, train.Type, train.Version, train.Status, age)
			}
		}
	}
	if alive > o.Jobs || len(models) > o.Jobs || listed > 30 {
		c.t.Fatalf("speed %v: %d trainings, %d of them alive, of the models %v", o.Speed, listed, alive, models)
	}
}

func (c *caller) decode(target string, into any) {
	c.t.Helper()
	status, body := c.get(target)
	if err := json.Unmarshal([]byte(body), into); status != http.StatusOK || err != nil {
		c.t.Fatalf("%s: %d, %v: %s", target, status, err, body)
	}
}
