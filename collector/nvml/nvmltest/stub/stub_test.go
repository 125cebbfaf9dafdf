//go:build linux && cgo

package stub

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// alone runs a test again in a process of its own, and there returns the path of the library: the symbols of the first library that
// a process loads are those of all that follow. Elsewhere it returns "", and how the process ended.
func alone(t *testing.T, without ...string) (path string, ended error) {
	t.Helper()
	const variable = "TRAINBRIDGE_TEST_NVML_STUB"
	if path := os.Getenv(variable); path != "" {
		return path, nil
	}
	path = Build(t, without...)
	self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	self.Env = append(os.Environ(), variable+"="+path)
	out, err := self.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled()) {
		t.Errorf("%v\n%s", err, out)
	}
	return "", err
}

func open(t *testing.T, path string) driver.Driver {
	t.Helper()
	d, err := driver.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func gpu(t *testing.T, d driver.Driver, index int) driver.Device {
	t.Helper()
	g, err := d.Open(index)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func identity(t *testing.T, d driver.Device) driver.Identity {
	t.Helper()
	id, err := d.Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func value(t *testing.T, d driver.Device, g driver.Group, m collector.GPUMetric, labels ...string) float64 {
	t.Helper()
	var v driver.Values
	if err := d.Read(g, &v); err != nil {
		t.Fatalf("read %v: %v", g, err)
	}
	for _, x := range v.Values {
		if x.Metric == m && x.Label == collector.JoinLabels(labels...) {
			return x.Value
		}
	}
	t.Fatalf("%v has no value %d %q: %v", g, m, labels, v.Values)
	return 0
}

// script writes a script and waits until the library has looked at it.
func script(t *testing.T, path string, lines ...string) {
	t.Helper()
	Write(t, path, lines...)
	time.Sleep(15 * time.Millisecond)
}

// TestHealthy reads all groups of a GPU that has no script.
func TestHealthy(t *testing.T) {
	path, _ := alone(t)
	if path == "" {
		return
	}
	d := open(t, path)
	if n, err := d.Count(); n != 8 || err != nil {
		t.Fatalf("%d GPUs, %v; want 8", n, err)
	}
	if v := d.Versions(); v != (collector.DriverVersions{Driver: "570.124.06", NVML: "12.570.124.06", CUDA: "12.8"}) {
		t.Errorf("versions are %+v", v)
	}
	g := gpu(t, d, 5)
	if id := identity(t, g); id.ID != UUID(5) || id.Info.Serial != "1654923000005" || id.Info.Minor != "5" {
		t.Errorf("GPU 5 is %+v", id)
	}
	if err := g.Read(driver.Profile, &driver.Values{}); err != nil { // the first of two samples
		t.Error(err)
	}
	energy := value(t, g, driver.Fields, collector.DeviceEnergy)
	time.Sleep(120 * time.Millisecond) // GPM needs as much between two samples
	if now := value(t, g, driver.Fields, collector.DeviceEnergy); now <= energy || now > energy+1000 {
		t.Errorf("energy was %v J and is %v J: it does not grow by about 600 W", energy, now)
	}
	if v := value(t, g, driver.Profile, collector.DeviceSMUtilization); v != 0.8 {
		t.Errorf("SM utilisation is %v, want 0.8", v)
	}
	for group, least := range map[driver.Group]int{driver.Load: 14, driver.Fields: 13, driver.Health: 18, driver.Processes: 0} {
		var v driver.Values
		if err := g.Read(group, &v); err != nil || len(v.Values) < least {
			t.Errorf("%v: %d values, want %d at least: %v, error %v", group, len(v.Values), least, v.Values, err)
		}
	}
}

// TestScriptedValues sets numbers, words, the order, instances and processes.
func TestScriptedValues(t *testing.T) {
	path, _ := alone(t)
	if path == "" {
		return
	}
	script(t, path, "gpus 3", "order 6 1 4", "set 6 power 123000", "set * temperature 33", "set 6 temperature 44", "set 6 field:83 5000",
		"text 6 serial a b", "set 6 ecc:uncorrected:aggregate 7", "mig 4 2", "processes 1 4711:1024 4712:2048")
	d := open(t, path)
	g := gpu(t, d, 0)
	if id := identity(t, g); id.ID != UUID(6) || id.Info.Serial != "a b" || id.Info.Index != "0" {
		t.Errorf("GPU 0 is %+v", id)
	}
	for _, c := range []struct {
		group  driver.Group
		metric collector.GPUMetric
		labels []string
		want   float64
	}{
		{driver.Load, collector.DevicePower, nil, 123},
		{driver.Load, collector.DeviceTemperature, []string{"gpu"}, 44},
		{driver.Fields, collector.DeviceEnergy, nil, 5},
		{driver.Health, collector.DeviceECCErrors, []string{"uncorrected", "aggregate"}, 7},
	} {
		if v := value(t, g, c.group, c.metric, c.labels...); v != c.want {
			t.Errorf("metric %d%v is %v, want %v", c.metric, c.labels, v, c.want)
		}
	}
	parts, err := gpu(t, d, 2).Instances()
	if err != nil || len(parts) != 2 || !slices.ContainsFunc(parts, func(d driver.Device) bool { return identity(t, d).ID == InstanceUUID(4, 1) }) {
		t.Errorf("GPU 4 has the instances %v, %v", parts, err)
	}
	var v driver.Values
	if err := gpu(t, d, 1).Read(driver.Processes, &v); err != nil || !slices.Equal(slices.Sorted(slices.Values(v.PIDs)), []int{4711, 4712}) {
		t.Errorf("GPU 1 has the processes %v, %v", v.PIDs, err)
	}
}

// TestTrouble gives codes, a slow and a hung call, and looks at the counts.
func TestTrouble(t *testing.T) {
	path, _ := alone(t)
	if path == "" {
		return
	}
	d := open(t, path)
	g, other := gpu(t, d, 2), gpu(t, d, 3)
	read := func(g driver.Device) error { return g.Read(driver.Load, &driver.Values{}) }
	script(t, path, "gpu 2 lost")
	if err := read(g); driver.KindOf(err) != driver.Lost || read(other) != nil {
		t.Errorf("a lost GPU says %v, another %v", err, read(other))
	}
	script(t, path, "gpu 2 code nvmlDeviceGetUUID 999")
	if _, err := g.Identity(); err == nil || read(g) != nil {
		t.Error("one call was to fail, and only one")
	}
	script(t, path, "gpu 2 slow nvmlDeviceGetPowerUsage 200")
	if began := time.Now(); read(g) != nil || time.Since(began) < 200*time.Millisecond {
		t.Errorf("a call that was to be slow took %v", time.Since(began))
	}
	script(t, path, "gpu 2 hang *")
	done := make(chan error, 1)
	go func() { done <- read(g) }()
	for ReadCalls(t, path).Overlaps[2] == 0 { // until one is inside, these hang too
		go func() { _ = read(g) }()
		time.Sleep(10 * time.Millisecond)
	}
	if err := read(other); err != nil || len(done) > 0 {
		t.Errorf("one GPU was to hang and the other not: %v, %d have come back", err, len(done))
	}
	script(t, path)
	if err := <-done; err != nil {
		t.Errorf("after the hang: %v", err)
	}
	if c := ReadCalls(t, path); c.Of("nvmlDeviceGetPcieThroughput", Any) != 0 || c.Of("nvmlDeviceGetUUID", 2) < 2 || c.All(None) < 4 {
		t.Errorf("counts are %+v", c)
	}
}

// TestReloadAndXIDs loads the driver anew, and injects XIDs.
func TestReloadAndXIDs(t *testing.T) {
	path, _ := alone(t)
	if path == "" {
		return
	}
	script(t, path, "xid 1 13 5")
	d := open(t, path)
	g := gpu(t, d, 1)
	events, err := d.Events([]driver.Device{g, gpu(t, d, 2)})
	if err != nil {
		t.Fatal(err)
	}
	script(t, path, "xid 1 13 5", "xid 1 79 6", "xid 4 31 7", "xid 2 48 8")
	var seen []driver.XID
	for range 3 {
		x, ok, err := events.Wait(50 * time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			seen = append(seen, x)
		}
	}
	if !slices.Equal(seen, []driver.XID{{ID: UUID(1), Code: 79}, {ID: UUID(2), Code: 48}}) {
		t.Errorf("XIDs seen: %v", seen)
	}
	script(t, path, "generation 2 "+unix(time.Now().Add(-10*time.Second)))
	if _, err := g.Identity(); driver.KindOf(err) != driver.Stale {
		t.Errorf("after a reload a GPU says %v", err)
	}
	if v := value(t, gpu(t, open(t, path), 1), driver.Fields, collector.DeviceEnergy); v < 5000 || v > 10000 {
		t.Errorf("10 s after the reload energy is %v J, want about 6000", v)
	}
	script(t, path, "driver absent")
	if _, err := driver.Open(path); driver.KindOf(err) != driver.NoDriver {
		t.Errorf("without a driver: %v", err)
	}
	script(t, path, "init 18")
	if _, err := driver.Open(path); driver.KindOf(err) != driver.VersionMismatch {
		t.Errorf("with another version: %v", err)
	}
}

// TestMissingSymbols reads without functions, some of which have an older form.
func TestMissingSymbols(t *testing.T) {
	path, _ := alone(t, "nvmlDeviceGetPowerUsage", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetCount_v2", "nvmlDeviceGetFieldValues")
	if path == "" {
		return
	}
	g := gpu(t, open(t, path), 0)
	var v driver.Values
	if err := errors.Join(g.Read(driver.Load, &v), g.Read(driver.Fields, &v)); err != nil {
		t.Fatal(err)
	}
	for _, x := range v.Values {
		if x.Metric == collector.DevicePower {
			t.Error("there is a power without the function for it")
		}
	}
	value(t, g, driver.Load, collector.DeviceMemoryUsage)
}

// TestCrash ends a process by SIGSEGV, once.
func TestCrash(t *testing.T) {
	path, ended := alone(t)
	if path == "" {
		var exit *exec.ExitError
		if !errors.As(ended, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGSEGV {
			t.Errorf("the process ended with %v, want SIGSEGV", ended)
		}
		return
	}
	script(t, path, "crash nvmlDeviceGetCount 1")
	d := open(t, path)
	n, err := d.Count()
	t.Fatalf("a call was to crash and answered %d, %v", n, err)
}

// TestCounts reads the counts that two processes made.
func TestCounts(t *testing.T) {
	path := Build(t)
	if _, err := os.Stat(strings.TrimSuffix(path, library) + "calls"); err == nil {
		t.Error("there are counts before the library was loaded")
	}
	for range 2 {
		self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHealthy$")
		self.Env = append(os.Environ(), "TRAINBRIDGE_TEST_NVML_STUB="+path)
		if out, err := self.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	c := ReadCalls(t, path)
	if c.Of("nvmlInit_v2", None) != 2 || c.Of("nvmlDeviceGetHandleByIndex_v2", 5) != 2 || c.All(4) != 0 || c.Overlaps != [16]uint64{} {
		t.Errorf("two processes that read GPU 5 made %+v", c)
	}
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
