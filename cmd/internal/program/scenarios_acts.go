package program

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// The pace of jobs that scenarios add.
const (
	stepEvery = 5 * time.Second
	always    = math.MaxInt // times
	allGPUs   = math.MaxInt
)

// failJobs is an act: so many jobs train a little and fail, half a minute apart.
func failJobs(jobs int) func(context.Context, *demoWorld) error {
	return func(ctx context.Context, w *demoWorld) error {
		for i := range jobs {
			id := w.train(fmt.Sprint("too-large-", i+1))
			w.every(ctx, stepEvery, 6, func(int) { w.step(id, 1.4) })
			w.ended(id)
			w.wandb.Append(id, wandbtest.Failed("CUDA out of memory. Tried to allocate 2.50 GiB"))
		}
		return nil
	}
}

func breakLoss(ctx context.Context, w *demoWorld) error {
	id := w.train("learns-too-fast")
	w.every(ctx, stepEvery, always, func(n int) {
		if n < 24 {
			w.step(id, 1.4)
		} else {
			w.step(id, math.NaN())
		}
	})
	return nil
}

func stall(ctx context.Context, w *demoWorld) error {
	id := w.train("waits-for-storage")
	w.every(ctx, stepEvery, 60, func(int) { w.step(id, 1.4) })
	return nil
}

func neverStep(_ context.Context, w *demoWorld) error {
	w.train("loads-the-model")
	return nil
}

func overspend(ctx context.Context, w *demoWorld) error {
	w.newRun("job_train_costly", "Forgotten sweep")
	w.every(ctx, 20*time.Second, always, func(n int) {
		w.tensorone.Set("job_train_costly", func(j *tensoronetest.Job) {
			j.Progress = &tensoronetest.Progress{Epoch: 1, Epochs: 3, Step: 10 * (n + 1), Steps: 20_000, Percent: 1}
			j.Costs = &tensoronetest.Costs{GPU: 490 + float64(n)}
		})
	})
	return nil
}

func restartLoop(ctx context.Context, w *demoWorld) error {
	id := w.train("flaky-loader")
	w.every(ctx, stepEvery, always, func(n int) {
		if n > 0 && n%6 == 0 {
			w.wandb.Append(id, wandbtest.Started(10_000))
		}
		w.step(id, 1.2)
	})
	return nil
}

func diverge(ctx context.Context, w *demoWorld) error {
	const turn = 15 * time.Minute / stepEvery
	id, loss := w.train("no-warm-up"), 1.4
	w.every(ctx, stepEvery, always, func(n int) {
		if n < int(turn) {
			loss -= 0.8 / float64(turn)
		} else {
			loss += 0.01
		}
		w.step(id, loss)
	})
	return nil
}

// newRun adds a TensorOne job that has run for hours.
func (w *demoWorld) newRun(id, name string) {
	now := time.Now()
	w.willEnd(id, func() { w.tensorone.SetStatus(id, "completed") })
	w.tensorone.AddJob(tensoronetest.Job{
		ID: id, Name: name, Status: "running", Created: now.Add(-5 * time.Hour), Started: now.Add(-5 * time.Hour), Updated: now,
		Framework: "pytorch", ModelType: "language_model", BaseModel: "phi-4", GPUType: "h100-80gb", GPUs: 1,
	})
}

func slowDown(ctx context.Context, w *demoWorld) error {
	const turn = time.Hour / (20 * time.Second)
	w.newRun("job_train_slow", "Slow storage")
	w.every(ctx, 20*time.Second, always, func(n int) {
		tokens := 52_000.0
		if n >= int(turn) {
			tokens = 17_000
		}
		w.tensorone.Set("job_train_slow", func(j *tensoronetest.Job) {
			j.Progress = &tensoronetest.Progress{Epoch: 1, Epochs: 3, Step: 10 * (n + 1), Steps: 20_000, Percent: 1}
			j.Metrics = &tensoronetest.Metrics{Loss: 1.1, Tokens: tokens, StepTime: 104_000 / tokens}
		})
	})
	return nil
}

func stopSaving(_ context.Context, w *demoWorld) error {
	now := time.Now()
	w.newRun("job_train_unsaved", "Full bucket")
	for i := range 8 {
		w.tensorone.AddCheckpoint("job_train_unsaved", tensoronetest.Checkpoint{
			ID: fmt.Sprint("ckpt_", i), Epoch: 1, Step: 400 * i, Loss: 2, Size: "2.3GB", Created: now.Add(-time.Duration(13-i) * 20 * time.Minute),
		})
	}
	return nil
}

// addWorkload adds a Run:ai workload that was created hours ago.
func (w *demoWorld) addWorkload(name, phase, message string) (id string) {
	now := time.Now()
	id = w.runai.AddWorkload(runaitest.Workload{Name: name, Project: rehearsal, GPUs: 4, CreatedAt: now.Add(-3 * time.Hour)})
	w.runai.SetPhaseAt(id, phase, message, now.Add(-150*time.Minute))
	w.willEnd(id, func() { w.runai.SetPhase(id, "Completed", "") })
	return id
}

func stayQueued(_ context.Context, w *demoWorld) error {
	w.addWorkload("pretrain-70b", "Initializing", "the image is pulled")
	return nil
}

func vanish(ctx context.Context, w *demoWorld) error {
	id := w.train("deleted-by-hand")
	w.every(ctx, stepEvery, 12, func(int) { w.step(id, 1) })
	w.ended(id)
	w.wandb.Remove(id)
	return nil
}

