package helper

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// TestXIDsAreToldAtOnce even if every GPU hangs and frames of ticks are far apart.
func TestXIDsAreToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(8)
		b := start(t, f, Options{Interval: time.Minute})
		defer b.stop()
		b.sleep(time.Second)
		for i := range 8 {
			f.hang("load/" + strconv.Itoa(i))
		}
		b.sleep(70 * time.Second)
		before := len(b.all())
		for range 50 {
			f.xids[3] <- driver.XID{ID: "GPU-3", Code: 79}
		}
		f.xids[4] <- driver.XID{ID: "GPU-4", Code: 1 << 60}
		b.sleep(200 * time.Millisecond)
		frames := b.all()[before:]
		if len(frames) != 1 {
			t.Fatalf("%d frames tell of a burst of XIDs", len(frames))
		}
		got := map[XID]bool{}
		for _, x := range frames[0].XIDs {
			x.Last = 0
			got[x] = true
		}
		if !got[XID{ID: "GPU-3", Code: "79", N: 50}] || !got[XID{ID: "GPU-4", Code: collector.OtherClass, N: 1}] || len(got) != 2 {
			t.Errorf("XIDs: %+v", frames[0].XIDs)
		}
	})
}

// TestXIDStorm is bounded in frames and in memory.
func TestXIDStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1)
		b := start(t, f, Options{})
		defer b.stop()
		b.sleep(time.Second)
		before := len(b.all())
		for i := range 5000 {
			f.xids[0] <- driver.XID{ID: "GPU-" + strconv.Itoa(i), Code: uint64(i % 900)}
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := len(b.all()) - before; n < 20 || n > 25 {
			t.Errorf("%d frames for what can be remembered", n)
		}
		if n := len(b.last().XIDs); n != MaxXIDs {
			t.Errorf("%d XIDs are remembered", n)
		}
	})
}

func TestEventsThatFailAreAskedSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1)
		f.fail("wait/0", errOther)
		b := start(t, f, Options{})
		defer b.stop()
		b.sleep(101 * time.Second)
		for _, c := range b.last().Calls {
			if c.Group == callEvents && (c.N > 25 || c.Errors[0].Name != "999") {
				t.Errorf("%+v", c)
			}
		}
	})
}

// TestInstances come and go, and keep their devices, which remember their last samples.
func TestInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(2)
		f.set(func() { f.gpus[1].parts = 2 })
		b := start(t, f, Options{})
		defer b.stop()
		b.sleep(11 * time.Second)
		g := b.last().gpu("MIG-1-2")
		if g.Index != 1 || g.Info.Parent != "GPU-1" || g.State != OK || g.value(collector.DeviceEnergy) < 4 || len(b.last().GPUs) != 4 {
			t.Errorf("an instance is %+v of %d", g, len(b.last().GPUs))
		}
		f.set(func() { f.gpus[1].parts = 20 })
		b.sleep(30 * time.Second)
		if n := len(b.last().GPUs); n != 2+MaxInstances {
			t.Errorf("%d entries", n)
		}
		if n := b.last().gpu("MIG-1-2").value(collector.DeviceEnergy); n < 15 {
			t.Errorf("an instance that stayed was read %g times: its device is another one", n)
		}
		f.fail("load.2/1", errOther)
		b.sleep(6 * time.Second)
		if g := b.last(); g.gpu("MIG-1-2").State != Failed || g.gpu("MIG-1-1").State != OK || g.gpu("GPU-1").State != OK {
			t.Errorf("one instance fails: %v", g.gpu("MIG-1-2").State)
		}
		f.set(func() { f.gpus[1].parts = 0 })
		b.sleep(6 * time.Second)
		if n := len(b.last().GPUs); n != 2 {
			t.Errorf("%d entries after the division was undone", n)
		}
	})
}
