package nvml

import (
	"errors"
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

// machine has GPUs of which some die. A helper sees the loss of one at once, and its return only if it was initialised after that.
type machine struct {
	init    time.Duration
	mu      sync.Mutex
	r       *rand.Rand
	began   time.Time
	dead    map[int]helper.State // or Slow, which is not listed any more
	revived map[int]time.Time
	heard   map[*fakeProcess]map[string]uint64 // XIDs
	ears    map[*fakeProcess]chan struct{}
	xids    map[string]uint64 // all that anyone heard
}

func newMachine(seed uint64, init time.Duration) *machine {
	return &machine{
		init: init, r: rand.New(rand.NewPCG(seed, 5)), began: time.Now(), dead: map[int]helper.State{}, revived: map[int]time.Time{},
		heard: map[*fakeProcess]map[string]uint64{}, ears: map[*fakeProcess]chan struct{}{}, xids: map[string]uint64{},
	}
}

// fleet is how many GPUs a machine has; those before firstMortal never die.
const (
	fleet       = 4
	firstMortal = 2
)

// helper is a helper of the machine.
func (w *machine) helper(_ int, p *fakeProcess, o helper.Options) {
	for left := w.init; left > 0; left -= o.Interval {
		p.write(&helper.Frame{Fault: helper.Starting})
		time.Sleep(min(left, o.Interval))
	}
	ear, born := make(chan struct{}, 1), time.Now()
	w.mu.Lock()
	w.heard[p], w.ears[p] = map[string]uint64{}, ear
	p.rude.Store(w.r.IntN(3) == 0)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.ears, p)
	}()
	ticker := time.NewTicker(o.Interval)
	defer ticker.Stop()
	listed := w.listed()
	for n := 0; p.write(w.frame(p, n, listed, born)); n++ {
		select {
		case <-p.ended:
			return
		case <-ticker.C:
		case <-ear:
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// listed are the GPUs that a driver which is initialised now lists.
func (w *machine) listed() (listed []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range fleet {
		if state, dead := w.dead[i]; !dead || state != helper.Slow {
			listed = append(listed, i)
		}
	}
	return listed
}

func (w *machine) frame(p *fakeProcess, n int, listed []int, born time.Time) *helper.Frame {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &helper.Frame{Init: w.init, Calls: []collector.CallCost{{Group: "load", N: uint64(n + 1), Seconds: float64(n+1) / 7}}}
	for index, i := range listed {
		g := helper.GPU{Index: index, ID: "GPU-" + strconv.Itoa(i), State: helper.OK, ReadAt: collector.TimeOf(time.Now())}
		state, dead := w.dead[i]
		switch {
		case dead && state == helper.Slow, !dead && w.revived[i].After(born):
			g.State = helper.Lost
		case dead:
			g.State = state
		}
		if g.State == helper.OK {
			g.Values = []collector.GPUValue{{Metric: collector.DeviceEnergy, Value: time.Since(w.began).Seconds()}}
		}
		f.GPUs = append(f.GPUs, g)
	}
	for id, n := range w.heard[p] {
		f.XIDs = append(f.XIDs, helper.XID{ID: id, Code: "31", N: n, Last: 1})
	}
	return f
}

// any is any number below n.
func (w *machine) any(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.r.IntN(n)
}

// live lets GPUs die and come back, and throws XIDs, for a while.
func (w *machine) live(d time.Duration) {
	for until := time.Now().Add(d); time.Now().Before(until); {
		w.mu.Lock()
		pause := time.Duration(w.r.IntN(60_000)) * time.Millisecond
		mortal := firstMortal + w.r.IntN(fleet-firstMortal)
		switch _, dead := w.dead[mortal]; {
		case w.r.IntN(2) == 0:
		case dead:
			delete(w.dead, mortal)
			w.revived[mortal] = time.Now()
		default:
			w.dead[mortal] = []helper.State{helper.Lost, helper.Slow, helper.Hung, helper.Failed}[w.r.IntN(4)]
		}
		burst := w.r.IntN(4)
		w.mu.Unlock()
		for range burst {
			w.throw("GPU-" + strconv.Itoa(w.any(firstMortal)))
			time.Sleep(time.Duration(w.any(3000)) * time.Millisecond)
		}
		time.Sleep(pause)
	}
}

// throw is an XID, which each helper hears at a moment of its own.
func (w *machine) throw(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.ears) > 0 {
		w.xids[id]++
	}
	for p, ear := range w.ears {
		time.AfterFunc(time.Duration(w.r.IntN(200))*time.Millisecond, func() {
			w.mu.Lock()
			w.heard[p][id]++
			w.mu.Unlock()
			select {
			case ear <- struct{}{}:
			default:
			}
		})
	}
}

// TestDeadGPUsBlindNobody lets GPUs be lost, vanish, hang and fail on machines whose driver takes from 10 ms to a minute to be
// initialised, with a number of GPUs expected that may be wrong. The other GPUs are up in every view, counters do not fall, XIDs are
// neither lost nor counted twice, and who is back is read again.
func TestDeadGPUsBlindNobody(t *testing.T) {
	starts := 0
	for i := range max(1, *schedules/6) {
		s := *seed + uint64(i)
		synctest.Test(t, func(t *testing.T) {
			init := []time.Duration{10 * time.Millisecond, 5 * time.Second, 12 * time.Second, 20 * time.Second, time.Minute}[i%5]
			w := newMachine(s, init)
			expected := fleet + w.any(2)
			b := newCradle(t, Config{Expected: &expected}, w.helper)
			up := map[string]bool{}
			b.m.env.Publish = func(v *collector.GPUView) {
				for _, g := range v.GPUs {
					if index := int(g.ID[len(g.ID)-1] - '0'); index < firstMortal && up[g.ID] && !g.Up {
						t.Errorf("%s is down after %s", g.ID, time.Since(b.began))
					}
					up[g.ID] = up[g.ID] || g.Up
				}
				b.publish(v)
			}
			b.run()
			b.sleep(init + 10*time.Second)
			w.live(30 * time.Minute)
			w.mu.Lock()
			for i := range w.dead {
				w.revived[i] = time.Now()
			}
			clear(w.dead)
			w.mu.Unlock()
			b.sleep(11*initShare*init/10 + 2*maxRefresh)
			if h := b.now().Host; h.Seen != fleet || len(b.now().GPUs) != fleet || b.exits("crashed")+b.exits("silent") > 0 {
				t.Errorf("in the end: %+v", h)
			}
			w.mu.Lock()
			xids := maps.Clone(w.xids)
			w.mu.Unlock()
			for id, n := range xids {
				if got, _ := b.gpu(id).Value(collector.DeviceXIDErrors, "31"); got != float64(n) {
					t.Errorf("%s: %g XIDs are counted, want %d", id, got, n)
				}
			}
			b.stop()
			if starts += b.count(); b.count() < 2 || b.count() > 60 {
				t.Errorf("%d helpers", b.count())
			}
			if t.Failed() {
				t.Fatalf("seed %d, init %s", s, init)
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d helpers", starts)
}

// TestLossIsLookedIntoAtOnce: where initialisation is quick, a GPU that comes back by it is read within two intervals.
func TestLossIsLookedIntoAtOnce(t *testing.T) {
	for _, init := range []time.Duration{10 * time.Millisecond, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newMachine(1, init)
			b := newCradle(t, Config{}, w.helper).run()
			defer b.stop()
			b.sleep(init + 21*time.Second)
			w.mu.Lock()
			w.revived[2] = time.Now() // lost, and back by the next initialisation
			w.mu.Unlock()
			b.sleep(6 * time.Second)
			if b.gpu("GPU-2").Up && init > time.Second || b.count() != 2 {
				t.Errorf("it was not lost, or %d helpers were started", b.count())
			}
			b.sleep(9 * time.Second)
			if !b.gpu("GPU-2").Up || b.now().Host.Helpers != 1 || b.exits("again") != 1 {
				t.Errorf("after a loss and %s: %+v", init, b.now().Host)
			}
		})
	}
}

// TestReplacementThatIsOfNoUse leaves the helper that reads, and is not tried for ever.
func TestReplacementThatIsOfNoUse(t *testing.T) {
	for name, c := range map[string]struct {
		behave func(p *fakeProcess, o helper.Options)
		ended  string
	}{
		"again":   {func(p *fakeProcess, _ helper.Options) { p.write(&helper.Frame{Fault: "no_driver", Again: "x"}) }, "again"},
		"crash":   {func(p *fakeProcess, _ helper.Options) { p.end(errors.New("crash")) }, "crashed"},
		"silence": {func(*fakeProcess, helper.Options) {}, "silent"},
		"stuck": {func(p *fakeProcess, o helper.Options) {
			p.frames(o, func(int) *helper.Frame { return &helper.Frame{Fault: helper.Starting} })
		}, "silent"},
		"nonsense": {func(p *fakeProcess, _ helper.Options) { _, _ = p.stdout.Write([]byte("oops\n")) }, "crashed"},
		"blind": {func(p *fakeProcess, o helper.Options) {
			p.frames(o, func(n int) *helper.Frame {
				f := healthy(n, "GPU-a", "GPU-b")
				f.GPUs[0].State, f.GPUs[0].Values = helper.Hung, nil
				return f
			})
		}, "again"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newCradle(t, Config{}, func(n int, p *fakeProcess, o helper.Options) {
					if n > 0 {
						p.rude.Store(true)
						c.behave(p, o)
						return
					}
					p.frames(o, func(n int) *helper.Frame {
						f := healthy(n, "GPU-a", "GPU-b")
						if f.Init = 100 * time.Millisecond; n > 3 {
							f.GPUs[1].State, f.GPUs[1].Values = helper.Lost, nil
						}
						return f
					})
				}).run()
				defer b.stop()
				for range 720 {
					b.sleep(5 * time.Second)
					if h := b.now().Host; !h.Up || !b.gpu("GPU-a").Up {
						t.Fatalf("after %s: %+v", time.Since(b.began), h)
					}
				}
				if n := b.count(); n < 6 || n > 12 || b.exits(c.ended) < 5 || b.exits("again")+b.exits("crashed")+b.exits("silent") != b.exits(c.ended) {
					t.Errorf("%d helpers in an hour, %v", n, b.now().Host.Exits)
				}
			})
		})
	}
}

