package nvmltest_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/driver"
	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
)

func newHost(t *testing.T, o nvmltest.HostOptions) *nvmltest.Host {
	t.Helper()
	h, err := nvmltest.NewHost(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func someJobs(n int) []nvmltest.Job {
	var jobs []nvmltest.Job
	for i := range n {
		jobs = append(jobs, nvmltest.Job{Source: []string{"wandb", "runai"}[i%2], ID: fmt.Sprintf("job-%d", i)})
	}
	return jobs
}

// modes are what the GPUs do at a time.
func modes(s nvmltest.State, at time.Time) []nvmltest.Mode {
	all := make([]nvmltest.Mode, len(s.GPUs))
	for i, g := range s.GPUs {
		for _, sp := range g.Spells {
			if !sp.From.After(at) {
				all[i] = sp.Mode
			}
		}
	}
	return all
}

func TestTheFleetShowsEachTrouble(t *testing.T) {
	for seed := range int64(20) {
		h := newHost(t, nvmltest.HostOptions{Seed: seed})
		began, ended := map[nvmltest.Mode]time.Duration{}, map[nvmltest.Mode]time.Duration{}
		xids := map[uint64]int{}
		for now := time.Duration(0); now < 7*time.Minute; now += 500 * time.Millisecond {
			h.Advance(epoch.Add(now), someJobs(12))
			seen := modes(h.State(), epoch.Add(now))
			well := 0
			for _, m := range seen {
				if _, ok := began[m]; !ok {
					began[m] = now
				}
				if m == nvmltest.Train {
					well++
				}
			}
			if now > 2*time.Second && well < 4 {
				t.Fatalf("seed %d: after %v only %d GPUs are well", seed, now, well)
			}
			for m := range began {
				if _, over := ended[m]; !over && !slices.Contains(seen, m) {
					ended[m] = now
				}
			}
		}
		for _, x := range h.State().XIDs {
			xids[x.Code]++
		}
		for _, m := range []nvmltest.Mode{nvmltest.Idle, nvmltest.Spin, nvmltest.Lost, nvmltest.Thermal} {
			from, shown := began[m]
			if !shown || from > 2*time.Minute || ended[m]-from < time.Minute {
				t.Errorf("seed %d: %s from %v to %v", seed, m, from, ended[m])
			}
		}
		if !maps.Equal(xids, map[uint64]int{79: 1}) {
			t.Errorf("seed %d: XIDs %v", seed, xids)
		}
	}
}

// TestScenarios holds each of the other scenarios to its one trouble.
func TestScenarios(t *testing.T) {
	want := map[string]struct {
		mode nvmltest.Mode
		gpus int
		xids []uint64
	}{
		"healthy": {}, "gpu_idle": {nvmltest.Idle, 4, nil}, "gpu_spin": {nvmltest.Spin, 4, nil},
		"gpu_xid": {nvmltest.Lost, 1, []uint64{79}}, "gpu_xid_application": {nvmltest.Train, 8, []uint64{13, 13, 13, 13, 31, 31, 31, 31, 94, 94, 94, 94}},
		"gpu_lost": {nvmltest.Gone, 1, nil}, "gpu_thermal": {nvmltest.Thermal, 1, nil}, "gpu_straggler": {nvmltest.Straggler, 1, nil},
		"gpu_ecc": {nvmltest.ECC, 1, []uint64{48, 63}}, "gpu_row_remap": {nvmltest.RowRemapFailure, 1, []uint64{64}},
		"gpu_pcie": {nvmltest.PCIe, 1, nil}, "gpu_hang": {nvmltest.Hang, 1, []uint64{119}},
	}
	if names := nvmltest.Scenarios(); names[0].Name != "fleet" || len(names) != len(want)+1 {
		t.Errorf("scenarios are %v", names)
	}
	for name, w := range want {
		h := newHost(t, nvmltest.HostOptions{Scenario: name})
		seen := map[nvmltest.Mode]int{}
		for now := time.Duration(0); now < 50*time.Second; now += 500 * time.Millisecond {
			h.Advance(epoch.Add(now), someJobs(12))
			count := map[nvmltest.Mode]int{}
			for _, m := range modes(h.State(), epoch.Add(now)) {
				count[m]++
				seen[m] = max(seen[m], count[m])
			}
			if count[nvmltest.Train] < 8 && now > 2*time.Second && now < 20*time.Second {
				t.Errorf("%s begins already after %v", name, now)
			}
		}
		delete(seen, nvmltest.Free)
		only := map[nvmltest.Mode]int{nvmltest.Train: 8}
		if w.gpus > 0 {
			only[w.mode] = w.gpus
		}
		if !maps.Equal(seen, only) {
			t.Errorf("%s: modes %v instead of %v", name, seen, only)
		}
		var xids []uint64
		for _, x := range h.State().XIDs {
			xids = append(xids, x.Code)
		}
		if !slices.Equal(xids, w.xids) {
			t.Errorf("%s: XIDs %v", name, xids)
		}
	}
	if _, err := nvmltest.NewHost(nvmltest.HostOptions{Scenario: "unheard-of"}); err == nil || !strings.Contains(err.Error(), "gpu_spin") {
		t.Errorf("an unknown scenario: %v", err)
	}
	if _, err := nvmltest.NewHost(nvmltest.HostOptions{Model: "v100"}); err == nil {
		t.Error("an unknown model is no error")
	}
}

func TestHostsOfOneSeedAreTheSame(t *testing.T) {
	play := func(seed int64) nvmltest.State {
		h := newHost(t, nvmltest.HostOptions{Seed: seed})
		for now := range 120 {
			h.Advance(epoch.Add(time.Duration(now)*time.Second), someJobs(3+now/10))
		}
		return h.State()
	}
	if one, two := fmt.Sprint(play(5)), fmt.Sprint(play(5)); one != two {
		t.Error("the same seed plays differently")
	}
	if one, two := fmt.Sprint(play(5)), fmt.Sprint(play(6)); one == two {
		t.Error("other seeds play the same")
	}
}

// TestPlaces lets jobs come and go and looks at who has which GPU, and at the files that say so.
func TestPlaces(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	dir := t.TempDir()
	files := nvmltest.Files{State: filepath.Join(dir, "gpus.json"), Mappings: filepath.Join(dir, "jobs")}
	h := newHost(t, nvmltest.HostOptions{Sources: []string{"idle-source"}})
	running := map[nvmltest.Job]bool{}
	pool := someJobs(30)
	largest, full := 0, 0
	for step := range 1500 {
		for range rng.IntN(3) {
			j := pool[rng.IntN(len(pool))]
			running[j] = !running[j]
		}
		maps.DeleteFunc(running, func(_ nvmltest.Job, runs bool) bool { return !runs })
		jobs := slices.SortedFunc(maps.Keys(running), func(a, b nvmltest.Job) int { return strings.Compare(a.ID, b.ID) })
		h.Advance(epoch.Add(time.Duration(step)*time.Second), jobs)
		if err := h.Write(files); err != nil {
			t.Fatal(err)
		}
		owner := map[int]nvmltest.Job{}
		for j, gpus := range h.GPUs() {
			if !running[j] {
				t.Fatalf("step %d: %v has GPUs and does not run", step, j)
			}
			for _, g := range gpus {
				if other, taken := owner[g]; taken || g < 0 || g > 7 {
					t.Fatalf("step %d: GPU %d was given to %v and %v", step, g, other, j)
				}
				owner[g] = j
			}
			largest = max(largest, len(gpus))
		}
		if len(owner) == 8 {
			full++
		}
		if n := len(h.GPUs()); n < min(len(jobs), 3) { // the GPU of one may be lost
			t.Fatalf("step %d: of %d jobs %d have GPUs", step, len(jobs), n)
		}
		if got := mapped(t, files.Mappings); !maps.Equal(got, owner) {
			t.Fatalf("step %d: the files say %v, the host %v", step, got, owner)
		}
	}
	if largest != 4 || full < 500 {
		t.Errorf("the largest job had %d GPUs; %d times all GPUs were in use", largest, full)
	}
	if _, err := os.Stat(filepath.Join(files.Mappings, "idle-source")); err != nil {
		t.Error(err)
	}
}

// mapped is who has which GPU according to the files.
func mapped(t *testing.T, dir string) map[int]nvmltest.Job {
	t.Helper()
	found := map[int]nvmltest.Job{}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		number, err := strconv.Atoi(filepath.Base(file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := found[number]; twice {
			t.Fatalf("GPU %d is in the folders of two sources", number)
		}
		found[number] = nvmltest.Job{Source: filepath.Base(filepath.Dir(file)), ID: strings.TrimSpace(string(text))}
	}
	return found
}

// TestRun runs a host in real time, with a reader beside it.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	files := nvmltest.Files{State: filepath.Join(dir, "gpus.json"), Mappings: filepath.Join(dir, "jobs")}
	h := newHost(t, nvmltest.HostOptions{Scenario: "healthy"})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx, files, func() []nvmltest.Job { return someJobs(5) }) }()
	var d driver.Driver
	var err error
	for range 200 {
		if d, err = nvmltest.Open(files.State); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	busy := false
	for end := time.Now().Add(5 * time.Second); !busy && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		gpu, err := d.Open(0)
		if err != nil {
			t.Fatal(err)
		}
		var vs driver.Values
		if err := gpu.Read(driver.Processes, &vs); err != nil {
			t.Fatal(err)
		}
		busy = len(vs.PIDs) > 0
	}
	stop()
	if err := <-done; err != nil || !busy {
		t.Errorf("Run: %v; the first GPU had a process: %v", err, busy)
	}
}