func idleOnGPUs(_ context.Context, w *demoWorld) error {
	id := w.addWorkload("waits-for-data", "Running", "")
	w.disturb(inMode(w.occupy("runai", id), nvmltest.Idle, allGPUs, time.Now()))
	return nil
}

func hangOnGPUs(ctx context.Context, w *demoWorld) error {
	id := w.train("all-reduce")
	job := w.occupy("wandb", id)
	w.every(ctx, stepEvery, 24, func(int) { w.step(id, 1) })
	w.disturb(inMode(job, nvmltest.Spin, allGPUs, time.Now().Add(time.Second)))
	return nil
}

func lagBehind(ctx context.Context, w *demoWorld) error {
	id := w.train("uneven")
	w.disturb(inMode(w.occupy("wandb", id), nvmltest.Straggler, 1, time.Now()))
	w.every(ctx, stepEvery, always, func(int) { w.step(id, 1) })
	return nil
}

func endFalsely(ctx context.Context, w *demoWorld) error {
	id := w.train("still-there")
	w.occupy("wandb", id)
	w.every(ctx, stepEvery, 24, func(int) { w.step(id, 1) })
	w.ended(id)
	w.wandb.Append(id, wandbtest.Ended())
	return nil
}

// repeatXIDs lets jobs have the first GPUs, one after the other, and lets the first GPU break each.
func repeatXIDs(ctx context.Context, w *demoWorld) error {
	var at []time.Time
	w.every(ctx, 0, always, func(n int) {
		id := w.train(fmt.Sprint("unlucky-", n+1))
		w.occupy("wandb", id)
		w.every(ctx, stepEvery, 12, func(int) { w.step(id, 1) })
		if ctx.Err() != nil {
			return
		}
		at = append(at[max(0, len(at)-50):len(at):len(at)], time.Now())
		reports := at
		w.disturb(func(s *nvmltest.State) {
			for _, t := range reports {
				s.Report(0, t, 31)
			}
		})
		if w.pause(ctx, time.Minute) {
			w.ended(id)
			w.wandb.Append(id, wandbtest.Failed("CUDA error: an illegal memory access was encountered"))
		}
	})
	return nil
}

// reconfigure is an act: the configuration changes and is reloaded.
func reconfigure(pairs ...string) func(context.Context, *demoWorld) error {
	return func(ctx context.Context, w *demoWorld) error { return w.configure(ctx, pairs...) }
}

// stickHelper lets the reader of the GPUs be replaced by another one, which the helper of the first outlives.
func stickHelper(ctx context.Context, w *demoWorld) error {
	w.stuck.Store(true)
	return w.configure(ctx, "  expected: 8\n", "  expected: 8\n  processes: true\n")
}

func goDown(_ context.Context, w *demoWorld) error {
	w.runai.SetFaults(runaitest.Faults{Fail: runaitest.ProxyError(-1, http.StatusServiceUnavailable)})
	return nil
}

func rejectKey(_ context.Context, w *demoWorld) error {
	w.wandb.SetFaults(wandbtest.Faults{Unauthorized: true})
	return nil
}

func limitRate(_ context.Context, w *demoWorld) error {
	w.tensorone.SetFaults(tensoronetest.Faults{Fail: tensoronetest.TooMany(-1, "1")})
	return nil
}

func drift(_ context.Context, w *demoWorld) error {
	w.addWorkload("new-in-3.0", "Hibernating", "")
	return nil
}

func skewClock(_ context.Context, w *demoWorld) error {
	w.aitems.SetFaults(aitemstest.Faults{ClockSkew: 2 * time.Minute})
	return nil
}

func lag(ctx context.Context, w *demoWorld) error {
	for i := range 80 {
		w.train(fmt.Sprint("sweep-", i+1))
	}
	w.wandb.SetFaults(wandbtest.Faults{Latency: w.scaled(5 * time.Second)})
	return w.configure(ctx, "    job_files: [jobs.json]\n", "    job_files: [jobs.json]\n    max_in_flight: 1\n")
}

func stopBridge(_ context.Context, w *demoWorld) error {
	w.stopBridge()
	return nil
}

func fillDisk(_ context.Context, w *demoWorld) error {
	w.diskFull.Store(true)
	return nil
}

func breakConfig(ctx context.Context, w *demoWorld) error {
	if err := w.configure(ctx, "\nsources:\n", "\nretentoin: 10m\nsources:\n"); err == nil {
		return errors.New("the bridge took a configuration with a mistake")
	}
	return nil
}

// sendTo is an act: metrics are sent to a receiver that answers everything with a status.
func sendTo(status int) func(context.Context, *demoWorld) error {
	return func(ctx context.Context, w *demoWorld) error {
		listener, err := w.listen(ctx, anyAddress)
		if err != nil {
			return fmt.Errorf("listen for the simulated OTLP receiver: %w", err)
		}
		receiver := &http.Server{ReadHeaderTimeout: headerTimeout, Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(status)
		})}
		stop := context.AfterFunc(ctx, func() { _ = receiver.Close() })
		defer stop()
		serving := start(func(context.Context) error { return receiver.Serve(listener) })
		otlp := fmt.Sprintf("\notlp: {interval: 1s, metrics: {enabled: true, endpoint: \"http://%s/v1/metrics\"}}\nsources:\n", listener.Addr())
		if err := w.configure(ctx, "\nsources:\n", otlp); err != nil {
			return errors.Join(err, receiver.Close())
		}
		<-serving.done
		return serving.err
	}
}
