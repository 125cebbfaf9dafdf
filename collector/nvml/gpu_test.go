package nvml

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// edited is a healthy helper whose frames are changed before they are sent.
func edited(edit func(life, n int, f *helper.Frame) *helper.Frame, ids ...string) func(int, *fakeProcess, helper.Options) {
	return func(life int, p *fakeProcess, o helper.Options) {
		p.frames(o, func(n int) *helper.Frame { return edit(life, n, healthy(n, ids...)) })
	}
}

// TestOneGPUIsInTrouble for a minute: it is shown without values, and said once.
func TestOneGPUIsInTrouble(t *testing.T) {
	for name, trouble := range map[string]func(f *helper.Frame){
		"hung":   func(f *helper.Frame) { f.GPUs[1].State, f.GPUs[1].Values = helper.Hung, nil },
		"lost":   func(f *helper.Frame) { f.GPUs[1].State = helper.Lost },
		"failed": func(f *helper.Frame) { f.GPUs[1].State = helper.Failed },
		"old":    func(f *helper.Frame) { f.GPUs[1].State, f.GPUs[1].Age = helper.Slow, 12*time.Second },
		"gone":   func(f *helper.Frame) { f.GPUs = f.GPUs[:1] },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				b := newCradle(t, Config{}, edited(func(_, _ int, f *helper.Frame) *helper.Frame {
					if at := time.Since(began); at >= 20*time.Second && at < 80*time.Second {
						trouble(f)
					}
					return f
				}, "GPU-a", "GPU-b")).run()
				defer b.stop()
				b.sleep(21 * time.Second)
				g := b.gpu("GPU-b")
				energy, counted := g.Value(collector.DeviceEnergy, "")
				if _, power := g.Value(collector.DevicePower, ""); g.Up || power || !counted || energy < 20 || g.Info.Name != "Fake" {
					t.Errorf("in trouble: %+v", g)
				}
				if h := b.now().Host; !h.Up || h.Seen != 1 || !b.gpu("GPU-a").Up {
					t.Errorf("the host: %+v", h)
				}
				b.sleep(time.Minute)
				if g := b.gpu("GPU-b"); !g.Up {
					t.Errorf("after it: %+v", g)
				}
				if b.logs.count("GPU does not answer") != 1 || b.logs.count("GPU answers again") != 1 || b.logs.count("hw_id=GPU-b index=1 name=Fake") != 2 {
					t.Error(b.logs)
				}
			})
		})
	}
}

// TestGPUThatIsNotOpenedYet is not called gone.
func TestGPUThatIsNotOpenedYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, edited(func(life, n int, f *helper.Frame) *helper.Frame {
			switch {
			case life == 0 && n == 3:
				f.Again = "fresh look"
			case life == 1 && n < 1:
				f.GPUs[1] = helper.GPU{Index: 1}
			}
			return f
		}, "GPU-a", "GPU-b")).run()
		defer b.stop()
		for range 40 {
			b.sleep(time.Second)
			if b.views.Load() > 1 && !b.gpu("GPU-b").Up {
				t.Fatalf("down after %s", time.Since(b.began))
			}
		}
		if b.exits("again") != 1 || b.count() != 2 {
			t.Errorf("%d starts", b.count())
		}
	})
}

// TestInstancesOfAnotherDivision leave at once and are no trouble; their GPU's trouble is said once.
func TestInstancesOfAnotherDivision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, edited(func(_, n int, f *helper.Frame) *helper.Frame {
			f.GPUs[1].Info.Parent, f.GPUs[2].Info.Parent = "GPU-a", "GPU-a"
			if n > 3 {
				f.GPUs = f.GPUs[:2]
			}
			if n > 6 {
				f.GPUs[0].State, f.GPUs[1].State = helper.Hung, helper.Hung
			}
			return f
		}, "GPU-a", "MIG-1", "MIG-2")).run()
		defer b.stop()
		b.sleep(12 * time.Second)
		if v := b.now(); len(v.GPUs) != 3 || v.Host.Seen != 1 {
			t.Errorf("%d GPUs, %d seen", len(v.GPUs), v.Host.Seen)
		}
		b.sleep(10 * time.Second)
		if len(b.now().GPUs) != 2 || b.logs.count("does not answer") != 0 {
			t.Error(b.logs)
		}
		b.sleep(30 * time.Second)
		if b.gpu("MIG-1").Up || b.logs.count("does not answer") != 1 {
			t.Error(b.logs)
		}
	})
}

