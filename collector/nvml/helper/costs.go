package helper

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// Calls that belong to no group of package driver.
const (
	callOpen     = "open"
	callIdentify = "identify"
	callEvents   = "events"
	callCount    = "count"
)

const (
	maxCosts      = int(driver.Groups) + 8
	maxErrorCodes = 32 // by group; the rest is collector.OtherClass
)

// costs are what calls took, by group.
type costs []collector.CallCost

func (c *costs) of(group string) *collector.CallCost {
	i := slices.IndexFunc(*c, func(x collector.CallCost) bool { return x.Group == group })
	if i < 0 {
		i = len(*c)
		*c = append(*c, collector.CallCost{Group: group})
	}
	return &(*c)[i]
}

// add counts one call.
func (c *costs) add(group string, took time.Duration, err error) {
	x := c.of(group)
	x.N++
	x.Seconds += took.Seconds()
	x.Max = math.Max(x.Max, took.Seconds())
	if err != nil && !errors.Is(err, driver.ErrNotSupported) {
		addError(x, codeOf(err))
	}
}

// clone is a copy that does not change any more.
func (c costs) clone() []collector.CallCost {
	out := slices.Clone([]collector.CallCost(c))
	for i := range out {
		out[i].Errors = slices.Clone(out[i].Errors)
	}
	return out
}

// codeOf is the driver's code of an error, as a label.
func codeOf(err error) string {
	var e *driver.Error
	if errors.As(err, &e) && e.Code >= 0 && e.Code < 10_000 {
		return strconv.Itoa(e.Code)
	}
	return collector.OtherClass
}

func addError(x *collector.CallCost, code string) {
	i := slices.IndexFunc(x.Errors, func(e collector.Count) bool { return e.Name == code })
	if i < 0 && len(x.Errors) >= maxErrorCodes && code != collector.OtherClass {
		addError(x, collector.OtherClass)
		return
	}
	if i < 0 {
		i = len(x.Errors)
		x.Errors = append(x.Errors, collector.Count{Name: code})
	}
	x.Errors[i].N++
}
