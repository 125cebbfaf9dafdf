package helper

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

func TestFramesTellEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(8)
		b := start(t, f, Options{Profiling: true, Processes: true})
		defer b.stop()
		b.sleep(time.Millisecond)
		if first := b.all()[0]; first.Fault != Starting && len(first.GPUs) == 0 {
			t.Errorf("the first frame is %+v", first)
		}
		now := b.last()
		if now.Fault != "" || len(now.GPUs) != 8 || now.Versions.Driver != "580.1" {
			t.Fatalf("after the first tick: %+v", now)
		}
		g := now.gpu("GPU-3")
		if g.State != OK || g.Info.Name != "Fake GPU" || g.Rounds != 1 || g.value(collector.DevicePower) != 1 ||
			g.value(collector.DeviceRowRemapPending) < 0 || !slices.Equal(g.PIDs, []int{7}) || !g.ReadAt.Known() {
			t.Errorf("GPU 3 is %+v", g)
		}
		b.sleep(5 * time.Second)
		if g := b.last().gpu("GPU-3"); g.Rounds != 2 || g.value(collector.DeviceSMOccupancy) != .5 || g.value(collector.DeviceRowRemapPending) != 3 {
			t.Errorf("after two ticks values of the slow tick must stay and profiles come: %+v", g)
		}
		b.sleep(25 * time.Second)
		if g := b.last().gpu("GPU-3"); g.value(collector.DeviceRowRemapPending) < 4 {
			t.Errorf("after 30 s there was no slow tick: %+v", g)
		}
		if n := len(b.all()); n > 9 {
			t.Errorf("%d frames for 7 ticks", n)
		}
		calls := b.last().Calls
		if i := slices.IndexFunc(calls, func(c collector.CallCost) bool { return c.Group == "load" }); i < 0 || calls[i].N != 7*8 {
			t.Errorf("calls: %+v", calls)
		}
	})
}

func TestWhatIsOffIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newFake(1), Options{})
		defer b.stop()
		b.sleep(31 * time.Second)
		for _, c := range b.last().Calls {
			if c.Group == "profile" || c.Group == "processes" {
				t.Errorf("read though it is off: %+v", c)
			}
		}
	})
}

// TestHungGPUs hangs each kind of call, of one GPU and of all: frames come, other GPUs are fresh, and one call is made to each.
func TestHungGPUs(t *testing.T) {
	for _, call := range []string{"open", "identify", "instances", "events", "load", "fields", "health", "profile"} {
		for _, n := range []int{1, 8} {
			t.Run(call+"/"+strconv.Itoa(n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { hungGPUs(t, call, n) })
			})
		}
	}
}

func hungGPUs(t *testing.T, call string, n int) {
	f := newFake(8)
	for i := range n {
		f.hang(call + "/" + strconv.Itoa(i))
	}
	b := start(t, f, Options{Profiling: true})
	defer b.stop()
	b.sleep(5*time.Second + 50*time.Millisecond)
	if g := b.last().GPUs[0]; g.State != Hung || len(g.Values) > 0 {
		t.Errorf("after 5 s GPU 0 is %v with %d values", g.State, len(g.Values))
	}
	if call != "open" && call != "identify" && b.last().GPUs[0].ID != "GPU-0" {
		t.Errorf("a GPU that hangs has lost its name: %+v", b.last().GPUs[0])
	}
	before := len(b.all())
	b.sleep(100 * time.Second)
	frames := b.all()[before:]
	if len(frames) < 20 || len(frames) > 22 {
		t.Errorf("%d frames in 20 intervals", len(frames))
	}
	for _, frame := range frames {
		if frame.Again != "" {
			t.Fatalf("a GPU that hangs ended the helper: %s", frame.Again)
		}
		for i := n; i < 8; i++ {
			if g := frame.GPUs[i]; g.State != OK || g.Age > 5*time.Second {
				t.Fatalf("GPU %d is %v and %s old while others hang", i, g.State, g.Age)
			}
		}
	}
	for i := range n {
		f.release(call + "/" + strconv.Itoa(i))
	}
	b.sleep(5 * time.Second)
	for i := range 8 {
		if g := b.last().GPUs[i]; g.State != OK || g.Age > 5*time.Second {
			t.Errorf("GPU %d is %v within one interval of the return of its call", i, g.State)
		}
	}
}

