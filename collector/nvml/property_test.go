package nvml

import (
	"errors"
	"flag"
	"io"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

var (
	schedules = flag.Int("nvml.schedules", 300, "random lives of helpers")
	seed      = flag.Uint64("nvml.seed", 1, "of the first of them")
)

// TestRandomLives lets helpers crash, fall silent, refuse to die, write nonsense, begin anew and be well, in any order. Never are
// more than two alive, Run returns in time, and what a view promises is kept: see cradle.stop and watcher.
func TestRandomLives(t *testing.T) {
	starts, views := 0, 0
	for i := range *schedules {
		s := *seed + uint64(i)
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(s, 1))
			var mu sync.Mutex
			b := newCradle(t, Config{}, func(_ int, p *fakeProcess, o helper.Options) {
				mu.Lock()
				l := randomLife(r)
				mu.Unlock()
				l(p, o)
			}).run()
			own := rand.New(rand.NewPCG(s, 3))
			b.sleep(time.Duration(own.IntN(400)) * time.Second)
			for range own.IntN(3) { // what could not be killed goes after all
				b.mu.Lock()
				if len(b.all) > 0 {
					b.all[own.IntN(len(b.all))].end(errors.New("at last"))
				}
				b.mu.Unlock()
				b.sleep(time.Duration(own.IntN(200)) * time.Second)
			}
			b.stop()
			if h := b.now().Host; b.views.Load() > 0 && h.Helpers > maxHelpers {
				t.Errorf("%d helpers are shown", h.Helpers)
			}
			if t.Failed() {
				t.Fatalf("seed %d: %v", s, b.times())
			}
			starts += b.count()
			views += int(b.views.Load())
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d schedules, %d helpers, %d views", *schedules, starts, views)
}

func randomLife(r *rand.Rand) func(p *fakeProcess, o helper.Options) {
	frames := r.IntN(30)
	end := r.IntN(6)
	unkillable, rude := r.IntN(4) == 0, r.IntN(2) == 0
	begin := time.Duration(r.IntN(2)*r.IntN(20_000)) * time.Millisecond
	return func(p *fakeProcess, o helper.Options) {
		p.unkillable.Store(unkillable)
		p.rude.Store(rude)
		time.Sleep(begin)
		for n := range frames {
			if !p.write(healthy(n, "GPU-a", "GPU-b")) {
				break
			}
			time.Sleep(o.Interval)
		}
		switch end {
		case 0:
			if !unkillable {
				p.end(errors.New("crash"))
			}
		case 1:
			_, _ = io.WriteString(p.stdout, "oops\n")
		case 2:
			f := healthy(frames)
			f.Again, f.Fault, f.Init = "x", "no_driver", time.Duration(frames)*time.Second/4
			p.write(f)
		case 3:
			_ = p.stdout.Close()
		}
		<-p.ended
	}
}

// world is a driver with its counters, through reloads, and GPUs that come and go.
type world struct {
	mu   sync.Mutex
	r    *rand.Rand
	raw  map[string]map[string]float64
	here map[string]bool
	xids map[string]uint64 // of the helper that lives, told or not
	told map[string]uint64 // of all helpers, in frames
}

func (w *world) frame(told map[string]uint64) *helper.Frame {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &helper.Frame{}
	for i := range 4 {
		id := "GPU-" + strconv.Itoa(i)
		if w.r.IntN(8) == 0 {
			w.here[id] = !w.here[id]
		}
		if w.r.IntN(10) == 0 { // a reset of this GPU
			clear(w.raw[id])
		}
		for _, c := range []string{"corrected", "uncorrected", ""} {
			w.raw[id][c] += float64(w.r.IntN(3) * w.r.IntN(50))
		}
		if !w.here[id] {
			continue
		}
		g := helper.GPU{Index: i, ID: id, State: helper.State(w.r.IntN(5)), ReadAt: collector.TimeOf(time.Now())}
		if g.State == helper.OK || g.State == helper.Slow {
			g.Values = append(g.Values, collector.GPUValue{Metric: collector.DeviceEnergy, Value: w.raw[id][""]})
			for _, c := range []string{"corrected", "uncorrected"} {
				if w.r.IntN(3) > 0 {
					g.Values = append(g.Values, collector.GPUValue{Metric: collector.DeviceECCErrors, Label: c, Value: w.raw[id][c]})
				}
			}
		}
		if w.r.IntN(4) == 0 {
			w.xids[id]++
		}
		f.GPUs = append(f.GPUs, g)
		if n := w.xids[id]; n > 0 {
			f.XIDs = append(f.XIDs, helper.XID{ID: id, Code: "79", N: n, Last: 1})
			w.told[id] += n - told[id]
			told[id] = n
		}
	}
	return f
}

// TestCountersNeverFall over random restarts of helpers, reloads of the driver, loss and return of GPUs. XIDs are counted to the last.
func TestCountersNeverFall(t *testing.T) {
	resets := uint64(0)
	for i := range *schedules {
		s := *seed + uint64(i)
		synctest.Test(t, func(t *testing.T) {
			w := &world{
				r: rand.New(rand.NewPCG(s, 2)), raw: map[string]map[string]float64{}, here: map[string]bool{}, told: map[string]uint64{},
			}
			for i := range 4 {
				w.raw["GPU-"+strconv.Itoa(i)] = map[string]float64{}
			}
			b := newCradle(t, Config{}, func(_ int, p *fakeProcess, o helper.Options) {
				w.mu.Lock()
				frames := w.r.IntN(12)
				if w.r.IntN(2) == 0 { // the driver was reloaded
					for _, raw := range w.raw {
						clear(raw)
					}
				}
				w.xids = map[string]uint64{}
				w.mu.Unlock()
				told := map[string]uint64{}
				for range frames {
					if !p.write(w.frame(told)) {
						break
					}
					time.Sleep(o.Interval)
				}
				p.end(errors.New("crash"))
			})
			b.m.renewed = time.Now().Add(time.Hour) // one helper at a time: two are tested below
			b.run()
			b.sleep(5*time.Minute + time.Second/2) // no frame is on its way
			w.mu.Lock()
			told := maps.Clone(w.told)
			w.mu.Unlock()
			b.stop()
			for _, g := range b.now().GPUs {
				resets += g.Resets
				if n, _ := g.Value(collector.DeviceXIDErrors, "79"); uint64(n) != told[g.ID] {
					t.Errorf("%s: %g XIDs, want %d", g.ID, n, told[g.ID])
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d", s)
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d schedules, %d resets of counters", *schedules, resets)
	if resets == 0 {
		t.Error("no counter began anew: this shows nothing")
	}
}
