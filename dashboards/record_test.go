package dashboards_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var update = flag.Bool("update", false, "record the demo anew, which takes two minutes")

// scrapes is how many are recorded, five seconds apart.
const scrapes = 5

// eventful is how long after its start the demo has a GPU that idles, a job that spins and a GPU that is lost.
const eventful = 80 * time.Second

// recordOnce records once for all tests.
var recordOnce sync.Once

// record runs the real program's demo and keeps what the rules need.
func record(t *testing.T) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "trainbridge")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/trainbridge").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	ctx, stop := context.WithCancel(t.Context())
	demo := exec.CommandContext(ctx, program, "demo", "--web.listen-address=127.0.0.1:0")
	demo.Cancel = func() error { return demo.Process.Signal(os.Interrupt) }
	demo.WaitDelay = 20 * time.Second
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		_ = demo.Wait()
	}()
	address := metricsAddress(t, out)
	time.Sleep(eventful)
	var all []map[string]*dto.MetricFamily
	for i := range scrapes {
		if i > 0 {
			time.Sleep(5 * time.Second)
		}
		all = append(all, scrape(t, address))
	}
	jobs := keep(all)
	for i, families := range all {
		file := filepath.Join("testdata", fmt.Sprintf("demo-%d.prom", i))
		if err := os.WriteFile(file, reduced(t, families, jobs), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// metricsAddress is where the demo says that its metrics are.
func metricsAddress(t *testing.T, out io.Reader) string {
	t.Helper()
	var said []byte
	piece := make([]byte, 4096)
	for {
		n, err := out.Read(piece)
		said = append(said, piece[:n]...)
		if m := regexp.MustCompile(`http://\S+/metrics\b`).Find(said); m != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return string(m)
		}
		if err != nil {
			t.Fatalf("the demo did not say where its metrics are: %v\n%s", err, said)
		}
	}
}

func scrape(t *testing.T, address string) map[string]*dto.MetricFamily {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// keep is the jobs worth recording: those that had a GPU in some scrape, and some that run and make steps.
func keep(all []map[string]*dto.MetricFamily) map[job]bool {
	jobs := map[job]bool{}
	for _, families := range all {
		for _, m := range families["training_gpu_assignment_info"].GetMetric() {
			jobs[seriesOf("", m).job()] = true
		}
	}
	running := map[job]bool{}
	for _, m := range all[scrapes-1]["training_job_phase"].GetMetric() {
		s := seriesOf("", m)
		running[s.job()] = running[s.job()] || s.labels["training_job_phase"] == "running" && m.GetGauge().GetValue() == 1
	}
	most := len(jobs) + 6
	for _, m := range all[0]["training_job_last_step_timestamp_seconds"].GetMetric() {
		if j := seriesOf("", m).job(); running[j] && len(jobs) < most {
			jobs[j] = true
		}
	}
	return jobs
}

// reduced is an exposition of what the rules need.
func reduced(t *testing.T, families map[string]*dto.MetricFamily, jobs map[job]bool) []byte {
	t.Helper()
	var kept bytes.Buffer
	for _, name := range sortedKeys(families) {
		f := families[name]
		if !slices.Contains(needed, name) {
			continue
		}
		f.Metric = slices.DeleteFunc(f.Metric, func(m *dto.Metric) bool {
			j := seriesOf("", m).job()
			return j.id != "" && !jobs[j]
		})
		if len(f.Metric) == 0 {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&kept, f); err != nil {
			t.Fatal(err)
		}
	}
	return kept.Bytes()
}
