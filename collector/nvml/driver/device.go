//go:build linux && cgo

package driver

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/trainbridge/trainbridge/collector"
)

// device is a GPU, or a MIG instance of one. A GPU and its instances are read one after the other.
type device struct {
	lib    *library
	handle nvml.Device
	index  int

	gpu      *device // that a MIG instance is a part of; nil for a GPU
	instance int     // GPU instance id of a MIG instance

	id        Identity           // as of the last Identity
	instances map[string]*device // of the last Instances, by UUID
	learned                      // about the GPU with this UUID
}

// learned is what need not be asked again of the same GPU.
type learned struct {
	fields      fieldState
	gpm         gpmState
	reasons     uint64 // clock event reasons that the GPU supports
	reasonsRead bool
	sampleTime  uint64 // of the newest sample of process utilisation
}

// Identity implements Device.
func (d *device) Identity() (Identity, error) {
	uuid, ret := call(d.lib, "GetUUID", d.handle.GetUUID)
	if err := callError("read the UUID of "+d.String(), ret); err != nil {
		return Identity{}, err
	}
	uuid = collector.Clean(uuid)
	switch uuid {
	case "":
		return Identity{}, &Error{Op: "read the UUID of " + d.String(), Text: "the driver gives none"}
	case d.id.ID:
		return d.id, nil
	}
	d.forget()
	d.id = Identity{ID: uuid, Info: d.describe()}
	return d.id, nil
}

// String is the device in errors.
func (d *device) String() string {
	if d.gpu != nil {
		return fmt.Sprintf("MIG instance %d of GPU %d", d.instance, d.gpu.index)
	}
	return "GPU " + strconv.Itoa(d.index)
}

// forget drops what was learned of another GPU that was here before.
func (d *device) forget() {
	d.gpm.free(d.lib)
	for _, i := range d.instances {
		i.gpm.free(d.lib)
	}
	d.learned, d.instances = learned{}, nil
}

// describe asks who the device is. What cannot be told stays empty.
func (d *device) describe() collector.GPUInfo {
	l, h := d.lib, d.handle
	name := word(call(l, "GetName", h.GetName))
	if d.gpu != nil {
		info := d.gpu.id.Info
		info.Name, info.Parent, info.Profile, info.Instance = name, d.gpu.id.ID, d.profile(name), strconv.Itoa(d.instance)
		return info
	}
	return collector.GPUInfo{
		Index: whole(call(l, "GetIndex", h.GetIndex)), Name: name,
		Serial: word(call(l, "GetSerial", h.GetSerial)), VBIOS: word(call(l, "GetVbiosVersion", h.GetVbiosVersion)),
		PCIBusID: busID(call(l, "GetPciInfo", h.GetPciInfo)), Minor: whole(call(l, "GetMinorNumber", h.GetMinorNumber)),
	}
}

// profile is the profile of a MIG instance: the end of its name, as in "NVIDIA H100 80GB HBM3 MIG 1g.10gb", or from its size.
func (d *device) profile(name string) string {
	if _, p, ok := strings.Cut(name, " MIG "); ok {
		return p
	}
	a, ret := call(d.lib, "GetAttributes", d.handle.GetAttributes)
	if ret != nvml.SUCCESS || a.GpuInstanceSliceCount == 0 {
		return ""
	}
	gib := (a.MemorySizeMB + 512) / 1024
	if a.ComputeInstanceSliceCount != a.GpuInstanceSliceCount {
		return fmt.Sprintf("%dc.%dg.%dgb", a.ComputeInstanceSliceCount, a.GpuInstanceSliceCount, gib)
	}
	return fmt.Sprintf("%dg.%dgb", a.GpuInstanceSliceCount, gib)
}

func whole(n int, ret nvml.Return) string {
	if ret != nvml.SUCCESS {
		return ""
	}
	return strconv.Itoa(n)
}

// busID is the PCI address with a domain of 8 digits, as nvidia-smi prints it.
func busID(p nvml.PciInfo, ret nvml.Return) string {
	if ret != nvml.SUCCESS {
		return ""
	}
	if id := text(p.BusId[:]); id != "" {
		return strings.ToUpper(id)
	}
	if text(p.BusIdLegacy[:]) == "" {
		return ""
	}
	return fmt.Sprintf("%08X:%02X:%02X.0", p.Domain, p.Bus, p.Device)
}

// text is a string of C in an array.
func text(chars []int8) string {
	var b strings.Builder
	for _, c := range chars {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return collector.Clean(b.String())
}

// maxInstances bounds what is believed of the driver; a GPU has 7 instances at most, each with as many compute instances.
const maxInstances = 64

// Instances implements Device. A device that is still there is the same one as before: it knows its last sample.
func (d *device) Instances() ([]Device, error) {
	found := map[string]*device{}
	n, err := d.places()
	for i := 0; i < n && err == nil; i++ {
		err = d.findInstance(i, found)
	}
	if err != nil {
		return nil, err
	}
	list := make([]Device, 0, len(found))
	for _, i := range found {
		list = append(list, i)
	}
	for id, i := range d.instances {
		if found[id] == nil {
			i.gpm.free(d.lib)
		}
	}
	d.instances = found
	return list, nil
}

// places is how many MIG instances there may be; 0 where the GPU is not divided.
func (d *device) places() (int, error) {
	if d.gpu != nil {
		return 0, nil
	}
	mode, ret := call(d.lib, "GetMigMode", func() (int, nvml.Return) {
		current, _, ret := d.handle.GetMigMode()
		return current, ret
	})
	if unsupported(ret) || ret == nvml.SUCCESS && mode != nvml.DEVICE_MIG_ENABLE {
		return 0, nil
	}
	if ret == nvml.SUCCESS {
		var n int
		n, ret = call(d.lib, "GetMaxMigDeviceCount", d.handle.GetMaxMigDeviceCount)
		if unsupported(ret) {
			return 0, nil
		}
		return min(n, maxInstances), callError("count the MIG instances of "+d.String(), ret)
	}
	return 0, callError("read the MIG mode of "+d.String(), ret)
}

// findInstance adds the MIG instance in a place, if there is one.
func (d *device) findInstance(place int, found map[string]*device) error {
	h, ret := call(d.lib, "GetMigDeviceHandleByIndex", func() (nvml.Device, nvml.Return) { return d.handle.GetMigDeviceHandleByIndex(place) })
	if unsupported(ret) || ret == nvml.SUCCESS && h == nil {
		return nil
	}
	if err := callError(fmt.Sprintf("find MIG instance %d of %s", place, d), ret); err != nil {
		return err
	}
	id, ret := call(d.lib, "GetGpuInstanceId", h.GetGpuInstanceId)
	if unsupported(ret) {
		return nil // it was removed in between
	}
	if err := callError(fmt.Sprintf("read MIG instance %d of %s", place, d), ret); err != nil {
		return err
	}
	i := &device{lib: d.lib, handle: h, index: d.index, gpu: d, instance: id}
	who, err := i.Identity()
	if err != nil {
		return err
	}
	if known := d.instances[who.ID]; known != nil {
		known.handle, known.instance, i = h, id, known
	}
	found[who.ID] = i
	return nil
}