// TestReplacementTakesOver when the one that reads dies.
func TestReplacementTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMachine(1, 8*time.Second)
		b := newCradle(t, Config{}, w.helper).run()
		defer b.stop()
		b.sleep(30 * time.Second)
		w.mu.Lock()
		w.revived[2] = time.Now()
		w.mu.Unlock()
		b.sleep(6 * time.Second)
		if b.count() != 2 {
			t.Fatalf("%d helpers", b.count())
		}
		b.one(0).end(errors.New("crash"))
		for range 12 {
			b.sleep(time.Second)
			if h := b.now().Host; !h.Up || !b.gpu("GPU-0").Up {
				t.Fatalf("%s after the crash: %+v", time.Since(b.began)-36*time.Second, h)
			}
		}
		if b.count() != 2 || b.exits("crashed") != 1 || b.now().Host.Seen != fleet {
			t.Errorf("%d helpers, host %+v", b.count(), b.now().Host)
		}
	})
}

// TestLooksForMissingGPUs take a small share of the time where initialisation is slow.
func TestLooksForMissingGPUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMachine(1, time.Minute)
		five := 5
		b := newCradle(t, Config{Expected: &five}, w.helper).run()
		defer b.stop()
		b.sleep(10*time.Minute + 55*time.Second)
		if b.count() != 1 {
			t.Errorf("%d helpers in the first ten minutes", b.count())
		}
		b.sleep(10 * time.Second)
		if b.count() != 2 || b.now().Host.Helpers != 2 {
			t.Errorf("%d helpers after ten times the initialisation", b.count())
		}
	})
}