func TestCountersGoOn(t *testing.T) {
	now := time.Now()
	isCounter := collector.GPUCounters()
	a := newAccount("GPU-a", now)
	see := func(at time.Duration, energy, replays float64) {
		a.take(&helper.GPU{ID: "GPU-a", State: helper.OK, ReadAt: collector.TimeOf(now.Add(at)), Values: []collector.GPUValue{
			{Metric: collector.DeviceEnergy, Value: energy}, {Metric: collector.DevicePCIeReplays, Value: replays},
			{Metric: collector.DeviceXIDErrors, Label: "1", Value: 5}, {Metric: collector.DevicePower, Value: math.NaN()},
		}}, sight{now.Add(at), 1, 35 * time.Second, time.Minute, isCounter})
	}
	check := func(resets uint64, energy, replays float64) {
		t.Helper()
		g := collector.GPU{Values: a.values(true, false)}
		e, _ := g.Value(collector.DeviceEnergy, "")
		r, _ := g.Value(collector.DevicePCIeReplays, "")
		if a.resets != resets || e != energy || r != replays || len(g.Values) != 2 {
			t.Errorf("%d resets, energy %g, replays %g, %d values", a.resets, e, r, len(g.Values))
		}
	}
	see(0, 1000, 7)
	check(0, 1000, 7) // what was before the bridge counts
	see(time.Second, 1100, 7)
	check(0, 1100, 7)
	see(2*time.Second, 10, 7)
	check(0, 1100, 7) // not before it is seen again
	see(3*time.Second, 20, 7)
	check(1, 1120, 7)
	see(20*time.Second, 30, 1)
	check(1, 1130, 7)
	see(21*time.Second, 30, 1) // which may be the same reading: this one is not read so often
	check(1, 1130, 7)
	see(57*time.Second, 30, 1) // fell for the same reason
	check(1, 1130, 8)
	see(58*time.Second, 2, 1)
	see(59*time.Second, 3, 1) // energy fell again: another reason
	check(2, 1133, 8)
	see(time.Hour, 6, 0)
	see(61*time.Minute, 6, 0)
	check(3, 1136, 8)
	see(62*time.Minute, -1, 0)
	check(3, 1136, 8)
	see(63*time.Minute, 1000, 0)
	see(64*time.Minute, 990, 0)
	see(65*time.Minute, 995, 0)
	check(3, 2130, 8) // a little less is no beginning
	see(66*time.Minute, 1001, 0)
	check(3, 2131, 8)
}

func TestXIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		xid := func(id, code string, n int) helper.XID {
			return helper.XID{ID: id, Code: code, N: uint64(n), Last: collector.TimeOf(time.Now())}
		}
		b := newCradle(t, Config{}, edited(func(life, n int, f *helper.Frame) *helper.Frame {
			f.XIDs = append(f.XIDs, xid("GPU-a", "79", n+1), xid("GPU-late", "13", 3))
			if n > 2 {
				f.GPUs = append(f.GPUs, helper.GPU{ID: "GPU-late"})
			}
			if n == 4 && life == 0 {
				f.Again = "fresh look"
			}
			return f
		}, "GPU-a")).run()
		defer b.stop()
		b.sleep(41 * time.Second)
		want := float64(5 + b.m.frame.Sequence + 1) // of both lives
		if n, _ := b.gpu("GPU-a").Value(collector.DeviceXIDErrors, "79"); n != want {
			t.Errorf("%g XIDs, want %g", n, want)
		}
		if n, _ := b.gpu("GPU-late").Value(collector.DeviceXIDErrors, "13"); n != 6 {
			t.Errorf("%g XIDs of a GPU that was named late, want 6: 3 of each life", n)
		}
		if at, _ := b.gpu("GPU-a").Value(collector.DeviceXIDLast, "79"); at < 946684800 {
			t.Errorf("last at %g", at)
		}
		if n := b.logs.count(`msg="XID error" hw_id=GPU-a`); n != 1 {
			t.Errorf("said %d times:\n%s", n, b.logs)
		}
	})
}

