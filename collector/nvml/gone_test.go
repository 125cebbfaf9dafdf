package nvml

import (
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/assign"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// numbered gives GPUs of a frame their indices as they stand, and numbers of device files.
func numbered(f *helper.Frame, minors ...int) *helper.Frame {
	for i := range f.GPUs {
		f.GPUs[i].Info.Minor = strconv.Itoa(minors[i])
	}
	return f
}

// TestNumbersOfGPUsThatAreGone: GPU 1 goes, the indices of others move up, and at last all are others. A number is never that of two.
func TestNumbersOfGPUsThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := newCradle(t, Config{DCGMNames: dcgmClassic}, func(_ int, p *fakeProcess, o helper.Options) {
			p.frames(o, func(n int) *helper.Frame {
				switch at := time.Since(began); {
				case at < 20*time.Second:
					f := numbered(healthy(n, "GPU-a", "GPU-b", "GPU-c", "MIG-b"), 0, 1, 2, 1)
					f.GPUs[3].Index, f.GPUs[3].Info.Parent = 1, "GPU-b"
					return f
				case at < 40*time.Second:
					return numbered(healthy(n, "GPU-a", "GPU-c"), 0, 2)
				default:
					return numbered(healthy(n, "GPU-d", "GPU-e"), 0, 1)
				}
			})
		})
		l := &fakeLooker{}
		b.m.assigner = l
		b.run()
		defer b.stop()
		numbers := func() (out []string) {
			asked := l.questions()
			for i, g := range asked[len(asked)-1] {
				if info := b.now().GPUs[i].Info; info.Index != g.Index || info.Minor != g.Minor || b.now().GPUs[i].ID != g.ID {
					t.Errorf("asked for %+v, shown is %+v", g, info)
				}
				out = append(out, g.ID+" "+g.Index+" "+g.Minor)
			}
			return out
		}
		for _, c := range []struct {
			after time.Duration
			want  []string
		}{
			{15 * time.Second, []string{"GPU-a 0 0", "GPU-b 1 1", "GPU-c 2 2", "MIG-b 1 1"}},
			{20 * time.Second, []string{"GPU-a 0 0", "GPU-b  1", "GPU-c 1 2", "MIG-b  1"}},
			{20 * time.Second, []string{"GPU-a  ", "GPU-b  ", "GPU-c  2", "GPU-d 0 0", "GPU-e 1 1", "MIG-b  "}},
		} {
			b.sleep(c.after)
			if got := numbers(); !slices.Equal(got, c.want) {
				t.Errorf("after %s: %q, want %q", time.Since(began), got, c.want)
			}
		}
	})
}

// TestGPUThatCannotBeOpened leaves a trace, and others that are gone are gone in spite of it.
func TestGPUThatCannotBeOpened(t *testing.T) {
	for _, state := range []helper.State{helper.Hung, helper.Failed, helper.Lost} {
		t.Run(state.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				b := newCradle(t, Config{}, edited(func(_, _ int, f *helper.Frame) *helper.Frame {
					if time.Since(began) >= 30*time.Second {
						f.GPUs = f.GPUs[:1]
					}
					f.GPUs = append(f.GPUs, helper.GPU{Index: 6, State: helper.Slow})
					if time.Since(began) >= 10*time.Second {
						f.GPUs[len(f.GPUs)-1].State = state
					}
					return f
				}, "GPU-a", "GPU-b")).run()
				defer b.stop()
				b.sleep(5 * time.Second)
				if h := b.now().Host; h.Listed != 3 || h.Seen != 2 || b.logs.count("cannot be opened") != 0 {
					t.Errorf("%+v\n%s", h, b.logs)
				}
				b.sleep(30 * time.Second)
				if h := b.now().Host; h.Listed != 2 || h.Seen != 1 || b.gpu("GPU-b").Up {
					t.Errorf("%+v", h)
				}
				b.sleep(time.Hour)
				if b.logs.count("the driver lists GPU 6, which cannot be opened: ") != 1 || b.logs.count("state="+state.String()) != 1 {
					t.Error(b.logs)
				}
				if !b.m.memory.gpus["GPU-b"].gone {
					t.Error("GPU-b is not gone")
				}
			})
		})
	}
}

// TestKnownGPUThatCannotBeOpened is said to be that.
func TestKnownGPUThatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := newCradle(t, Config{}, edited(func(_, _ int, f *helper.Frame) *helper.Frame {
			if time.Since(began) >= 30*time.Second {
				f.GPUs[1] = helper.GPU{Index: 1, State: helper.Failed}
			}
			return f
		}, "GPU-a", "GPU-b")).run()
		defer b.stop()
		b.sleep(40 * time.Second)
		if g := b.gpu("GPU-b"); g.Up || g.Info.Index != "1" || b.now().Host.Listed != 2 || b.logs.count("lists a GPU with its index and cannot open it") != 1 {
			t.Errorf("%+v\n%s", g, b.logs)
		}
	})
}

// TestNothingIsListedWithoutADriver.
func TestNothingIsListedWithoutADriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, func(n int, p *fakeProcess, _ helper.Options) {
			if n == 0 {
				p.write(healthy(0, "GPU-a"))
			}
			p.write(&helper.Frame{Fault: "no_driver", Again: "x"})
		}).run()
		defer b.stop()
		b.sleep(time.Minute)
		if h := b.now().Host; h.Up || h.Listed != 0 || len(b.now().GPUs) != 1 {
			t.Errorf("%+v", h)
		}
	})
}

// TestAnotherLibrary is another machine, whose GPUs are not mixed with those of the first.
func TestAnotherLibrary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{Library: "/a.so"}, well("GPU-a")).run()
		b.sleep(21 * time.Second)
		began := b.now().Host.Began
		b.cancel()
		<-b.done
		old := b.m
		b.done = make(chan struct{})
		b.behave = well("GPU-b")
		b.make(Config{Library: "/b.so"})
		b.m.Inherit(old)
		if b.m.readable(time.Now()) || len(b.m.looking.result.Jobs) > 0 {
			t.Error("the other machine's state is shown")
		}
		b.watch = newWatcher()
		b.run()
		defer b.stop()
		b.sleep(6 * time.Second)
		if v := b.now(); len(v.GPUs) != 1 || v.GPUs[0].ID != "GPU-b" || v.Host.Starts != 2 || v.Host.Began != began || b.logs.count("GPUs are read") != 2 {
			t.Errorf("%d GPUs, host %+v\n%s", len(v.GPUs), v.Host, b.logs)
		}
	})
}

func TestClose(t *testing.T) {
	m, err := New(Config{Assignments: assign.Config{Kubelet: &assign.Kubelet{}}}, Env{Command: []string{"none"}})
	if err != nil {
		t.Fatal(err)
	}
	l := &fakeLooker{}
	real := m.assigner
	m.assigner = l
	for range 2 {
		if err := m.Close(); err != nil || !l.closed {
			t.Errorf("closed: %v, %v", l.closed, err)
		}
	}
	if err := real.Close(); err != nil {
		t.Error(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, well("GPU-a"))
		closes := &closer{}
		b.m.assigner = closes
		b.run()
		b.sleep(10 * time.Second)
		b.stop()
		if err := b.m.Close(); err != nil || closes.n != 1 {
			t.Errorf("closed %d times: %v", closes.n, err)
		}
	})
	if m, err = New(Config{}, Env{Command: []string{"none"}}); err != nil || m.Close() != nil {
		t.Error("one without an assigner cannot be closed")
	}
}

type closer struct {
	fakeLooker
	n int
}

func (c *closer) Close() error {
	c.n++
	return nil
}
