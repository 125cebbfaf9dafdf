package nvml

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

func TestHealthyHelper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		two := 2
		b := newCradle(t, Config{Expected: &two, DCGMNames: "renamed"}, well("GPU-b", "GPU-a")).run()
		defer b.stop()
		b.sleep(time.Minute)
		v := b.now()
		h := v.Host
		if !h.Up || h.Fault != "" || h.Seen != 2 || *h.Expected != 2 || h.Name != "node" || h.Helpers != 1 || h.Starts != 1 ||
			h.Versions.Driver != "580" || len(h.Exits) != 4 || !h.Began.Known() {
			t.Errorf("host: %+v", h)
		}
		g := b.gpu("GPU-b")
		power, _ := g.Value(collector.DevicePower, "")
		energy, _ := g.Value(collector.DeviceEnergy, "")
		if _, processes := g.Value(collector.ProcessMemoryUsage, "1"); !g.Up || power != 100 || energy < 120 || processes || g.Resets != 0 {
			t.Errorf("GPU: %+v", g)
		}
		if g.Info.Index != "0" || !g.Since.Known() || !g.ReadAt.Known() {
			t.Errorf("GPU: %+v", g)
		}
		if len(v.DCGM) != 2 || !v.DCGM[0].Renamed || v.DCGM[0].GPU != v.GPUs[0] || v.DCGM[0].Host != h {
			t.Errorf("DCGM: %+v", v.DCGM)
		}
		if n := b.logs.count("GPUs are read"); n != 1 || b.logs.count("level=WARN") > 0 {
			t.Error(b.logs)
		}
	})
}

// TestCrashes are followed by helpers after 1, 2, 4 ... 60 seconds.
func TestCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(_ int, p *fakeProcess, _ helper.Options) {
			_, _ = io.WriteString(p.lines, "SIGSEGV: segmentation violation\nPC=0x0\n")
			p.end(errors.New("exit status 2"))
		}).run()
		defer b.stop()
		b.sleep(400 * time.Second)
		var gaps []int
		for i, s := range b.times()[1:] {
			gaps = append(gaps, int((s - b.times()[i]).Seconds()))
		}
		if want := []int{1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60}; !slices.Equal(gaps, want) {
			t.Errorf("helpers were started after %v", gaps)
		}
		h := b.now().Host
		if h.Up || h.Fault != "crashed" || h.Detail != "exit status 2: SIGSEGV: segmentation violation" || b.exits("crashed") != 12 || h.Helpers != 0 {
			t.Errorf("host: %+v", h)
		}
		if n := b.logs.count("GPUs cannot be read"); n != 1 {
			t.Errorf("%d times in the log:\n%s", n, b.logs)
		}
	})
}

func TestBackoffBeginsAnewAfterAMinuteOfHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(n int, p *fakeProcess, o helper.Options) {
			if n == 6 {
				time.AfterFunc(2*time.Minute, func() { p.end(errors.New("crash")) })
				p.frames(o, func(n int) *helper.Frame { return healthy(n, "GPU-a") })
				return
			}
			p.end(errors.New("crash"))
		}).run()
		defer b.stop()
		b.sleep(4 * time.Minute)
		if gap := b.times()[7] - b.times()[6] - 2*time.Minute; gap != time.Second {
			t.Errorf("after a crash of a helper that was well the next came after %s", gap)
		}
	})
}

