package nvml

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// noGPUs is the driver of a machine without GPUs.
type noGPUs struct{ driver.Driver }

func (noGPUs) Versions() collector.DriverVersions            { return collector.DriverVersions{} }
func (noGPUs) Count() (int, error)                           { return 0, nil }
func (noGPUs) Events([]driver.Device) (driver.Events, error) { return nil, driver.ErrNotSupported }

// TestHelperWithinProcess: a helper can be a goroutine, which ends with the monitor and is replaced when it fails.
func TestHelperWithinProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lives, detail := 0, ""
		m, err := New(Config{}, Env{
			Publish: func(v *collector.GPUView) { detail = v.Host.Detail },
			Within: func(ctx context.Context, in io.Reader, out io.Writer) error {
				if lives++; lives == 1 {
					return io.ErrUnexpectedEOF
				}
				return HelperMain(ctx, func(string) (driver.Driver, error) { return noGPUs{}, nil }, in, out)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if lives != 2 || detail != "the driver knows no GPU" {
			t.Errorf("after %d helpers: %q", lives, detail)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
