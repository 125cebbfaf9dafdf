//go:build linux && cgo

package driver

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/trainbridge/trainbridge/collector"
)

// defaultLibrary is where the driver puts its library; the loader knows the folder.
const defaultLibrary = "libnvidia-ml.so.1"

// Open loads the driver's library, by the name or path given or by its usual name, and initialises it. A process should do
// so once: the library cannot be unloaded, and after a failure nothing of it may be used.
func Open(name string) (Driver, error) {
	if name == "" {
		name = defaultLibrary
	}
	if err := probe(name); err != nil {
		return nil, &Error{Kind: NoLibrary, Op: "load " + name, Code: int(nvml.ERROR_LIBRARY_NOT_FOUND), Text: err.Error()}
	}
	return New(nvml.New(nvml.WithLibraryPath(name)))
}

// probe loads the library before go-nvml does: for the loader's own words, which go-nvml drops, and because go-nvml would
// call the first function without a look whether it is there, which ends the process. The library stays loaded.
func probe(name string) error {
	lib := dl.New(name, dl.RTLD_LAZY|dl.RTLD_GLOBAL)
	if err := lib.Open(); err != nil {
		return fmt.Errorf("%s: install the NVIDIA driver, or give the container its libraries (NVIDIA Container Toolkit)",
			collector.Clean(err.Error()))
	}
	for _, symbol := range symbols["Init"] {
		if lib.Lookup(symbol) == nil {
			return nil
		}
	}
	return errors.New("the file is not NVIDIA's management library: it has no nvmlInit")
}

// New initialises a library and makes a driver of it. After a failure nothing of the library may be called.
func New(lib nvml.Interface) (Driver, error) {
	if ret := lib.Init(); ret != nvml.SUCCESS { // the only call that is not looked up: it loads the library
		return nil, openError("initialise NVIDIA's library", ret)
	}
	l := &library{nvml: lib, present: lookUp(lib), kernel: kernelGPUs, listed: listed(kernelGPUs)}
	l.versions = collector.DriverVersions{
		Driver: word(call(l, "SystemGetDriverVersion", lib.SystemGetDriverVersion)),
		NVML:   word(call(l, "SystemGetNVMLVersion", lib.SystemGetNVMLVersion)),
	}
	if v, ret := call(l, "SystemGetCudaDriverVersion", lib.SystemGetCudaDriverVersion); ret == nvml.SUCCESS && v > 0 {
		l.versions.CUDA = strconv.Itoa(v/1000) + "." + strconv.Itoa(v%1000/10)
	}
	l.fields = fieldsOf(l.versions.Driver)
	return l, nil
}

// library is the Driver over go-nvml. It does not change after New, so that GPUs can be read at the same time.
type library struct {
	nvml     nvml.Interface
	present  map[string]bool // methods of go-nvml whose C functions the library has
	versions collector.DriverVersions
	fields   []field // that this driver may know
	kernel   string  // where the kernel module lists GPUs
	listed   int     // how many it listed when the library was initialised
}

// kernelGPUs has an entry for every GPU that the kernel module drives. Reading its names asks no GPU.
const kernelGPUs = "/proc/driver/nvidia/gpus"

func listed(dir string) int {
	entries, err := os.ReadDir(dir)
	if err != nil { // another kernel module, or a container that hides it
		return 0
	}
	return len(entries)
}

// Versions implements Driver.
func (l *library) Versions() collector.DriverVersions { return l.versions }

// Count implements Driver. The library goes on with the GPUs that it found at first: one that was added is told by the kernel only.
func (l *library) Count() (int, error) {
	if now := listed(l.kernel); now != l.listed {
		return 0, &Error{Kind: Stale, Op: "count the GPUs", Text: fmt.Sprintf("the kernel module lists %d, and listed %d before", now, l.listed)}
	}
	n, ret := call(l, "DeviceGetCount", l.nvml.DeviceGetCount)
	if ret == nvml.ERROR_NOT_FOUND {
		return 0, nil
	}
	return n, callError("count the GPUs", ret)
}

// Open implements Driver.
func (l *library) Open(index int) (Device, error) {
	h, ret := call(l, "DeviceGetHandleByIndex", func() (nvml.Device, nvml.Return) { return l.nvml.DeviceGetHandleByIndex(index) })
	if ret == nvml.SUCCESS && h == nil {
		ret = nvml.ERROR_NOT_FOUND
	}
	if err := callError("find GPU "+strconv.Itoa(index), ret); err != nil {
		return nil, err
	}
	d := &device{lib: l, handle: h, index: index}
	if _, err := d.Identity(); err != nil {
		return nil, err
	}
	return d, nil
}

// word is a text of the driver, or nothing.
func word(s string, ret nvml.Return) string {
	if ret != nvml.SUCCESS {
		return ""
	}
	return collector.Clean(s)
}
