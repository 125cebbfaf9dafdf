package helper

import (
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// TestManySlowCalls: a call that does not come back makes a GPU hung, and not a group of many that do.
func TestManySlowCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2)
		f.gpus[0].more = func(g driver.Group, to *driver.Values) {
			for range 24 {
				if g == driver.Health {
					to.Beat()
					time.Sleep(500 * time.Millisecond)
				}
			}
		}
		b := start(t, f, Options{})
		defer b.stop()
		b.sleep(11 * time.Second)
		if g := b.last().GPUs[0]; g.State != Slow {
			t.Errorf("after 11 s of 12 it is %v", g.State)
		}
		b.sleep(20 * time.Second)
		for _, frame := range b.all() {
			if len(frame.GPUs) > 0 && (frame.GPUs[0].State == Hung || frame.GPUs[1].Age > 5*time.Second) {
				t.Fatalf("at %v the slow GPU is %v and the other %s old", frame.At, frame.GPUs[0].State, frame.GPUs[1].Age)
			}
		}
		if g := b.last().GPUs[0]; g.State != OK || g.Rounds < 3 {
			t.Errorf("in the end it is %v, after %d rounds", g.State, g.Rounds)
		}
	})
}

func TestOneOfManyCallsHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1)
		never := make(chan struct{})
		f.gpus[0].more = func(g driver.Group, to *driver.Values) {
			for i := range 6 {
				if g == driver.Health {
					to.Beat()
					time.Sleep(time.Second)
				}
				if g == driver.Health && i == 5 {
					<-never
				}
			}
		}
		b := start(t, f, Options{Interval: time.Minute})
		defer b.stop()
		defer close(never)
		b.sleep(9900 * time.Millisecond)
		if g := b.last().GPUs[0]; g.State == Hung {
			t.Error("it is hung before a call took 5 s")
		}
		b.sleep(200 * time.Millisecond)
		if g := b.last().GPUs[0]; g.State != Hung {
			t.Errorf("5 s after the call began that does not come back it is %v", g.State)
		}
	})
}

// TestAHangDelaysNoFrame: the frame that tells of it is one more.
func TestAHangDelaysNoFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(3)
		f.hang("load/0")
		f.set(func() { f.takes["load/1"], f.takes["load/2"] = 100*time.Millisecond, 2*time.Second })
		b := start(t, f, Options{Interval: 4950 * time.Millisecond}) // the second tick is just before the hang
		defer b.stop()
		b.sleep(5500 * time.Millisecond)
		if g := b.last().GPUs; g[0].State != Hung || g[1].Rounds != 2 {
			t.Errorf("half a second after the second tick GPU 0 is %v, and GPU 1 was read %d times", g[0].State, g[1].Rounds)
		}
	})
}

// TestProcessesOfADividedGPU: to a privileged caller the driver tells those of all instances for the GPU as well.
func TestProcessesOfADividedGPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2)
		b := start(t, f, Options{Processes: true, Slow: 10 * time.Second})
		defer b.stop()
		check := func(parts int) {
			t.Helper()
			b.sleep(11 * time.Second)
			var with []string
			for _, g := range b.last().GPUs {
				if (len(g.PIDs) > 0) != (g.value(collector.ProcessMemoryUsage) > 0) || g.State != OK {
					t.Errorf("%s: %+v", g.ID, g)
				}
				if len(g.PIDs) > 0 {
					with = append(with, g.ID)
				}
			}
			want := []string{"GPU-0"}
			for i := range parts {
				want = append(want, "MIG-1-"+strconv.Itoa(i+1))
			}
			if parts == 0 {
				want = append(want, "GPU-1")
			}
			if !slices.Equal(with, want) {
				t.Errorf("divided into %d: processes of %v, want %v", parts, with, want)
			}
		}
		for _, parts := range []int{0, 2, 0} {
			f.set(func() { f.gpus[1].parts = parts })
			check(parts)
		}
	})
}