// TestHungGPUIsToldAtOnce, not at the next tick.
func TestHungGPUIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2)
		f.hang("load/1")
		b := start(t, f, Options{Interval: time.Minute})
		defer b.stop()
		b.sleep(5*time.Second + 10*time.Millisecond)
		if g := b.last().GPUs[1]; g.State != Hung || len(b.all()) > 4 {
			t.Errorf("after 5 s it is %v, after %d frames", g.State, len(b.all()))
		}
	})
}

func TestSlowGPUSkipsTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2)
		f.set(func() { f.takes["load/0"] = 4 * time.Second })
		b := start(t, f, Options{Interval: time.Second})
		defer b.stop()
		b.sleep(59500 * time.Millisecond)
		slow := 0
		for _, frame := range b.all()[5:] {
			if frame.GPUs[0].State == Slow {
				slow++
			}
			if frame.GPUs[0].State == Hung || frame.GPUs[1].State != OK {
				t.Fatalf("states %v and %v", frame.GPUs[0].State, frame.GPUs[1].State)
			}
		}
		if g := b.last().GPUs; slow < 20 || g[1].Rounds != 60 || g[0].Rounds < 11 || g[0].Rounds > 15 {
			t.Errorf("slow in %d frames, %d and %d rounds", slow, g[0].Rounds, g[1].Rounds)
		}
	})
}

func TestWhatNeedsAFreshLook(t *testing.T) {
	swap := func(f *fake) { f.set(func() { f.gpus[0].id, f.gpus[1].id = f.gpus[1].id, f.gpus[0].id }) }
	for name, c := range map[string]struct {
		do    func(f *fake)
		again string
		fault string
	}{
		"uninitialized": {func(f *fake) { f.fail("load/2", errStale) }, "uninitialized", ""},
		"unloaded": {func(f *fake) { f.fail("count", &driver.Error{Kind: driver.NoDriver, Op: "count", Code: 9}) },
			"count", "no_driver"},
		"mismatch": {func(f *fake) { f.fail("load/0", &driver.Error{Kind: driver.VersionMismatch, Code: 18}) }, "code 18", "version_mismatch"},
		"one gone": {func(f *fake) { f.set(func() { f.n = 7 }) }, "changed from 8 to 7", ""},
		"swapped":  {swap, "has become", ""},
		"events":   {func(f *fake) { f.fail("wait/2", errStale) }, "uninitialized", ""},
		"all": {func(f *fake) {
			for i := range 8 {
				f.fail("load/"+strconv.Itoa(i), errOther)
			}
		}, "all GPUs answer with errors", ""},
		"nearly all": {func(f *fake) {
			for i := range 8 {
				f.fail("load/"+strconv.Itoa(i), errMost)
			}
		}, "all GPUs answer with errors", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(8)
				b := start(t, f, Options{})
				defer b.stop()
				b.sleep(11 * time.Second)
				if b.ended() || b.last().GPUs[0].State != OK {
					t.Fatal("it does not work to begin with")
				}
				c.do(f)
				b.sleep(10*time.Second + 100*time.Millisecond)
				if last := b.last(); !strings.Contains(last.Again, c.again) || last.Fault != c.fault {
					t.Errorf("the last frame says %q, fault %q", last.Again, last.Fault)
				}
				if !b.ended() {
					t.Error("the helper goes on")
				}
			})
		})
	}
}

func TestWhatNeedsNoFreshLook(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(f *fake)
		state State
	}{
		"one fails":       {func(f *fake) { f.fail("load/2", errOther) }, Failed},
		"a value fails":   {func(f *fake) { f.fail("load/2", errSome) }, OK},
		"half of it fail": {func(f *fake) { f.fail("load/2", errHalf) }, OK},
		"most of it fail": {func(f *fake) { f.fail("load/2", errMost) }, Failed},
		"a group fails":   {func(f *fake) { f.fail("health/2", errOther) }, OK},
		"no permission":   {func(f *fake) { f.fail("open/2", &driver.Error{Kind: driver.NoPermission, Code: 4}) }, Failed},
		"lost later":      {func(f *fake) { f.fail("fields/2", errLost) }, Lost},
		"lost name":       {func(f *fake) { f.fail("identify/2", errLost) }, Lost},
		"lost from start": {func(f *fake) { f.fail("load/2", errLost) }, Lost},
		"gone from start": {func(f *fake) { f.fail("open/2", errLost) }, Lost},
		"events":          {func(f *fake) { f.fail("wait/2", errOther) }, OK},
		"no events":       {func(f *fake) { f.fail("events/2", driver.ErrNotSupported) }, OK},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(8)
				c.do(f)
				b := start(t, f, Options{})
				defer b.stop()
				b.sleep(10 * time.Minute)
				if b.ended() {
					t.Fatalf("the helper ended: %s", b.last().Again)
				}
				if g := b.last().GPUs[2]; g.State != c.state || (g.State == OK) != (len(g.Values) > 0) {
					t.Errorf("the GPU is %v with %d values", g.State, len(g.Values))
				}
				f.set(func() { clear(f.fails) })
				b.sleep(10 * time.Second)
				if g := b.last().GPUs[2]; g.State != OK {
					t.Errorf("once it is well again it is %v", g.State)
				}
			})
		})
	}
}

