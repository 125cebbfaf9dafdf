//go:build linux && cgo

package driver

import (
	"fmt"
	"math"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/trainbridge/trainbridge/collector"
)

// events is a set of GPUs that the driver reports XIDs of.
type events struct {
	lib *library
	set nvml.EventSet
	ids map[nvml.Device]string // UUIDs by handle; does not change
}

// Events implements Driver. A GPU that cannot be listened to does not keep the others from it.
func (l *library) Events(devices []Device) (Events, error) {
	set, ret := call(l, "EventSetCreate", l.nvml.EventSetCreate)
	if unsupported(ret) || ret == nvml.SUCCESS && set == nil {
		return nil, ErrNotSupported
	}
	if err := callError("listen for XIDs", ret); err != nil {
		return nil, err
	}
	e := &events{lib: l, set: set, ids: map[nvml.Device]string{}}
	worst := nvml.SUCCESS
	for _, dev := range devices {
		if d, ok := dev.(*device); ok && d.gpu == nil { // a MIG instance's come with its GPU's
			worst = worse(worst, e.add(d))
		}
	}
	if len(e.ids) > 0 {
		return e, nil
	}
	_ = do(l, "EventSetFree", func() nvml.Return { return l.nvml.EventSetFree(set) })
	if worst == nvml.SUCCESS || unsupported(worst) {
		return nil, ErrNotSupported
	}
	return nil, callError("listen for XIDs", worst)
}

func (e *events) add(d *device) nvml.Return {
	types, ret := call(e.lib, "GetSupportedEventTypes", d.handle.GetSupportedEventTypes)
	if ret != nvml.SUCCESS {
		return ret
	}
	if types&nvml.EventTypeXidCriticalError == 0 {
		return nvml.ERROR_NOT_SUPPORTED
	}
	id, ret := call(e.lib, "GetUUID", d.handle.GetUUID) // not d.id, which whoever reads the GPU may change now
	if ret != nvml.SUCCESS {
		return ret
	}
	ret = do(e.lib, "RegisterEvents", func() nvml.Return { return d.handle.RegisterEvents(nvml.EventTypeXidCriticalError, e.set) })
	if ret == nvml.SUCCESS {
		e.ids[d.handle] = id
	}
	return ret
}

// Wait implements Events.
func (e *events) Wait(d time.Duration) (XID, bool, error) {
	ms := uint32(min(max(d.Milliseconds(), 1), math.MaxInt32))
	event, ret := call(e.lib, "EventSetWait", func() (nvml.EventData, nvml.Return) { return e.lib.nvml.EventSetWait(e.set, ms) })
	if ret == nvml.ERROR_TIMEOUT {
		return XID{}, false, nil
	}
	if err := callError("wait for XIDs", ret); err != nil {
		return XID{}, false, err
	}
	if event.EventType != nvml.EventTypeXidCriticalError {
		return XID{}, false, nil
	}
	id, known := e.ids[event.Device]
	if !known && event.Device != nil {
		id, ret = call(e.lib, "GetUUID", event.Device.GetUUID)
		if err := callError("find the GPU of an XID", ret); err != nil {
			return XID{}, false, err
		}
	}
	if id == "" {
		return XID{}, false, &Error{Op: "wait for XIDs", Text: fmt.Sprintf("XID %d of a GPU without a UUID", event.EventData)}
	}
	return XID{ID: collector.Clean(id), Code: event.EventData}, true, nil
}
