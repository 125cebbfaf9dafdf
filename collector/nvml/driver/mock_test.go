//go:build linux && cgo

package driver

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
	"github.com/google/go-cmp/cmp"

	"github.com/trainbridge/trainbridge/collector"
)

// only makes a mocked library have the symbols of those functions alone that a mock implements, and not those named.
// A mocked function that is not set panics, as the real one ends the process.
func only(s *server.Server, absent ...string) {
	has := map[string]bool{}
	note := func(mocked any) {
		v := reflect.ValueOf(mocked).Elem()
		for i := range v.NumField() {
			if method, ok := strings.CutSuffix(v.Type().Field(i).Name, "Func"); ok && !v.Field(i).IsNil() {
				has[method] = true
			}
		}
	}
	note(&s.Interface)
	for _, d := range s.Devices {
		note(&d.(*server.Device).Device)
	}
	s.LookupSymbolFunc = func(symbol string) error {
		for method, names := range symbols {
			if has[method] && slices.Contains(names, symbol) && !slices.Contains(absent, symbol) {
				return nil
			}
		}
		return errAbsent
	}
}

var errAbsent = &Error{Op: "look up", Text: "absent"}

// host is a mocked machine, and the mock of its first GPU.
func host() (*server.Server, *server.Device) {
	s := dgxh100.New()
	s.Devices = s.Devices[:1]
	return s, s.Devices[0].(*server.Device)
}

// open opens the first GPU of a mocked machine.
func open(t testing.TB, s *server.Server, absent ...string) *device {
	t.Helper()
	only(s, absent...)
	d, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := d.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	return dev.(*device)
}

// value is a value for tables of tests.
func value(m collector.GPUMetric, v float64, labels ...string) collector.GPUValue {
	return collector.GPUValue{Metric: m, Label: collector.JoinLabels(labels...), Value: v}
}

func wantValues(t *testing.T, got *Values, want ...collector.GPUValue) {
	t.Helper()
	collector.SortGPUValues(got.Values)
	collector.SortGPUValues(want)
	if diff := cmp.Diff(want, slices.Clone(got.Values)); diff != "" && len(want)+len(got.Values) > 0 {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func mustRead(t testing.TB, d Device, g Group) *Values {
	t.Helper()
	v := new(Values)
	if err := d.Read(g, v); err != nil {
		t.Fatalf("%s: %v", g, err)
	}
	return v
}

// gives is a mocked function without arguments that gives one value.
func gives[T any](v T) func() (T, nvml.Return) {
	return func() (T, nvml.Return) { return v, nvml.SUCCESS }
}

// fails is one that fails.
func fails[T any](ret nvml.Return) func() (T, nvml.Return) {
	return func() (v T, _ nvml.Return) { return v, ret }
}

// codeOf is the library's code in an error; -1 without one.
func codeOf(err error) int {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return -1
}
