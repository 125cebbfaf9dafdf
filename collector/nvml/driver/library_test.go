//go:build linux && cgo

package driver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest/stub"
)

// libraryVariable tells a child of a test which library to read.
const libraryVariable = "TRAINBRIDGE_TEST_LIBRARY"

// TestChild is a process of its own that loads a library and reads all there is, since a process can do so only once.
func TestChild(t *testing.T) {
	path := os.Getenv(libraryVariable)
	if path == "" {
		t.Skip("only for the other tests")
	}
	d, err := Open(path)
	if err != nil {
		fmt.Printf("child: open %d %v\n", KindOf(err), err)
		return
	}
	n, err := d.Count()
	fmt.Printf("child: count %d %v\n", n, err)
	for i := range n {
		dev, err := d.Open(i)
		if err != nil {
			fmt.Printf("child: gpu %d: %d %v\n", i, KindOf(err), err)
			continue
		}
		parts, err := dev.Instances()
		if err != nil {
			fmt.Printf("child: instances: %v\n", err)
		}
		for _, one := range append([]Device{dev}, parts...) {
			readAll(one)
		}
		events, err := d.Events([]Device{dev})
		if err == nil {
			_, _, err = events.Wait(time.Millisecond)
		}
		if err != nil && !errors.Is(err, ErrNotSupported) {
			fmt.Printf("child: events: %v\n", err)
		}
	}
}

func readAll(d Device) {
	id, err := d.Identity()
	line := fmt.Sprintf("child: read %q %v", id.ID, err)
	for g := range Groups {
		v := new(Values)
		err := d.Read(g, v)
		if g == Profile && err == nil {
			time.Sleep(minSampleGap)
			err = d.Read(g, v)
		}
		line += fmt.Sprintf(" %s=%d", g, len(v.Values))
		if err != nil {
			line += " " + err.Error()
		}
	}
	fmt.Println(line)
}

// child runs TestChild over a library, and returns the lines it wrote.
func child(t *testing.T, library string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), libraryVariable+"="+library)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the child: %v (127 is a call of a function that is not there)\n%s", err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if said, ok := strings.CutPrefix(strings.TrimSpace(line), "child: "); ok {
			lines = append(lines, said)
		}
	}
	return lines
}

// holds checks that the lines hold texts, in order.
func holds(t *testing.T, lines []string, want ...string) {
	t.Helper()
	rest := lines
	for _, w := range want {
		i := slices.IndexFunc(rest, func(l string) bool { return strings.Contains(l, w) })
		if i < 0 {
			t.Fatalf("no line with %q in:\n%s", w, strings.Join(lines, "\n"))
		}
		rest = rest[i+1:]
	}
}

func TestALibraryIsRead(t *testing.T) {
	path := stub.Build(t)
	stub.Write(t, path, "gpus 2", "mig 1 2", "processes 0 4711:1073741824")
	holds(t, child(t, path), "count 2 <nil>", `read "GPU-00000000-1111-4222-8333-000000000000" <nil> load=22 fields=15 health=24 profile=9 processes=2`,
		`read "GPU-00000001`, "load=3 fields=0 health=0 profile=9", "load=3 fields=0 health=0 profile=9")
	for script, want := range map[string]string{
		"init 9": fmt.Sprint("open ", NoDriver), "init 4": fmt.Sprint("open ", NoPermission), "init 18": fmt.Sprint("open ", VersionMismatch),
		"init 999": fmt.Sprint("open ", Failed), "gpus 0": "count 0",
		"gpu 0 code nvmlDeviceGetUUID 15":              fmt.Sprint("gpu 0: ", Lost),
		"gpu 0 code nvmlDeviceGetHandleByIndex 4":      fmt.Sprint("gpu 0: ", NoPermission),
		"gpu 0 code nvmlDeviceGetPowerUsage 999":       "load=21 GetPowerUsage of GPU 0: internal error of the driver (code 999) fields=15",
		"gpu 0 code field:83 999":                      "fields=15 read the fields of GPU 0: internal error of the driver (code 999)", // by the call of its own
		"gpu 0 code nvmlDeviceGetTemperature 16":       "load=8 GetTemperature of GPU 0: the GPU must be reset",
		"gpu 0 code nvmlDeviceGetFieldValues 1":        "fields=0 read the fields of GPU 0: the driver was unloaded or reloaded",
		"gpu 0 code nvmlDeviceGetEnforcedPowerLimit 3": "health=23 profile",
	} {
		stub.Write(t, path, "gpus 1", script)
		holds(t, child(t, path), want)
	}
}

// The real check of the table of symbols: without a function the process goes on.
func TestFunctionsMayBeAbsent(t *testing.T) {
	needed := []string{"Init", "DeviceGetCount", "DeviceGetHandleByIndex", "GetUUID"}
	var optional, newest []string
	for method, names := range symbols {
		if len(names) > 1 {
			newest = append(newest, names[0])
		}
		if !slices.Contains(needed, method) {
			optional = append(optional, names...)
		}
	}
	newest = append(newest, "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetTemperature", "nvmlDeviceGetFieldValues", "nvmlDeviceGetGpuFabricInfoV",
		"nvmlDeviceGetSupportedClocksEventReasons", "nvmlDeviceGetCurrentClocksEventReasons")
	for name, c := range map[string]struct {
		absent []string
		want   string
	}{
		"all that can be": {optional, "load=0 fields=0 health=0 profile=0 processes=0"},
		"the newest":      {newest, "load=21 fields=2 health=24 profile=9 processes=2"},
		"the UUID":        {symbols["GetUUID"], "gpu 0: 0 read the UUID of GPU 0"},
		"the start":       {symbols["Init"], "no nvmlInit"},
	} {
		t.Run(name, func(t *testing.T) {
			path := stub.Build(t, c.absent...)
			stub.Write(t, path, "gpus 1", "processes 0 4711:1073741824")
			holds(t, child(t, path), c.want)
		})
	}
}

// BenchmarkLibrary is one tick of one GPU through the real binding and a library that answers at once.
func BenchmarkLibrary(b *testing.B) {
	path := stub.Build(b)
	stub.Write(b, path, "gpus 1")
	l, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	d, err := l.Open(0)
	if err != nil {
		b.Fatal(err)
	}
	for g := range Groups {
		b.Run(g.String(), func(b *testing.B) {
			v := new(Values)
			b.ReportAllocs()
			for b.Loop() {
				v.Reset()
				if g == Profile {
					d.(*device).gpm.taken = d.(*device).gpm.taken.Add(-minSampleGap)
				}
				if err := d.Read(g, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
