package nvml

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/assign"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// fakeLooker gives every GPU a job, or hangs.
type fakeLooker struct {
	mu     sync.Mutex
	hang   chan struct{}
	asked  [][]assign.GPU
	closed bool
}

func (l *fakeLooker) Look(_ context.Context, gpus []assign.GPU) assign.Result {
	l.mu.Lock()
	hang := l.hang
	l.asked = append(l.asked, gpus)
	l.mu.Unlock()
	if hang != nil {
		<-hang
	}
	r := assign.Result{
		Jobs: map[string][]collector.Key{}, Pods: map[string][]collector.Pod{}, Sources: []collector.AssignmentSource{{Name: "files", Up: true}},
	}
	for _, g := range gpus {
		r.Jobs[g.ID] = []collector.Key{{Source: "s", ID: "job-" + g.Index}}
		r.Pods[g.ID] = []collector.Pod{{Name: "p"}}
	}
	return r
}

// questions are those that were asked.
func (l *fakeLooker) questions() [][]assign.GPU {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

func (l *fakeLooker) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

func TestJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newCradle(t, Config{}, edited(func(_, n int, f *helper.Frame) *helper.Frame {
			if n > 3 {
				f.GPUs = append(f.GPUs, helper.GPU{Index: 5, ID: "GPU-z", State: helper.OK})
			}
			return f
		}, "GPU-a"))
		l := &fakeLooker{}
		b.m.assigner = l
		b.run()
		b.sleep(time.Second)
		if g := b.gpu("GPU-a"); !slices.Equal(g.Jobs, []collector.Key{{Source: "s", ID: "job-0"}}) || len(g.Pods) != 1 ||
			len(b.now().Host.Assigned) != 1 {
			t.Errorf("at once: %+v", g)
		}
		b.sleep(20 * time.Second)
		if g := b.gpu("GPU-z"); len(g.Jobs) != 1 {
			t.Errorf("a new GPU has %v", g.Jobs)
		}
		if !slices.Equal(l.questions()[0][0].PIDs, []int{1}) {
			t.Errorf("asked %+v", l.questions()[0])
		}
		n := len(l.questions())
		b.sleep(100 * time.Second)
		if more := len(l.questions()) - n; more != 10 {
			t.Errorf("asked %d times in 100 s", more)
		}
		l.mu.Lock()
		l.hang = make(chan struct{})
		l.mu.Unlock()
		b.sleep(10 * time.Second)
		views := b.views.Load()
		b.sleep(time.Minute)
		if g := b.gpu("GPU-a"); b.views.Load()-views < 12 || len(g.Jobs) != 1 || !g.Up {
			t.Errorf("%d views while looking hangs: %+v", b.views.Load()-views, g)
		}
		l.mu.Lock()
		hang := l.hang
		l.mu.Unlock()
		time.AfterFunc(5*time.Second, func() { close(hang) })
		b.stop() // in time
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.closed {
			t.Error("it was not closed")
		}
	})
}

func TestOnce(t *testing.T) {
	for name, c := range map[string]struct {
		behave func(int, *fakeProcess, helper.Options)
		check  func(v *collector.GPUView, err error, took time.Duration) bool
	}{
		"well": {well("GPU-a"), func(v *collector.GPUView, err error, took time.Duration) bool {
			return err == nil && v.Host.Up && len(v.GPUs) == 1 && len(v.GPUs[0].Jobs) == 1 && took >= time.Second && took < 3*time.Second
		}},
		"no driver": {func(_ int, p *fakeProcess, _ helper.Options) { p.write(&helper.Frame{Fault: "no_driver", Again: "x"}) },
			func(v *collector.GPUView, err error, took time.Duration) bool {
				return err == nil && v.Host.Fault == "no_driver" && took < time.Second
			}},
		"crash": {func(_ int, p *fakeProcess, _ helper.Options) { p.end(errors.New("crash")) },
			func(v *collector.GPUView, err error, took time.Duration) bool {
				return err == nil && v.Host.Fault == "crashed" && took < time.Second
			}},
		"one hangs": {edited(func(_, n int, f *helper.Frame) *helper.Frame {
			if f.GPUs[0].State, f.GPUs[0].ReadAt, f.GPUs[0].Values = helper.Slow, 0, nil; n > 4 {
				f.GPUs[0].State = helper.Hung
			}
			return f
		}, "GPU-a", "GPU-b"), func(v *collector.GPUView, err error, took time.Duration) bool {
			return err == nil && v.Host.Up && len(v.GPUs) == 2 && !v.GPUs[0].Up && v.GPUs[1].Up && took < 8*time.Second
		}},
		"never": {edited(func(_, _ int, f *helper.Frame) *helper.Frame {
			f.GPUs[0].State = helper.Slow
			return f
		}, "GPU-a"), func(v *collector.GPUView, err error, took time.Duration) bool {
			return errors.Is(err, context.DeadlineExceeded) && v.Host.Up && took >= time.Minute && took < 62*time.Second
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newCradle(t, Config{}, c.behave)
				b.m.assigner = &fakeLooker{}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				v, err := b.m.Once(ctx)
				if took := time.Since(began); !c.check(v, err, took) {
					t.Errorf("after %s: %v, host %+v", took, err, v.Host)
				}
				if b.views.Load() > 0 || b.count() != 1 {
					t.Errorf("%d views published, %d helpers started", b.views.Load(), b.count())
				}
				for _, p := range b.all {
					select {
					case <-p.ended:
					default:
						t.Error("the helper is still there")
					}
				}
			})
		})
	}
}
