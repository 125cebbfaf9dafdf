package nvmltest

import (
	"math"
	"strconv"
)

// profile is how a GPU behaves in a mode. Powers and clocks are shares of the model's.
type profile struct {
	general, memoryBusy, graphics, sm, occupancy, tensor, bandwidth signal
	power, clock                                                    signal
	pcieReceive, pcieSend, nvlink                                   signal // bytes per second
	heat                                                            float64
	allocated                                                       bool
	events                                                          []string           // clock events that are on
	throttle                                                        map[string]float64 // seconds per second
	faults                                                          bool               // uncorrectable memory errors come
	replays                                                         float64            // per second
}

// profileOf is the profile of a spell.
func profileOf(m model, sp *Spell) profile {
	switch sp.Mode {
	case Free:
		return resting(m, false)
	case Idle:
		return resting(m, sp.Job != "")
	case Spin:
		return spinning(sp)
	case Thermal, Straggler:
		return slowed(m, sp)
	}
	p := working(m, sp)
	p.faults = sp.Mode == ECC
	if sp.Mode == PCIe {
		p.replays = 0.4
		p.pcieReceive, p.pcieSend = p.pcieReceive.scaled(0.4), p.pcieSend.scaled(0.4)
	}
	return p
}

func resting(m model, allocated bool) profile {
	p := profile{power: signal{m.idle / m.power, m.idle / m.power, 0.004}, clock: steady(m.low / m.clock), events: []string{"gpu_idle"}}
	if allocated {
		// A CUDA context keeps clocks up and the power with them.
		p.allocated, p.clock, p.events = true, steady(1), nil
		p.power = signal{1.6 * m.idle / m.power, 1.6 * m.idle / m.power, 0.006}
	}
	return p
}

// working is healthy training. A GPU that is broken without a job does nothing.
func working(m model, sp *Spell) profile {
	if sp.Job == "" {
		return resting(m, false)
	}
	p := profile{
		general: signal{0.08, 0.95, 0.028}, memoryBusy: signal{0.06, 0.52, 0.05}, graphics: signal{0.06, 0.95, 0.028},
		sm: signal{0.04, 0.70, 0.035}, occupancy: signal{0.02, 0.28, 0.02}, tensor: signal{0.01, 0.45, 0.01}, bandwidth: signal{0.03, 0.46, 0.03},
		power: signal{0.27, 0.885, 0.08}, clock: signal{1, 0.955, 0.03},
		pcieReceive: signal{2e9, 1.1e9, 3e8}, pcieSend: signal{5e9, 4e8, 2e8},
		allocated: true, throttle: map[string]float64{"sw_power_cap": 0.03},
	}
	p.power.swing = 0.03 + 0.05*share(sp.Job, "power swing")
	if sp.Peers > 1 {
		p.nvlink = signal{2e8, 6.2e10, 1.2e8}
	}
	return p
}

// spinning is a spin hang: a collective that waits for another rank keeps one kernel on a few SMs for ever.
func spinning(sp *Spell) profile {
	p := profile{
		general: steady(1), graphics: signal{0.985, 0.985, 0.01}, sm: signal{0.03, 0.03, 0.005}, occupancy: signal{0.004, 0.004, 0.001},
		memoryBusy: signal{0.01, 0.01, 0.01}, bandwidth: signal{0.002, 0.002, 0.001},
		power: signal{0.2, 0.2, 0.02}, clock: steady(1), pcieReceive: signal{1e5, 1e5, 5e4}, pcieSend: signal{1e5, 1e5, 5e4},
		allocated: sp.Job != "",
	}
	return p
}

// slowed is work with clocks held down.
func slowed(m model, sp *Spell) profile {
	p := working(m, sp)
	if sp.Mode == Thermal {
		p.heat, p.clock = 88, steady(0.6)
		p.events = []string{"hw_slowdown", "sw_thermal", "hw_thermal"}
		p.throttle = map[string]float64{"sw_thermal": 0.97, "hw_thermal": 0.93}
		if sp.Job != "" {
			p.power = p.power.scaled(0.7)
		}
		return p
	}
	if sp.Job != "" {
		p.clock, p.power = signal{0.7, 0.7, 0.01}, p.power.scaled(0.75)
		p.events, p.throttle = []string{"applications_clocks"}, nil
	}
	return p
}

// virtual is one GPU of a state.
type virtual struct {
	s     *State
	g     *GPUState
	index int
	m     model
}

func (s *State) virtual(i int) *virtual { return &virtual{s, &s.GPUs[i], i, models[s.Model]} }

// moment is a GPU at a time.
type moment struct {
	*virtual
	sp *Spell
	profile
	rhythm
	x, from float64 // seconds since the epoch: of the moment, and of the beginning of the spell
}

// at is what the GPU would be x seconds after the epoch if the spell held.
func (v *virtual) at(sp *Spell, x float64) *moment {
	n := &moment{virtual: v, sp: sp, profile: profileOf(v.m, sp), from: sp.From.Sub(v.s.Epoch).Seconds()}
	n.x = math.Max(x, n.from)
	n.rhythm = newRhythm(strconv.FormatInt(v.s.Seed, 10), v.g.ID, sp.Job, v.s.Checkpoints)
	return n
}

// celsius is the temperature of the GPU: it follows the power with a lag.
func (n *moment) celsius() float64 {
	const lag, step, memory = 28.0, 2.0, 8 * 28.0
	began := math.Max(n.from, n.x-memory)
	ambient := 27 + between(-2, 4, n.g.ID, "cooling")
	target := func(x float64) float64 {
		if n.heat > 0 {
			return n.heat + n.rhythm.sway(x)
		}
		return ambient + 41*n.rhythm.at(n.power, x)
	}
	c := target(began)
	if b := n.sp.Base.Celsius; b > 0 && began == n.from {
		c = b
	}
	for at := began; at < n.x; at += step {
		d := math.Min(step, n.x-at)
		c += (target(at) - c) * (1 - math.Exp(-d/lag))
	}
	return c
}
