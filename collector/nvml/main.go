package nvml

import (
	"context"
	"io"

	"github.com/trainbridge/trainbridge/collector/nvml/driver"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// HelperMain is the whole life of a helper process, for the hidden command nvml-helper. open initialises the library with a name. It
// may leave goroutines behind that hang in the driver, so the process must end when it returns. Nothing else may write to out, and
// nothing in the process may read in.
func HelperMain(ctx context.Context, open func(library string) (driver.Driver, error), in io.Reader, out io.Writer) error {
	o, err := helper.ReadOptions(in)
	if err != nil {
		return err
	}
	return helper.Run(ctx, o, func() (driver.Driver, error) { return open(o.Library) }, in, out)
}