func TestInitialisation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1)
		f.fail("init", &driver.Error{Kind: driver.NoLibrary, Op: "load", Text: "no such \x1b[1mfile"})
		f.set(func() { f.takes["init"] = 12 * time.Second })
		b := start(t, f, Options{})
		defer b.stop()
		b.sleep(11 * time.Second)
		if n, last := len(b.all()), b.last(); n != 3 || last.Fault != Starting || last.Again != "" {
			t.Errorf("%d frames while it starts, the last %+v", n, last)
		}
		b.sleep(2 * time.Second)
		last := b.last()
		if last.Fault != "no_library" || last.Again == "" || !strings.HasPrefix(last.Detail, "load: no such [1mfile") || last.Init != 12*time.Second {
			t.Errorf("the last frame is %+v", last)
		}
		if !b.ended() || f.opens.Load() != 1 {
			t.Errorf("it goes on, or opened the library %d times", f.opens.Load())
		}
	})
}

func TestNoGPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, newFake(0), Options{})
		defer b.stop()
		b.sleep(10 * time.Minute)
		if last := b.last(); last.Fault != "no_gpu" || last.Again != "" || b.ended() {
			t.Errorf("%+v", last)
		}
	})
}

// TestLostGPU is told at once with the XID that comes a moment later. The others are read on, and it is when it is back.
func TestLostGPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(8)
		b := start(t, f, Options{})
		defer b.stop()
		b.sleep(time.Second)
		f.fail("load/2", errLost)
		time.Sleep(4*time.Second + xidGrace/2) // after the next tick
		f.xids[2] <- driver.XID{ID: "GPU-2", Code: 79}
		b.sleep(xidGrace)
		last := b.last()
		if g := last.gpu("GPU-2"); g.State != Lost || len(g.Values) > 0 || len(last.XIDs) != 1 || last.XIDs[0].Code != "79" {
			t.Errorf("it is %v with %d values, XIDs %+v", g.State, len(g.Values), last.XIDs)
		}
		before := len(b.all())
		b.sleep(10 * time.Minute)
		for _, frame := range b.all()[before:] {
			if g := frame.gpu("GPU-3"); frame.Again != "" || g.State != OK || g.Age > time.Second {
				t.Fatalf("with a lost GPU another is %v, again %q", g.State, frame.Again)
			}
		}
		f.set(func() { clear(f.fails) })
		b.sleep(5 * time.Second)
		if g := b.last().gpu("GPU-2"); g.State != OK || b.ended() {
			t.Errorf("once it is back it is %v", g.State)
		}
	})
}

func TestEnds(t *testing.T) {
	for name, end := range map[string]func(b *bench){
		"stdin":   func(b *bench) { _ = b.stdin.Close() },
		"context": func(b *bench) { b.cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(8)
				for i := range 8 {
					f.hang("load/" + strconv.Itoa(i))
				}
				f.hang("count")
				b := start(t, f, Options{})
				defer b.stop()
				b.sleep(7 * time.Second)
				end(b)
				synctest.Wait()
				if !b.ended() {
					t.Error("it goes on")
				}
			})
		})
	}
}

func TestOddValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1)
		f.gpus[0].more = func(g driver.Group, to *driver.Values) {
			if g != driver.Fields {
				return
			}
			to.Add(collector.DeviceClock, math.NaN(), "sm")
			to.Add(collector.DeviceClock, math.Inf(1), "memory")
			to.Add(collector.DeviceClock, 1, strings.Repeat("x", 500))
			to.Add(collector.DeviceClock, 1, "\xff")
			for i := range 2 * MaxValues {
				to.Add(collector.ProcessMemoryUsage, 1, strconv.Itoa(i))
			}
		}
		b := start(t, f, Options{})
		defer b.stop()
		b.sleep(6 * time.Second)
		g := b.last().GPUs[0]
		if len(g.Values) != MaxValues || g.value(collector.DeviceClock) != -1 || g.value(collector.DevicePower) < 0 {
			t.Errorf("%d values, clock %g", len(g.Values), g.value(collector.DeviceClock))
		}
	})
}
