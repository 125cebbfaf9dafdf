package nvmltest

import (
	"fmt"
	"math"
	"strconv"

	c "github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// instance is a handle of a MIG instance. It does what its GPU does.
type instance struct {
	gpu    *device
	number int
}

// now is the GPU, and the profile of the instance while it is there.
func (i *instance) now(op string) (*moment, string, error) {
	n, err := i.gpu.now(op)
	if err != nil {
		return nil, "", err
	}
	if i.number >= len(n.g.MIG) {
		return nil, "", &driver.Error{Kind: driver.Stale, Op: op, Code: codeNotFound, Text: "Not Found"}
	}
	return n, n.g.MIG[i.number], nil
}

// Identity implements driver.Device.
func (i *instance) Identity() (driver.Identity, error) {
	n, profile, err := i.now("nvmlDeviceGetUUID")
	if err != nil {
		return driver.Identity{}, err
	}
	info := n.info(i.gpu.index)
	info.Parent, info.Profile, info.Instance = i.gpu.id, profile, strconv.Itoa(i.number+7)
	return driver.Identity{ID: "MIG-" + uuid(i.gpu.id, profile, strconv.Itoa(i.number)), Info: info}, nil
}

// Instances implements driver.Device: there are none of instances.
func (i *instance) Instances() ([]driver.Device, error) { return nil, nil }

// Read implements driver.Device. The driver knows memory and, by GPM, activity of instances.
func (i *instance) Read(g driver.Group, to *driver.Values) error {
	n, profile, err := i.now("read " + g.String())
	if err != nil {
		return err
	}
	r := reading{n, to}
	switch g {
	case driver.Load:
		if limit := sizeOf(profile); limit > 0 {
			r.add(c.DeviceMemoryLimit, limit)
			r.add(c.DeviceMemoryUsage, math.Floor(limit*r.used()/r.m.memory))
		}
	case driver.Profile:
		if r.m.profile {
			r.activity(strconv.Itoa(i.number))
		}
	}
	return nil
}

// sizeOf is the memory of an instance: a little less than its profile says; 0 for a profile of another form.
func sizeOf(profile string) float64 {
	var parts, gigabytes int
	if n, _ := fmt.Sscanf(profile, "%dg.%dgb", &parts, &gigabytes); n < 2 {
		return 0
	}
	return math.Floor(0.97*float64(gigabytes)*1024) * (1 << 20)
}
