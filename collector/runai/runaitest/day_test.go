package runaitest_test

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

// TestAHealthyDay asks about all workloads of a healthy fleet every three minutes for a day.
func TestAHealthyDay(t *testing.T) {
	for _, c := range []struct {
		speed  float64
		jobs   int           // that come to an end in the day
		keep   time.Duration // virtual
		listed int
	}{{1, 50, 20 * time.Minute, 9}, {30, 1500, 2 * time.Hour, 20}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, runaitest.Options{Now: time.Now, TokenLifetime: 1000 * time.Hour})
			f := runaitest.NewFleet(w.Server, runaitest.FleetOptions{Seed: 1, Healthy: true, Speed: c.speed, Tick: 10 * time.Second, Keep: c.keep})
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- f.Run(ctx) }()
			time.Sleep(5 * time.Second) // what is read is read between two ticks
			completed := map[string]bool{}
			for range 24*20 - 1 {
				time.Sleep(3 * time.Minute)
				list := w.all("/api/v1/workloads", "workloads", 500)
				if alive := w.healthy(list, completed, c.speed); alive > 4 || len(list) > c.listed {
					t.Fatalf("speed %v: %d workloads, %d of them alive", c.speed, len(list), alive)
				}
				if all := w.Truth(); len(all) > 60 {
					t.Fatalf("speed %v: the server knows %d workloads", c.speed, len(all))
				}
			}
			if len(completed) < c.jobs {
				t.Errorf("speed %v: only %d workloads were seen completed", c.speed, len(completed))
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			w.wantClean()
		})
	}
}

// healthy holds what the API says of each workload to what nobody would worry about, and counts those that have not ended.
func (w *world) healthy(list []map[string]any, completed map[string]bool, speed float64) (alive int) {
	w.t.Helper()
	for _, item := range list {
		id, phase := item["id"].(string), item["phase"].(string)
		switch phase {
		case "Completed":
			if completed[id] {
				continue
			}
			completed[id] = true
		case "Running":
			alive++
			w.busy(item, speed)
		case "Creating", "Pending", "Initializing":
			alive++
			if waited := time.Duration(float64(age(w.t, item["createdAt"])) * speed); waited > 5*time.Minute+10*time.Second*time.Duration(speed) {
				w.t.Fatalf("speed %v: %v has waited for %v: %s", speed, item["name"], waited, phase)
			}
		default:
			w.t.Fatalf("speed %v: %v is %s: %v", speed, item["name"], phase, item["phaseMessage"])
		}
		for _, e := range w.all(id+"/events", "events", 500) {
			if e["type"] != "Normal" || !slices.Contains(strings.Fields("Scheduled Pulling Pulled Created Started"), e["reason"].(string)) {
				w.t.Fatalf("speed %v: %v had the event %v: %v", speed, item["name"], e["reason"], e["message"])
			}
		}
	}
	return alive
}

// busy holds a workload that runs: all pods run, and its GPUs work.
func (w *world) busy(item map[string]any, speed float64) {
	w.t.Helper()
	pods := item["requestedPods"].(map[string]any)["number"]
	if item["runningPods"] != pods || item["idleAllocatedGpus"] != 0.0 {
		w.t.Fatalf("speed %v: of %v run %v of %v pods, %v GPUs are idle", speed, item["name"], item["runningPods"], pods, item["idleAllocatedGpus"])
	}
	if phase := age(w.t, item["phaseUpdatedAt"]); phase < time.Minute {
		return
	}
	now := time.Now().UTC()
	window := url.Values{
		"metricType": {"GPU_UTILIZATION"}, "numberOfSamples": {"4"},
		"start": {now.Add(-40 * time.Second).Format(time.RFC3339)}, "end": {now.Format(time.RFC3339)},
	}
	series := w.object(item["id"].(string) + "/metrics?" + window.Encode())["measurements"].([]any)[0].(map[string]any)
	values, _ := series["values"].([]any)
	if len(values) != 4 {
		w.t.Fatalf("speed %v: the metrics of %v are %v", speed, item["name"], series)
	}
	for _, v := range values {
		text, _ := v.(map[string]any)["value"].(string)
		if percent, err := strconv.ParseFloat(text, 64); err != nil || percent < 50 || percent > 100 {
			w.t.Fatalf("speed %v: the GPUs of %v are %q percent busy", speed, item["name"], text)
		}
	}
}

func age(t testing.TB, stamp any) time.Duration {
	t.Helper()
	text, _ := stamp.(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.After(time.Now()) {
		t.Fatalf("the time %v: %v", stamp, err)
	}
	return time.Since(at)
}
