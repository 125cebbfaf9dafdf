package ledger

import (
	"context"
	"fmt"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

// realJob is a job as big as one of W&B in the middle of its run.
func realJob(i int) *collector.Job {
	j := testJob("rl-team", i)
	j.Key.ID = fmt.Sprintf("%08x-4b1e-4a57-9b1c-6a2f0f0c2f11", i*2654435761)
	j.Info = &collector.Info{Name: "voice-agent", Provider: "wandb", Group: "agent-001", Owner: "speech", BaseModel: "Qwen/Qwen3-14B"}
	j.Window = make([]uint64, 64)
	for k := range j.Window {
		j.Window[k] = uint64(i+k) * 0x9E3779B97F4A7C15
	}
	j.Readings = nil
	for k := range 12 {
		j.Readings = append(j.Readings, collector.Reading{Metric: collector.FreeForm, Label: fmt.Sprint("train/metric_", k), Value: float64(i*k) / 7, At: 1_700_000_000_000_000_000})
	}
	j.StepTimes = (*collector.Histogram)(nil).With(1.5).With(2.5).With(3.7)
	j.Cursor = j.Key.ID
	return j
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db := openDB(b, b.TempDir(), Options{})
			at := 0
			for b.Loop() {
				var batch collector.Batch
				for range n {
					at = (at + 7919) % 100_000
					batch.Jobs = append(batch.Jobs, realJob(at))
				}
				batch.Totals = []*collector.Totals{{Source: "rl-team", Read: uint64(at)}}
				mustCommit(b, db, &batch)
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// BenchmarkOpen reads 100,000 jobs: verification of every page, decoding, and bbolt's own opening.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	fillJobs(b, dir, 100_000)
	for b.Loop() {
		db, err := Open(dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		s, err := db.Load(context.Background())
		if err != nil || len(s.Jobs) != 100_000 {
			b.Fatal(len(s.Jobs), err)
		}
		db.Close()
	}
}

func BenchmarkCheckpoint(b *testing.B) {
	dir := b.TempDir()
	fillJobs(b, dir, 100_000)
	db := openDB(b, dir, Options{})
	for b.Loop() {
		if err := db.Checkpoint(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func fillJobs(b *testing.B, dir string, n int) {
	b.Helper()
	db, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for i := 0; i < n; i += 5000 {
		var batch collector.Batch
		for k := range 5000 {
			batch.Jobs = append(batch.Jobs, realJob(i+k))
		}
		mustCommit(b, db, &batch)
	}
}