// TestCrashInBetween does not show: values are still fresh when the next helper speaks.
func TestCrashInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(n int, p *fakeProcess, o helper.Options) {
			time.AfterFunc(22*time.Second, func() { p.end(errors.New("crash")) })
			well("GPU-a")(n, p, o)
		}).run()
		defer b.stop()
		for range 60 {
			b.sleep(time.Second)
			if v := b.now(); b.views.Load() > 1 && (!v.Host.Up || !b.gpu("GPU-a").Up) {
				t.Fatalf("after %s: host %+v", time.Since(b.began), v.Host)
			}
		}
		if b.exits("crashed") != 2 {
			t.Errorf("%d crashes", b.exits("crashed"))
		}
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(n int, p *fakeProcess, o helper.Options) {
			p.rude.Store(true)
			if n > 0 {
				well("GPU-a")(n, p, o)
				return
			}
			p.frames(o, func(n int) *helper.Frame {
				if n > 3 {
					return nil
				}
				return healthy(n, "GPU-a")
			})
		}).run()
		defer b.stop()
		b.sleep(25 * time.Second)
		if h := b.now().Host; !h.Up || !b.gpu("GPU-a").Up {
			t.Errorf("after 10 s of silence: %+v", h)
		}
		b.sleep(6 * time.Second)
		if h, g := b.now().Host, b.gpu("GPU-a"); h.Up || h.Fault != "silent" || h.Listed != 0 || g.Up || g.ID == "" || h.Seen != 0 {
			t.Errorf("after 16 s of silence: %+v, %+v", h, g)
		}
		if b.count() != 1 {
			t.Error("a helper was given up too early")
		}
		b.sleep(16 * time.Second)
		if h := b.now().Host; !h.Up || h.Helpers != 1 || b.count() != 2 || b.exits("silent") != 1 {
			t.Errorf("after 32 s: %+v", h)
		}
		if b.logs.count("GPU does not answer") != 0 || b.logs.count("GPUs cannot be read") != 1 || b.logs.count("GPUs are read") != 2 {
			t.Error(b.logs)
		}
	})
}

// TestNonsense on stdout is the end of a helper.
func TestNonsense(t *testing.T) {
	for name, nonsense := range map[string][]byte{
		"text":  []byte("NVML: out of memory\n"),
		"giant": binary.BigEndian.AppendUint32(nil, math.MaxUint32),
		"empty": {0, 0, 0, 0},
		"cbor":  {0, 0, 0, 4, 0xa1, 0x18, 0x63, 0x01},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newCradle(t, Config{}, func(_ int, p *fakeProcess, _ helper.Options) {
					p.rude.Store(true)
					p.write(healthy(0, "GPU-a"))
					_, _ = p.stdout.Write(nonsense)
					<-p.ended
				}).run()
				defer b.stop()
				b.sleep(2500 * time.Millisecond)
				if b.count() != 2 || b.exits("crashed") != 2 || b.m.fault != "crashed" || !strings.Contains(b.m.detail, "cannot be read") {
					t.Errorf("%d starts, %d crashes, %s: %s", b.count(), b.exits("crashed"), b.m.fault, b.m.detail)
				}
			})
		})
	}
}

// TestUnkillable helpers count: there is never a third.
func TestUnkillable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(n int, p *fakeProcess, o helper.Options) {
			p.unkillable.Store(n < 2)
			if n == 2 {
				well("GPU-a")(n, p, o)
				return
			}
			p.write(healthy(0, "GPU-a"))
		}).run()
		defer b.stop()
		b.sleep(10 * time.Minute)
		h := b.now().Host
		if b.count() != 2 || h.Helpers != 2 || h.Starts != 2 || h.Up || h.Fault != "silent" {
			t.Errorf("%d starts, host %+v", b.count(), h)
		}
		if n := b.logs.count("no third is started"); n != 1 {
			t.Errorf("said %d times:\n%s", n, b.logs)
		}
		views := b.views.Load()
		b.sleep(time.Minute)
		if b.views.Load()-views < 10 {
			t.Error("views have stopped")
		}
		b.one(0).end(nil)
		b.sleep(10 * time.Second)
		if h := b.now().Host; !h.Up || h.Helpers != 2 || b.exits("silent") != 1 {
			t.Errorf("after one was reaped: %+v", h)
		}
	})
}

