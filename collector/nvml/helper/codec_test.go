package helper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

func sample() *Frame {
	return &Frame{
		Sequence: 7, At: 1e18, Versions: collector.DriverVersions{Driver: "1"}, Fault: "no_driver", Detail: "d", Again: "a", Init: time.Second,
		GPUs: []GPU{{Index: 1, ID: "GPU-1", Info: collector.GPUInfo{Name: "n", Parent: "p"}, State: OK, Since: 5, ReadAt: 6, Age: 3, Rounds: 2,
			Values: []collector.GPUValue{{Metric: collector.DevicePower, Label: "x", Value: 1.5}}, PIDs: []int{1}}},
		XIDs:  []XID{{ID: "GPU-1", Code: "79", N: 3, Last: 9}},
		Calls: []collector.CallCost{{Group: "load", N: 1, Seconds: 2, Max: 3, Errors: []collector.Count{{Name: "1", N: 2}}}},
	}
}

func TestFrameThereAndBack(t *testing.T) {
	var buf bytes.Buffer
	if err := errors.Join(WriteFrame(&buf, sample()), WriteFrame(&buf, sample())); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := ReadFrame(&buf); err != nil || !reflect.DeepEqual(got, sample()) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if _, err := ReadFrame(&buf); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
}

func TestOptionsThereAndBack(t *testing.T) {
	want := Options{Library: "l", Interval: 1, Slow: 2, Profiling: true, Processes: true, HungAfter: 3}
	var buf bytes.Buffer
	if err := WriteOptions(&buf, want); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadOptions(&buf); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ReadOptions(strings.NewReader("hello there\n")); err == nil {
		t.Error("text is no options")
	}
}

// TestGiantFrames are thinned until they fit.
func TestGiantFrames(t *testing.T) {
	f := sample()
	label := strings.Repeat("x", maxLabel)
	for range 64 {
		g := GPU{ID: "g"}
		for i := range MaxValues {
			m := collector.DevicePower
			if i%2 == 0 {
				m = collector.ProcessMemoryUsage
			}
			g.Values = append(g.Values, collector.GPUValue{Metric: m, Label: label})
		}
		f.GPUs = append(f.GPUs, g)
	}
	var buf bytes.Buffer
	if err := WriteFrame(&buf, f); err != nil {
		t.Fatal(err)
	}
	got, err := ReadFrame(&buf)
	if err != nil || len(got.GPUs) != 65 || len(got.GPUs[9].Values) != 0 || len(f.GPUs[9].Values) != MaxValues {
		t.Errorf("%v, %d GPUs", err, len(got.GPUs))
	}
}

func TestBadFrames(t *testing.T) {
	head := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	var good bytes.Buffer
	_ = WriteFrame(&good, sample())
	for name, in := range map[string][]byte{
		"text":       []byte("NVML: something is wrong\n"),
		"giant":      head(MaxFrame + 1),
		"empty":      head(0),
		"short head": {0, 0},
		"short":      good.Bytes()[:good.Len()-1],
		"tail":       append(head(good.Len()-4+1), append(bytes.Clone(good.Bytes()[4:]), 0)...),
		"not a map":  append(head(1), 0x80),
		"unknown":    append(head(4), 0xa1, 0x18, 0x63, 0x01),
		"array":      append(head(7), 0xa1, 0x08, 0x9a, 0xff, 0xff, 0xff, 0xff),
	} {
		if f, err := ReadFrame(bytes.NewReader(in)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	for name, spoil := range map[string]func(f *Frame){
		"state":  func(f *Frame) { f.GPUs[0].State = states },
		"age":    func(f *Frame) { f.GPUs[0].Age = -1 },
		"init":   func(f *Frame) { f.Init = -1 },
		"gpus":   func(f *Frame) { f.GPUs = make([]GPU, 600) },
		"xids":   func(f *Frame) { f.XIDs = make([]XID, MaxXIDs+1) },
		"calls":  func(f *Frame) { f.Calls = make([]collector.CallCost, maxCosts+1) },
		"errors": func(f *Frame) { f.Calls[0].Errors = make([]collector.Count, maxErrorCodes+2) },
		"pids":   func(f *Frame) { f.GPUs[0].PIDs = make([]int, MaxPIDs+1) },
	} {
		f := sample()
		spoil(f)
		var buf bytes.Buffer
		if err := WriteFrame(&buf, f); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFrame(&buf); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzFrame(f *testing.F) {
	var buf bytes.Buffer
	_ = WriteFrame(&buf, sample())
	f.Add(buf.Bytes())
	f.Add([]byte("NVML"))
	f.Add([]byte{0, 0, 0, 1, 0xa0})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		for {
			frame, err := ReadFrame(r)
			if err != nil {
				return
			}
			var out bytes.Buffer
			if err := WriteFrame(&out, frame); err != nil {
				t.Fatalf("what was read cannot be written: %v", err)
			}
			if _, err := ReadFrame(&out); err != nil {
				t.Fatalf("what was written cannot be read: %v", err)
			}
		}
	})
}