// TestBesideOneThatCannotBeEnded no third is started for the sake of a GPU that is lost.
func TestBesideOneThatCannotBeEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMachine(1, time.Second)
		w.dead[2] = helper.Lost
		b := newCradle(t, Config{}, func(n int, p *fakeProcess, o helper.Options) {
			p.unkillable.Store(n == 0)
			if n > 0 {
				w.helper(n, p, o)
			}
		}).run()
		defer b.stop()
		b.sleep(time.Hour)
		if h := b.now().Host; b.count() != 2 || !h.Up || h.Seen != fleet-1 || h.Helpers != 2 {
			t.Errorf("%d starts, %+v", b.count(), h)
		}
		b.one(0).end(nil)
		b.sleep(6 * time.Second)
		if b.count() != 3 {
			t.Errorf("%d starts once it has ended", b.count())
		}
	})
}

// TestAgainAfterReading is followed at once, however long initialisation took.
func TestAgainAfterReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(_ int, p *fakeProcess, o helper.Options) {
			p.frames(o, func(n int) *helper.Frame {
				f := healthy(n, "GPU-a")
				if f.Init = 20 * time.Second; n == 6 {
					f.Again = "the number of GPUs changed"
				}
				return f
			})
		}).run()
		defer b.stop()
		b.sleep(31 * time.Second)
		if b.count() != 2 {
			t.Errorf("%d starts", b.count())
		}
	})
}

// TestXIDsThatOnlyTheNewOneHears are counted: the old one may not hear of a GPU that it could not open.
func TestXIDsThatOnlyTheNewOneHears(t *testing.T) {
	m := &Monitor{coming: newLife(2, time.Now())}
	old, l := newLife(1, time.Now()), m.coming
	both, fresh := xidKey{"GPU-a", "31"}, xidKey{"GPU-b", "31"}
	old.xids[both], l.before = 9, map[xidKey]uint64{both: 4}
	l.counted[both], l.counted[fresh] = 3, 2
	m.succeed(old)
	if m.current != l || l.xids[both] != 3 || l.xids[fresh] != 0 {
		t.Errorf("left out: %v", l.xids)
	}
}
