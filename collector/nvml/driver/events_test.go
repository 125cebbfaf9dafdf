//go:build linux && cgo

package driver

import (
	"errors"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
)

// listening is a mocked machine with some GPUs that tell of XIDs.
func listening(t *testing.T, n int) (*server.Server, []*server.Device, func() (*library, []Device)) {
	t.Helper()
	s := dgxh100.New()
	s.Devices = s.Devices[:n]
	var mocks []*server.Device
	for _, d := range s.Devices {
		m := d.(*server.Device)
		m.GetSupportedEventTypesFunc = gives(uint64(nvml.EventTypeXidCriticalError | 1))
		m.RegisterEventsFunc = func(types uint64, _ nvml.EventSet) nvml.Return {
			if types != nvml.EventTypeXidCriticalError {
				t.Errorf("registered for %#x", types)
			}
			return nvml.SUCCESS
		}
		mocks = append(mocks, m)
	}
	s.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return &mock.EventSet{}, nvml.SUCCESS }
	s.EventSetFreeFunc = func(nvml.EventSet) nvml.Return { return nvml.SUCCESS }
	return s, mocks, func() (*library, []Device) {
		l := open(t, s).lib
		var devices []Device
		for i := range n {
			d, err := l.Open(i)
			if err != nil {
				t.Fatal(err)
			}
			devices = append(devices, d)
		}
		return l, devices
	}
}

func TestEvents(t *testing.T) {
	s, mocks, open := listening(t, 2)
	var next nvml.EventData
	var ret nvml.Return
	s.EventSetWaitFunc = func(_ nvml.EventSet, ms uint32) (nvml.EventData, nvml.Return) {
		if ms != 1500 {
			t.Errorf("waits %d ms", ms)
		}
		return next, ret
	}
	l, devices := open()
	e, err := l.Events(devices)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		event nvml.EventData
		ret   nvml.Return
		want  XID
		ok    bool
		kind  Kind
		fails bool
	}{
		"xid": {event: nvml.EventData{Device: mocks[1], EventType: nvml.EventTypeXidCriticalError, EventData: 79},
			want: XID{ID: mocks[1].UUID, Code: 79}, ok: true},
		"xid of an instance": {event: nvml.EventData{Device: mocks[0], EventType: nvml.EventTypeXidCriticalError, EventData: 43, GpuInstanceId: 7},
			want: XID{ID: mocks[0].UUID, Code: 43}, ok: true},
		"another handle": {event: nvml.EventData{Device: part("GPU-X", "", 0), EventType: nvml.EventTypeXidCriticalError, EventData: 48},
			want: XID{ID: "GPU-X", Code: 48}, ok: true},
		"no device":     {event: nvml.EventData{EventType: nvml.EventTypeXidCriticalError, EventData: 48}, fails: true},
		"another event": {event: nvml.EventData{Device: mocks[0], EventType: 1, EventData: 48}},
		"timeout":       {ret: nvml.ERROR_TIMEOUT},
		"lost":          {ret: nvml.ERROR_GPU_IS_LOST, kind: Lost, fails: true},
		"reloaded":      {ret: nvml.ERROR_UNINITIALIZED, kind: Stale, fails: true},
		"unknown":       {ret: nvml.ERROR_UNKNOWN, fails: true},
	} {
		next, ret = c.event, c.ret
		x, ok, err := e.Wait(1500 * time.Millisecond)
		if x != c.want || ok != c.ok || (err != nil) != c.fails || KindOf(err) != c.kind {
			t.Errorf("%s: %+v %v %v", name, x, ok, err)
		}
	}
}

func TestEventsOfSomeGPUs(t *testing.T) {
	s, mocks, open := listening(t, 3)
	mocks[0].GetSupportedEventTypesFunc = gives(uint64(1))
	mocks[1].GetSupportedEventTypesFunc = fails[uint64](nvml.ERROR_GPU_IS_LOST)
	freed := 0
	s.EventSetFreeFunc = func(nvml.EventSet) nvml.Return {
		freed++
		return nvml.SUCCESS
	}
	l, devices := open()
	if e, err := l.Events(devices); err != nil || len(e.(*events).ids) != 1 || freed != 0 {
		t.Errorf("one of three: %v", err)
	}
	if e, err := l.Events(devices[:1]); !errors.Is(err, ErrNotSupported) || e != nil || freed != 1 {
		t.Errorf("none that supports it: %v %v", e, err)
	}
	if _, err := l.Events(devices[:2]); KindOf(err) != Lost || freed != 2 {
		t.Errorf("a lost one: %v", err)
	}
	s.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return nil, nvml.ERROR_NOT_SUPPORTED }
	if _, err := l.Events(devices); !errors.Is(err, ErrNotSupported) {
		t.Errorf("without events: %v", err)
	}
}