func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(_ int, p *fakeProcess, o helper.Options) {
			p.frames(o, func(n int) *helper.Frame {
				if n < 24 {
					return &helper.Frame{Fault: helper.Starting}
				}
				return healthy(n, "GPU-a")
			})
		}).run()
		defer b.stop()
		b.sleep(110 * time.Second)
		if h := b.now().Host; h.Up || h.Fault != "starting" || b.count() != 1 {
			t.Errorf("%d starts, %+v", b.count(), h)
		}
		b.sleep(20 * time.Second)
		if h := b.now().Host; !h.Up || b.logs.count("level=WARN") != 0 {
			t.Errorf("%+v\n%s", h, b.logs)
		}
	})
}

func TestStartThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(_ int, p *fakeProcess, o helper.Options) {
			p.frames(o, func(int) *helper.Frame { return &helper.Frame{Fault: helper.Starting} })
		}).run()
		defer b.stop()
		b.sleep(6 * time.Minute)
		if h := b.now().Host; h.Fault != "silent" || b.exits("silent") != 1 || b.count() != 2 {
			t.Errorf("%d starts, %+v", b.count(), h)
		}
	})
}

func TestNoLibrary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(n int, p *fakeProcess, o helper.Options) {
			if n < 5 {
				p.write(&helper.Frame{Fault: "no_library", Detail: "no such\x1b file", Again: "no library", Init: time.Millisecond})
				return
			}
			well("GPU-a")(n, p, o)
		}).run()
		defer b.stop()
		b.sleep(22 * time.Second)
		if h := b.now().Host; h.Fault != "no_library" || h.Detail != "no such file" || b.exits("again") != 5 || h.Helpers != 0 {
			t.Errorf("%d starts, %+v", b.count(), h)
		}
		if b.times()[4] != 20*time.Second {
			t.Errorf("the fifth was started after %s", b.times()[4])
		}
		if n := b.logs.count("install the NVIDIA driver, or set gpus.library"); n != 1 || b.logs.count("level=WARN") != 1 {
			t.Error(b.logs)
		}
		b.sleep(4 * time.Second)
		if h := b.now().Host; !h.Up {
			t.Errorf("once the library is there: %+v", h)
		}
	})
}

func TestNotBuiltInIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(_ int, p *fakeProcess, _ helper.Options) {
			p.write(&helper.Frame{Fault: "not_built_in", Again: "x"})
		}).run()
		defer b.stop()
		b.sleep(time.Hour)
		if h := b.now().Host; b.count() != 1 || h.Fault != "not_built_in" || h.Helpers != 0 {
			t.Errorf("%d starts, %+v", b.count(), h)
		}
	})
}

// TestSlowInitialisation takes a tenth of the time at most.
func TestSlowInitialisation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(_ int, p *fakeProcess, _ helper.Options) {
			time.Sleep(8 * time.Second)
			p.write(&helper.Frame{Fault: "no_driver", Again: "x", Init: 8 * time.Second})
		}).run()
		defer b.stop()
		b.sleep(10 * time.Minute)
		if n := b.count(); n != 8 || b.times()[1] != 80*time.Second {
			t.Errorf("%d starts: %v", n, b.times())
		}
	})
}

func TestStartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, nil)
		b.fail = errors.New("start the helper that reads GPUs (x): no such file")
		b.run()
		defer b.stop()
		b.sleep(40 * time.Second)
		if h := b.now().Host; b.count() != 6 || h.Fault != "crashed" || !strings.Contains(h.Detail, "no such file") || h.Helpers != 0 {
			t.Errorf("%d starts, %+v", b.count(), h)
		}
	})
}

// TestRunReturns in time even if helpers cannot be ended.
func TestRunReturns(t *testing.T) {
	for _, name := range []string{"polite", "rude", "unkillable"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newCradle(t, Config{}, func(n int, q *fakeProcess, o helper.Options) {
					q.rude.Store(name == "rude")
					q.unkillable.Store(name == "unkillable")
					well("GPU-a")(n, q, o)
				}).run()
				b.sleep(time.Minute)
				b.stop() // checks
				if name != "unkillable" && (b.m.memory.exits["stopped"] != 1 || b.m.alive.Load() != 0) {
					t.Errorf("exits: %v", b.m.memory.exits)
				}
			})
		})
	}
}
