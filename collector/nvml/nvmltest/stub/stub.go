// Package stub is a libnvidia-ml.so.1 that does what a script says: it hangs, crashes, loses GPUs and begins anew, so that tests can
// drive the real program through the real library's interface. It is written in C, and built with gcc when a test asks for it.
//
// The script lies beside the library. [Write] replaces it, and all processes that have the library loaded see it within 10 ms. A GPU
// is meant by its physical number from 0 to 15, which it keeps whatever its index is, or by * for all. A function (FN) may be named
// without its version; * stands for all that are called for a GPU. Lines are:
//
//	gpus 8                          how many there are; eight without this line
//	order 3 1 2 0                   which physical GPU each index is
//	gpu 3 lost                      all calls for it return 15; reset_required: 16
//	gpu 3 code FN 999               the call returns this; FN may be field:83, which then returns it within nvmlDeviceGetFieldValues
//	gpu 3 hang FN                   the call does not return before the line is gone
//	gpu 3 slow FN 500               the call takes as many milliseconds
//	gpu 3 crash FN 1                the call ends the process by SIGSEGV, once for all processes; without the number always
//	crash FN, abort FN              the same for all GPUs and for calls of none
//	init 9                          what nvmlInit returns
//	driver absent                   every call returns 9
//	generation 2 1700000000         the driver was loaded anew, at this time: handles of before return 1, counters count from there
//	mig 3 2                         the GPU is divided into two instances
//	set 3 NAME 42                   a number in NVML's unit: power, temperature, utilization, memory_used, ecc:corrected:volatile,
//	                                remap_pending, retired:double_bit, pcie_width, field:83, field:138:2, gpm:5, ... (see csrc)
//	text 3 NAME WORDS               name, serial, vbios, uuid; for *: driver, nvml
//	processes 3 4711:1073741824     who uses the GPU, with how much memory
//	xid 3 79 1                      an XID; the last number is the sequence, which rises from line to line
//
// What no line sets is a healthy H100 at work, whose counters follow the clock.
package stub

import (
	"context"
	"embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

//go:embed csrc
var source embed.FS

const library = "libnvidia-ml.so.1"

// Build makes the library in a new folder of the test, without the given functions, and returns its path. Where there is no
// compiler or no Linux, the test is skipped.
func Build(t testing.TB, without ...string) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the stub of NVML is a library for Linux")
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("the stub of NVML is built by gcc, which is not installed")
	}
	object, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, library)
	write(t, filepath.Join(dir, "stub.o"), object)
	write(t, filepath.Join(dir, "symbols"), []byte(symbols(without)))
	link := exec.CommandContext(t.Context(), gcc, "-shared", "-Wl,-soname,"+library, "-Wl,--version-script="+filepath.Join(dir, "symbols"), "-o", path,
		filepath.Join(dir, "stub.o"), "-lpthread", "-ldl")
	if out, err := link.CombinedOutput(); err != nil {
		t.Fatalf("link the stub of NVML: %v\n%s", err, out)
	}
	return path
}

// symbols is the linker's list of what the library shows.
func symbols(without []string) string {
	hidden := "*;"
	for _, fn := range without {
		hidden = fn + "; " + hidden
	}
	return "{ global: nvml*; local: " + hidden + " };\n"
}

// compiled is the object that every library is linked from. It is compiled once in a process.
var compiled = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "nvmlstub")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, source); err != nil {
		return nil, err
	}
	header, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/NVIDIA/go-nvml").Output()
	if err != nil {
		return nil, fmt.Errorf("find nvml.h in the module github.com/NVIDIA/go-nvml: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "csrc", "*.c"))
	if err != nil {
		return nil, err
	}
	args := []string{
		"-r", "-nostdlib", "-fPIC", "-O1", "-std=gnu11", "-Wall", "-Wextra", "-Wno-deprecated-declarations", "-DNVML_NO_UNVERSIONED_FUNC_DEFS=1",
		"-I", filepath.Join(strings.TrimSpace(string(header)), "pkg", "nvml"), "-o", filepath.Join(dir, "stub.o"),
	}
	if out, err := exec.CommandContext(context.Background(), "gcc", append(args, files...)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the stub of NVML: %w\n%s", err, out)
	}
	return os.ReadFile(filepath.Join(dir, "stub.o"))
})

// Write gives a library another script.
func Write(t testing.TB, path string, lines ...string) {
	t.Helper()
	script := filepath.Join(filepath.Dir(path), "script")
	write(t, script+".new", []byte(strings.Join(lines, "\n")+"\n"))
	if err := os.Rename(script+".new", script); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// UUID is the one that a physical GPU has, if the script does not set another.
func UUID(gpu int) string { return fmt.Sprintf("GPU-%08x-1111-4222-8333-%012x", gpu, 0) }

// InstanceUUID is the one of a MIG instance of a GPU, which count from 0.
func InstanceUUID(gpu, instance int) string {
	return fmt.Sprintf("MIG-%08x-1111-4222-8333-%012x", gpu, instance+1)
}

// Any stands for all physical GPUs, and None for calls that are of none.
const (
	Any  = -1
	None = gpus
)

// The layout of the file of counts is that of csrc/counts.c.
const (
	gpus    = 16
	slots   = 256
	nameLen = 64
)

// Calls are the counts of all processes since the library was built.
type Calls struct {
	Crashes  uint64       // that were scripted and came to pass
	Overlaps [gpus]uint64 // calls for a GPU while the same process had another one under way for it
	counts   map[string][gpus + 1]uint64
}

// ReadCalls reads the counts of a library.
func ReadCalls(t testing.TB, path string) Calls {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(path), "calls"))
	if err != nil {
		t.Fatalf("the stub of NVML was not loaded: %v", err)
	}
	next := func() uint64 {
		n := binary.NativeEndian.Uint64(raw)
		raw = raw[8:]
		return n
	}
	c := Calls{Crashes: next(), counts: map[string][gpus + 1]uint64{}}
	for i := range c.Overlaps {
		c.Overlaps[i] = next()
	}
	for range slots {
		name := strings.TrimRight(string(raw[:nameLen]), "\x00")
		raw = raw[nameLen:]
		var counts [gpus + 1]uint64
		for i := range counts {
			counts[i] = next()
		}
		if name != "" {
			c.counts[name] = counts
		}
	}
	return c
}

// Of is how often a function was called for a physical GPU, for [Any] or for [None].
func (c Calls) Of(fn string, gpu int) (n uint64) {
	for i, count := range c.counts[fn] {
		if gpu == i || (gpu == Any && i != None) {
			n += count
		}
	}
	return n
}

// All is how many calls there were for a GPU.
func (c Calls) All(gpu int) (n uint64) {
	for fn := range c.counts {
		n += c.Of(fn, gpu)
	}
	return n
}
