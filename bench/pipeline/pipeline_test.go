//go:build unix

// Package pipeline measures the whole way of an event: from a simulated service over loopback HTTP through the source, the
// scheduler, the reduction and a durable ledger into the published snapshot.
//
//	go test -bench . -benchtime 1x ./bench/pipeline                        a quick look
//	BENCH_JOBS=100000 BENCH_EVENTS=1000000 go test -bench . -benchtime 1x -timeout 30m ./bench/pipeline
//
// The service runs in a process of its own, so that the CPU time reported is the bridge's.
package pipeline

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/ledger"
	"github.com/trainbridge/trainbridge/collector/wandb"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

const serverVariable = "TRAINBRIDGE_BENCH_SERVER"

func TestMain(m *testing.M) {
	if sizes := os.Getenv(serverVariable); sizes != "" {
		serve(sizes)
		return
	}
	os.Exit(m.Run())
}

// serve is the service: it prints its address and its job ids, and runs until its standard input closes.
func serve(sizes string) {
	var jobs, events int
	if _, err := fmt.Sscanf(sizes, "%d %d", &jobs, &events); err != nil {
		panic(err)
	}
	s := wandbtest.New(wandbtest.Options{Key: "bench", Keep: -1})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	ids := s.AddBacklog(jobs, events)
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out, l.Addr())
	for _, id := range ids {
		fmt.Fprintln(out, id)
	}
	out.Flush()
	go func() { _ = http.Serve(l, s) }()
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func size(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return usual
}

// service starts the process of the service and returns its address and jobs.
func service(b *testing.B, jobs, events int) (address string, ids []string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", serverVariable, jobs, events))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	lines.Scan()
	address = lines.Text()
	for range jobs {
		lines.Scan()
		ids = append(ids, lines.Text())
	}
	return address, ids
}

// bridge is everything but the exporters.
type bridge struct {
	store *collector.Store
	stop  func()
}

func start(b *testing.B, address string, ids []string, interval time.Duration) *bridge {
	b.Helper()
	dir := b.TempDir()
	list := filepath.Join(dir, "jobs.json")
	if err := os.WriteFile(list, []byte(`[{"targets":["`+strings.Join(ids, `","`)+`"]}]`), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Setenv("WANDB_API_KEY", "bench")
	log := slog.New(slog.DiscardHandler)
	config := wandb.Config{BaseURL: "http://" + address + "/v1", JobFiles: []string{list}}
	config.DiscoveryInterval = model.Duration(10 * time.Minute)
	config.PollIntervals = wandb.PollIntervals{Queued: model.Duration(interval), Running: model.Duration(interval)}
	config.HTTP.RateLimit, config.HTTP.Burst, config.HTTP.MaxInFlight = 1e6, 1000, 16
	health := collector.NewHealth(time.Now())
	source, err := wandb.New(config, collector.Env{Name: "bench", Log: log, Health: health})
	if err != nil {
		b.Fatal(err)
	}
	state, err := ledger.Open(filepath.Join(dir, "state"), ledger.Options{Log: log})
	if err != nil {
		b.Fatal(err)
	}
	store := collector.NewStore(collector.Limits{})
	store.SetHealth("bench", health)
	recorder := collector.NewRecorder(state, store, collector.RecorderOptions{Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	recording, stopRecording := context.WithCancel(context.Background())
	var wg, polls sync.WaitGroup
	wg.Go(func() { _ = recorder.Run(recording) })
	polls.Go(func() { _ = collector.NewScheduler("bench", source, recorder, store, health, log).Run(ctx) })
	return &bridge{store: store, stop: func() {
		cancel()
		polls.Wait()
		stopRecording()
		wg.Wait()
		_ = state.Close()
	}}
}

func (br *bridge) counted() (n uint64) {
	if t := br.store.Totals("bench"); t != nil {
		for _, e := range t.Events {
			n += e.N
		}
	}
	return n
}

func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkCatchUp reads a backlog from the first request to the published snapshot.
func BenchmarkCatchUp(b *testing.B) {
	total := size("BENCH_EVENTS", 100_000)
	jobs := total / 1000
	for range b.N {
		b.StopTimer()
		address, ids := service(b, jobs, 1000)
		before, began := cpu(), time.Now()
		b.StartTimer()
		br := start(b, address, ids, time.Minute)
		for br.counted() < uint64(total) {
			time.Sleep(5 * time.Millisecond)
		}
		took := time.Since(began)
		b.ReportMetric(float64(total)/took.Seconds(), "events/s")
		b.ReportMetric(float64((cpu()-before).Microseconds())/float64(total), "cpu-µs/event")
		br.stop()
	}
}

// BenchmarkPolling polls many jobs that have little news, each once every interval, and reports what one poll costs and how much
// memory the bridge takes.
func BenchmarkPolling(b *testing.B) {
	jobs := size("BENCH_JOBS", 5_000)
	interval := 20 * time.Second * time.Duration(jobs) / 100_000
	for range b.N {
		b.StopTimer()
		address, ids := service(b, jobs, 8)
		br := start(b, address, ids, max(interval, 100*time.Millisecond))
		for br.store.Snapshot().Jobs.Len() < jobs {
			time.Sleep(20 * time.Millisecond)
		}
		polls := func() uint64 { return br.store.Snapshot().Sources[0].Health.Polls }
		before, first, began := cpu(), polls(), time.Now()
		b.StartTimer()
		time.Sleep(10 * time.Second)
		made, took := polls()-first, time.Since(began)
		b.ReportMetric(float64(made)/took.Seconds(), "polls/s")
		b.ReportMetric(float64((cpu()-before).Microseconds())/float64(made), "cpu-µs/poll")
		b.ReportMetric((cpu()-before).Seconds()/took.Seconds(), "cores")
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/float64(jobs), "heap-B/job")
		br.stop()
	}
}
