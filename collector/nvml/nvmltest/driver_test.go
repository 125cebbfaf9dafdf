package nvmltest_test

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/driver"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
)

func TestLostAndGone(t *testing.T) {
	b := newBench(t, "h100")
	d, held, lost := b.open(), b.device(7), b.device(2)
	b.set(7, nvmltest.Gone, "")
	b.set(2, nvmltest.Lost, "a job")
	if n, err := d.Count(); n != 7 || err != nil {
		t.Errorf("%d GPUs, %v, of which one is gone", n, err)
	}
	if _, err := d.Open(7); err == nil {
		t.Error("a GPU that is gone was opened")
	}
	for name, gpu := range map[string]driver.Device{"gone": held, "lost": lost} {
		if err := gpu.Read(driver.Load, &driver.Values{}); driver.KindOf(err) != driver.Lost {
			t.Errorf("a GPU that is %s: %v", name, err)
		}
		if _, err := gpu.Identity(); driver.KindOf(err) != driver.Lost {
			t.Errorf("a GPU that is %s: %v", name, err)
		}
	}
	b.set(2, nvmltest.Train, "a job")
	if err := lost.Read(driver.Load, &driver.Values{}); err != nil {
		t.Errorf("a GPU that is back: %v", err)
	}
}

func TestAHangEndsWithItsMode(t *testing.T) {
	b := newBench(t, "h100") // outside of the bubble: its clock stands
	synctest.Test(t, func(t *testing.T) {
		b.now = time.Now()
		b.state = nvmltest.NewState(1, "h100", 8, b.now)
		b.write()
		d, err := nvmltest.Open(b.file)
		if err != nil {
			t.Fatal(err)
		}
		gpu, err := d.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		b.set(0, nvmltest.Hang, "a job")
		began := time.Now()
		done := make(chan time.Duration)
		go func() {
			_ = gpu.Read(driver.Load, &driver.Values{})
			done <- time.Since(began)
		}()
		time.Sleep(10 * time.Minute)
		b.now = time.Now()
		b.set(0, nvmltest.Train, "a job")
		if took := <-done; took < 10*time.Minute || took > 10*time.Minute+time.Second {
			t.Errorf("the call took %v", took)
		}
	})
}

func TestXIDsAreToldOnce(t *testing.T) {
	b := newBench(t, "h100")
	d := b.open()
	var all []driver.Device
	for i := range 7 { // not the last one
		all = append(all, b.device(i))
	}
	b.state.Report(0, b.now.Add(-time.Second), 43) // before anybody listened
	b.state.Report(1, b.now.Add(time.Minute), 79)
	b.state.Report(7, b.now.Add(time.Minute), 31)
	b.write()
	listen := func() driver.Events {
		e, err := d.Events(all)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	next := func(e driver.Events) (driver.XID, bool) {
		x, ok, err := e.Wait(0)
		if err != nil {
			t.Fatal(err)
		}
		return x, ok
	}
	e := listen()
	if x, ok := next(e); ok {
		t.Errorf("%+v was told too early", x)
	}
	b.now = b.now.Add(2 * time.Minute)
	if x, ok := next(e); !ok || x.Code != 79 || x.ID != b.state.GPUs[1].ID {
		t.Errorf("XID 79 was not told: %+v", x)
	}
	for _, e := range []driver.Events{e, listen()} {
		if x, ok := next(e); ok {
			t.Errorf("%+v was told again", x)
		}
	}
}

func TestAFileThatCannotBeRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gpus.json")
	if _, err := nvmltest.Open(file); driver.KindOf(err) != driver.NoDriver {
		t.Errorf("without a file: %v", err)
	}
	if err := nvmltest.NewState(1, "v100", 8, epoch).Write(file); err != nil {
		t.Fatal(err)
	}
	if _, err := nvmltest.Open(file); driver.KindOf(err) != driver.NoDriver {
		t.Errorf("with an unknown model: %v", err)
	}
	b := newBench(t, "h100")
	d := b.open()
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Count(); n != 8 || err != nil {
		t.Errorf("%d GPUs, %v, after the file was removed", n, err)
	}
}
