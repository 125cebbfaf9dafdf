//go:build linux && cgo

package driver

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
	"github.com/google/go-cmp/cmp"

	"github.com/trainbridge/trainbridge/collector"
)

// part is a mocked MIG instance.
func part(uuid, name string, instance int) *mock.Device {
	return &mock.Device{
		GetUUIDFunc: gives(uuid), GetNameFunc: gives(name), GetGpuInstanceIdFunc: gives(instance),
		GetAttributesFunc:    gives(nvml.DeviceAttributes{GpuInstanceSliceCount: 2, ComputeInstanceSliceCount: 1, MemorySizeMB: 9856}),
		GetMemoryInfo_v2Func: gives(nvml.Memory_v2{Total: 10, Used: uint64(instance), Reserved: 1}),
		GetMemoryInfoFunc:    gives(nvml.Memory{Total: 10, Used: uint64(instance) + 1}),
	}
}

// divided is a mocked machine whose first GPU is divided. The places may be changed.
func divided(places ...nvml.Device) (*server.Server, *server.Device, *[]nvml.Device) {
	s := dgxa100.New()
	s.Devices = s.Devices[:1]
	m := s.Devices[0].(*server.Device)
	m.GetSerialFunc = gives("4711")
	m.MigMode = nvml.DEVICE_MIG_ENABLE
	list := &places
	m.GetMaxMigDeviceCountFunc = gives(7)
	m.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i >= len(*list) || (*list)[i] == nil {
			return nil, nvml.ERROR_NOT_FOUND
		}
		return (*list)[i], nvml.SUCCESS
	}
	// The functions that only instances have; the GPU's own are never called.
	m.GetGpuInstanceIdFunc, m.GetAttributesFunc = gives(0), gives(nvml.DeviceAttributes{})
	m.GetMemoryInfo_v2Func = gives(nvml.Memory_v2{Total: 40, Used: 1})
	return s, m, list
}

func instances(t *testing.T, d *device) []*device {
	t.Helper()
	list, err := d.Instances()
	if err != nil {
		t.Fatal(err)
	}
	var out []*device
	for _, i := range list {
		out = append(out, i.(*device))
	}
	slices.SortFunc(out, func(a, b *device) int { return a.instance - b.instance })
	return out
}

func TestInstances(t *testing.T) {
	s, m, places := divided(part("MIG-7", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 7), nil, part("MIG-9", "Mock NVIDIA A100-SXM4-40GB", 9))
	d := open(t, s)
	found := instances(t, d)
	if len(found) != 2 {
		t.Fatalf("%d instances, want 2", len(found))
	}
	id, err := found[0].Identity()
	want := Identity{ID: "MIG-7", Info: collector.GPUInfo{
		Index: "0", Name: "NVIDIA A100-SXM4-40GB MIG 1g.5gb", Serial: "4711", Minor: "0", Parent: m.UUID, Profile: "1g.5gb", Instance: "7",
	}}
	if diff := cmp.Diff(want, id); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if id, _ := found[1].Identity(); id.Info.Profile != "1c.2g.10gb" {
		t.Errorf("profile %q of an instance whose name tells none", id.Info.Profile)
	}
	wantValues(t, mustRead(t, found[0], Load), value(collector.DeviceMemoryLimit, 10), value(collector.DeviceMemoryUsage, 7),
		value(collector.DeviceMemoryReserved, 1))
	for g := Fields; g < Groups; g++ {
		wantValues(t, mustRead(t, found[0], g))
	}
	if again := instances(t, d); again[0] != found[0] || again[1] != found[1] {
		t.Error("the instances are other devices than before")
	}
	*places = (*places)[:1]
	if left := instances(t, d); len(left) != 1 || left[0] != found[0] {
		t.Errorf("%d instances left, want the first", len(left))
	}
	if none, err := found[0].Instances(); len(none) != 0 || err != nil {
		t.Errorf("instances of an instance: %v %v", none, err)
	}
	m.GetMigDeviceHandleByIndexFunc = func(int) (nvml.Device, nvml.Return) { return nil, nvml.ERROR_GPU_IS_LOST }
	if _, err := d.Instances(); KindOf(err) != Lost {
		t.Errorf("a lost GPU: %v", err)
	}
	m.MigMode = nvml.DEVICE_MIG_DISABLE
	if left := instances(t, d); len(left) != 0 {
		t.Errorf("%d instances of a whole GPU", len(left))
	}
	m.GetMigModeFunc = func() (int, int, nvml.Return) { return 0, 0, nvml.ERROR_NOT_SUPPORTED }
	if left := instances(t, d); len(left) != 0 {
		t.Errorf("%d instances of a GPU without MIG", len(left))
	}
}

func TestInstancesAreProfiled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m, places := divided(part("MIG-7", "", 7))
		g := profiled(s, m)
		m.GpmSampleGetFunc = nil // an instance must not be taken for its GPU
		g.answers[2] = nvml.GpmMetric{Value: 75}
		var asked []int
		take := m.GpmMigSampleGetFunc
		m.GpmMigSampleGetFunc = func(instance int, sample nvml.GpmSample) nvml.Return {
			asked = append(asked, instance)
			return take(instance, sample)
		}
		d := open(t, s)
		var v *Values
		for range 2 {
			v = mustRead(t, instances(t, d)[0], Profile)
			time.Sleep(time.Second)
		}
		if i := slices.Index(v.Values, value(collector.DeviceSMUtilization, 0.75)); i < 0 || !slices.Equal(asked, []int{7, 7}) {
			t.Errorf("%v of instances %v", v.Values, asked)
		}
		*places = nil
		if instances(t, d); g.alive != 0 {
			t.Errorf("%d samples left of an instance that is gone", g.alive)
		}
	})
}