// TestMemory forgets what is gone after a day, and bounds what is gone.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := newCradle(t, Config{Interval: seconds(60), SlowInterval: seconds(60)}, edited(func(_, _ int, f *helper.Frame) *helper.Frame {
			n := int(time.Since(began) / time.Minute)
			switch {
			case n >= 10 && n < 20:
				for i := range 50 {
					f.GPUs = append(f.GPUs, helper.GPU{ID: fmt.Sprintf("GPU-%d-%d", n, i), State: helper.OK, ReadAt: 1})
				}
			case n == 20:
				for i := range 576 - 1 {
					f.GPUs = append(f.GPUs, helper.GPU{ID: "GPU-many-" + strconv.Itoa(i), State: helper.OK, ReadAt: 1})
				}
			}
			return f
		}, "GPU-a")).run()
		defer b.stop()
		b.sleep(9*time.Minute + time.Second)
		b.sleep(10 * time.Minute)
		if n := len(b.now().GPUs); n != 1+50+maxVanished {
			t.Errorf("%d GPUs are remembered", n)
		}
		b.sleep(time.Minute)
		if n := len(b.now().GPUs); n != 576+maxVanished {
			t.Errorf("%d GPUs are remembered", n)
		}
		b.sleep(23 * time.Hour)
		if n := len(b.now().GPUs); n != 1+maxVanished {
			t.Errorf("%d GPUs are remembered", n)
		}
		b.sleep(90 * time.Minute)
		if n := len(b.now().GPUs); n != 1 {
			t.Errorf("%d GPUs are remembered after a day", n)
		}
	})
}

func TestManyXIDCodes(t *testing.T) {
	a := newAccount("GPU-a", time.Now())
	for i := range 1000 {
		a.observe(strconv.Itoa(i), 1, 1)
	}
	if other := a.xids[collector.OtherClass]; len(a.xids) != maxXIDCodes+1 || other.n != 1000-maxXIDCodes {
		t.Errorf("%d codes", len(a.xids))
	}
}

// TestInherit goes on where the monitor before it stopped.
func TestInherit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		behave := edited(func(_, n int, f *helper.Frame) *helper.Frame {
			f.XIDs = []helper.XID{{ID: "GPU-a", Code: "79", N: 2, Last: 5}}
			return f
		}, "GPU-a")
		b := newCradle(t, Config{}, behave).run()
		b.sleep(21 * time.Second)
		began := b.now().Host.Began
		b.cancel()
		<-b.done
		old := b.m
		b.done = make(chan struct{})
		b.make(Config{Interval: seconds(2)})
		b.m.Inherit(old)
		b.run()
		defer b.stop()
		b.sleep(2*time.Second + time.Millisecond)
		h, g := b.now().Host, b.gpu("GPU-a")
		energy, _ := g.Value(collector.DeviceEnergy, "")
		n, _ := g.Value(collector.DeviceXIDErrors, "79")
		if energy != 70 || n != 4 || g.Resets != 1 || h.Starts != 2 || h.Began != began || b.exits("stopped") != 1 || h.Calls[0].N != 7 {
			t.Errorf("energy %g, XIDs %g, resets %d, host %+v", energy, n, g.Resets, h)
		}
		if b.logs.count("GPUs are read") != 1 {
			t.Error(b.logs)
		}
	})
}

// TestAHangIsSaid: a GPU is late before anybody can know that it hangs; then the log says that too, once.
func TestAHangIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := newCradle(t, Config{}, edited(func(_, _ int, f *helper.Frame) *helper.Frame {
			switch at := time.Since(began); {
			case at < 20*time.Second:
			case at < 40*time.Second:
				f.GPUs[1].State, f.GPUs[1].Age = helper.Slow, 12*time.Second
			default:
				f.GPUs[1].State, f.GPUs[1].Values = helper.Hung, nil
			}
			return f
		}, "GPU-a", "GPU-b")).run()
		defer b.stop()
		b.sleep(35 * time.Second)
		if b.logs.count("GPU does not answer") != 1 || b.logs.count("GPU hangs") != 0 {
			t.Error(b.logs)
		}
		b.sleep(time.Minute)
		if b.logs.count("GPU does not answer") != 1 || b.logs.count("GPU hangs") != 1 {
			t.Error(b.logs)
		}
	})
}
