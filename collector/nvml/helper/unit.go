package helper

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// unit is a device as it is read.
type unit struct {
	device   driver.Device
	identity driver.Identity
	values   [driver.Groups][]collector.GPUValue
	pids     []int
	readAt   time.Time
	failed   bool
}

// entry is what frames show of a unit. Its slices do not change.
type entry struct {
	identity driver.Identity
	readAt   time.Time
	failed   bool
	values   []collector.GPUValue
	pids     []int
}

// readUnit reads the groups of a device that are due. An error of one group leaves what it gave; an error of the first is one of
// the device, unless most of its calls succeeded.
func (g *gpu) readUnit(u *unit, slow bool) error {
	var failed error
	for group := range driver.Groups {
		if !g.due(group, slow) {
			continue
		}
		if group == driver.Processes && u == g.whole && len(g.parts) > 0 { // the driver would tell of its instances' once more
			u.values[group], u.pids = nil, nil
			continue
		}
		v := driver.Values{Beat: g.beat}
		err := g.do(group.String(), func() error { return u.device.Read(group, &v) })
		u.keep(group, &v, g.host)
		if group == driver.Load {
			u.readAt = time.Now()
			if len(v.Values) > 0 && 2*v.Failed <= v.Calls && driver.KindOf(err) == driver.Failed {
				err = nil // some calls of many: they are counted, and the others are true
			}
			u.failed, failed = err != nil, err
		}
		if k := driver.KindOf(err); err != nil && k != driver.Failed && k != driver.NoPermission {
			return err
		}
	}
	return failed
}

func (g *gpu) due(group driver.Group, slow bool) bool {
	switch group {
	case driver.Health:
		return slow
	case driver.Profile:
		return g.host.options.Profiling
	case driver.Processes:
		return g.host.options.Processes
	default:
		return true
	}
}

// keep takes what a group gave.
func (u *unit) keep(group driver.Group, v *driver.Values, h *host) {
	bad := 0
	values := slices.DeleteFunc(v.Values, func(x collector.GPUValue) bool {
		odd := !finite(x.Value) || len(x.Label) > maxLabel || !utf8.ValidString(x.Label)
		if odd {
			bad++
		}
		return odd
	})
	room := MaxValues
	for other, have := range u.values {
		if driver.Group(other) != group {
			room -= len(have)
		}
	}
	if len(values) > room {
		bad += len(values) - room
		values = values[:room]
	}
	u.values[group] = values
	if group == driver.Processes {
		u.pids = v.PIDs[:min(len(v.PIDs), MaxPIDs)]
	}
	if bad == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	addError(h.calls.of(group.String()), collector.OtherClass)
}

// maxLabel is the longest label of a value, in bytes.
const maxLabel = 128

func (u *unit) entry() entry {
	return entry{identity: u.identity, readAt: u.readAt, failed: u.failed, values: slices.Concat(u.values[:]...), pids: u.pids}
}

func cleaned(id driver.Identity) driver.Identity {
	i := &id.Info
	for _, s := range []*string{
		&id.ID, &i.Index, &i.Name, &i.Serial, &i.VBIOS, &i.PCIBusID, &i.Minor, &i.Parent, &i.Profile, &i.Instance,
	} {
		*s = collector.Clean(*s)
	}
	return id
}
