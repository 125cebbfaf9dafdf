//go:build linux && cgo

package driver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/google/go-cmp/cmp"

	"github.com/trainbridge/trainbridge/collector"
)

func TestOpenWithoutLibrary(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "libnvidia-ml.so.1")
	if err := os.WriteFile(junk, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"/no/such/libnvidia-ml.so.1": "install the NVIDIA driver",
		junk:                         "install the NVIDIA driver",
		"libm.so.6":                  "it has no nvmlInit",
	} {
		_, err := Open(name)
		var e *Error
		if !errors.As(err, &e) || e.Kind != NoLibrary || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), name) {
			t.Errorf("Open(%s) = %v, want one of a missing library that says %q", name, err, says)
		}
	}
}

// After a failed start a call of the library may end the process.
func TestNothingIsCalledAfterAFailedInit(t *testing.T) {
	for ret, kind := range map[nvml.Return]Kind{
		nvml.ERROR_LIBRARY_NOT_FOUND: NoLibrary, nvml.ERROR_DRIVER_NOT_LOADED: NoDriver, nvml.ERROR_NO_PERMISSION: NoPermission,
		nvml.ERROR_LIB_RM_VERSION_MISMATCH: VersionMismatch, nvml.ERROR_OPERATING_SYSTEM: NoPermission, nvml.ERROR_UNKNOWN: Failed,
		nvml.ERROR_TIMEOUT: Failed, nvml.Return(4711): Failed,
	} {
		lib := &mock.Interface{InitFunc: func() nvml.Return { return ret }} // anything else panics
		_, err := New(lib)
		var e *Error
		if !errors.As(err, &e) || e.Kind != kind || e.Code != int(ret) {
			t.Errorf("a start that fails with %d: %v of kind %d, want kind %d", int(ret), err, KindOf(err), kind)
		}
		if kind != Failed && e != nil && e.Text == "" {
			t.Errorf("code %d has no words", int(ret))
		}
	}
}

func TestVersions(t *testing.T) {
	s, _ := host()
	d := open(t, s)
	want := collector.DriverVersions{Driver: "550.54.15", NVML: "12.550.54.15", CUDA: "12.4"}
	if diff := cmp.Diff(want, d.lib.Versions()); diff != "" {
		t.Error(diff)
	}
	s.CudaDriverVersion = 13010
	if d := open(t, s, "nvmlSystemGetNVMLVersion"); d.lib.Versions() != (collector.DriverVersions{Driver: "550.54.15", CUDA: "13.1"}) {
		t.Errorf("%+v", d.lib.Versions())
	}
}

func TestCount(t *testing.T) {
	s, _ := host()
	d := open(t, s).lib
	if n, err := d.Count(); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if _, err := d.Open(7); err == nil || KindOf(err) != Failed || !strings.Contains(err.Error(), "find GPU 7") {
		t.Errorf("a GPU that is not there: %v", err)
	}
	s.DeviceGetCountFunc = fails[int](nvml.ERROR_NOT_FOUND)
	if n, err := d.Count(); n != 0 || err != nil {
		t.Errorf("a machine without GPUs: %d %v", n, err)
	}
	for ret, kind := range kinds {
		s.DeviceGetCountFunc = fails[int](ret)
		if _, err := d.Count(); KindOf(err) != kind || err == nil {
			t.Errorf("code %d: %v of kind %d, want %d", int(ret), err, KindOf(err), kind)
		}
	}
}

func TestIdentity(t *testing.T) {
	s, m := host()
	m.GetSerialFunc, m.GetVbiosVersionFunc = gives("1654422004711"), gives("96.00.89.00.01")
	m.GetPciInfoFunc = gives(nvml.PciInfo{BusId: chars[[32]int8]("00000000:3b:00.0")})
	m.Index, m.Minor = 0, 3
	d := open(t, s)
	id, err := d.Identity()
	want := Identity{ID: m.UUID, Info: collector.GPUInfo{
		Index: "0", Name: "NVIDIA H100 80GB HBM3", Serial: "1654422004711", VBIOS: "96.00.89.00.01", PCIBusID: "00000000:3B:00.0", Minor: "3",
	}}
	if diff := cmp.Diff(want, id); diff != "" || err != nil {
		t.Fatal(err, diff)
	}
	if m.GetNameFunc = nil; true { // the mock panics if it is asked once more
		if id, err = d.Identity(); id != want || err != nil {
			t.Errorf("once more: %+v %v", id, err)
		}
	}
	m.GetNameFunc, m.UUID = gives("a\x01nother"), "GPU-2"
	if id, err = d.Identity(); id.ID != "GPU-2" || id.Info.Name != "another" || err != nil {
		t.Errorf("another GPU: %+v %v", id, err)
	}
	for ret, kind := range map[nvml.Return]Kind{nvml.ERROR_GPU_IS_LOST: Lost, nvml.ERROR_UNINITIALIZED: Stale, nvml.ERROR_INVALID_ARGUMENT: Failed} {
		m.GetUUIDFunc = fails[string](ret)
		if _, err := d.Identity(); err == nil || KindOf(err) != kind {
			t.Errorf("code %d: %v of kind %d, want %d", int(ret), err, KindOf(err), kind)
		}
	}
}

func TestIdentityOfLittle(t *testing.T) {
	s, m := host()
	m.GetUUIDFunc = gives("GPU-1")
	var absent []string
	for _, method := range []string{"GetName", "GetSerial", "GetVbiosVersion", "GetPciInfo", "GetMinorNumber", "GetIndex"} {
		absent = append(absent, symbols[method]...)
	}
	if id, err := open(t, s, absent...).Identity(); id != (Identity{ID: "GPU-1"}) || err != nil {
		t.Errorf("%+v %v", id, err)
	}
}

func TestBusID(t *testing.T) {
	for want, p := range map[string]nvml.PciInfo{
		"00000000:3B:00.0": {BusId: chars[[32]int8]("00000000:3b:00.0")},
		"00010000:C1:00.0": {BusIdLegacy: chars[[16]int8]("0000:c1:00.0"), Domain: 0x10000, Bus: 0xc1},
		"":                 {PciDeviceId: 0x233010de},
	} {
		if got := busID(p, nvml.SUCCESS); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func chars[A [16]int8 | [32]int8](s string) (a A) {
	switch a := any(&a).(type) {
	case *[16]int8:
		for i := range s {
			a[i] = int8(s[i])
		}
	case *[32]int8:
		for i := range s {
			a[i] = int8(s[i])
		}
	}
	return a
}

// TestAddedGPUs: the library does not see a GPU that was added until it is initialised again; the kernel does.
func TestAddedGPUs(t *testing.T) {
	s, _ := host()
	d, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	l := d.(*library)
	l.kernel, l.listed = t.TempDir(), 0
	if _, err := l.Count(); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	if err := os.Mkdir(filepath.Join(l.kernel, "0000:18:00.0"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Count(); KindOf(err) != Stale {
		t.Errorf("a GPU was added: %v", err)
	}
}
