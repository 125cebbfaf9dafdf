package tensoronetest

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// shownJob is what a client needs of an answer.
type shownJob struct {
	ID         string    `json:"jobId"`
	Status     string    `json:"status"`
	Error      *struct{} `json:"error"`
	Timestamps struct {
		Created time.Time `json:"createdAt"`
		Started time.Time `json:"startedAt"`
	} `json:"timestamps"`
	Progress *struct {
		Percent float64 `json:"percentComplete"`
	} `json:"progress"`
	Metrics *struct {
		Loss       *float64 `json:"loss"`
		Throughput struct {
			Tokens *float64 `json:"tokensPerSecond"`
		} `json:"throughput"`
	} `json:"metrics"`
	Resources struct {
		Utilization []float64 `json:"gpuUtilization"`
	} `json:"resourceUsage"`
	Checkpoints []struct {
		Created time.Time `json:"createdAt"`
	} `json:"checkpoints"`
}

// day is what was seen of the jobs of a fleet.
type day struct {
	t         *testing.T
	speed     float64
	percent   map[string]float64
	tokens    map[string]float64 // the first that was told
	completed map[string]bool
}

// TestAHealthyDay asks about all jobs of a healthy fleet again and again for a day.
func TestAHealthyDay(t *testing.T) {
	for _, c := range []struct {
		speed float64
		jobs  int           // of the day that complete
		keep  time.Duration // virtual
		every time.Duration
	}{{1, 60, 20 * time.Minute, 3 * time.Minute}, {30, 1000, 2 * time.Hour, time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{ReadsPerHour: -1, List: true})
			f := NewFleet(s, FleetOptions{Seed: 1, Healthy: true, Jobs: 3, Speed: c.speed, Tick: 10 * time.Second, Keep: c.keep})
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- f.Run(ctx) }()
			time.Sleep(5 * time.Second) // what is read is read between two ticks
			d := &day{t, c.speed, map[string]float64{}, map[string]float64{}, map[string]bool{}}
			for range 24*time.Hour/c.every - 1 {
				time.Sleep(c.every)
				d.look(s)
			}
			if len(d.completed) < c.jobs {
				t.Errorf("speed %v: only %d jobs were seen completed", c.speed, len(d.completed))
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func (d *day) look(s *Server) {
	var list struct {
		Jobs []struct {
			ID string `json:"jobId"`
		} `json:"jobs"`
	}
	d.read(s, "/v2/training/jobs?limit=100", &list)
	alive := 0
	for _, l := range list.Jobs {
		if d.completed[l.ID] {
			continue
		}
		var j shownJob
		d.read(s, "/v2/training/jobs/"+l.ID, &j)
		if j.Status != "completed" {
			alive++
		}
		d.check(&j)
	}
	if alive > 3 || len(list.Jobs) > 30 {
		d.t.Fatalf("speed %v: %d jobs, %d of them alive", d.speed, len(list.Jobs), alive)
	}
}

func (d *day) read(s *Server, path string, into any) {
	d.t.Helper()
	code, body := get(s, path, "Bearer k")
	if err := json.Unmarshal([]byte(body), into); code != http.StatusOK || err != nil {
		d.t.Fatalf("%s: %d, %v: %s", path, code, err, body)
	}
}

// check holds what is said of a job to what nobody would worry about.
func (d *day) check(j *shownJob) {
	if j.Error != nil {
		d.t.Fatalf("speed %v: %s has an error", d.speed, j.ID)
	}
	switch j.Status {
	case "queued", "initializing":
		if waited := d.virtual(j.Timestamps.Created); waited > 8*time.Minute+d.tick() {
			d.t.Fatalf("speed %v: %s is %s after %v", d.speed, j.ID, j.Status, waited)
		}
	case "completed":
		d.completed[j.ID] = true
	case "running":
		d.trains(j)
	default:
		d.t.Fatalf("speed %v: %s is %s", d.speed, j.ID, j.Status)
	}
}

// virtual is how long ago a time was by the clock of the jobs, and tick what of it passes between two ticks.
func (d *day) virtual(at time.Time) time.Duration {
	return time.Duration(float64(time.Since(at)) * d.speed)
}
func (d *day) tick() time.Duration { return time.Duration(float64(10*time.Second) * d.speed) }

func (d *day) trains(j *shownJob) {
	ran := d.virtual(j.Timestamps.Started)
	if ran < time.Minute+d.tick() {
		return
	}
	m := j.Metrics
	if j.Progress == nil || m == nil || m.Loss == nil || m.Throughput.Tokens == nil || len(j.Resources.Utilization) == 0 {
		d.t.Fatalf("speed %v: %s has run for %v and tells nothing: %+v", d.speed, j.ID, ran, j)
	}
	if before, known := d.percent[j.ID]; known && j.Progress.Percent <= before {
		d.t.Fatalf("speed %v: %s has made no progress since %v %%", d.speed, j.ID, before)
	}
	d.percent[j.ID] = j.Progress.Percent
	if d.tokens[j.ID] == 0 {
		d.tokens[j.ID] = *m.Throughput.Tokens
	}
	if rate := *m.Throughput.Tokens / d.tokens[j.ID]; rate < 0.85 || rate > 1.2 {
		d.t.Fatalf("speed %v: the throughput of %s is %v of what it was", d.speed, j.ID, rate)
	}
	for _, percent := range j.Resources.Utilization {
		if percent < 50 {
			d.t.Fatalf("speed %v: a GPU of %s is %v %% busy", d.speed, j.ID, percent)
		}
	}
	saved := j.Timestamps.Started
	if n := len(j.Checkpoints); n > 0 {
		saved = j.Checkpoints[n-1].Created
	}
	if old := d.virtual(saved); old > 36*time.Minute+d.tick() {
		d.t.Fatalf("speed %v: the checkpoint of %s is %v old", d.speed, j.ID, old)
	}
}
