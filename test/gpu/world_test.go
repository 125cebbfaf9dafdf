//go:build linux

package gpu

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest/stub"
)

const (
	interval = 500 * time.Millisecond
	hungCall = 5 * time.Second // what a call may take
)

// slack is what a machine that does other work may add to a time.
func slack() time.Duration {
	if *long {
		return 1500 * time.Millisecond
	}
	return 6 * time.Second
}

// world is the program that reads GPUs through the stub.
type world struct {
	*scraper
	program *process
	library string
}

// newWorld starts the program with eight GPUs that are healthy but for what the script says.
func newWorld(t *testing.T, script []string, without ...string) *world {
	t.Helper()
	w := &world{library: stub.Build(t, without...)}
	w.script(t, script...)
	w.program = start(t, programs.with, fmt.Sprintf("library: %q, interval: %v, slow_interval: 2s", w.library, interval))
	w.scraper = newScraper(w.program)
	return w
}

// script gives the library another script.
func (w *world) script(t *testing.T, lines ...string) {
	t.Helper()
	stub.Write(t, w.library, lines...)
}

// begin waits for the GPUs and watches from then on.
func (w *world) begin(t *testing.T) {
	t.Helper()
	w.until(t, 4*interval+slack(), "all GPUs answer after the start", healthy)
	w.watch(t)
}

// recovered expects all GPUs to be back soon after the cause of their trouble is gone.
func (w *world) recovered(t *testing.T, from string) {
	t.Helper()
	took := w.until(t, 2*interval+slack(), "all GPUs are back after "+from, healthy)
	t.Logf("recovered from %s after %v", from, took.Round(10*time.Millisecond))
}

// alive expects the program to call itself healthy.
func (w *world) alive(t *testing.T) {
	t.Helper()
	answer, err := w.client.Get(w.url + "/-/healthy")
	if err != nil {
		t.Error(err)
		return
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("/-/healthy answers %s", answer.Status)
	}
}

// quiet expects no more calls for GPUs that hang.
func (w *world) quiet(t *testing.T, gpus ...int) {
	t.Helper()
	before := stub.ReadCalls(t, w.library)
	time.Sleep(3 * interval)
	after := stub.ReadCalls(t, w.library)
	for _, g := range gpus {
		if before.All(g) != after.All(g) {
			t.Errorf("GPU %d hangs and got %d more calls", g, after.All(g)-before.All(g))
		}
	}
	if after.Overlaps != [16]uint64{} {
		t.Errorf("calls for a GPU while another was under way: %v", after.Overlaps)
	}
}

// fresh is a check that GPUs that answer were read lately; hung ones are left out.
func fresh(hung ...int) func(page) string {
	limit := interval + 500*time.Millisecond
	if !*long {
		limit = interval + 4*time.Second
	}
	return func(p page) string {
		now := float64(time.Now().UnixMicro()) / 1e6
		for g := range 8 {
			if !contains(hung, g) {
				if at, ok := p.of("nvml_gpu_last_read_timestamp_seconds", id(g)); !ok || now-at > limit.Seconds() {
					return fmt.Sprintf("GPU %d was read %.2f s ago, want %v at most", g, now-at, limit)
				}
				if !p.has(1, "nvml_gpu_up", id(g)) {
					return fmt.Sprintf("GPU %d is not up while another hangs", g)
				}
			}
		}
		return ""
	}
}
